/* conn_io - bytes in, packets to the handlers, bytes out.
 *
 * All connections read into one scratch buffer and their packets are handled in place: a
 * connection pays for a buffer of its own only while a packet is incomplete, or while it must not
 * be read and had sent more already. A large packet that comes in pieces is collected in that
 * buffer, which grows with what arrived and not with what the header promised, so claiming
 * 256 KiB costs a peer 256 KiB of traffic. Work is bounded: READ_BYTES_PER_TURN a connection and
 * turn; epoll is level-triggered and brings the rest back. */
#include "connector/conn.h"

#include <assert.h>
#include <stdlib.h>

#include "connector/handle.h"
#include "connector/session.h"
#include "connector/transport_tls.h"

/* Leftovers up to this are copied in front of the next read, which then brings many packets in
 * one system call; larger ones are completed in place. */
#define COPY_BYTES 2048
/* First buffer for a large packet. */
#define TAIL_BYTES 4096

/* What is written to one client before others get their turn, give or take a write: more than
 * nearly all turns have for one, and some 50 us to encrypt. */
#define WRITE_BYTES_PER_TURN 65536

_Static_assert(COPY_BYTES + READ_BYTES_PER_TURN <= SCRATCH_BYTES, "a read must fit the scratch");

bool conn_can_read(const struct conn *c)
{
    switch ((enum conn_state)c->state) {
    case CONN_AWAIT_CONNECT:
        return true;
    case CONN_ACTIVE:
        /* MQTT 3.1.1 has no Receive Maximum to hold a client to: TCP holds it. */
        return c->level == MQTT_5 || pubacks_count(c->pubacks) < c->connector->options.receive_max;
    case CONN_LEAVING:
        return true;
    default:
        return false;
    }
}

/* After every read and write, too: a layer may wait for something else now. No system call when the
 * events stay the same. */
static void update_events(struct conn *c, bool reading, bool writing)
{
    c->reading = reading;
    c->writing = writing;
    if (loop_io_set(c->connector->loop, c->io,
                    c->transport.ops->want(&c->transport, reading, writing)) < 0)
        conn_close(c, CLOSE_LOST, NULL);
}

static void make_ready(struct conn *c)
{
    struct conns *conns = c->connector->conns;

    if (c->ready)
        return;
    c->ready = true;
    conns->ready_count++;
    TAILQ_INSERT_TAIL(&conns->ready, c, ready_link);
    loop_post(c->connector->loop, &conns->run_ready);
}

void conn_not_ready(struct conn *c)
{
    struct conns *conns = c->connector->conns;

    if (!c->ready)
        return;
    c->ready = false;
    conns->ready_count--;
    TAILQ_REMOVE(&conns->ready, c, ready_link);
}

void conn_update_reading(struct conn *c)
{
    bool reading = conn_can_read(c) || c->state == CONN_DRAINING;

    if (c->state == CONN_CLOSED)
        return;
    /* Input is switched off only when some arrives (conn_on_io): most pauses are over before. */
    if (!reading)
        return;
    if (!c->reading)
        update_events(c, true, c->writing);
    if (c->state != CONN_CLOSED && (c->in_len > 0 || c->transport.ops->pending(&c->transport)))
        make_ready(c);
}

/* Whole packets at the front of data go to the handlers, until one has to wait. Returns the bytes
 * handled; all of them when the connection is over. */
static size_t consume(struct conn *c, struct bytes data)
{
    const struct options *options = &c->connector->options;
    size_t used = 0;

    while (used < data.len && conn_can_read(c)) {
        struct bytes rest = bytes_of(data.data + used, data.len - (uint32_t)used);
        uint32_t size;
        int r = mqtt_packet_size(rest, options->max_packet_bytes, &size);

        if (r < 0 || (c->state == CONN_AWAIT_CONNECT && rest.data[0] != MQTT_CONNECT << 4)) {
            handle_bad_header(c, r);
            break;
        }
        if (r == 0 || size > rest.len)
            break;
        if (!handle_packet(c, bytes_of(rest.data, size)))
            break; /* it stays, whole, until there is room */
        used += size;
        c->connector->metrics.packets_received++;
        c->last_seen_ms = loop_now_ms(c->connector->loop);
        if (c->client != NULL && c->client->doubtful)
            session_heard(c);
    }
    return c->state >= CONN_DRAINING ? data.len : used;
}

static void release_in(struct conn *c)
{
    free(c->in);
    c->in = NULL;
    c->in_len = c->in_cap = 0;
}

static bool reserve_in(struct conn *c, size_t len, size_t cap)
{
    uint8_t *in;

    if (len <= c->in_cap)
        return true;
    in = realloc(c->in, cap);
    if (in == NULL) {
        conn_close(c, CLOSE_NO_MEMORY, NULL);
        return false;
    }
    c->in = in;
    c->in_cap = (uint32_t)cap;
    return true;
}

/* Handles what an earlier turn left over. */
static void consume_in(struct conn *c)
{
    size_t used = consume(c, bytes_of(c->in, c->in_len));

    assert(used <= c->in_len);
    if (used == c->in_len) {
        release_in(c);
    } else if (used > 0) {
        memmove(c->in, c->in + used, c->in_len - used);
        c->in_len -= (uint32_t)used;
    }
}

