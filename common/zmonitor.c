/* zmonitor - see the header. */
#include "common/zmonitor.h"

#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "common/err.h"

#define STATUS_DENIED 400 /* of the broker's ZAP handler: it looked, and the key is unknown */

bool zmonitor_read(void *monitor, struct zmonitor_event *ret_event)
{
    uint8_t head[6], address[256]; /* u16 event, u32 value; an endpoint for logs */

    if (zmq_recv(monitor, head, sizeof(head), ZMQ_DONTWAIT) != (int)sizeof(head))
        return false;
    /* Both parts arrive together; the second is not needed. */
    IGNORE_RESULT(zmq_recv(monitor, address, sizeof(address), ZMQ_DONTWAIT));
    memcpy(&ret_event->event, head, sizeof(ret_event->event));
    memcpy(&ret_event->value, head + sizeof(ret_event->event), sizeof(ret_event->value));
    return true;
}

/* Two sides that differ in having keys see it at once, and the one that sees it first closes, which
 * may be all that the other one gets to know. */
const char *zmonitor_why(const struct zmonitor_event *event, bool with_keys, char *buf, size_t size)
{
    bool mismatch = event->event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL &&
                    event->value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH;
    bool ended = event->event == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL;

    if (mismatch && with_keys)
        snprintf(buf, size,
                 "the broker has no keys (CURVE), and there are some here: "
                 "listen.curve.secret_key is not set there");
    else if (ended && with_keys)
        snprintf(buf, size,
                 "the broker ended the handshake: most likely broker.curve.server_key is not its "
                 "key, or it has none (listen.curve.secret_key)");
    else if (mismatch || ended)
        snprintf(buf, size,
                 "the broker ended the handshake: most likely it asks for keys (CURVE), and there "
                 "are none here (broker.curve.server_key, broker.curve.secret_key)");
    else if (event->event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL)
        snprintf(buf, size, "the handshake broke ZeroMQ's protocol (0x%08x)", event->value);
    else if (event->event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH && event->value == STATUS_DENIED)
        snprintf(buf, size,
                 "the broker does not know this key: its public half is not among "
                 "listen.curve.clients there");
    else if (event->event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
        snprintf(buf, size, "the broker could not check this key (status %u)", event->value);
    else
        return NULL;
    return buf;
}
