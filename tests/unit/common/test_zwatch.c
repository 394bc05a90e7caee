/* Tests of common/zwatch.c, on real sockets over inproc and TCP. */
#include "common/zwatch.h"

#include "tests/support/run_suite.h"

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

/* Longer than a busy machine takes for anything here. */
#define DEADLINE_MS 5000

static struct loop *loop;
static void *context;

/* One end of a link. */
struct end {
    void *socket;
    struct zwatch *watch;
    unsigned calls, messages;
    struct end *victim; /* destroyed by the callback */
};

static struct end near_end, far_end;
/* Loop tests run with and without it: their owners tell of each send. */
static bool tells;

static uint64_t clock_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void *open_socket(void)
{
    void *socket = zmq_socket(context, ZMQ_DEALER);
    int none = 0;

    ck_assert_ptr_nonnull(socket);
    ck_assert_int_eq(zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof(none)), 0);
    return socket;
}

static void connect_ends(const char *endpoint)
{
    char bound[128];
    size_t size = sizeof(bound);

    near_end.socket = open_socket();
    far_end.socket = open_socket();
    ck_assert_int_eq(zmq_bind(near_end.socket, endpoint), 0);
    ck_assert_int_eq(zmq_getsockopt(near_end.socket, ZMQ_LAST_ENDPOINT, bound, &size), 0);
    ck_assert_int_eq(zmq_connect(far_end.socket, bound), 0);
}

static void set_up(void)
{
    memset(&near_end, 0, sizeof(near_end));
    memset(&far_end, 0, sizeof(far_end));
    tells = false;
    context = zmq_ctx_new();
    ck_assert_ptr_nonnull(context);
    loop = loop_create();
    ck_assert_ptr_nonnull(loop);
}

static void close_end(struct end *end)
{
    zwatch_destroy(end->watch);
    end->watch = NULL;
    if (end->socket == NULL)
        return;
    ck_assert_int_eq(zmq_close(end->socket), 0);
    end->socket = NULL;
}

static void tear_down(void)
{
    close_end(&near_end);
    close_end(&far_end);
    loop_destroy(loop);
    ck_assert_int_eq(zmq_ctx_term(context), 0);
}

static void turn(uint64_t max_wait_ms)
{
    ck_assert_int_eq(loop_turn(loop, max_wait_ms), 0);
}

static void watch(struct end *end, zwatch_fn fn)
{
    ck_assert_int_eq(zwatch_create(loop, end->socket, fn, end, &end->watch), 0);
    if (tells)
        zwatch_tells(end->watch);
}

static void tell(const struct end *end)
{
    if (tells && end->watch != NULL)
        zwatch_sent(end->watch);
}

static void send_text(struct end *end, const char *text)
{
    ck_assert_int_eq(zmq_send(end->socket, text, strlen(text), 0), (int)strlen(text));
    tell(end);
}

/* Reads one message. */
static void on_readable(void *arg)
{
    struct end *end = arg;
    char text[32];

    end->calls++;
    ck_assert_int_ge(zmq_recv(end->socket, text, sizeof(text), ZMQ_DONTWAIT), 0);
    end->messages++;
}

/* Turns until the end has read so many messages; waits for events only. */
static void run_until(const struct end *end, unsigned messages)
{
    uint64_t give_up_ms = clock_now_ms() + DEADLINE_MS;

    while (end->messages < messages) {
        uint64_t now_ms = clock_now_ms();
        ck_assert_msg(now_ms < give_up_ms, "%u of %u messages", end->messages, messages);
        turn(give_up_ms - now_ms);
    }
}

static void check_delivery(void)
{
    watch(&near_end, on_readable);
    watch(&far_end, on_readable);
    turn(0);
    for (unsigned i = 1; i <= 50; i++) {
        send_text(&far_end, "there");
        run_until(&near_end, i);
        send_text(&near_end, "back");
        run_until(&far_end, i);
    }
    ck_assert_uint_eq(near_end.calls, 50); /* never without a message */
    ck_assert_uint_eq(far_end.calls, 50);
}

START_TEST(test_inproc)
{
    tells = _i == 1;
    connect_ends("inproc://zwatch");
    check_delivery();
}
END_TEST

START_TEST(test_tcp)
{
    tells = _i == 1;
    connect_ends("tcp://127.0.0.1:*");
    check_delivery();
}
END_TEST

START_TEST(test_message_from_before_the_watch)
{
    tells = _i == 1;
    connect_ends("inproc://zwatch");
    send_text(&far_end, "early");
    watch(&near_end, on_readable);
    run_until(&near_end, 1);
}
END_TEST

