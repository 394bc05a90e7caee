/* Whole sessions: one client's bytes, cut anywhere, through the connector's own loop, transports,
 * handlers and session, between them what a broker says and links that come and go. The input is a
 * program of such steps (enum step). Tokens are all good and the broker is part of this file; what
 * is checked beside the sanitizers: whatever comes, the client gets whole MQTT packets and the
 * broker well-formed records, and in the end nothing of the connection is left. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/auto.h"
#include "common/log.h"

#include "connector/auth.h"
#include "connector/brokers.h"
#include "connector/conn.h"
#include "connector/door.h"
#include "connector/ended.h"
#include "connector/handle.h"
#include "connector/limits.h"
#include "connector/session.h"
#include "tests/fuzz/fuzz.h"

enum step {
    STEP_SEND,    /* u16 length, bytes */
    STEP_ANSWER,  /* u8 reason: everything that waits for the broker */
    STEP_DELIVER, /* u8 flags, u8 seq */
    STEP_KICK,    /* u8 reason */
    STEP_DOUBT,
    STEP_LIVE,
    STEP_LINK, /* the link breaks, or comes up */
    STEP_TURN,
    STEP_COUNT
};

/* Between two answers: a client is bounded by Receive Maximum (here far more). */
#define WAITING_MAX 1024
#define STEPS_MAX 256

/* One client: the smallest table. A real one's three mebibytes would have to be cleared for each
 * input, which took longer than most inputs do. */
#define LIMITED_ENTRIES 64

struct waiting {
    uint64_t token;
    bool subscribe;
    uint16_t filters;
};

/* In place of a link: who the brokers are is fixed, and there is one. */
struct link {
    bool up;
    struct buf frame;
};

static struct connector connector;
static struct option_set set;
static struct link link_to_broker;
static struct brokers brokers;
static struct broker broker;
static struct waiting waiting[WAITING_MAX];
static unsigned waiting_count;
static uint64_t opening, open_conn, epoch;
static int client;
static struct buf received; /* by the client, not a whole packet yet */

/* Of all inputs, as nothing reads what was not written in the same turn. */
static uint8_t scratch[SCRATCH_BYTES];
static uint64_t seqs[2 * (size_t)INFLIGHT_MAX];

/* --- in place of link.c, brokers.c and auth.c --- */

struct buf *link_frame(struct link *link)
{
    return link->up ? &link->frame : NULL;
}

struct buf *broker_frame(const struct broker *to)
{
    return to != NULL && to->ready ? link_frame(to->link) : NULL;
}

bool broker_is_sending(const struct broker *to)
{
    return to != NULL && to->ready && to->link->frame.len > 0;
}

bool broker_congested(const struct broker *to)
{
    (void)to;
    return false;
}

bool broker_full(const struct broker *to)
{
    return link_requests_full(to->requests);
}

bool broker_roomy(const struct broker *to)
{
    return link_requests_roomy(to->requests);
}

struct broker *brokers_of(const struct brokers *all, struct bytes user)
{
    (void)user;
    return all->slots[0];
}

uint32_t brokers_unanswered(const struct brokers *all)
{
    return link_requests_count(all->slots[0]->requests);
}

uint8_t auth_check(const struct auth *auth, struct bytes token, struct bytes user,
                   struct bytes device, uint64_t wall_s, struct token_claims *ret_claims,
                   enum token_why *ret_why)
{
    (void)auth, (void)user, (void)device, (void)ret_why;
    *ret_claims = (struct token_claims){.service = token.len > 0 && (token.data[0] & 1) != 0,
                                        .issued_s = wall_s,
                                        .expires_s = wall_s + 3600};
    return MQTT_SUCCESS;
}

void auth_count(struct metrics *metrics, enum token_why why)
{
    (void)metrics, (void)why;
}

int auth_create(const struct options *options, const char *key_dir, const config_t *config,
                struct auth **ret_auth, struct err_text *et)
{
    (void)options, (void)key_dir, (void)config, (void)et;
    *ret_auth = NULL;
    return 0;
}

void auth_destroy(struct auth *auth)
{
    (void)auth;
}

/* --- the broker --- */

static void wait_for_answer(uint64_t token, bool subscribe, uint16_t filters)
{
    if (waiting_count < WAITING_MAX)
        waiting[waiting_count++] = (struct waiting){token, subscribe, filters};
}

