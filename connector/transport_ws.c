/* transport_ws - WebSocket on top of TCP or TLS, as a plain byte stream.
 *
 * What comes is read into the caller's buffer, decoded there, and payload is moved to its front: no
 * byte of the stream is ever kept here. What goes out is one binary frame a packet, although the
 * specification lets frames be cut anywhere (MQTT-6.0.0-2): clients exist that take a frame for a
 * packet, or forget the second one (paho C 1.3.12). All frames of a turn go out in one write. A
 * frame that was offered is finished before anything else is sent, because a lower layer may have
 * to be offered the same bytes again. What is beside the stream (the HTTP answer, Pong, Close, a
 * control frame that arrived in parts) is in struct aside, which exists only while it is needed. A
 * peer that pings and does not read is owed one Pong, the newest (RFC 6455 section 5.5.3), not one
 * for each.
 *
 * An idle connection costs WS_STATE_BUDGET bytes. */
#include "connector/transport_ws.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "connector/connector.h"
#include "connector/ws_frame.h"
#include "connector/ws_out.h"
#include "connector/ws_upgrade.h"

/* Headers and packets are copied behind each other up to this: a TLS record's size, and nearly
 * every turn of a client. What is left of a larger packet is not copied. */
#define JOIN_BYTES 16384

/* The longest of ws_upgrade's texts, with a path. */
#define EXPLAIN_BYTES 512

enum failure {
    FAILURE_NONE,
    FAILURE_FOUND,   /* the stream before it has still to be read */
    FAILURE_REPORTED /* what still comes is thrown away */
};

struct aside {
    struct buf out; /* being written; at most an HTTP answer or a control frame */
    size_t sent;    /* of out */
    bool pong_due;
    uint8_t pong_len, in_len;
    uint8_t pong[WS_CONTROL_MAX]; /* payload of the newest Ping that is not answered */
    uint8_t in[WS_CONTROL_MAX];   /* of a control frame that is not complete */
};

struct ws {
    struct transport below;
    const struct ws_policy *policy;
    struct metrics *metrics;
    struct ws_upgrade *upgrade;   /* while it is not decided, and when it was refused */
    struct aside *aside;          /* NULL when there is nothing in it */
    const struct ws_fault *fault; /* what made a failure of the stream */
    struct ws_decoder decoder;
    struct ws_out out;       /* our frame that is under way */
    uint16_t close_code;     /* of the Close frame to send; 0: none */
    uint8_t failure : 2;     /* enum failure */
    uint8_t upgraded : 1;    /* the handshake is over and good */
    uint8_t close_sent : 1;  /* or begun to be: nothing follows it */
    uint8_t peer_closed : 1; /* so did it: nothing follows that */
    uint8_t going_away : 1;  /* what our Close says unless it has a code of its own */
};
#define WS_STATE_BUDGET 104 /* malloc would give a larger piece for more */
_Static_assert(sizeof(struct ws) <= WS_STATE_BUDGET, "struct ws is over its budget");

static struct ws *ws_of(const struct transport *t)
{
    return t->state;
}

static struct aside *need_aside(struct ws *ws)
{
    if (ws->aside == NULL)
        ws->aside = calloc(1, sizeof(*ws->aside));
    return ws->aside;
}

static void drop_aside(struct ws *ws)
{
    if (ws->aside == NULL)
        return;
    buf_release(&ws->aside->out);
    free(ws->aside);
    ws->aside = NULL;
}

/* Something of ours waits for room to write, and no frame of the stream is before it. */
static bool aside_waits(const struct ws *ws)
{
    return ws->aside != NULL && ws->out.left == 0 &&
           (ws->aside->sent < ws->aside->out.len || ws->aside->pong_due);
}

