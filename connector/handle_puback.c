#include "connector/conn.h"
#include "connector/handle.h"

/* Any reason acknowledges (MQTT 5.0 section 4.3.2): a client that refuses a message has it. An
 * identifier that is not in flight is a late answer to what an earlier connection was sent. */
void handle_puback(struct conn *c, const struct mqtt_puback *puback)
{
    bool notification = inflight_is_notification(puback->packet_id);
    struct inflight *inflight = notification ? &c->client->notified : &c->inflight;

    if (inflight_ack(inflight, notification, puback->packet_id) < 0) {
        c->connector->metrics.pubacks_unknown++;
        return;
    }
    c->connector->metrics.pubacks++;
    conn_ack_later(c);
    deliver_held(c);
}