static void take_record(const struct wire_record *record)
{
    switch (record->type) {
    case WIRE_OPEN:
        opening = record->open.conn;
        break;
    case WIRE_CLOSE:
        if (record->close.conn == open_conn)
            open_conn = 0;
        break;
    case WIRE_SUBSCRIBE:
    case WIRE_UNSUBSCRIBE:
        wait_for_answer(record->subscribe.token, true, record->subscribe.subscriptions.count);
        break;
    case WIRE_PUBLISH:
        wait_for_answer(record->publish.token, false, 0);
        break;
    case WIRE_STATE:
        wait_for_answer(record->state.token, false, 0);
        break;
    case WIRE_PUSH:
        wait_for_answer(record->push.token, false, 0);
        break;
    case WIRE_READ:
        wait_for_answer(record->read.token, false, 0);
        break;
    case WIRE_SHOWN:
        wait_for_answer(record->shown.token, false, 0);
        break;
    default:
        break;
    }
}

static void read_frame(void)
{
    struct buf *frame = &link_to_broker.frame;
    struct wire_reader reader = {.rest = bytes_of(frame->data, (uint32_t)frame->len)};
    struct wire_record record;
    int r;

    if (!buf_ok(frame))
        abort();
    while ((r = wire_next(&reader, &record)) == 1)
        take_record(&record);
    if (r < 0)
        abort();
    buf_clear(frame);
}

/* As if it had come over the link. */
static void give(struct buf *encoded)
{
    struct wire_reader reader = {.rest = bytes_of(encoded->data, (uint32_t)encoded->len)};
    struct wire_record record;

    if (link_to_broker.up && wire_next(&reader, &record) == 1)
        handle_record(&broker, &record);
    buf_release(encoded);
}

static void answer_all(uint8_t reason)
{
    unsigned count = waiting_count;
    uint8_t codes[64];
    struct buf out = {0};

    if (opening != 0) {
        struct wire_opened opened = {
            .conn = opening, .reason = reason >= 0x80 ? reason : 0, .epoch = ++epoch};

        wire_put_opened(&out, &opened, NULL, 0);
        open_conn = opening;
        opening = 0;
        give(&out);
    }
    waiting_count = 0;
    memset(codes, reason < 0x80 ? reason & 1 : reason, sizeof(codes));
    for (unsigned i = 0; i < count; i++) {
        out = (struct buf){0};
        if (waiting[i].subscribe)
            wire_put_suback(&out,
                            &(struct wire_suback){.token = waiting[i].token,
                                                  .conn = open_conn,
                                                  .codes = bytes_of(codes, waiting[i].filters)});
        else
            wire_put_published(
                &out, &(struct wire_published){.token = waiting[i].token, .reason = reason});
        give(&out);
    }
}

static void deliver(uint8_t flags, uint8_t seq)
{
    static const uint8_t properties[] = {0x01, 0x01};
    struct wire_body body = {.kind = WIRE_BODY_USER,
                             .sent_at_ms = 1,
                             .expires_at_ms = (flags & 4) != 0 ? UINT64_MAX / 2 : 0,
                             .from = bytes_of_string("alice"),
                             .properties = bytes_of(properties, (flags & 8) != 0 ? 2 : 0),
                             .payload = bytes_of_string("hi")};
    struct buf encoded = {0}, out = {0};

    wire_put_body(&encoded, &body);
    wire_put_deliver(&out, &(struct wire_deliver){
                               .conn = open_conn,
                               .seq = seq,
                               .dup = (flags & 1) != 0,
                               .notification = (flags & 2) != 0,
                               .encoded_body = bytes_of(encoded.data, (uint32_t)encoded.len)});
    buf_release(&encoded);
    give(&out);
}

static void live(void)
{
    struct buf out = {0};

    wire_put_live(&out, &(struct wire_live){.conn = open_conn,
                                            .kind = WIRE_BODY_USER,
                                            .from = bytes_of_string("alice"),
                                            .payload = bytes_of_string("typing")});
    give(&out);
}

static void kick(uint8_t reason)
{
    struct buf out = {0};

    wire_put_kick(&out, &(struct wire_kick){.conn = open_conn, .reason = reason});
    give(&out);
}

static void doubt(void)
{
    struct buf out = {0};

    wire_put_session(&out, WIRE_DOUBT, &(struct wire_session){.conn = open_conn, .epoch = epoch});
    give(&out);
}

/* What is asked again is answered again. */
static void toggle_link(void)
{
    link_to_broker.up = !link_to_broker.up;
    broker.ready = link_to_broker.up;
    buf_clear(&link_to_broker.frame);
    waiting_count = 0;
    if (link_to_broker.up)
        session_announce_all(&broker, &(struct wire_welcome){.credit = 16});
    read_frame();
}

/* --- the client --- */

static void connect_client(void)
{
    const struct peer_address peer = {.family = AF_INET, .octets = {127, 0, 0, 1}, .port = 1};
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0 ||
        conn_accept(connector.conns, &doors[DOOR_TCP], pair[1], &peer) < 0)
        abort();
    client = pair[0];
}