/* Puts what is due next into the empty out. False when nothing is. */
static bool next_aside(struct ws *ws)
{
    struct aside *aside = ws->aside;

    buf_clear(&aside->out);
    aside->sent = 0;
    if (aside->pong_due) {
        aside->pong_due = false;
        ws_put_control(&aside->out, WS_PONG, bytes_of(aside->pong, aside->pong_len));
    } else if (ws->close_code != 0 && !ws->close_sent) {
        ws->close_sent = true;
        ws_put_close(&aside->out, ws->close_code, ws->fault != NULL ? ws->fault->text : "");
    }
    return aside->out.len > 0 || !buf_ok(&aside->out);
}

/* Writes what is beside the stream. 0; ERR_AGAIN while some of it waits; ERR_IO, ERR_NO_MEMORY. */
static int push_aside(struct ws *ws)
{
    struct aside *aside = ws->aside;

    if (aside == NULL)
        return 0;
    if (ws->out.left > 0)
        return ERR_AGAIN;
    while (aside->sent < aside->out.len || next_aside(ws)) {
        ssize_t n;

        if (!buf_ok(&aside->out))
            return ERR_NO_MEMORY;
        n = ws->below.ops->write(&ws->below, aside->out.data + aside->sent,
                                 aside->out.len - aside->sent);
        if (n < 0)
            return (int)n;
        aside->sent += (size_t)n;
    }
    if (aside->in_len == 0)
        drop_aside(ws);
    return 0;
}

/* --- reading --- */

static void fail(struct ws *ws, const struct ws_fault *fault)
{
    ws->failure = FAILURE_FOUND;
    ws->fault = fault;
    ws->close_code = fault->code;
}

/* Reads the request. Returns the bytes used; ERR_NO_MEMORY. */
static int take_request(struct ws *ws, struct bytes data)
{
    struct aside *aside;
    uint32_t used = 0;
    int decided;

    if (ws->upgrade == NULL) {
        ws->upgrade = malloc(sizeof(*ws->upgrade));
        if (ws->upgrade == NULL)
            return ERR_NO_MEMORY;
        ws_upgrade_init(ws->upgrade, ws->policy);
    }
    decided = ws_upgrade_feed(ws->upgrade, data, &used);
    if (decided == 0)
        return (int)used;
    aside = need_aside(ws);
    if (aside == NULL)
        return ERR_NO_MEMORY;
    ws_upgrade_answer(ws->upgrade, &aside->out);
    if (ws_upgrade_refused(ws->upgrade)) {
        ws->failure = FAILURE_FOUND;
        ws->metrics->ws_refused++;
        return (int)used;
    }
    ws->upgraded = true;
    ws->metrics->ws_opened++;
    free(ws->upgrade);
    ws->upgrade = NULL;
    return (int)used;
}

static int take_ping(struct ws *ws, struct bytes payload)
{
    struct aside *aside;

    if (ws->close_sent)
        return 0; /* nothing follows a Close frame */
    aside = need_aside(ws);
    if (aside == NULL)
        return ERR_NO_MEMORY;
    memcpy(aside->pong, payload.data, payload.len);
    aside->pong_len = (uint8_t)payload.len;
    aside->pong_due = true;
    return 0;
}

static int take_close(struct ws *ws, struct bytes payload)
{
    const struct ws_fault *fault;
    uint16_t code;

    if (ws_parse_close(payload, &code, &fault) < 0) {
        fail(ws, fault);
        return 0;
    }
    ws->peer_closed = true;
    if (ws->close_code == 0)
        ws->close_code = code; /* the peer's own, as section 5.5.1 has it */
    return need_aside(ws) != NULL ? 0 : ERR_NO_MEMORY;
}

/* 0; ERR_NO_MEMORY. */
static int take_control(struct ws *ws, const struct ws_piece *piece)
{
    struct bytes payload = bytes_of(piece->data, piece->len);

    if (!piece->last || (ws->aside != NULL && ws->aside->in_len > 0)) {
        struct aside *aside = need_aside(ws);

        if (aside == NULL)
            return ERR_NO_MEMORY;
        memcpy(aside->in + aside->in_len, piece->data, piece->len);
        aside->in_len += (uint8_t)piece->len;
        if (!piece->last)
            return 0;
        payload = bytes_of(aside->in, aside->in_len);
        aside->in_len = 0; /* the bytes stay where they are */
    }
    if (piece->opcode == WS_PING)
        return take_ping(ws, payload);
    return piece->opcode == WS_CLOSE ? take_close(ws, payload) : 0;
}

