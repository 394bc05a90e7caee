/* connector_fixture - see the header. One loop turn at a time, then a look at both ends. */
#include "connector_fixture.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "common/auto.h"
#include "common/token.h"

#include "connector/auth.h"
#include "connector/brokers.h"
#include "connector/conn.h"
#include "connector/ended.h"
#include "connector/limits.h"

/* Longer than a busy machine takes for anything here. */
#define DEADLINE_MS 10000

struct connector connector;

static struct option_set set;
static char folder[64], key_file[96], config_file[96];
static void *context;
static struct endpoints seeds;

/* A broker that the test plays. */
struct played {
    void *router;
    char name[16], endpoint[64];
    uint8_t peer_id[64];
    size_t peer_id_len;
    struct played *elsewhere; /* its list entry is that endpoint; NULL: its own */
    zmq_msg_t message;        /* the frame being read */
    struct wire_reader reader;
};
static struct played played[PLAYED_BROKERS], *now_played;
static uint64_t generation;
static unsigned member_bits;
size_t largest_frame;
static struct wire_record record;
static struct buf frame;
static struct buf input; /* of the client being read */
static int fds[16];
static unsigned fd_count;

static uint64_t clock_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void turn(void)
{
    ck_assert_int_eq(loop_turn(connector.loop, 5), 0);
}

static void on_changed(void *arg, unsigned linked, unsigned members, const char *why)
{
    (void)arg, (void)why;
    ck_assert_uint_le(linked, members);
}

static void write_file(const char *file, const char *text)
{
    FILE *out = fopen(file, "w");

    ck_assert_ptr_nonnull(out);
    fputs(text, out);
    ck_assert_int_eq(fclose(out), 0);
}

