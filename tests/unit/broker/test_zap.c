/* Tests of broker/zap.c, and of what the side that is refused gets to know, on real sockets. */
#include "broker/zap.h"

#include "common/zmonitor.h"

#include "tests/support/run_suite.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

#define DEADLINE_MS 10000
#define TURN_MS 2

static struct loop *loop;
static void *context, *router, *dealer, *monitor;
static struct zap *zap;
static struct curve_key server, friend_key, stranger;
static struct curve_client listed;
static struct curve_clients clients;
static uint64_t accepted, refused;
static char endpoint[128];

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void set_int(void *socket, int option, int value)
{
    ck_assert_int_eq(zmq_setsockopt(socket, option, &value, sizeof(value)), 0);
}

static void make_key(struct curve_key *key)
{
    ck_assert_int_eq(zmq_curve_keypair(key->public_key, key->secret_key), 0);
}

static void set_up(void)
{
    static char name[] = "friend";
    struct err_text et = {""};
    size_t size = sizeof(endpoint);

    make_key(&server);
    make_key(&friend_key);
    make_key(&stranger);
    listed.name = name;
    memcpy(listed.public_key, friend_key.public_key, CURVE_KEY_SIZE);
    clients = (struct curve_clients){.list = &listed, .count = 1};
    accepted = refused = 0;
    loop = loop_create();
    context = zmq_ctx_new();
    ck_assert_ptr_nonnull(loop);
    const struct zap_config config = {.loop = loop,
                                      .context = context,
                                      .clients = &clients,
                                      .accepted = &accepted,
                                      .refused = &refused};
    ck_assert_msg(zap_create(&config, &zap, &et) == 0, "%s", et.text);
    router = zmq_socket(context, ZMQ_ROUTER);
    set_int(router, ZMQ_LINGER, 0);
    set_int(router, ZMQ_CURVE_SERVER, 1);
    ck_assert_int_eq(zmq_setsockopt(router, ZMQ_CURVE_SECRETKEY, server.secret_key, CURVE_KEY_SIZE),
                     0);
    ck_assert_int_eq(zmq_setsockopt(router, ZMQ_ZAP_DOMAIN, ZAP_DOMAIN, strlen(ZAP_DOMAIN)), 0);
    ck_assert_int_eq(zmq_bind(router, "tcp://127.0.0.1:*"), 0);
    ck_assert_int_eq(zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, endpoint, &size), 0);
    dealer = zmq_socket(context, ZMQ_DEALER);
    monitor = zmq_socket(context, ZMQ_PAIR);
    set_int(dealer, ZMQ_LINGER, 0);
    set_int(dealer, ZMQ_RECONNECT_IVL, -1);
    set_int(monitor, ZMQ_LINGER, 0);
    ck_assert_int_eq(zmq_socket_monitor(dealer, "inproc://monitor", ZMQ_EVENT_ALL), 0);
    ck_assert_int_eq(zmq_connect(monitor, "inproc://monitor"), 0);
}

static void tear_down(void)
{
    ck_assert_int_eq(zmq_socket_monitor(dealer, NULL, 0), 0);
    zmq_close(dealer);
    zmq_close(monitor);
    zmq_close(router);
    zap_destroy(zap);
    loop_destroy(loop);
    ck_assert_int_eq(zmq_ctx_term(context), 0);
}

/* own NULL: without keys. */
static void dial(const struct curve_key *of_server, const struct curve_key *own)
{
    if (own != NULL) {
        ck_assert_int_eq(
            zmq_setsockopt(dealer, ZMQ_CURVE_SERVERKEY, of_server->public_key, CURVE_KEY_SIZE), 0);
        ck_assert_int_eq(
            zmq_setsockopt(dealer, ZMQ_CURVE_PUBLICKEY, own->public_key, CURVE_KEY_SIZE), 0);
        ck_assert_int_eq(
            zmq_setsockopt(dealer, ZMQ_CURVE_SECRETKEY, own->secret_key, CURVE_KEY_SIZE), 0);
    }
    ck_assert_int_eq(zmq_connect(dealer, endpoint), 0);
    /* One that is refused may be gone by now; who is let in is seen by the message. */
    IGNORE_RESULT(zmq_send(dealer, "hello", 5, ZMQ_DONTWAIT));
}

/* Turns the loop until the ROUTER has the message; its second part. */
static void await_message(zmq_msg_t *part)
{
    uint64_t give_up_ms = now_ms() + DEADLINE_MS;
    char id[256];

    while (zmq_recv(router, id, sizeof(id), ZMQ_DONTWAIT) < 0) {
        ck_assert_msg(now_ms() < give_up_ms, "no message");
        ck_assert_int_eq(loop_turn(loop, TURN_MS), 0);
    }
    zmq_msg_init(part);
    ck_assert_int_ge(zmq_msg_recv(part, router, 0), 0);
}

