/* handle_record - what the broker sends, by type. Records for connections that are gone are counted
 * and ignored: they were on their way when the connection ended. */
#include "connector/handle.h"

#include "common/log.h"

#include "connector/conn.h"
#include "connector/ended.h"
#include "connector/session.h"
#include "connector/will.h"

static void on_kick(struct connector *connector, const struct wire_kick *kick)
{
    struct conn *c = conn_find(connector->conns, kick->conn);
    const struct mqtt_fault fault = {kick->reason, "MQTT-3.1.4-3", mqtt_reason_text(kick->reason)};

    if (c != NULL && c->state == CONN_OPENING)
        connect_refuse(c, MQTT_SERVER_UNAVAILABLE, "ended by the broker");
    else if (c != NULL && conn_is_open(c))
        conn_close(c, CLOSE_KICKED, &fault);
    else
        connector->metrics.records_stale++;
}

void handle_record(void *arg, const struct wire_record *record)
{
    struct connector *connector = arg;

    switch (record->type) {
    case WIRE_DELIVER:
        deliver_message(connector, &record->deliver);
        break;
    case WIRE_PUBLISHED:
        publish_on_published(connector, &record->published);
        break;
    case WIRE_OPENED:
        session_on_opened(connector, &record->opened);
        break;
    case WIRE_SUBACK:
        subscribe_on_suback(connector, &record->suback);
        break;
    case WIRE_LIVE:
        deliver_live(connector, &record->live);
        break;
    case WIRE_KICK:
        on_kick(connector, &record->kick);
        break;
    case WIRE_DOUBT:
        session_on_doubt(connector, &record->session);
        break;
    case WIRE_WILL_DONE:
        wills_remove(connector->wills, record->done.conn);
        break;
    case WIRE_CLOSED:
        ended_remove(connector->ended, record->done.conn);
        break;
    default: /* a broker never sends it; nothing of ours depends on it */
        log_limited(loop_now_ms(connector->loop), LOG_WARNING, NULL,
                    "ignoring a record of type %d from the broker", (int)record->type);
        break;
    }
}