/* Whole packets only, of types that a server sends. */
static void read_client(void)
{
    uint8_t buf[4096];
    uint32_t size = 0;
    ssize_t n;

    while ((n = recv(client, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
        buf_put(&received, buf, (size_t)n);
    while (received.len > 0) {
        int r =
            mqtt_packet_size(bytes_of(received.data, (uint32_t)received.len), UINT32_MAX, &size);

        if (r < 0)
            abort();
        if (r == 0 || size > received.len)
            break;
        switch (received.data[0] >> 4) {
        case MQTT_CONNACK:
        case MQTT_PUBLISH:
        case MQTT_PUBACK:
        case MQTT_SUBACK:
        case MQTT_UNSUBACK:
        case MQTT_PINGRESP:
        case MQTT_DISCONNECT:
            break;
        default:
            abort();
        }
        memmove(received.data, received.data + size, received.len - size);
        received.len -= size;
    }
}

static void turn(void)
{
    if (loop_turn(connector.loop, 0) < 0)
        abort();
    if (link_to_broker.up)
        read_frame();
    read_client();
}

/* --- the program --- */

struct program {
    const uint8_t *at;
    size_t left;
};

static uint8_t next(struct program *p)
{
    if (p->left == 0)
        return 0;
    p->left--;
    return *p->at++;
}

static void send_bytes(struct program *p)
{
    size_t len = (size_t)next(p) << 8;

    len |= next(p);
    len = len < p->left ? len : p->left;
    /* A socket that is full or closed loses the rest, as a client does that is cut off. */
    IGNORE_RESULT(send(client, p->at, len, MSG_DONTWAIT | MSG_NOSIGNAL));
    p->at += len;
    p->left -= len;
}

static void run_step(struct program *p)
{
    uint8_t argument;

    switch ((enum step)(next(p) % STEP_COUNT)) {
    case STEP_SEND:
        send_bytes(p);
        break;
    case STEP_ANSWER:
        answer_all(next(p));
        break;
    case STEP_DELIVER:
        argument = next(p);
        deliver(argument, next(p));
        break;
    case STEP_KICK:
        kick(next(p));
        break;
    case STEP_DOUBT:
        doubt();
        break;
    case STEP_LIVE:
        live();
        break;
    case STEP_LINK:
        toggle_link();
        break;
    case STEP_TURN:
    case STEP_COUNT:
        break;
    }
    turn();
}

/* The loop and the slots stay, as in a process with many clients: making them takes longer than
 * most inputs do. */
static void start_process(void)
{
    log_set_level(LOG_ERROR);
    option_set_init(&set, connector_options, connector_option_count, &connector.options);
    connector.loop = loop_create();
    connector.brokers = &brokers;
    connector.scratch = scratch;
    connector.seqs = seqs;
    if (connector.loop == NULL || conns_create(&connector) < 0)
        abort();
}

static void start(void)
{
    if (connector.loop == NULL)
        start_process();
    link_to_broker = (struct link){.up = true};
    broker = (struct broker){.brokers = &brokers,
                             .link = &link_to_broker,
                             .requests = link_requests_create(1u << 20),
                             .ready = true};
    brokers = (struct brokers){
        .connector = &connector, .view = {.generation = 1, .count = 1}, .slots = {&broker}};
    connector.wills = wills_create(1u << 16);
    connector.ended = ended_create(1u << 16);
    connector.limits = limits_create(LIMITED_ENTRIES);
    if (broker.requests == NULL || connector.wills == NULL || connector.ended == NULL ||
        connector.limits == NULL)
        abort();
    link_requests_set_credit(broker.requests, 16);
    waiting_count = 0;
    opening = open_conn = epoch = 0;
    received = (struct buf){0};
    connect_client();
}

/* A connection that is not read (it published too much) has not noticed that its client is gone. */
static void lose_client(void)
{
    for (unsigned state = CONN_AWAIT_CONNECT; state < CONN_CLOSED; state++) {
        struct conn *c = TAILQ_FIRST(&connector.conns->lists.in[state]);

        if (c != NULL)
            conn_close(c, CLOSE_LOST, NULL);
    }
}

static void stop(void)
{
    close(client);
    for (unsigned i = 0; i < 3; i++) {
        if (loop_turn(connector.loop, 0) < 0)
            abort();
    }
    lose_client();
    if (loop_turn(connector.loop, 0) < 0 || conns_open_count(connector.conns) != 0)
        abort();
    link_requests_destroy(broker.requests);
    wills_destroy(connector.wills);
    ended_destroy(connector.ended);
    limits_destroy(connector.limits);
    buf_release(&connector.properties);
    buf_release(&connector.record);
    buf_release(&link_to_broker.frame);
    buf_release(&received);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct program program = {data, size};

    start();
    for (unsigned i = 0; i < STEPS_MAX && program.left > 0; i++)
        run_step(&program);
    stop();
    return 0;
}
