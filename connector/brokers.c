/* brokers - the links, and what others use of them; brokers_view.c decides which there are.
 *
 * A broker of the configuration (a seed) has a link and no place; when it says its name it takes
 * its place among the members, with that link, whose endpoint is known to work. Links to the others
 * are made from the list. When nothing is linked any more the seeds are asked again beside the
 * members: all of these may have been replaced meanwhile.
 *
 * Nothing is freed under a callback of its link: who leaves is muted (`gone`) and freed by a posted
 * task. */
#include "connector/brokers_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "common/auto.h"
#include "common/curve_key.h"
#include "common/log.h"
#include "common/owner.h"

#include "connector/conn.h"
#include "connector/handle.h"
#include "connector/session.h"

/* Out of descriptors or memory: as soon as it may have passed. */
#define REMAKE_MS 1000

static size_t describe(const void *object, char *buf, size_t size)
{
    const struct broker *broker = object;

    return log_kv(buf, size, 0, "broker",
                  broker->name[0] != '\0' ? broker->name : broker->endpoint);
}

static struct log_subject broker_log(const struct broker *broker)
{
    return (struct log_subject){.describe = describe, .object = broker};
}

void broker_leave(struct broker *broker)
{
    struct brokers *brokers = broker->brokers;

    broker->gone = true;
    broker->ready = false;
    SLIST_INSERT_HEAD(&brokers->leaving, broker, leaving);
    loop_post(brokers->connector->loop, &brokers->sweep);
}

static void broker_free(struct broker *broker)
{
    if (broker == NULL)
        return;
    link_destroy(broker->link);
    link_requests_destroy(broker->requests);
    free(broker);
}

static void on_sweep(void *arg)
{
    struct brokers *brokers = arg;
    struct broker *broker;

    while ((broker = SLIST_FIRST(&brokers->leaving)) != NULL) {
        SLIST_REMOVE_HEAD(&brokers->leaving, leaving);
        broker_free(broker);
    }
}

unsigned brokers_linked(const struct brokers *brokers)
{
    unsigned linked = 0;

    for (unsigned i = 0; i < brokers->view.count; i++)
        linked += brokers->slots[brokers->slot_of[i]]->ready;
    return linked;
}

void brokers_tell(const struct brokers *brokers, const char *why)
{
    brokers->config.changed(brokers->config.arg, brokers_linked(brokers), brokers->view.count, why);
}

/* --- links --- */

static void on_lost(void *arg, const char *why);

static void on_received(void *arg, const struct wire_record *record)
{
    struct broker *broker = arg;

    if (broker->ready)
        handle_record(broker, record);
}

static const struct link_events link_events = {
    .welcomed = brokers_on_welcomed,
    .members = brokers_on_members,
    .received = on_received,
    .lost = on_lost,
};

static int make_link(struct broker *broker, struct err_text *et)
{
    struct brokers *brokers = broker->brokers;
    struct metrics *metrics = &brokers->connector->metrics;
    const struct link_config config = {
        .context = brokers->config.context,
        .endpoint = broker->endpoint,
        .keys = &brokers->keys,
        .kind = WIRE_PEER_CONNECTOR,
        .name = brokers->config.name,
        .instance = brokers->instance,
        .generation = brokers->view.generation,
        .events = &link_events,
        .arg = broker,
        .counters = {.up = &metrics->links_up,
                     .lost = &metrics->links_lost,
                     .handshakes_failed = &metrics->handshakes_failed,
                     .frames_sent = &metrics->frames_sent,
                     .frames_received = &metrics->frames_received,
                     .sends_blocked = &metrics->sends_blocked},
    };
    int r = curve_check_link("broker", broker->endpoint, link_keys_has_keys(&brokers->keys),
                             brokers->config.plain, et);

    return r < 0 ? r : link_create(brokers->connector->loop, &config, &broker->link, et);
}

/* Others named these members: what is wrong with one must not end the process. */
void brokers_make_links(struct brokers *brokers)
{
    for (unsigned i = 0; i < brokers->view.count; i++) {
        struct broker *broker = brokers->slots[brokers->slot_of[i]];
        struct log_subject subject = broker_log(broker);
        struct err_text et = {""};

        if (broker->link != NULL || make_link(broker, &et) == 0)
            continue;
        log_limited(loop_now_ms(brokers->connector->loop), LOG_ERROR, &subject,
                    "could not link to a member: %s", et.text);
        if (!timer_armed(&brokers->remake))
            loop_timer_add(brokers->connector->loop, &brokers->remake, REMAKE_MS);
    }
}