START_TEST(test_at_most_once_a_turn)
{
    tells = _i == 1;
    connect_ends("inproc://zwatch");
    watch(&near_end, on_readable);
    for (unsigned i = 0; i < 20; i++)
        send_text(&far_end, "x");
    for (unsigned i = 1; i <= 20; i++) {
        turn(DEADLINE_MS);
        ck_assert_uint_eq(near_end.calls, i);
    }
    ck_assert_uint_eq(near_end.messages, 20);
}
END_TEST

/* While it is served before the wait, the descriptor rings anew for this turn's step 2. */
static void on_readable_and_ring(void *arg)
{
    char text[8];

    on_readable(arg);
    /* Only a reader that found nothing is rung for. */
    ck_assert_int_eq(zmq_recv(near_end.socket, text, sizeof(text), ZMQ_DONTWAIT), -1);
    ck_assert_int_eq(errno, EAGAIN);
    if (near_end.calls <= 5)
        send_text(&far_end, "again");
}

START_TEST(test_ringing_does_not_serve_twice)
{
    tells = _i == 1;
    connect_ends("inproc://zwatch");
    watch(&near_end, on_readable_and_ring);
    send_text(&far_end, "x");
    for (unsigned i = 1; i <= 6; i++) {
        turn(DEADLINE_MS);
        ck_assert_uint_eq(near_end.calls, i);
    }
}
END_TEST

/* Reads all there is and says so. */
static void on_readable_until_drained(void *arg)
{
    char text[8];

    near_end.calls++;
    while (zmq_recv(near_end.socket, text, sizeof(text), ZMQ_DONTWAIT) >= 0)
        near_end.messages++;
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_ptr_eq(arg, &near_end);
    zwatch_drained(near_end.watch);
}

/* What comes after that rings, whatever was sent meanwhile. */
START_TEST(test_drained)
{
    tells = _i % 2 == 1;
    connect_ends(_i < 2 ? "inproc://zwatch" : "tcp://127.0.0.1:*");
    watch(&near_end, on_readable_until_drained);
    for (unsigned i = 1; i <= 200; i++) {
        send_text(&far_end, "x");
        if (i % 3 == 0)
            send_text(&near_end, "mine");
        run_until(&near_end, i);
    }
    turn(0);
    ck_assert_uint_eq(near_end.messages, 200);
}
END_TEST

static bool descriptor_rings(void *socket)
{
    struct pollfd pollfd = {.events = POLLIN};
    size_t size = sizeof(pollfd.fd);

    ck_assert_int_eq(zmq_getsockopt(socket, ZMQ_FD, &pollfd.fd, &size), 0);
    int r = poll(&pollfd, 1, 0);
    ck_assert_int_ge(r, 0);
    return r == 1;
}

START_TEST(test_send_that_takes_the_edge)
{
    tells = _i == 1;
    uint64_t give_up_ms = clock_now_ms() + DEADLINE_MS;
    unsigned sent = 0;

    connect_ends("inproc://zwatch");
    watch(&near_end, on_readable);
    turn(0);
    /* A send looks at the mailbox only now and then (it goes by the CPU's time stamp counter), so
     * this repeats until one has taken in what the other end sent and silenced the descriptor. */
    do {
        ck_assert_uint_lt(clock_now_ms(), give_up_ms);
        send_text(&far_end, "unnoticed");
        sent++;
        send_text(&near_end, "mine");
    } while (descriptor_rings(near_end.socket));

    uint64_t start_ms = clock_now_ms();
    turn(DEADLINE_MS);
    ck_assert_uint_lt(clock_now_ms() - start_ms, DEADLINE_MS);
    ck_assert_uint_eq(near_end.calls, 1);
    run_until(&near_end, sent);
}
END_TEST

/* Sends from a hook, after the wait and the callbacks: where processes send their batches. */
static void on_send_batch(void *arg)
{
    struct end *end = arg;

    if (end->messages < 1000 && zmq_send(end->socket, "x", 1, ZMQ_DONTWAIT) < 0)
        ck_assert_int_eq(errno, EAGAIN);
    tell(end);
}

START_TEST(test_both_ends_send_in_hooks)
{
    tells = _i == 1;
    connect_ends("tcp://127.0.0.1:*");
    watch(&near_end, on_readable);
    watch(&far_end, on_readable);
    ck_assert_int_eq(loop_hook_add(loop, on_send_batch, &near_end), 0);
    ck_assert_int_eq(loop_hook_add(loop, on_send_batch, &far_end), 0);
    turn(0); /* the first batch; from here on only messages wake the loop */
    run_until(&near_end, 1000);
    run_until(&far_end, 1000);
}
END_TEST

static void on_destroy_victim(void *arg)
{
    struct end *end = arg;

    end->calls++;
    zwatch_destroy(end->victim->watch);
    end->victim->watch = NULL;
}

