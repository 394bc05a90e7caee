/* zap - see the header.
 *
 * libzmq's I/O thread sends a request for each CURVE handshake whose cryptography was right, and
 * keeps that connection waiting until the reply. It comes over inproc as six or more parts:
 * version, request id, domain, address, routing id, mechanism, credentials. A reply is version,
 * request id, status, text, user id, metadata. The user id goes with every message of that
 * connection (zmq_msg_gets "User-Id"): here it is the connector's public key, so that the bus can
 * ask again when the list of keys has changed. */
#include "broker/zap.h"

#include "common/auto.h"
#include "common/log.h"
#include "common/zwatch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

/* The address is ZeroMQ's convention. */
#define ENDPOINT "inproc://zeromq.zap.01"
#define VERSION "1.0"
/* Requests answered in one turn. A flood of handshakes waits behind what the loop has to do. */
#define REQUESTS_PER_TURN 32
#define PARTS 7
#define PART_MAX 255 /* of what is looked at, the address is the longest */
#define KEY_BYTES 32

enum part { PART_VERSION, PART_ID, PART_DOMAIN, PART_ADDRESS, PART_ROUTING, PART_MECHANISM };
#define PART_KEY (PART_MECHANISM + 1)

struct zap {
    struct zap_config config;
    void *socket;
    struct zwatch *watch;
};

struct request {
    unsigned parts;
    struct {
        int len; /* as it came; above PART_MAX, the rest is cut */
        char data[PART_MAX + 1];
    } part[PARTS];
};

static bool is(const struct request *request, enum part part, const char *text)
{
    return request->part[part].len == (int)strlen(text) &&
           strcmp(request->part[part].data, text) == 0;
}

/* False when there is none. */
static bool receive(struct zap *zap, struct request *request)
{
    int more = 1;
    size_t size = sizeof(more);

    for (request->parts = 0; more; request->parts++) {
        char rest[PART_MAX + 1];
        unsigned at = request->parts;
        int len = zmq_recv(zap->socket, at < PARTS ? request->part[at].data : rest, PART_MAX,
                           ZMQ_DONTWAIT);

        if (len < 0)
            return false;
        if (at < PARTS) {
            request->part[at].len = len;
            request->part[at].data[len < PART_MAX ? len : PART_MAX] = '\0';
        }
        if (zmq_getsockopt(zap->socket, ZMQ_RCVMORE, &more, &size) < 0)
            return false;
    }
    return true;
}

static void send_part(struct zap *zap, const char *data, size_t len, int flags)
{
    /* The connection may be gone, and its request with it: then ZeroMQ drops the reply. */
    IGNORE_RESULT(zmq_send(zap->socket, data, len, ZMQ_DONTWAIT | flags));
}

static void reply(struct zap *zap, const struct request *request, const char *status,
                  const char *text, const char *user_id)
{
    send_part(zap, VERSION, strlen(VERSION), ZMQ_SNDMORE);
    send_part(zap, request->part[PART_ID].data,
              request->part[PART_ID].len < PART_MAX ? (size_t)request->part[PART_ID].len : PART_MAX,
              ZMQ_SNDMORE);
    send_part(zap, status, strlen(status), ZMQ_SNDMORE);
    send_part(zap, text, strlen(text), ZMQ_SNDMORE);
    send_part(zap, user_id, strlen(user_id), ZMQ_SNDMORE);
    send_part(zap, "", 0, 0);
}

/* As operators know it: ZeroMQ writes IPv4 addresses in the form of IPv6, since the ROUTER takes
 * both. */
static const char *address_of(const struct request *request)
{
    static const char mapped[] = "::ffff:";
    const char *address = request->part[PART_ADDRESS].data;

    return strncmp(address, mapped, sizeof(mapped) - 1) == 0 ? address + sizeof(mapped) - 1
                                                             : address;
}

static void answer(struct zap *zap, const struct request *request)
{
    char key[CURVE_KEY_SIZE];
    const char *name;

    /* Nobody but libzmq sends here, and it sends nothing else for a socket of ours. */
    if (request->parts != PARTS || !is(request, PART_VERSION, VERSION) ||
        !is(request, PART_DOMAIN, ZAP_DOMAIN) || !is(request, PART_MECHANISM, "CURVE") ||
        request->part[PART_KEY].len != KEY_BYTES ||
        !zmq_z85_encode(key, (const uint8_t *)request->part[PART_KEY].data, KEY_BYTES)) {
        ++*zap->config.refused;
        reply(zap, request, "400", "not a CURVE key", "");
        return;
    }
    name = curve_clients_find(zap->config.clients, key);
    if (name) {
        ++*zap->config.accepted;
        log_debug(NULL, "let in %s with the key \"%s\"", address_of(request), name);
        reply(zap, request, "200", "OK", key);
        return;
    }
    ++*zap->config.refused;
    log_limited(loop_now_ms(zap->config.loop), LOG_WARNING, NULL,
                "refused a connection from %s: its key %s is not among listen.curve.clients",
                address_of(request), key);
    reply(zap, request, "400", "unknown key", "");
}

static void on_readable(void *arg)
{
    struct zap *zap = arg;
    struct request request;

    for (int i = 0; i < REQUESTS_PER_TURN && receive(zap, &request); i++)
        answer(zap, &request);
}

int zap_create(const struct zap_config *config, struct zap **ret_zap, struct err_text *et)
{
    struct zap *zap = calloc(1, sizeof(*zap));
    const int none = 0;
    int r;

    if (!zap)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    zap->config = *config;
    zap->socket = zmq_socket(config->context, ZMQ_REP);
    if (!zap->socket || zmq_setsockopt(zap->socket, ZMQ_LINGER, &none, sizeof(none)) < 0 ||
        zmq_bind(zap->socket, ENDPOINT) < 0)
        r = err_set(et, ERR_SYSTEM, "could not set up the check of keys: %s", zmq_strerror(errno));
    else if (zwatch_create(config->loop, zap->socket, on_readable, zap, &zap->watch) < 0)
        r = err_set(et, ERR_SYSTEM, "could not watch the check of keys");
    else
        r = 0;
    if (r < 0) {
        zap_destroy(zap);
        return r;
    }
    *ret_zap = zap;
    return 0;
}

void zap_destroy(struct zap *zap)
{
    if (!zap)
        return;
    zwatch_destroy(zap->watch);
    if (zap->socket)
        zmq_close(zap->socket);
    free(zap);
}
