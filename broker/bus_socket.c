/* bus_socket - see the header. */
#include "broker/bus_socket.h"

#include "broker/broker.h"
#include "broker/zap.h"
#include "common/log.h"
#include "common/zmonitor.h"

#include <errno.h>
#include <string.h>
#include <zmq.h>

#define MONITOR "inproc://bus-monitor"
/* Events taken in one turn: each costs a line at most, and those are limited. */
#define EVENTS_PER_TURN 32

/* The other side hears why from libzmq itself, or finds out; its address is not in the event. */
static void on_monitor(void *arg)
{
    struct bus_socket *s = arg;
    struct zmonitor_event event;

    for (int i = 0; i < EVENTS_PER_TURN && zmonitor_read(s->monitor, &event); i++) {
        const char *what = "it does not speak ZeroMQ's protocol as it should";

        if (event.event != ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL)
            continue;
        s->broker->metrics.handshakes_failed++;
        if (event.value == ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC)
            what = "its broker.curve.server_key is not this broker's key";
        else if (event.value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH)
            what = bus_socket_has_keys(s) ? "it came without keys (CURVE)"
                                          : "it came with keys (CURVE), and there are none here";
        log_limited(loop_now_ms(s->broker->loop), LOG_WARNING, NULL,
                    "refused a connection in its handshake: %s", what);
    }
}

static int set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof(value));
}

static int configure(void *router)
{
    const int64_t max_size = BUS_FRAME_MAX_BYTES;

    if (set_int(router, ZMQ_ROUTER_MANDATORY, 1) < 0 ||
        set_int(router, ZMQ_ROUTER_HANDOVER, 1) < 0 || set_int(router, ZMQ_LINGER, 0) < 0 ||
        set_int(router, ZMQ_IPV6, 1) < 0 ||
        zmq_setsockopt(router, ZMQ_MAXMSGSIZE, &max_size, sizeof(max_size)) < 0)
        return -1;
    return 0;
}

/* libzmq lets every key in while nobody answers for them (zap.c): hence the handler comes before
 * the bind, and HELLO asks once more. */
static int set_keys(void *router, const char *secret_key)
{
    if (set_int(router, ZMQ_CURVE_SERVER, 1) < 0 ||
        zmq_setsockopt(router, ZMQ_CURVE_SECRETKEY, secret_key, CURVE_KEY_SIZE) < 0 ||
        zmq_setsockopt(router, ZMQ_ZAP_DOMAIN, ZAP_DOMAIN, strlen(ZAP_DOMAIN)) < 0)
        return -1;
    return 0;
}

static int protect(struct bus_socket *s, struct err_text *et)
{
    const struct zap_config zap = {
        .loop = s->broker->loop,
        .context = s->context,
        .clients = &s->curve->clients,
        .accepted = &s->broker->metrics.keys_accepted,
        .refused = &s->broker->metrics.keys_refused,
    };

    if (!bus_socket_has_keys(s))
        return 0;
    if (set_keys(s->router, s->curve->secret_key) < 0)
        return err_set(et, ERR_SYSTEM, "could not set up CURVE: %s%s", zmq_strerror(errno),
                       zmq_has("curve") ? "" : " (this ZeroMQ was built without it)");
    return zap_create(&zap, &s->zap, et);
}

static int watch(struct bus_socket *s, zwatch_fn on_readable, void *arg, struct err_text *et)
{
    int r = zwatch_create(s->broker->loop, s->router, on_readable, arg, &s->watch);

    if (r == 0)
        r = zwatch_create(s->broker->loop, s->monitor, on_monitor, s, &s->monitor_watch);
    if (r == 0) {
        zwatch_tells(s->watch); /* bus.c sends */
        zwatch_tells(s->monitor_watch);
    }
    return r < 0 ? err_set(et, r, "could not watch the ZeroMQ socket: %s", err_string(r)) : 0;
}

int bus_socket_open(struct bus_socket *s, struct broker *broker, struct curve_config *curve,
                    zwatch_fn on_readable, void *arg, struct err_text *et)
{
    const char *endpoint = broker->options.listen_endpoint;
    int r;

    *s = (struct bus_socket){.broker = broker, .curve = curve};
    s->context = zmq_ctx_new();
    s->router = s->context ? zmq_socket(s->context, ZMQ_ROUTER) : NULL;
    s->monitor = s->context ? zmq_socket(s->context, ZMQ_PAIR) : NULL;
    if (!s->router || !s->monitor)
        return err_set(et, ERR_SYSTEM, "could not make a ZeroMQ socket: %s", zmq_strerror(errno));
    if (configure(s->router) < 0 || set_int(s->monitor, ZMQ_LINGER, 0) < 0 ||
        zmq_socket_monitor(s->router, MONITOR, ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL) < 0 ||
        zmq_connect(s->monitor, MONITOR) < 0)
        return err_set(et, ERR_SYSTEM, "could not set a ZeroMQ option: %s", zmq_strerror(errno));
    r = protect(s, et);
    if (r == 0)
        r = watch(s, on_readable, arg, et);
    if (r < 0)
        return r;
    if (zmq_bind(s->router, endpoint) < 0)
        return err_set(et, ERR_SYSTEM, "could not listen on \"%s\" (listen.endpoint): %s", endpoint,
                       zmq_strerror(errno));
    return 0;
}

void bus_socket_close(struct bus_socket *s)
{
    zwatch_destroy(s->watch);
    zwatch_destroy(s->monitor_watch);
    if (s->router) {
        /* Fails only for a foreign pointer. */
        IGNORE_RESULT(zmq_socket_monitor(s->router, NULL, 0));
        zmq_close(s->router);
    }
    if (s->monitor)
        zmq_close(s->monitor);
    zap_destroy(s->zap);
    if (s->context)
        zmq_ctx_term(s->context);
    *s = (struct bus_socket){0};
}