static void on_remake(struct timer *timer)
{
    struct brokers *brokers = CONTAINER_OF(timer, struct brokers, remake);

    brokers_make_links(brokers);
    brokers_ask_seeds(brokers);
}

struct broker *broker_new(struct brokers *brokers, const char *name, const char *endpoint)
{
    struct broker *broker = calloc(1, sizeof(*broker));

    if (broker == NULL)
        return NULL;
    broker->brokers = brokers;
    broker->slot = BROKER_NONE;
    snprintf(broker->name, sizeof(broker->name), "%s", name);
    snprintf(broker->endpoint, sizeof(broker->endpoint), "%s", endpoint);
    return broker;
}

/* --- seeds --- */

/* Some member is asked there already. */
static bool is_asked(const struct brokers *brokers, const char *endpoint)
{
    for (unsigned i = 0; i < brokers->view.count; i++) {
        const struct broker *broker = brokers->slots[brokers->slot_of[i]];

        if (broker->link != NULL && strcmp(link_endpoint(broker->link), endpoint) == 0)
            return true;
    }
    return false;
}

static int make_seeds(struct brokers *brokers, struct err_text *et)
{
    const struct endpoints *endpoints = brokers->config.endpoints;

    for (unsigned i = 0; i < endpoints->count; i++) {
        struct broker *seed;
        int r;

        if (brokers->seeds[i] != NULL || is_asked(brokers, endpoints->all[i]))
            continue;
        seed = broker_new(brokers, "", endpoints->all[i]);
        if (seed == NULL)
            return err_set(et, ERR_NO_MEMORY, "out of memory");
        r = make_link(seed, et);
        if (r < 0) {
            free(seed);
            return r;
        }
        brokers->seeds[i] = seed;
    }
    return 0;
}

void brokers_ask_seeds(struct brokers *brokers)
{
    struct err_text et = {""};

    if (brokers_linked(brokers) > 0 || make_seeds(brokers, &et) == 0)
        return;
    log_limited(loop_now_ms(brokers->connector->loop), LOG_WARNING, NULL,
                "could not ask the brokers of the configuration: %s", et.text);
    if (!timer_armed(&brokers->remake))
        loop_timer_add(brokers->connector->loop, &brokers->remake, REMAKE_MS);
}

void brokers_drop_seeds(struct brokers *brokers)
{
    for (unsigned i = 0; i < ENDPOINTS_MAX; i++) {
        if (brokers->seeds[i] != NULL)
            broker_leave(brokers->seeds[i]);
        brokers->seeds[i] = NULL;
    }
}

void broker_adopt(struct broker *member, struct broker *seed)
{
    struct link *former = member->link;

    member->link = seed->link;
    link_set_arg(member->link, member);
    seed->link = former; /* goes with the seed */
    if (former != NULL)
        link_set_arg(former, seed);
}

void brokers_adopt_seeds(struct brokers *brokers, struct broker *teller, const char *name)
{
    for (unsigned i = 0; i < brokers->view.count; i++) {
        struct broker *member = brokers->slots[brokers->slot_of[i]];

        if (teller != NULL && teller->slot == BROKER_NONE && strcmp(member->name, name) == 0 &&
            !member->ready)
            broker_adopt(member, teller);
        for (unsigned j = 0; member->link == NULL && j < ENDPOINTS_MAX; j++) {
            struct broker *seed = brokers->seeds[j];

            if (seed != NULL && seed != teller && seed->link != NULL &&
                strcmp(seed->endpoint, member->endpoint) == 0)
                broker_adopt(member, seed); /* it is on its way there */
        }
    }
}

/* --- the life of the set --- */

static void on_lost(void *arg, const char *why)
{
    struct broker *broker = arg;
    struct brokers *brokers = broker->brokers;
    struct log_subject subject = broker_log(broker);

    if (broker->gone)
        return;
    broker->ready = false;
    log_warning(&subject, "lost the broker: %s", why);
    brokers_tell(brokers, why);
    brokers_ask_seeds(brokers);
}

/* --- what others use --- */

struct broker *brokers_of(const struct brokers *brokers, struct bytes user)
{
    if (brokers->view.count == 0)
        return NULL;
    return brokers->slots[brokers->slot_of[owner_of(&brokers->view, user)]];
}

struct buf *broker_frame(const struct broker *broker)
{
    return broker != NULL && broker->ready ? link_frame(broker->link) : NULL;
}

bool broker_is_sending(const struct broker *broker)
{
    return broker != NULL && broker->ready && link_is_sending(broker->link);
}

bool broker_congested(const struct broker *broker)
{
    return broker != NULL && broker->link != NULL && link_congested(broker->link);
}

bool broker_full(const struct broker *broker)
{
    return broker == NULL || link_requests_full(broker->requests) || broker_congested(broker);
}

