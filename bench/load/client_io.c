#include "bench/load/client_io.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/auto.h"

#define SUBSCRIBE_ID UINT16_MAX /* no publish has it: windows are smaller */

static bool begun(const struct client *client)
{
    return client->state > CLIENT_WAITING && client->state < CLIENT_OPEN;
}

void client_close(struct client *client)
{
    struct engine *engine = client->engine;

    loop_timer_cancel(engine->loop, &client->ping);
    if (client->state == CLIENT_CLOSED)
        return;
    loop_io_remove(engine->loop, client->io);
    stream_close(&client->stream);
    buf_release(&client->in);
    buf_release(&client->out);
    free(client->window);
    free(client->unused);
    free(client->websocket);
    client->window = NULL;
    client->unused = NULL;
    client->websocket = NULL;
    client->window_size = client->unused_count = 0;
    client->framed = 0;
    client->blocked = false;
    client->state = CLIENT_CLOSED;
}

static void on_retry(struct timer *timer)
{
    client_begin(CONTAINER_OF(timer, struct client, ping));
}

/* It ended, and not by our wish. */
static void fail(struct client *client, const char *why)
{
    struct engine *engine = client->engine;
    bool was_begun = begun(client);

    if (client->state == CLIENT_CLOSED)
        return;
    if (engine->reason[0] == '\0')
        snprintf(engine->reason, sizeof(engine->reason), "%s, %s", why,
                 was_begun ? "while connecting" : "connected");
    client_close(client);
    if (was_begun && engine->retry_ms > 0 && !engine->closing) {
        engine->retried++;
        timer_init(&client->ping, on_retry);
        loop_timer_add(engine->loop, &client->ping, engine->retry_ms);
    } else if (was_begun) {
        engine_on_begun(engine, false);
    } else {
        engine->lost++;
        engine->open--;
        if (engine->events->lost != NULL)
            engine->events->lost(client);
    }
}

static void fail_with(struct client *client, int err)
{
    fail(client, err == ERR_IO ? strerror(errno) : err_string(err));
}

/* --- out --- */

static void mark_dirty(struct client *client)
{
    if (client->dirty)
        return;
    client->dirty = true;
    client->next_dirty = client->engine->dirty;
    client->engine->dirty = client;
}

static void arm_ping(struct client *client)
{
    uint64_t keep_alive_ms = (uint64_t)client->engine->options->keep_alive_s * 1000;

    /* A little early: the server's patience counts from its own last packet. */
    if (keep_alive_ms > 0)
        loop_timer_add(client->engine->loop, &client->ping, keep_alive_ms * 9 / 10);
}

static void on_ping(struct timer *timer)
{
    struct client *client = CONTAINER_OF(timer, struct client, ping);

    packet_put_pingreq(&client->out);
    mark_dirty(client);
    arm_ping(client);
}

static int watch(struct client *client, bool writing)
{
    client->blocked = writing;
    return loop_io_set(client->engine->loop, client->io,
                       (uint32_t)EPOLLIN | (writing ? (uint32_t)EPOLLOUT : 0));
}

void client_flush(struct client *client)
{
    struct buf *out = &client->out;
    ssize_t n = 0;

    if (client->state == CLIENT_CLOSED || out->len == 0 || !client->stream.connected)
        return;
    if (!buf_ok(out)) {
        fail_with(client, ERR_NO_MEMORY);
        return;
    }
    if (client->websocket != NULL && client->framed < out->len) {
        websocket_frame(out, client->framed);
        client->framed = out->len;
        if (!buf_ok(out)) {
            fail_with(client, ERR_NO_MEMORY);
            return;
        }
    }
    n = stream_write(&client->stream, out->data, out->len);
    if (n < 0 && n != ERR_AGAIN) {
        fail_with(client, (int)n);
        return;
    }
    if (n > 0) {
        memmove(out->data, out->data + n, out->len - (size_t)n);
        out->len -= (size_t)n;
        client->framed -= client->websocket != NULL ? (size_t)n : 0;
    }
    if (out->len == 0)
        buf_release(out);
    if (client->blocked != (out->len > 0) && watch(client, out->len > 0) < 0)
        fail_with(client, ERR_SYSTEM);
}

/* --- connecting --- */

/* Frames can't go out before the server has upgraded: CONNECT waits for that. */
static void request_upgrade(struct client *client)
{
    client->websocket = calloc(1, sizeof(*client->websocket));
    if (client->websocket == NULL) {
        fail_with(client, ERR_NO_MEMORY);
        return;
    }
    websocket_put_request(&client->out, client->engine->options->host);
    client->framed = client->out.len;
    client->state = CLIENT_UPGRADING;
    mark_dirty(client);
}