/* Adds to the incomplete packet in c->in. Returns bytes read or what the transport said. */
static ssize_t read_more(struct conn *c, size_t budget, size_t *ret_wanted)
{
    uint32_t size;
    size_t wanted, cap;
    ssize_t n;
    int r =
        mqtt_packet_size(bytes_of(c->in, c->in_len), c->connector->options.max_packet_bytes, &size);

    assert(r == 1 && size > c->in_len); /* COPY_BYTES covers every header */
    wanted = size - c->in_len;
    cap = c->in_len * 2 > TAIL_BYTES ? c->in_len * 2u : TAIL_BYTES;
    if (cap > size)
        cap = size;
    if (!reserve_in(c, c->in_len + 1u, cap))
        return ERR_NO_MEMORY;
    if (wanted > c->in_cap - c->in_len)
        wanted = c->in_cap - c->in_len;
    if (wanted > budget)
        wanted = budget;
    *ret_wanted = wanted;
    n = c->transport.ops->read(&c->transport, c->in + c->in_len, wanted);
    if (n > 0) {
        c->in_len += (uint32_t)n;
        if (c->in_len == size)
            consume_in(c);
    }
    return n;
}

/* Reads into the scratch, behind a small leftover, and keeps what can't be handled. */
static ssize_t read_fresh(struct conn *c, size_t budget, size_t *ret_wanted)
{
    uint8_t *scratch = c->connector->scratch;
    size_t len = c->in_len, used;
    ssize_t n;

    assert(len <= COPY_BYTES && budget <= READ_BYTES_PER_TURN);
    *ret_wanted = budget;
    n = c->transport.ops->read(&c->transport, scratch + len, budget);
    if (n <= 0)
        return n;
    if (len > 0)
        memcpy(scratch, c->in, len);
    len += (size_t)n;
    used = consume(c, bytes_of(scratch, (uint32_t)len));
    if (used == len) {
        release_in(c);
    } else if (reserve_in(c, len - used, len - used)) {
        memcpy(c->in, scratch + used, len - used);
        c->in_len = (uint32_t)(len - used);
    }
    return n;
}

static void read_failed(struct conn *c, ssize_t err)
{
    if (err == ERR_PROTOCOL)
        conn_close_explained(c, CLOSE_TRANSPORT);
    else if (err == ERR_NO_MEMORY)
        conn_close(c, CLOSE_NO_MEMORY, NULL);
    else
        conn_close(c, CLOSE_LOST, NULL);
}

static void read_packets(struct conn *c)
{
    size_t budget = READ_BYTES_PER_TURN;

    if (c->in_len > 0)
        consume_in(c);
    while (budget > 0 && conn_can_read(c)) {
        size_t wanted = 0;
        ssize_t n =
            c->in_len > COPY_BYTES ? read_more(c, budget, &wanted) : read_fresh(c, budget, &wanted);

        if (n == ERR_AGAIN)
            break; /* perhaps with more in a lower layer, after what was not for MQTT */
        if (n < 0) {
            read_failed(c, n);
            return;
        }
        c->connector->metrics.bytes_received += (uint64_t)n;
        budget -= (size_t)n;
        if ((size_t)n < wanted)
            break; /* that was all; saves the read that says so */
    }
    if (conn_can_read(c) && c->transport.ops->pending(&c->transport))
        make_ready(c);
}

static void run(struct conn *c)
{
    read_packets(c);
    if (c->state != CONN_CLOSED)
        update_events(c, c->reading, c->writing);
}

/* A session that is over: what still comes is thrown away, so that closing does not reset the
 * connection under the client before it has read our last packet. */
static void discard(struct conn *c)
{
    ssize_t n = c->transport.ops->read(&c->transport, c->connector->scratch, READ_BYTES_PER_TURN);

    release_in(c);
    if (n < 0 && n != ERR_AGAIN)
        conn_close_now(c);
    else
        update_events(c, c->reading, c->writing);
}

void conn_on_io(void *arg, uint32_t events)
{
    struct conn *c = arg;

    events = c->transport.ops->ready(&c->transport, events);
    if ((events & EPOLLOUT) != 0)
        conn_flush_later(c);
    if (c->state == CONN_DRAINING) {
        if ((events & ~(uint32_t)EPOLLOUT) != 0)
            discard(c);
    } else if (conn_can_read(c)) {
        if ((events & ~(uint32_t)EPOLLOUT) != 0)
            run(c);
    } else if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
        /* Reported whether asked for or not: left alone it would wake us for ever. */
        conn_close(c, CLOSE_LOST, NULL);
    } else if ((events & EPOLLIN) != 0) {
        update_events(c, false, c->writing);
    }
}

void conns_run_ready(void *arg)
{
    struct conns *conns = arg;
    struct conn *c;

    /* Handshakes that were put off come first: this turn's own have what is left. */
    conns->connector->tls_steps = TLS_STEPS_PER_TURN;
    /* About each once: what becomes ready again waits for the next turn. */
    for (uint32_t left = conns->ready_count; left > 0; left--) {
        c = TAILQ_FIRST(&conns->ready);
        if (c == NULL)
            return;
        conn_not_ready(c);
        if (conn_can_read(c))
            run(c);
    }
    if (conns->ready_count > 0)
        loop_post(conns->connector->loop, &conns->run_ready);
}

/* As outq_write, again and again: a layer takes what fits into one of its records. */
static int write_out(struct conn *c)
{
    size_t sent = 0, written;
    int r;

    do {
        r = outq_write(&c->outq, &c->transport, &written);
        sent += written;
    } while (r == 1 && written > 0 && sent < WRITE_BYTES_PER_TURN);
    c->connector->metrics.bytes_sent += sent;
    return r;
}

void conn_flush(struct conn *c)
{
    int r = write_out(c);

    if (r < 0) {
        conn_close(c, CLOSE_LOST, NULL);
        return;
    }
    if (r == 0 && c->state == CONN_DRAINING && !c->finished) {
        r = c->transport.ops->finish(&c->transport) == ERR_AGAIN ? 1 : 0;
        c->finished = r == 0;
    }
    /* A draining connection is watched for its peer's end, whatever it was before. */
    update_events(c, c->reading || c->state == CONN_DRAINING, r > 0);
}