/* Turns the loop until the handshake has failed; what the operator of that side reads. */
static void await_failure(bool with_keys, const char *expected)
{
    uint64_t give_up_ms = now_ms() + DEADLINE_MS;
    struct zmonitor_event event;
    char text[256];
    const char *why = NULL;

    while (why == NULL) {
        ck_assert_msg(now_ms() < give_up_ms, "no failure");
        ck_assert_int_eq(loop_turn(loop, TURN_MS), 0);
        while (why == NULL && zmonitor_read(monitor, &event))
            why = zmonitor_why(&event, with_keys, text, sizeof(text));
    }
    ck_assert_msg(strstr(why, expected) != NULL, "%s", why);
}

START_TEST(test_known_key)
{
    zmq_msg_t part;

    dial(&server, &friend_key);
    await_message(&part);
    ck_assert_uint_eq(zmq_msg_size(&part), 5);
    ck_assert_str_eq(zmq_msg_gets(&part, "User-Id"), friend_key.public_key);
    zmq_msg_close(&part);
    ck_assert_uint_eq(accepted, 1);
    ck_assert_uint_eq(refused, 0);
}
END_TEST

START_TEST(test_unknown_key)
{
    dial(&server, &stranger);
    await_failure(true, "the broker does not know this key");
    ck_assert_uint_eq(accepted, 0);
    ck_assert_uint_eq(refused, 1);
}
END_TEST

START_TEST(test_list_changes)
{
    zmq_msg_t part;

    memcpy(listed.public_key, stranger.public_key, CURVE_KEY_SIZE);
    dial(&server, &stranger);
    await_message(&part);
    zmq_msg_close(&part);
    ck_assert_uint_eq(accepted, 1);
}
END_TEST

START_TEST(test_other_server)
{
    dial(&stranger, &friend_key);
    await_failure(true, "most likely broker.curve.server_key is not its key");
    ck_assert_uint_eq(accepted + refused, 0);
}
END_TEST

START_TEST(test_no_keys)
{
    dial(NULL, NULL);
    await_failure(false, "most likely it asks for keys");
    ck_assert_uint_eq(accepted + refused, 0);
}
END_TEST

/* What only a socket inside the process could send is refused, not believed. */
START_TEST(test_strange_requests)
{
    static const char *const requests[][8] = {
        {"1.0", "1", "beckon", "127.0.0.1", "", "CURVE", "short"},
        {"1.0", "1", "beckon", "127.0.0.1", "", "NULL"},
        {"1.0", "1", "other", "127.0.0.1", "", "CURVE", "0123456789abcdef0123456789abcdef"},
        {"2.0", "1", "beckon", "127.0.0.1", "", "CURVE", "0123456789abcdef0123456789abcdef"},
        {"1.0", "1", "beckon", "127.0.0.1", "", "CURVE", "0123456789abcdef0123456789abcdef", "x"},
        {"x"},
    };
    void *asker = zmq_socket(context, ZMQ_REQ);
    char status[8] = "";

    set_int(asker, ZMQ_LINGER, 0);
    ck_assert_int_eq(zmq_connect(asker, "inproc://zeromq.zap.01"), 0);
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        int parts = 0;

        for (size_t k = 0; k < 8 && requests[i][k] != NULL; k++)
            ck_assert_int_ge(zmq_send(asker, requests[i][k], strlen(requests[i][k]),
                                      k < 7 && requests[i][k + 1] != NULL ? ZMQ_SNDMORE : 0),
                             0);
        ck_assert_int_eq(loop_turn(loop, DEADLINE_MS), 0);
        for (int more = 1; more; parts++) {
            char data[64] = "";
            size_t size = sizeof(more);

            ck_assert_int_ge(zmq_recv(asker, data, sizeof(data) - 1, ZMQ_DONTWAIT), 0);
            if (parts == 2)
                snprintf(status, sizeof(status), "%.7s", data);
            ck_assert_int_eq(zmq_getsockopt(asker, ZMQ_RCVMORE, &more, &size), 0);
        }
        ck_assert_int_eq(parts, 6);
        ck_assert_str_eq(status, "400");
    }
    ck_assert_uint_eq(refused, sizeof(requests) / sizeof(requests[0]));
    zmq_close(asker);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("zap");
    TCase *tcase = tcase_create("zap");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_known_key);
    tcase_add_test(tcase, test_unknown_key);
    tcase_add_test(tcase, test_list_changes);
    tcase_add_test(tcase, test_other_server);
    tcase_add_test(tcase, test_no_keys);
    tcase_add_test(tcase, test_strange_requests);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
