/* handle_me - publishes to me/...: what a device says about itself. Answered here, at once. */
#include "common/utf8.h"

#include "connector/auth.h"
#include "connector/conn.h"
#include "connector/device_state.h"
#include "connector/handle.h"
#include "connector/keepalive.h"
#include "connector/session.h"

struct refusal me_state(struct conn *c, struct bytes payload)
{
    struct client *client = c->client;

    if (device_state_parse(payload, &client->device_state, &client->lease_s) < 0)
        return (struct refusal){MQTT_PAYLOAD_FORMAT_INVALID,
                                "the state is not foreground, background or background SECONDS"};
    client->lease_until_ms =
        client->lease_s == 0 ? 0
                             : loop_now_ms(c->connector->loop) + (uint64_t)client->lease_s * 1000;
    session_send_state(c);
    return (struct refusal){MQTT_SUCCESS, NULL};
}

struct refusal me_token(struct conn *c, struct bytes payload)
{
    struct client *client = c->client;
    struct token_claims claims;
    const char *why = "";
    uint8_t reason =
        auth_check(c->connector->auth, payload, client_user(client), client_device(client),
                   loop_wall_ms(c->connector->loop) / 1000, &claims, &why);

    /* The connection is authenticated; what is refused is this token, whatever is wrong with it. */
    if (reason != MQTT_SUCCESS)
        return (struct refusal){MQTT_NOT_AUTHORIZED, why};
    client->token_issued_s = claims.issued_s;
    client->token_expires_s = claims.expires_s;
    keepalive_arm(c);
    return (struct refusal){MQTT_SUCCESS, NULL};
}

bool payload_format_valid(const struct mqtt_properties *properties, struct bytes payload)
{
    struct bytes rest = payload;

    if ((properties->present & MQTT_HAS_PAYLOAD_FORMAT) == 0 || properties->payload_format != 1)
        return true;
    /* Unlike MQTT's strings, a payload may hold U+0000 (RFC 3629); utf8_valid judges what is
     * between. No other character has a zero byte in it. */
    while (rest.len > 0) {
        const uint8_t *zero = memchr(rest.data, 0, rest.len);
        uint32_t len = zero != NULL ? (uint32_t)(zero - rest.data) : rest.len;

        if (!utf8_valid(bytes_of(rest.data, len)))
            return false;
        if (zero == NULL)
            break;
        rest = bytes_of(zero + 1, rest.len - len - 1);
    }
    return true;
}