static void put_connect(struct client *client)
{
    struct engine *engine = client->engine;
    const struct load_options *options = engine->options;
    struct client_setup setup = {0};
    struct packet_connect connect = {
        .keep_alive_s = (uint16_t)options->keep_alive_s,
    };

    engine->setup(engine->arg, client->number, &setup);
    connect.session_expiry_s = setup.clean ? 0 : options->session_expiry_s;
    connect.client_id = bytes_of_string(setup.user);
    if (engine->tokens != NULL) {
        connect.user = connect.client_id;
        connect.password = bytes_of_string(engine->tokens[client->number]);
    }
    packet_put_connect(&client->out, (enum packet_level)options->level, &connect);
    client->state = CLIENT_CONNACK;
    mark_dirty(client);
}

static void on_open(struct client *client, uint64_t now_ns)
{
    struct engine *engine = client->engine;

    client->state = CLIENT_OPEN;
    timer_init(&client->ping, on_ping);
    arm_ping(client);
    if (engine->events->open != NULL)
        engine->events->open(client, now_ns);
    engine_on_begun(engine, true);
}

static void on_connack(struct client *client, const struct packet *packet, uint64_t now_ns)
{
    struct engine *engine = client->engine;
    struct client_setup setup = {0};

    if (packet->reason != 0) {
        char why[64];

        snprintf(why, sizeof(why), "refused with 0x%02X", packet->reason);
        fail(client, why);
        return;
    }
    client->receive_max = packet->receive_max;
    client->resumed = packet->session;
    if (engine->events->connack != NULL)
        engine->events->connack(client, now_ns);
    engine->setup(engine->arg, client->number, &setup);
    if (setup.filter == NULL || (setup.resumes && packet->session)) {
        on_open(client, now_ns);
        return;
    }
    packet_put_subscribe(&client->out, (enum packet_level)engine->options->level, SUBSCRIBE_ID,
                         bytes_of_string(setup.filter));
    client->state = CLIENT_SUBACK;
    mark_dirty(client);
}

/* --- publishing --- */

bool client_can_publish(const struct client *client)
{
    uint32_t under_way = client->window_size - client->unused_count;
    uint32_t most = client->engine->options->window;

    if (most > client->receive_max)
        most = client->receive_max;
    return client->state == CLIENT_OPEN && (client->window == NULL || under_way < most);
}

static int make_window(struct client *client)
{
    uint32_t size = client->engine->options->window;

    client->window = calloc(size, sizeof(*client->window));
    client->unused = calloc(size, sizeof(*client->unused));
    if (client->window == NULL || client->unused == NULL) {
        free(client->window);
        free(client->unused);
        client->window = NULL;
        client->unused = NULL;
        return ERR_NO_MEMORY;
    }
    client->window_size = client->unused_count = size;
    for (uint32_t i = 0; i < size; i++)
        client->unused[i] = (uint16_t)(size - i);
    return 0;
}

int client_publish(struct client *client, struct bytes topic, struct bytes payload,
                   const struct sent *sent)
{
    uint16_t id;

    if (client->window == NULL && make_window(client) < 0)
        return ERR_NO_MEMORY;
    assert(client->unused_count > 0);
    id = client->unused[--client->unused_count];
    client->window[id - 1] = *sent;
    packet_put_publish(&client->out, (enum packet_level)client->engine->options->level, id, topic,
                       payload);
    mark_dirty(client);
    return buf_ok(&client->out) ? 0 : ERR_NO_MEMORY;
}

static void on_puback(struct client *client, const struct packet *packet, uint64_t now_ns)
{
    const struct engine *engine = client->engine;
    struct sent sent;

    if (packet->id == 0 || packet->id > client->window_size || client->window == NULL ||
        client->window[packet->id - 1].at_ns == 0) {
        fail(client, "PUBACK for what was not sent");
        return;
    }
    sent = client->window[packet->id - 1];
    client->window[packet->id - 1].at_ns = 0;
    client->unused[client->unused_count++] = packet->id;
    if (engine->events->acked != NULL)
        engine->events->acked(client, &sent, packet->reason, now_ns);
}

/* --- in --- */

static void on_publish(struct client *client, const struct packet *packet, uint64_t now_ns)
{
    if (client->engine->events->message != NULL)
        client->engine->events->message(client, packet, now_ns);
    if (packet->qos == 0)
        return;
    packet_put_puback(&client->out, packet->id);
    mark_dirty(client);
}