/* Decodes data, which may overlap out behind its front. Returns the bytes of payload moved to out;
 * ERR_NO_MEMORY. */
static ssize_t take_frames(struct ws *ws, uint8_t *data, uint32_t len, uint8_t *out)
{
    size_t got = 0;

    while (len > 0 && ws->failure == FAILURE_NONE && !ws->peer_closed) {
        const struct ws_fault *fault;
        struct ws_piece piece;
        int used = ws_decode(&ws->decoder, data, len, &piece, &fault);

        if (used < 0) {
            fail(ws, fault);
            break;
        }
        if (piece.kind == WS_PIECE_DATA) {
            memmove(out + got, piece.data, piece.len);
            got += piece.len;
        } else if (piece.kind == WS_PIECE_CONTROL && take_control(ws, &piece) < 0) {
            return ERR_NO_MEMORY;
        }
        data += used;
        len -= (uint32_t)used;
    }
    return (ssize_t)got;
}

/* A failure is told after the bytes before it. */
static ssize_t report(struct ws *ws)
{
    if (ws->failure == FAILURE_FOUND) {
        ws->failure = FAILURE_REPORTED;
        return ERR_PROTOCOL;
    }
    return ws->peer_closed ? ERR_CLOSED : ERR_AGAIN;
}

static ssize_t ws_read(struct transport *t, void *buf, size_t size)
{
    struct ws *ws = ws_of(t);
    uint8_t *data = buf;
    ssize_t n, got;
    int used = 0;

    /* Room to write may be why we are called; a connection that can't be written to any more is
     * one that the read will say more of. */
    IGNORE_RESULT(push_aside(ws));
    if (ws->failure == FAILURE_FOUND || ws->peer_closed)
        return report(ws);
    n = ws->below.ops->read(&ws->below, buf, size < INT32_MAX ? size : INT32_MAX);
    if (n < 0)
        return n;
    if (ws->failure == FAILURE_REPORTED)
        return ERR_AGAIN;
    if (!ws->upgraded) {
        used = take_request(ws, bytes_of(data, (uint32_t)n));
        if (used < 0)
            return used;
    }
    got = ws->upgraded ? take_frames(ws, data + used, (uint32_t)(n - used), data) : 0;
    IGNORE_RESULT(push_aside(ws));
    return got != 0 ? got : report(ws);
}

/* --- writing --- */

/* As many frames as fit, in one write. Bytes of payload written; ERR_AGAIN, ERR_IO. */
static ssize_t write_joined(struct ws *ws, const uint8_t *data, size_t size)
{
    uint8_t joined[JOIN_BYTES];
    size_t len = ws_out_put(ws->out, data, size, joined, sizeof(joined));
    ssize_t n = ws->below.ops->write(&ws->below, joined, len);

    if (n < 0)
        return n;
    n = (ssize_t)ws_out_pass(&ws->out, data, size, (size_t)n);
    return n > 0 ? n : ERR_AGAIN; /* nothing but a header */
}

static ssize_t ws_write(struct transport *t, const void *data, size_t size)
{
    struct ws *ws = ws_of(t);
    ssize_t n;

    assert(ws->upgraded && size > 0);
    if (ws->close_sent)
        return ERR_IO; /* nothing may follow a Close frame */
    if (ws->out.left == 0) {
        int r = push_aside(ws);

        if (r < 0)
            return r;
        ws->out = ws_out_begin(data, size);
    }
    if (ws->out.header_left == 0 && ws->out.left >= JOIN_BYTES) {
        n = ws->below.ops->write(&ws->below, data, size < ws->out.left ? size : ws->out.left);
        if (n > 0)
            ws->out.left -= (uint32_t)n;
    } else {
        n = write_joined(ws, data, size);
    }
    /* What had to wait for the end of a frame; what is left of it is written with the next. */
    if (n > 0)
        IGNORE_RESULT(push_aside(ws));
    return n;
}

