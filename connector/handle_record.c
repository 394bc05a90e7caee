/* handle_record - what a broker sends, by type. Records for connections that are gone are counted
 * and ignored: they were on their way when the connection ended. So are those of a broker that does
 * not own the connection's person, or not any more. */
#include "connector/handle.h"

#include "common/log.h"

#include "connector/brokers.h"
#include "connector/conn.h"
#include "connector/ended.h"
#include "connector/session.h"
#include "connector/will.h"

static void on_kick(struct broker *broker, const struct wire_kick *kick)
{
    struct conn *c = conn_of(broker, kick->conn);
    const struct mqtt_fault fault = {kick->reason, "MQTT-3.1.4-3", mqtt_reason_text(kick->reason)};

    if (c != NULL && c->state == CONN_OPENING)
        connect_refuse(c, MQTT_SERVER_UNAVAILABLE, "ended by the broker");
    else if (c != NULL && conn_is_open(c))
        conn_close(c, CLOSE_KICKED, &fault);
    else
        broker->brokers->connector->metrics.records_stale++;
}

void handle_record(struct broker *broker, const struct wire_record *record)
{
    struct connector *connector = broker->brokers->connector;

    switch (record->type) {
    case WIRE_DELIVER:
        deliver_message(broker, &record->deliver);
        break;
    case WIRE_PUBLISHED:
        publish_on_published(broker, &record->published);
        break;
    case WIRE_OPENED:
        session_on_opened(broker, &record->opened);
        break;
    case WIRE_SUBACK:
        subscribe_on_suback(broker, &record->suback);
        break;
    case WIRE_LIVE:
        deliver_live(broker, &record->live);
        break;
    case WIRE_KICK:
        on_kick(broker, &record->kick);
        break;
    case WIRE_DOUBT:
        session_on_doubt(broker, &record->session);
        break;
    case WIRE_WILL_DONE:
        wills_remove(connector->wills, record->done.conn, broker->slot);
        break;
    case WIRE_CLOSED:
        ended_remove(connector->ended, record->done.conn, broker->slot);
        break;
    default: /* a broker never sends it; nothing of ours depends on it */
        log_limited(loop_now_ms(connector->loop), LOG_WARNING, NULL,
                    "ignoring a record of type %d from %s", (int)record->type, broker->name);
        break;
    }
}
