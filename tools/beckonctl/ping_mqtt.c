/* A client's view of a connector: TCP, CONNECT, CONNACK, DISCONNECT, in MQTT 5. Written out here
 * because the connector's codec decodes only what clients send. The socket doesn't block, so that
 * one deadline holds for everything; what comes back is checked to its last byte, so that another
 * service on that port is not taken for a connector. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "command.h"
#include "common/auto.h"
#include "common/buf.h"
#include "ping.h"

#define CONNECT_TYPE 0x10
#define CONNACK_TYPE 0x20
#define FLAG_CLEAN_START 0x02
#define FLAG_PASSWORD 0x40
#define FLAG_USERNAME 0x80
#define BAD_CREDENTIALS 0x86 /* MQTT 5.0 section 2.4: bad user name or password */
#define KEEP_ALIVE_S 60      /* longer than any ping lives */
#define CONNACK_MAX 1024     /* Beckon's have some 40 bytes */
#define FIXED_HEADER_MAX 5
#define DEVICE_RANDOM_SIZE 8

struct address {
    char host[256], port[16];
};

static int parse_address(const char *text, struct address *address, struct err_text *et)
{
    const char *colon = strrchr(text, ':');
    size_t host_len = colon == NULL ? 0 : (size_t)(colon - text);
    uint32_t port;

    /* getaddrinfo would take a port above 65535 modulo 65536. */
    if (host_len == 0 || command_uint(colon + 1, 1, UINT16_MAX, &port) != 0)
        return err_set(et, ERR_INVALID, "expected HOST:PORT");
    if (text[0] == '[' && colon[-1] == ']') {
        text++;
        host_len -= 2;
    }
    if (host_len >= sizeof(address->host))
        return err_set(et, ERR_INVALID, "expected HOST:PORT");
    memcpy(address->host, text, host_len);
    address->host[host_len] = '\0';
    snprintf(address->port, sizeof(address->port), "%u", port);
    return 0;
}

/* Waits until fd is ready for events. */
static int await(int fd, short events, uint64_t deadline_ms, struct err_text *et)
{
    struct pollfd entry = {.fd = fd, .events = events};
    int ready;

    do
        ready = poll(&entry, 1, ping_left_ms(deadline_ms));
    while (ready < 0 && errno == EINTR);
    if (ready < 0)
        return err_set(et, ERR_SYSTEM, "could not wait: %s", strerror(errno));
    return ready > 0 ? 0 : err_set(et, ERR_EXPIRED, "no answer in time");
}

/* A connected socket, or a negative ERR_*. */
static int dial_one(const struct addrinfo *info, uint64_t deadline_ms, struct err_text *et)
{
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error = 0;
    socklen_t size = sizeof(error);

    if (fd < 0)
        return err_set(et, ERR_SYSTEM, "could not make a socket: %s", strerror(errno));
    int result = 0;
    if (connect(fd, info->ai_addr, info->ai_addrlen) != 0 && errno != EINPROGRESS)
        result = err_set(et, ERR_IO, "could not connect: %s", strerror(errno));
    if (result == 0)
        result = await(fd, POLLOUT, deadline_ms, et);
    if (result == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        result = err_set(et, ERR_SYSTEM, "could not connect: %s", strerror(errno));
    if (result == 0 && error != 0)
        result = err_set(et, ERR_IO, "could not connect: %s", strerror(error));
    if (result == 0)
        return fd;
    close(fd);
    return result;
}

static int dial(const char *text, uint64_t deadline_ms, struct err_text *et)
{
    struct addrinfo *all, hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct address address;
    int result = parse_address(text, &address, et);

    if (result != 0)
        return result;
    int problem = getaddrinfo(address.host, address.port, &hints, &all);
    if (problem != 0)
        return err_set(et, ERR_INVALID, "could not resolve: %s", gai_strerror(problem));
    result = err_set(et, ERR_NOT_FOUND, "could not resolve: no address");
    for (const struct addrinfo *info = all; info != NULL && result < 0; info = info->ai_next)
        result = dial_one(info, deadline_ms, et);
    freeaddrinfo(all);
    return result;
}

static void put_text(struct buf *out, const char *text)
{
    buf_put_be16(out, (uint16_t)strlen(text));
    buf_put(out, text, strlen(text));
}

/* A device of its own for each ping: the same one would take over another ping that still waits.
 * It subscribes to nothing, so nothing of it is stored. */
static int device_name(char *out, size_t size, struct err_text *et)
{
    uint8_t octets[DEVICE_RANDOM_SIZE];

    if (getrandom(octets, sizeof(octets), 0) != (ssize_t)sizeof(octets))
        return err_set(et, ERR_SYSTEM, "could not get random bytes: %s", strerror(errno));
    int used = snprintf(out, size, "ping-");
    for (size_t i = 0; i < sizeof(octets); i++)
        used += snprintf(out + used, size - (size_t)used, "%02x", octets[i]);
    return 0;
}

static int make_connect(const struct ping_mqtt *ping, struct buf *packet, struct err_text *et)
{
    struct buf body = {0};
    char device[sizeof("ping-") + 2 * DEVICE_RANDOM_SIZE];
    uint8_t flags = FLAG_CLEAN_START;
    int result = device_name(device, sizeof(device), et);

    if (result != 0)
        return result;
    if (ping->token != NULL && strlen(ping->token) > UINT16_MAX)
        return err_set(et, ERR_INVALID, "the token is longer than 65535 bytes");
    if (ping->token != NULL)
        flags |= FLAG_USERNAME | FLAG_PASSWORD;
    put_text(&body, "MQTT");
    buf_put_u8(&body, 5);
    buf_put_u8(&body, flags);
    buf_put_be16(&body, KEEP_ALIVE_S);
    buf_put_u8(&body, 0); /* no properties */
    put_text(&body, device);
    if (ping->token != NULL) {
        put_text(&body, ping->user);
        put_text(&body, ping->token);
    }

    buf_put_u8(packet, CONNECT_TYPE);
    size_t left = body.len; /* Remaining Length, section 1.5.5 */
    do {
        buf_put_u8(packet, (uint8_t)(left % 128 | (left >= 128 ? 128 : 0)));
        left /= 128;
    } while (left > 0);
    buf_put(packet, body.data, body.len);
    bool whole = buf_ok(&body) && buf_ok(packet);
    buf_release(&body);
    return whole ? 0 : err_set(et, ERR_NO_MEMORY, "out of memory");
}

static int send_all(int fd, const uint8_t *data, size_t len, uint64_t deadline_ms,
                    struct err_text *et)
{
    while (len > 0) {
        int result = await(fd, POLLOUT, deadline_ms, et);
        if (result != 0)
            return result;
        ssize_t sent = send(fd, data, len, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR)
            return err_set(et, ERR_IO, "could not send: %s", strerror(errno));
        if (sent > 0) {
            data += sent;
            len -= (size_t)sent;
        }
    }
    return 0;
}

/* A variable byte integer at data[*at]. 1 and *at behind it, 0 when more bytes are needed,
 * ERR_MALFORMED. */
static int get_varint(const uint8_t *data, size_t len, size_t *at, uint32_t *ret_value)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < 4; i++) {
        if (*at + i >= len)
            return 0;
        value |= (uint32_t)(data[*at + i] & 0x7f) << (7 * i);
        if ((data[*at + i] & 0x80) == 0) {
            *at += i + 1;
            *ret_value = value;
            return 1;
        }
    }
    return ERR_MALFORMED;
}