static void load_options(void)
{
    struct err_text et = {""};

    snprintf(folder, sizeof(folder), "/tmp/test_connector.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(key_file, sizeof(key_file), "%s/dev.hs256", folder);
    snprintf(config_file, sizeof(config_file), "%s/connector.conf", folder);
    write_file(key_file, "0123456789abcdef0123456789abcdef");
    write_file(config_file, "auth = { keys = ( { kid = \"dev\"; algorithm = \"HS256\"; "
                            "file = \"dev.hs256\"; } ); };");
    option_set_init(&set, connector_options, connector_option_count, &connector.options);
    ck_assert_msg(option_set_load(&set, config_file, NULL, 0, &et) == 0, "%s", et.text);
    ck_assert_msg(auth_create(&connector.options, "", &set.config, &connector.auth, &et) == 0, "%s",
                  et.text);
}

static void open_router(unsigned i)
{
    struct played *p = &played[i];
    size_t size = sizeof(p->endpoint);
    int none = 0;

    *p = (struct played){.router = zmq_socket(context, ZMQ_ROUTER)};
    snprintf(p->name, sizeof(p->name), "broker/%u", i);
    ck_assert_ptr_nonnull(p->router);
    ck_assert_int_eq(zmq_setsockopt(p->router, ZMQ_LINGER, &none, sizeof(none)), 0);
    ck_assert_int_eq(zmq_bind(p->router, "tcp://127.0.0.1:*"), 0);
    ck_assert_int_eq(zmq_getsockopt(p->router, ZMQ_LAST_ENDPOINT, p->endpoint, &size), 0);
    zmq_msg_init(&p->message);
}

void play(unsigned broker)
{
    now_played = &played[broker];
}

void put_elsewhere(unsigned broker, unsigned at)
{
    played[broker].elsewhere = &played[at];
    snprintf(played[at].name, sizeof(played[at].name), "broker/%u", broker);
}

void set_members(uint64_t new_generation, unsigned bits)
{
    generation = new_generation;
    member_bits = bits;
}

static uint16_t list_members(struct wire_member list[PLAYED_BROKERS])
{
    uint16_t count = 0;

    for (unsigned i = 0; i < PLAYED_BROKERS; i++) {
        const struct played *at = played[i].elsewhere != NULL ? played[i].elsewhere : &played[i];
        if ((member_bits & 1u << i) != 0)
            list[count++] = (struct wire_member){.name = bytes_of_string(played[i].name),
                                                 .endpoint = bytes_of_string(at->endpoint)};
    }
    return count;
}

void connector_set_up(void)
{
    struct err_text et = {""};
    struct brokers_config config = {
        .name = "connector/0",
        .endpoints = &seeds,
        .changed = on_changed,
    };

    context = zmq_ctx_new();
    for (unsigned i = 0; i < PLAYED_BROKERS; i++)
        open_router(i);
    play(0);
    set_members(1, 1);
    seeds = (struct endpoints){.count = 1, .all = {played[0].endpoint}};
    connector = (struct connector){0};
    load_options();
    config.context = context;
    config.pending_bytes = connector.options.pending_bytes;
    connector.loop = loop_create();
    ck_assert_ptr_nonnull(connector.loop);
    connector.scratch = malloc(SCRATCH_BYTES);
    connector.seqs = calloc(2 * (size_t)INFLIGHT_MAX, sizeof(uint64_t));
    connector.wills = wills_create(1u << 20);
    connector.ended = ended_create(1u << 20);
    connector.limits = limits_create(LIMITS_ENTRIES);
    ck_assert(connector.scratch != NULL && connector.seqs != NULL);
    ck_assert(connector.wills != NULL && connector.ended != NULL);
    ck_assert_ptr_nonnull(connector.limits);
    ck_assert_int_eq(conns_create(&connector), 0);
    ck_assert_msg(brokers_create(&connector, &config, &et) == 0, "%s", et.text);
    fd_count = 0;
}

void connector_tear_down(void)
{
    conns_destroy(connector.conns);
    brokers_destroy(connector.brokers);
    wills_destroy(connector.wills);
    ended_destroy(connector.ended);
    limits_destroy(connector.limits);
    auth_destroy(connector.auth);
    loop_destroy(connector.loop);
    buf_release(&connector.properties);
    buf_release(&connector.record);
    free(connector.scratch);
    free(connector.seqs);
    option_set_fini(&set);
    for (unsigned i = 0; i < PLAYED_BROKERS; i++) {
        zmq_msg_close(&played[i].message);
        zmq_close(played[i].router);
    }
    zmq_ctx_term(context);
    buf_release(&frame);
    buf_release(&input);
    for (unsigned i = 0; i < fd_count; i++)
        close(fds[i]);
    unlink(key_file);
    unlink(config_file);
    rmdir(folder);
}

void await_count(const uint64_t *counter, uint64_t value)
{
    uint64_t deadline_ms = clock_ms() + DEADLINE_MS;

    while (*counter < value) {
        ck_assert_msg(clock_ms() < deadline_ms, "the counter stays at %llu",
                      (unsigned long long)*counter);
        turn();
    }
}

/* The broker. */

static bool try_frame(struct played *p)
{
    uint8_t version;
    int n = zmq_recv(p->router, p->peer_id, sizeof(p->peer_id), ZMQ_DONTWAIT);

    if (n < 0) {
        ck_assert_int_eq(errno, EAGAIN);
        return false;
    }
    p->peer_id_len = (size_t)n;
    ck_assert_int_ge(zmq_msg_recv(&p->message, p->router, 0), 0);
    if (zmq_msg_size(&p->message) > largest_frame)
        largest_frame = zmq_msg_size(&p->message);
    ck_assert_int_eq(
        wire_open_frame(bytes_of(zmq_msg_data(&p->message), (uint32_t)zmq_msg_size(&p->message)),
                        &p->reader, &version),
        0);
    return true;
}

static void receive_frame(void)
{
    uint64_t deadline_ms = clock_ms() + DEADLINE_MS;

    while (!try_frame(now_played)) {
        ck_assert_msg(clock_ms() < deadline_ms, "no frame from the connector");
        turn();
    }
}

const struct wire_record *expect_record(enum wire_type type)
{
    int r;

    for (;;) {
        while ((r = wire_next(&now_played->reader, &record)) == 0)
            receive_frame();
        ck_assert_int_eq(r, 1);
        if (record.type != WIRE_PING)
            break;
    }
    ck_assert_int_eq(record.type, type);
    return &record;
}

uint64_t frame_generation(void)
{
    return now_played->reader.generation;
}

/* What is on its way to a socket arrives within a turn or two; a link that is made again, later. */
void expect_nothing(void)
{
    int r;

    for (unsigned i = 0; i < 10; i++) {
        while ((r = wire_next(&now_played->reader, &record)) == 1)
            ck_assert_msg(record.type == WIRE_PING, "a record of type %d", (int)record.type);
        ck_assert_int_eq(r, 0);
        if (!try_frame(now_played))
            turn();
    }
}

struct buf *frame_begin(void)
{
    buf_clear(&frame);
    wire_begin(&frame, generation);
    return &frame;
}

void frame_send(void)
{
    ck_assert(buf_ok(&frame));
    ck_assert_int_ge(
        zmq_send(now_played->router, now_played->peer_id, now_played->peer_id_len, ZMQ_SNDMORE), 0);
    ck_assert_int_ge(zmq_send(now_played->router, frame.data, frame.len, 0), 0);
}

void answer_hello(uint32_t credit)
{
    struct wire_member list[PLAYED_BROKERS];
    const struct wire_welcome answer = {
        .credit = credit,
        .heartbeat_ms = 60000, /* nobody falls silent while a test waits */
        .name = bytes_of_string(now_played->name),
        .members = {.generation = generation},
    };

    expect_record(WIRE_HELLO);
    wire_put_welcome(frame_begin(), &answer, list, list_members(list));
    frame_send();
}

void welcome(uint32_t credit)
{
    uint64_t links = connector.metrics.links_up;

    answer_hello(credit);
    await_count(&connector.metrics.links_up, links + 1);
}

void tell_members(void)
{
    struct wire_member list[PLAYED_BROKERS];

    wire_put_members(frame_begin(), generation, list, list_members(list));
    frame_send();
}

void send_opened(uint64_t conn, uint64_t epoch)
{
    const struct wire_opened answer = {.conn = conn, .epoch = epoch};

    wire_put_opened(frame_begin(), &answer, NULL, 0);
    frame_send();
}

void send_published(uint64_t token, uint8_t reason)
{
    const struct wire_published answer = {.token = token, .reason = reason};

    wire_put_published(frame_begin(), &answer);
    frame_send();
}

void send_deliver(uint64_t conn, uint64_t seq, const char *payload)
{
    const struct wire_body body = {
        .kind = WIRE_BODY_USER,
        .mid = mid_mint(1780000000000),
        .from = bytes_of_string("alice"),
        .payload = bytes_of_string(payload),
    };
    struct wire_deliver deliver = {.conn = conn, .seq = seq};
    struct buf encoded = {0};

    wire_put_body(&encoded, &body);
    deliver.encoded_body = bytes_of(encoded.data, (uint32_t)encoded.len);
    wire_put_deliver(frame_begin(), &deliver);
    frame_send();
    buf_release(&encoded);
}

/* Clients. */

int client_connect(void)
{
    const struct peer_address peer = {.family = AF_INET, .octets = {127, 0, 0, 1}, .port = 1};
    int pair[2];

    ck_assert_uint_lt(fd_count, ARRAY_LEN(fds));
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    ck_assert_int_eq(conn_accept(connector.conns, &doors[DOOR_TCP], pair[1], &peer), 0);
    fds[fd_count++] = pair[0];
    return pair[0];
}

static void put_text(struct buf *out, const char *text)
{
    buf_put_be16(out, (uint16_t)strlen(text));
    buf_put(out, text, strlen(text));
}

/* Appends a packet around body, and empties that. */
static void put_packet(struct buf *out, uint8_t first, struct buf *body)
{
    size_t len = body->len;

    buf_put_u8(out, first);
    do {
        buf_put_u8(out, (uint8_t)((len & 0x7F) | (len > 0x7F ? 0x80 : 0)));
        len >>= 7;
    } while (len > 0);
    buf_put(out, body->data, body->len);
    buf_release(body);
}

void put_connect(struct buf *out, uint8_t level, const char *device, const char *will_topic)
{
    const struct token_claims claims = {
        .user = "bob",
        .expires_s = loop_wall_ms(connector.loop) / 1000 + 3600,
    };
    struct err_text et = {""};
    AUTO_FREE char *token = token_sign_hs256(&claims, "dev", key_file, &et);
    struct buf body = {0};

    ck_assert_msg(token != NULL, "%s", et.text);
    put_text(&body, "MQTT");
    buf_put_u8(&body, level);
    buf_put_u8(&body, will_topic != NULL ? 0xCE : 0xC2); /* Will QoS 1; names; clean */
    buf_put_be16(&body, 60);
    if (level == MQTT_5)
        buf_put_u8(&body, 0); /* no properties */
    put_text(&body, device);
    if (will_topic != NULL) {
        if (level == MQTT_5)
            buf_put_u8(&body, 0);
        put_text(&body, will_topic);
        put_text(&body, "bye");
    }
    put_text(&body, "bob");
    put_text(&body, token);
    put_packet(out, 0x10, &body);
}

static void put_publish(struct buf *out, uint8_t level, const char *topic, const char *payload,
                        uint16_t packet_id, bool dup)
{
    struct buf body = {0};

    put_text(&body, topic);
    buf_put_be16(&body, packet_id);
    if (level == MQTT_5)
        buf_put_u8(&body, 0);
    buf_put(&body, payload, (uint32_t)strlen(payload));
    put_packet(out, dup ? 0x3A : 0x32, &body);
}

void put_publish_qos1(struct buf *out, uint8_t level, const char *topic, uint16_t packet_id,
                      bool dup)
{
    put_publish(out, level, topic, "hello", packet_id, dup);
}

void put_publish_text(struct buf *out, uint8_t level, const char *topic, const char *payload,
                      uint16_t packet_id)
{
    put_publish(out, level, topic, payload, packet_id, false);
}

void put_inbox_subscribe(struct buf *out, uint8_t level, uint16_t packet_id)
{
    struct buf body = {0};

    buf_put_be16(&body, packet_id);
    if (level == MQTT_5)
        buf_put_u8(&body, 0);
    put_text(&body, "inbox/#");
    buf_put_u8(&body, 1);
    put_packet(out, 0x82, &body);
}

void put_puback(struct buf *out, uint16_t packet_id)
{
    struct buf body = {0};

    buf_put_be16(&body, packet_id);
    put_packet(out, 0x40, &body);
}

void put_ping(struct buf *out)
{
    struct buf body = {0};

    put_packet(out, 0xC0, &body);
}

void put_disconnect(struct buf *out)
{
    struct buf body = {0};

    put_packet(out, 0xE0, &body);
}

void client_send(int fd, struct buf *out)
{
    ck_assert(buf_ok(out));
    ck_assert_int_eq(send(fd, out->data, out->len, 0), (ssize_t)out->len);
    buf_release(out);
}

/* Bytes read (0: the end of the stream), turning the loop until there are some. */
static size_t read_some(int fd, uint8_t *to, size_t size)
{
    uint64_t deadline_ms = clock_ms() + DEADLINE_MS;
    ssize_t n;

    while ((n = recv(fd, to, size, 0)) < 0) {
        ck_assert_int_eq(errno, EAGAIN);
        ck_assert_msg(clock_ms() < deadline_ms, "nothing from the connector");
        turn();
    }
    return (size_t)n;
}

struct bytes expect_packet(int fd, enum mqtt_type type)
{
    uint32_t size = 0;
    int r;

    /* Byte by byte: what follows stays in the socket for the next call, of whichever client. */
    buf_clear(&input);
    for (;;) {
        uint8_t byte;

        ck_assert_msg(read_some(fd, &byte, 1) == 1, "the connection ended, expected a packet");
        buf_put_u8(&input, byte);
        r = mqtt_packet_size(bytes_of(input.data, (uint32_t)input.len), UINT32_MAX, &size);
        ck_assert_int_ge(r, 0);
        if (r == 1 && input.len == size)
            break;
    }
    ck_assert_int_eq(input.data[0] >> 4, type);
    return bytes_of(input.data, (uint32_t)input.len);
}

void expect_end(int fd)
{
    uint8_t byte;

    ck_assert_uint_eq(read_some(fd, &byte, 1), 0);
}

uint64_t client_open(int fd, uint8_t level, const char *device, uint64_t epoch)
{
    struct buf out = {0};
    struct bytes connack;
    uint64_t conn;

    put_connect(&out, level, device, NULL);
    client_send(fd, &out);
    conn = expect_record(WIRE_OPEN)->open.conn;
    send_opened(conn, epoch);
    connack = expect_packet(fd, MQTT_CONNACK);
    ck_assert_uint_eq(connack.data[3], 0);
    return conn;
}

/* The broker refuses: the link is made anew and everything said again, in order. */
void break_link(void)
{
    const struct wire_refuse refuse = {
        .version = WIRE_VERSION,
        .reason = WIRE_REFUSED_NOT_READY,
        .text = bytes_of_string("test"),
    };
    uint64_t lost = connector.metrics.links_lost;

    wire_put_refuse(frame_begin(), &refuse);
    frame_send();
    await_count(&connector.metrics.links_lost, lost + 1);
}

void expect_ack(uint64_t acked_seq, uint16_t more)
{
    const struct wire_ack *ack = &expect_record(WIRE_ACK)->ack;

    ck_assert_uint_eq(ack->acked_seq, acked_seq);
    ck_assert_uint_eq(ack->more.count, more);
}

void expect_delivery(int fd, uint16_t packet_id)
{
    struct bytes packet = expect_packet(fd, MQTT_PUBLISH);
    uint32_t topic_len = (uint32_t)(packet.data[2] << 8 | packet.data[3]);

    ck_assert_int_eq(memcmp(packet.data + 4, "inbox/u/alice/", 14), 0);
    ck_assert_uint_eq(packet.data[4 + topic_len] << 8 | packet.data[5 + topic_len], packet_id);
}