static uint32_t ws_want(const struct transport *t, bool reading, bool writing)
{
    const struct ws *ws = ws_of(t);

    /* A connection that is not read sends nothing beside its stream either: it is `read` that
     * writes it, see ws_ready. */
    return ws->below.ops->want(&ws->below, reading, writing || (reading && aside_waits(ws)));
}

static uint32_t ws_ready(const struct transport *t, uint32_t events)
{
    const struct ws *ws = ws_of(t);

    events = ws->below.ops->ready(&ws->below, events);
    if ((events & EPOLLOUT) != 0 && aside_waits(ws))
        events |= EPOLLIN;
    return events;
}

static bool ws_pending(const struct transport *t)
{
    const struct ws *ws = ws_of(t);

    return ws->failure == FAILURE_FOUND || ws->peer_closed || ws->below.ops->pending(&ws->below);
}

static void owe_close(struct ws *ws)
{
    if (!ws->upgraded || need_aside(ws) == NULL)
        return; /* the client just sees the end of the stream */
    if (ws->close_code == 0)
        ws->close_code = ws->going_away ? WS_GOING_AWAY : WS_NORMAL;
}

static int ws_finish(struct transport *t)
{
    struct ws *ws = ws_of(t);

    owe_close(ws);
    if (push_aside(ws) == ERR_AGAIN)
        return ERR_AGAIN;
    return ws->below.ops->finish(&ws->below);
}

/* Said when it is finished and not before: the rest of the stream comes first. */
static void ws_going_away(struct transport *t)
{
    ws_of(t)->going_away = true;
}

static void ws_probe_idle(struct transport *t)
{
    struct ws *ws = ws_of(t);

    ws->below.ops->probe_idle(&ws->below);
}

static void ws_explain(const struct transport *t, char *buf, size_t size)
{
    const struct ws *ws = ws_of(t);
    char why[EXPLAIN_BYTES];

    if (ws->upgrade != NULL && ws->upgrade->decided) {
        ws_upgrade_explain(ws->upgrade, why, sizeof(why));
        snprintf(buf, size, "WebSocket request: %s", why);
    } else if (ws->fault != NULL) {
        snprintf(buf, size, "WebSocket: %s (%s)", ws->fault->text, ws->fault->clause);
    } else {
        ws->below.ops->explain(&ws->below, buf, size);
    }
    if (buf[0] == '\0' && !ws->upgraded)
        snprintf(buf, size, "the WebSocket request is not complete");
}

static void ws_close(struct transport *t)
{
    struct ws *ws = ws_of(t);

    /* A last word if there is room for it at once. */
    owe_close(ws);
    IGNORE_RESULT(push_aside(ws));
    ws->below.ops->close(&ws->below);
    drop_aside(ws);
    free(ws->upgrade);
    free(ws);
    *t = (struct transport){.fd = -1};
}

static const struct transport_ops ws_ops = {
    .read = ws_read,
    .write = ws_write,
    .want = ws_want,
    .ready = ws_ready,
    .pending = ws_pending,
    .finish = ws_finish,
    .probe_idle = ws_probe_idle,
    .explain = ws_explain,
    .close = ws_close,
    .going_away = ws_going_away,
    .closing_handshake = true,
};

int transport_ws_stack(struct transport *t, const struct ws_policy *policy, struct metrics *metrics)
{
    struct ws *ws = calloc(1, sizeof(*ws));

    if (ws == NULL)
        return ERR_NO_MEMORY;
    ws->below = *t;
    ws->policy = policy;
    ws->metrics = metrics;
    *t = (struct transport){.ops = &ws_ops, .state = ws, .fd = ws->below.fd};
    return 0;
}
