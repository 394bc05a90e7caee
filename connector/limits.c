#include "connector/limits.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "common/hash.h"
#include "common/log.h"

#include "connector/bucket.h"
#include "connector/conn.h"

/* A client that is not refused for so long has understood. */
#define QUIET_MS 1000

struct limits {
    struct bucket accepts;
    struct bucket_table *addresses;
    struct bucket_table *device_connects;
    struct bucket_table *device_publishes; /* of devices that are not connected */
};

struct limits *limits_create(uint32_t entries)
{
    struct limits *limits = calloc(1, sizeof(*limits));

    if (limits == NULL)
        return NULL;
    limits->addresses = bucket_table_create(entries);
    limits->device_connects = bucket_table_create(entries);
    limits->device_publishes = bucket_table_create(entries);
    if (limits->addresses == NULL || limits->device_connects == NULL ||
        limits->device_publishes == NULL) {
        limits_destroy(limits);
        return NULL;
    }
    return limits;
}

void limits_destroy(struct limits *limits)
{
    if (limits == NULL)
        return;
    bucket_table_destroy(limits->addresses);
    bucket_table_destroy(limits->device_connects);
    bucket_table_destroy(limits->device_publishes);
    free(limits);
}

uint64_t limits_accept_wait_ms(const struct connector *connector)
{
    return bucket_wait_ms(&connector->limits->accepts, &connector->options.accepts,
                          loop_now_ms(connector->loop));
}

void limits_accepted(struct connector *connector)
{
    bucket_take(&connector->limits->accepts, &connector->options.accepts,
                loop_now_ms(connector->loop));
}

static uint64_t address_key(const struct peer_address *peer)
{
    return hash_bytes(peer->octets, peer->family == AF_INET6 ? 8 : 4);
}

bool limits_address_connects(struct connector *connector, const struct peer_address *peer)
{
    const struct bucket_limit *limit = &connector->options.address_connects;
    uint64_t now_ms = loop_now_ms(connector->loop);
    char text[INET6_ADDRSTRLEN] = "?";

    if (bucket_table_take(connector->limits->addresses, address_key(peer), limit, now_ms) == 0)
        return true;
    connector->metrics.limited_address_connects++;
    inet_ntop(peer->family, peer->octets, text, sizeof(text));
    log_limited(now_ms, LOG_WARNING, NULL,
                "%s connects too often: above %u a second (limit.address_connects_per_s)", text,
                limit->per_s);
    return false;
}

static uint64_t device_key(const struct client *client)
{
    struct bytes user = client_user(client), device = client_device(client);

    return hash_more(hash_bytes(user.data, user.len), device.data, device.len);
}

bool limits_device_connects(struct conn *c)
{
    struct connector *connector = c->connector;
    uint64_t key = device_key(c->client), now_ms = loop_now_ms(connector->loop);

    if (bucket_table_take(connector->limits->device_connects, key,
                          &connector->options.device_connects, now_ms) > 0) {
        connector->metrics.limited_device_connects++;
        return false;
    }
    c->client->publishes = bucket_table_get(connector->limits->device_publishes, key, now_ms);
    return true;
}

void limits_device_gone(struct conn *c)
{
    bucket_table_put(c->connector->limits->device_publishes, device_key(c->client),
                     c->client->publishes, loop_now_ms(c->connector->loop));
}

uint64_t limits_publish_wait_ms(const struct conn *c)
{
    return bucket_wait_ms(&c->client->publishes, &c->connector->options.device_publishes,
                          loop_now_ms(c->connector->loop));
}

void limits_published(struct conn *c)
{
    bucket_take(&c->client->publishes, &c->connector->options.device_publishes,
                loop_now_ms(c->connector->loop));
}

bool limits_publish_refused(struct conn *c)
{
    const struct options *options = &c->connector->options;
    uint64_t now_ms = loop_now_ms(c->connector->loop);
    const struct log_subject subject = conn_log(c);
    struct client *client = c->client;

    log_limited(now_ms, LOG_WARNING, &subject,
                "client publishes too fast: above %u a second (limit.publishes_per_s)",
                options->device_publishes.per_s);
    if (now_ms - client->too_fast_last_ms > QUIET_MS)
        client->too_fast_since_ms = now_ms;
    client->too_fast_last_ms = now_ms;
    return options->abuse_s != 0 &&
           now_ms - client->too_fast_since_ms >= (uint64_t)options->abuse_s * 1000;
}

static uint32_t count_user_properties(const struct mqtt_properties *properties, uint32_t most)
{
    struct bytes rest = properties->all, name, value;
    uint32_t count = 0;

    while (count <= most && mqtt_user_property_next(&rest, &name, &value) == 1)
        count++;
    return count;
}

bool limits_properties_fit(const struct conn *c, const struct mqtt_properties *properties)
{
    const struct options *options = &c->connector->options;
    const struct log_subject subject = conn_log(c);

    if (c->level != MQTT_5 || properties->all.len == 0 ||
        (properties->all.len <= options->max_properties_bytes &&
         count_user_properties(properties, options->max_user_properties) <=
             options->max_user_properties))
        return true;
    c->connector->metrics.limited_properties++;
    log_limited(loop_now_ms(c->connector->loop), LOG_WARNING, &subject,
                "a message with %u bytes of properties, expected at most %u, and at most %u user "
                "properties (mqtt.max_properties_bytes, mqtt.max_user_properties)",
                properties->all.len, options->max_properties_bytes, options->max_user_properties);
    return false;
}

bool limits_will_fits(const struct conn *c, size_t bytes)
{
    const struct log_subject subject = conn_log(c);
    uint32_t most = c->connector->options.max_will_bytes;

    if (bytes <= most)
        return true;
    c->connector->metrics.limited_wills++;
    log_limited(loop_now_ms(c->connector->loop), LOG_WARNING, &subject,
                "a Will of %zu bytes, expected at most %u (mqtt.max_will_bytes)", bytes, most);
    return false;
}