/* The reason code of the CONNACK at data (at least 0), ERR_AGAIN while it is not complete,
 * ERR_MALFORMED when it is none. */
static int parse_connack(const uint8_t *data, size_t len)
{
    size_t at = 1;
    uint32_t remaining, properties;

    if (len == 0)
        return ERR_AGAIN;
    if (data[0] != CONNACK_TYPE)
        return ERR_MALFORMED;
    int got = get_varint(data, len, &at, &remaining);
    if (got <= 0)
        return got == 0 ? ERR_AGAIN : got;
    if (remaining < 3 || remaining > CONNACK_MAX - FIXED_HEADER_MAX)
        return ERR_MALFORMED;
    if (len < at + remaining)
        return ERR_AGAIN;
    size_t end = at + remaining;
    uint8_t flags = data[at], reason = data[at + 1];
    at += 2;
    if (get_varint(data, end, &at, &properties) != 1 || properties != end - at || flags > 1 ||
        (reason != 0 && flags != 0)) /* MQTT-3.2.2-6 */
        return ERR_MALFORMED;
    return reason;
}

/* The reason code, or a negative ERR_*. */
static int read_connack(int fd, uint64_t deadline_ms, struct err_text *et)
{
    uint8_t data[CONNACK_MAX];
    size_t len = 0;

    for (;;) {
        int reason = parse_connack(data, len);
        if (reason >= 0)
            return reason;
        if (reason != ERR_AGAIN)
            return err_set(et, ERR_MALFORMED, "the answer is no MQTT 5 CONNACK");
        int result = await(fd, POLLIN, deadline_ms, et);
        if (result != 0)
            return result;
        ssize_t got = recv(fd, data + len, sizeof(data) - len, 0);
        if (got == 0)
            return err_set(et, ERR_CLOSED, "closed without a CONNACK");
        if (got < 0 && errno != EAGAIN && errno != EINTR)
            return err_set(et, ERR_IO, "could not read: %s", strerror(errno));
        if (got > 0)
            len += (size_t)got;
    }
}

int ping_mqtt(const struct ping_mqtt *ping, struct err_text *et)
{
    static const uint8_t disconnect[] = {0xe0, 0x00}; /* reason 0 */
    uint64_t deadline_ms = ping_now_ms() + ping->timeout_ms;
    int expected = ping->token == NULL ? BAD_CREDENTIALS : 0;
    struct buf packet = {0};

    AUTO_CLOSE int fd = dial(ping->address, deadline_ms, et);
    if (fd < 0)
        return fd;
    int result = make_connect(ping, &packet, et);
    if (result == 0)
        result = send_all(fd, packet.data, packet.len, deadline_ms, et);
    buf_release(&packet);
    if (result != 0)
        return result;
    int reason = read_connack(fd, deadline_ms, et);
    if (reason < 0)
        return reason;
    if (reason != expected)
        return err_set(et, ERR_DENIED, "CONNACK 0x%02x, expected 0x%02x", (unsigned)reason,
                       (unsigned)expected);
    if (reason == 0)
        /* The answer is known: whether the farewell arrives changes nothing. */
        IGNORE_RESULT(send_all(fd, disconnect, sizeof(disconnect), deadline_ms, NULL));
    return 0;
}