START_TEST(test_callback_destroys_itself)
{
    connect_ends("inproc://zwatch");
    watch(&near_end, on_destroy_victim);
    near_end.victim = &near_end;
    send_text(&far_end, "x");
    turn(DEADLINE_MS);
    turn(0);
    ck_assert_uint_eq(near_end.calls, 1);
    watch(&near_end, on_readable); /* and again, on the same socket and loop */
    run_until(&near_end, 1);
}
END_TEST

START_TEST(test_callback_destroys_the_other)
{
    connect_ends("inproc://zwatch");
    watch(&near_end, on_destroy_victim);
    watch(&far_end, on_destroy_victim);
    near_end.victim = &far_end;
    far_end.victim = &near_end;
    send_text(&near_end, "x");
    send_text(&far_end, "x");
    for (unsigned i = 0; i < 5; i++)
        turn(0);
    /* Whichever came first: the other was never called. */
    ck_assert(near_end.calls == 0 || far_end.calls == 0);
    ck_assert(near_end.calls + far_end.calls >= 1);
}
END_TEST

START_TEST(test_loops_come_and_go)
{
    connect_ends("inproc://zwatch");
    for (unsigned i = 1; i <= 20; i++) { /* some of them at the address of the one before */
        watch(&near_end, on_readable);
        send_text(&far_end, "x");
        run_until(&near_end, i);
        zwatch_destroy(near_end.watch);
        near_end.watch = NULL;
        loop_destroy(loop);
        loop = loop_create();
        ck_assert_ptr_nonnull(loop);
    }
}
END_TEST

START_TEST(test_more_watches_than_hooks)
{
    struct end ends[20] = {0};

    connect_ends("inproc://zwatch");
    for (unsigned i = 0; i < 20; i++) {
        ends[i].socket = open_socket();
        ck_assert_int_eq(zmq_connect(ends[i].socket, "inproc://zwatch"), 0);
        watch(&ends[i], on_readable);
    }
    for (unsigned i = 0; i < 21; i++) /* a DEALER deals them out in turn, to far_end too */
        send_text(&near_end, "x");
    for (unsigned i = 0; i < 20; i++)
        run_until(&ends[i], 1);
    for (unsigned i = 0; i < 20; i++)
        close_end(&ends[i]);
}
END_TEST

START_TEST(test_what_is_no_socket)
{
    int nothing = 0;
    struct zwatch *created = NULL;

    ck_assert_int_eq(zwatch_create(loop, &nothing, on_readable, NULL, &created), ERR_SYSTEM);
    ck_assert_ptr_null(created);
    zwatch_destroy(NULL);
}
END_TEST

START_TEST(test_shut_down_context_does_not_spin)
{
    connect_ends("inproc://zwatch");
    watch(&near_end, on_readable);
    turn(0);
    ck_assert_int_eq(zmq_ctx_shutdown(context), 0);
    for (unsigned i = 0; i < 10; i++)
        turn(0);
    uint64_t start_ms = clock_now_ms();
    turn(50);
    ck_assert_uint_ge(clock_now_ms() - start_ms, 50);
    ck_assert_uint_eq(near_end.calls, 0);
}
END_TEST

static TCase *make_case(Suite *suite, const char *name)
{
    TCase *tcase = tcase_create(name);

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 20);
    suite_add_tcase(suite, tcase);
    return tcase;
}

static Suite *make_suite(void)
{
    Suite *suite = suite_create("zwatch");
    TCase *delivery = make_case(suite, "delivery");
    TCase *edge = make_case(suite, "edge");
    TCase *life = make_case(suite, "life");

    tcase_add_loop_test(delivery, test_inproc, 0, 2);
    tcase_add_loop_test(delivery, test_tcp, 0, 2);
    tcase_add_loop_test(delivery, test_message_from_before_the_watch, 0, 2);
    tcase_add_loop_test(delivery, test_at_most_once_a_turn, 0, 2);
    tcase_add_loop_test(delivery, test_ringing_does_not_serve_twice, 0, 2);
    tcase_add_loop_test(delivery, test_drained, 0, 4);
    tcase_add_test(delivery, test_more_watches_than_hooks);
    tcase_add_loop_test(edge, test_send_that_takes_the_edge, 0, 2);
    tcase_add_loop_test(edge, test_both_ends_send_in_hooks, 0, 2);
    tcase_add_test(life, test_callback_destroys_itself);
    tcase_add_test(life, test_callback_destroys_the_other);
    tcase_add_test(life, test_loops_come_and_go);
    tcase_add_test(life, test_what_is_no_socket);
    tcase_add_test(life, test_shut_down_context_does_not_spin);
    return suite;
}

int main(void)
{
    return run_suite(make_suite());
}