static void on_packet(struct client *client, const struct packet *packet, uint64_t now_ns)
{
    bool expected = true;
    char why[64];

    switch (packet->type) {
    case PACKET_CONNACK:
        expected = client->state == CLIENT_CONNACK;
        if (expected)
            on_connack(client, packet, now_ns);
        break;
    case PACKET_SUBACK:
        expected = client->state == CLIENT_SUBACK && packet->id == SUBSCRIBE_ID;
        if (expected && packet->reason >= 0x80)
            fail(client, "the subscription is refused");
        else if (expected)
            on_open(client, now_ns);
        break;
    case PACKET_PUBLISH:
        expected = client->state >= CLIENT_SUBACK; /* a resumed session's come at once */
        if (expected)
            on_publish(client, packet, now_ns);
        break;
    case PACKET_PUBACK:
        on_puback(client, packet, now_ns);
        break;
    case PACKET_PINGRESP:
        break;
    default:
        snprintf(why, sizeof(why), "DISCONNECT with 0x%02X", packet->reason);
        fail(client, why);
    }
    if (!expected)
        fail(client, "a packet out of place");
}

/* Returns how many bytes were whole packets. */
static size_t consume(struct client *client, struct bytes data)
{
    enum packet_level level = (enum packet_level)client->engine->options->level;
    uint64_t now_ns = engine_now_ns();
    struct packet packet;
    size_t used = 0;
    int r = 1;

    while (used < data.len && client->state != CLIENT_CLOSED) {
        r = packet_parse(bytes_of(data.data + used, data.len - (uint32_t)used), level, &packet);
        if (r <= 0)
            break;
        used += packet.size;
        on_packet(client, &packet, now_ns);
    }
    if (r < 0)
        fail_with(client, r);
    return used;
}

static void keep_rest(struct client *client, const uint8_t *data, size_t len)
{
    if (len == 0) {
        buf_release(&client->in);
        return;
    }
    buf_clear(&client->in);
    buf_put(&client->in, data, len);
    if (!buf_ok(&client->in))
        fail_with(client, ERR_NO_MEMORY);
}

/* stream_read, without what WebSocket adds: may be 0 bytes. *ret_all: how many it was with them. */
static ssize_t read_data(struct client *client, uint8_t *to, size_t room, size_t *ret_all)
{
    ssize_t n = stream_read(&client->stream, to, room);

    *ret_all = n > 0 ? (size_t)n : 0;
    if (n <= 0 || client->websocket == NULL)
        return n;
    n = websocket_take(client->websocket, to, (uint32_t)n);
    if (n >= 0 && client->state == CLIENT_UPGRADING && client->websocket->upgraded)
        put_connect(client);
    return n;
}

/* Reads once. False when there is nothing more to read. */
static bool read_once(struct client *client)
{
    uint8_t *scratch = client->engine->scratch;
    size_t room = CLIENT_SCRATCH_BYTES, all = 0, used;
    ssize_t n;

    if (client->in.len == 0) {
        n = read_data(client, scratch, room, &all);
        if (n > 0) {
            used = consume(client, bytes_of(scratch, (uint32_t)n));
            if (client->state != CLIENT_CLOSED)
                keep_rest(client, scratch + used, (size_t)n - used);
        }
    } else {
        uint8_t *at = buf_reserve(&client->in, room);

        n = at != NULL ? read_data(client, at, room, &all) : ERR_NO_MEMORY;
        if (n > 0) {
            client->in.len += (size_t)n;
            used = consume(client, bytes_of(client->in.data, (uint32_t)client->in.len));
            if (client->state != CLIENT_CLOSED) {
                client->in.len -= used;
                memmove(client->in.data, client->in.data + used, client->in.len);
                if (client->in.len == 0)
                    buf_release(&client->in);
            }
        }
    }
    if (n < 0 && n != ERR_AGAIN)
        fail_with(client, (int)n);
    return all == room && client->state != CLIENT_CLOSED;
}

static void on_io(void *arg, uint32_t events)
{
    struct client *client = arg;
    int r = stream_advance(&client->stream, &client->engine->target);

    if (r < 0 && r != ERR_AGAIN) {
        fail_with(client, r);
        return;
    }
    if (r == ERR_AGAIN) { /* a TLS handshake */
        if (watch(client, client->stream.wants_write) < 0)
            fail_with(client, ERR_SYSTEM);
        return;
    }
    if (client->state == CLIENT_CONNECTING) {
        if (client->engine->options->websocket)
            request_upgrade(client);
        else
            put_connect(client);
        if (watch(client, false) < 0)
            fail_with(client, ERR_SYSTEM);
        return;
    }
    if ((events & EPOLLOUT) != 0)
        mark_dirty(client);
    if ((events & ~(uint32_t)EPOLLOUT) != 0)
        while (read_once(client)) {
        }
}

void client_begin(struct client *client)
{
    struct engine *engine = client->engine;
    int r;

    client->state = CLIENT_CONNECTING;
    r = stream_open(&client->stream, &engine->target, client->number);
    if (r < 0) {
        fail_with(client, ERR_IO);
        return;
    }
    client->blocked = true;
    r = loop_io_add(engine->loop, client->stream.fd, EPOLLIN | EPOLLOUT, on_io, client,
                    &client->io);
    if (r < 0)
        fail_with(client, r);
}