bool broker_roomy(const struct broker *broker)
{
    return link_requests_roomy(broker->requests) && !broker_congested(broker);
}

void brokers_log(const struct brokers *brokers)
{
    char text[2048];
    size_t used = 0;

    for (unsigned i = 0; i < brokers->view.count && used < sizeof(text); i++) {
        const struct broker *broker = brokers->slots[brokers->slot_of[i]];

        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s=%s/%u", i == 0 ? "" : " ",
                                 broker->name, broker->ready ? "up" : "down",
                                 link_requests_count(broker->requests));
    }
    log_info(NULL, "links: generation=%llu members=%u linked=%u, state and requests of each: %s",
             (unsigned long long)brokers->view.generation, brokers->view.count,
             brokers_linked(brokers), used == 0 ? "none" : text);
}

uint32_t brokers_unanswered(const struct brokers *brokers)
{
    uint32_t count = 0;

    for (unsigned i = 0; i < BROKER_SLOTS; i++) {
        if (brokers->slots[i] != NULL)
            count += link_requests_count(brokers->slots[i]->requests);
    }
    return count;
}

void brokers_set_keys(struct brokers *brokers, const struct link_keys *keys, bool plain)
{
    brokers->keys = *keys;
    brokers->config.plain = plain;
    for (unsigned i = 0; i < BROKER_SLOTS; i++) {
        if (brokers->slots[i] != NULL && brokers->slots[i]->link != NULL)
            link_set_keys(brokers->slots[i]->link, keys);
    }
    for (unsigned i = 0; i < ENDPOINTS_MAX; i++) {
        if (brokers->seeds[i] != NULL && brokers->seeds[i]->link != NULL)
            link_set_keys(brokers->seeds[i]->link, keys);
    }
}

/* There is something to send, and all of it is little. */
static bool little_to_send(const struct brokers *brokers)
{
    bool any = false;

    if (brokers->hurry)
        return false;
    for (unsigned i = 0; i < BROKER_SLOTS; i++) {
        if (!broker_is_sending(brokers->slots[i]))
            continue;
        if (link_frame_bytes(brokers->slots[i]->link) >= LINK_FRAME_WORTH)
            return false;
        any = true;
    }
    return any;
}

/* A frame costs three threads a wake-up: what is about to come goes with it. */
static void on_turn_end(void *arg)
{
    struct brokers *brokers = arg;

    if (little_to_send(brokers) && loop_more(brokers->connector->loop))
        return;
    brokers->hurry = false;
    for (unsigned i = 0; i < BROKER_SLOTS; i++) {
        if (brokers->slots[i] != NULL && brokers->slots[i]->link != NULL)
            link_flush(brokers->slots[i]->link);
    }
    for (unsigned i = 0; i < ENDPOINTS_MAX; i++) {
        if (brokers->seeds[i] != NULL && brokers->seeds[i]->link != NULL)
            link_flush(brokers->seeds[i]->link);
    }
}

int brokers_create(struct connector *connector, const struct brokers_config *config,
                   struct err_text *et)
{
    struct brokers *brokers = calloc(1, sizeof(*brokers));
    int r;

    if (brokers == NULL)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    connector->brokers = brokers;
    brokers->connector = connector;
    brokers->config = *config;
    if (config->keys != NULL)
        brokers->keys = *config->keys;
    brokers->config.keys = NULL; /* the caller's */
    SLIST_INIT(&brokers->leaving);
    brokers->sweep.fn = on_sweep;
    brokers->sweep.arg = brokers;
    timer_init(&brokers->remake, on_remake);
    if (getrandom(brokers->instance, sizeof(brokers->instance), 0) !=
        (ssize_t)sizeof(brokers->instance))
        return err_set(et, ERR_SYSTEM, "could not get random bytes: %s", strerror(errno));
    r = loop_hook_add(connector->loop, on_turn_end, brokers);
    if (r < 0)
        return err_set(et, r, "could not set up the links: %s", err_string(r));
    return make_seeds(brokers, et);
}

void brokers_destroy(struct brokers *brokers)
{
    if (brokers == NULL)
        return;
    loop_unpost(brokers->connector->loop, &brokers->sweep);
    loop_timer_cancel(brokers->connector->loop, &brokers->remake);
    on_sweep(brokers);
    for (unsigned i = 0; i < BROKER_SLOTS; i++)
        broker_free(brokers->slots[i]);
    for (unsigned i = 0; i < ENDPOINTS_MAX; i++)
        broker_free(brokers->seeds[i]);
    link_keys_wipe(&brokers->keys);
    free(brokers);
}
