/* Tests of delivery-plugins/apns/lane.c: what is taken, what stalls what, and how it all ends. */
#include "push_fixture.h"

#include <check.h>
#include <stdio.h>

#include "common/auto.h"

#include "tests/support/run_suite.h"

static const struct push_answer ok = {.status = 200}, hold = {.action = PUSH_HOLD};

static void trust(void)
{
    server.always = ok;
    ck_assert_int_eq(push_host_deliver(&host, 1), 0);
    push_host_await(&host, 1);
    ck_assert_uint_eq(push_host_outcome(&host, 1)->kind, DP_ACCEPTED);
}

START_TEST(test_in_flight_limit)
{
    push_open("in_flight", "5", NULL);
    trust();
    server.always = hold;
    for (uint64_t id = 2; id <= 6; id++)
        ck_assert_int_eq(push_host_deliver(&host, id), 0);
    ck_assert_int_eq(push_host_deliver(&host, 7), -1);
    push_server_await(&server, 6);
    push_server_answer(&server.requests[1], 200, NULL);
    push_host_await(&host, 2);
    ck_assert_int_eq(push_host_deliver(&host, 7), 0);
    ck_assert_int_eq(push_host_deliver(&host, 8), -1);
    ck_assert_uint_eq(host.outcome_count, 2);
}
END_TEST

/* -1 would stop the host from asking for anybody: not for one endpoint that does not answer. */
START_TEST(test_a_stalled_lane_stalls_no_other)
{
    push_open("in_flight", "5", "development.port", "9", NULL);
    trust();
    server.always = hold;
    for (uint64_t id = 2; id <= 6; id++)
        ck_assert_int_eq(push_host_deliver(&host, id), 0);
    push_host_pass(&host, 3000);
    ck_assert_int_eq(push_host_deliver(&host, 7), 0);
    ck_assert_uint_eq(push_host_outcome(&host, 7)->kind, DP_RETRY);
    ck_assert_str_eq(push_host_outcome(&host, 7)->reason, "no-answers");
    ck_assert_uint_ge(push_host_outcome(&host, 7)->retry_after_ms, 5000);
    ck_assert_int_eq(
        push_host_deliver_as(&host, 8, &(struct push_changes){.environment = "development"}), 0);
}
END_TEST

START_TEST(test_one_key_stalls_no_other)
{
    static const struct push_answer answers[] = {
        {.status = 403, .body = "{\"reason\":\"InvalidProviderToken\"}"}};

    server.script = answers;
    server.script_len = 1;
    push_open("keys[1].team", "OTHERTEAM1", "keys[1].kid", "OTHERKEY12", "keys[1].file", keys.p8,
              "keys[1].topics[0]", "com.example.other", NULL);
    push_host_deliver(&host, 1);
    push_host_await(&host, 1);
    push_host_deliver(&host, 2);
    ck_assert_str_eq(push_host_outcome(&host, 2)->reason, "breaker-open");
    push_host_deliver_as(&host, 3, &(struct push_changes){.topic = "com.example.other"});
    push_host_await(&host, 3);
    ck_assert_uint_eq(push_host_outcome(&host, 3)->kind, DP_ACCEPTED);
    ck_assert_str_ne(server.requests[0].authorization, server.requests[1].authorization);
    /* nor does one environment the other */
    push_host_deliver_as(&host, 4, &(struct push_changes){.environment = "development"});
    push_host_await(&host, 4);
    ck_assert_uint_eq(push_host_outcome(&host, 4)->kind, DP_ACCEPTED);
}
END_TEST

START_TEST(test_no_answers_open_the_breaker)
{
    push_open("request_timeout_ms", "2000", "breaker_failures", "3", NULL);
    trust();
    server.always = hold;
    for (uint64_t id = 2; id <= 4; id++)
        push_host_deliver(&host, id);
    push_host_await(&host, 4);
    ck_assert_str_eq(push_host_outcome(&host, 2)->reason, "timeout");
    ck_assert_uint_eq(push_host_counter(&host, "breaker_opened"), 1);
    push_host_deliver(&host, 5);
    ck_assert_str_eq(push_host_outcome(&host, 5)->reason, "breaker-open");
}
END_TEST

START_TEST(test_deadline_of_the_host)
{
    push_open(NULL);
    trust();
    server.always = hold;
    push_host_deliver_as(&host, 2, &(struct push_changes){.deadline_ms = host.wheel.now_ms + 3000});
    push_host_deliver(&host, 3);
    push_host_await(&host, 2);
    ck_assert_str_eq(push_host_outcome(&host, 2)->reason, "timeout");
    push_host_await(&host, 3);
    ck_assert_uint_ge(push_host_outcome(&host, 3)->at_ms,
                      push_host_outcome(&host, 2)->at_ms + 26000);
}
END_TEST

START_TEST(test_cancel)
{
    server.always = hold;
    push_open(NULL);
    push_host_deliver(&host, 1);
    push_host_deliver(&host, 2);
    push_server_await(&server, 1);
    push_host_cancel(&host, 2);
    ck_assert_uint_eq(push_host_outcome(&host, 2)->kind, DP_FAILED);
    ck_assert_str_eq(push_host_outcome(&host, 2)->reason, "cancelled");
    /* what was sent is not taken back, whatever becomes of it; unknown ids are ignored */
    push_host_cancel(&host, 1);
    push_host_cancel(&host, 99);
    ck_assert_uint_eq(host.outcome_count, 1);
    server.always = ok;
    push_server_disconnect(&server.peers[0], false);
    push_host_pass(&host, 100);
    push_host_cancel(&host, 1);
    ck_assert_uint_eq(host.outcome_count, 1);
    push_host_await(&host, 2);
    ck_assert_uint_eq(push_host_outcome(&host, 1)->kind, DP_ACCEPTED);
    ck_assert_uint_eq(server.request_count, 2);
}
END_TEST

/* A host that delivers from inside close gets no for an answer. */
static void deliver_again(struct push_host *h, const struct push_outcome *o)
{
    (void)o;
    h->on_outcome = NULL;
    ck_assert_int_eq(push_host_deliver(h, 1000), -1);
    h->on_outcome = deliver_again;
}

START_TEST(test_close_with_deliveries_in_flight)
{
    server.max_streams = 3;
    push_open(NULL);
    trust();
    server.always = hold;
    for (uint64_t id = 2; id <= 20; id++)
        push_host_deliver_as(
            &host, id,
            &(struct push_changes){.environment = id % 5 == 0 ? "development" : "production"});
    push_server_await(&server, 5);
    host.on_outcome = deliver_again;
    push_host_close(&host);
    ck_assert_uint_eq(host.outcome_count, 20);
    for (uint64_t id = 2; id <= 20; id++) {
        ck_assert_uint_eq(push_host_outcome(&host, id)->kind, DP_RETRY);
        ck_assert_str_eq(push_host_outcome(&host, id)->reason, "closing");
    }
}
END_TEST

START_TEST(test_close_at_any_moment)
{
    push_open("connect_timeout_ms", "600000", NULL);
    push_host_deliver(&host, 1);
    for (int i = 0; i < _i; i++)
        ck_assert_int_eq(loop_turn(host.loop, 1), 0);
    push_host_skip(&host, (uint64_t)_i);
    push_host_close(&host);
    ck_assert_uint_eq(host.outcome_count, 1);
}
END_TEST

/* --- a host that delivers from inside complete --- */

static uint64_t next_id, last_id;

static void deliver_next(struct push_host *h, const struct push_outcome *o)
{
    (void)o;
    if (next_id <= last_id && push_host_deliver(h, next_id++) != 0)
        next_id--;
}

START_TEST(test_reentry_when_accepted)
{
    next_id = 21;
    last_id = 600;
    host.on_outcome = deliver_next;
    server.always = ok;
    server.max_streams = 7;
    push_open(NULL);
    for (uint64_t id = 1; id <= 20; id++)
        push_host_deliver(&host, id);
    push_host_await(&host, 600);
}
END_TEST

/* Timeouts of what is queued and of what is sent, while each of them brings another. */
START_TEST(test_reentry_when_timed_out)
{
    next_id = 101;
    last_id = 400;
    host.on_outcome = deliver_next;
    server.max_streams = 4;
    push_open("request_timeout_ms", "2000", "breaker_failures", "1000", NULL);
    trust();
    server.always = hold;
    for (uint64_t id = 2; id <= 100; id++)
        push_host_deliver(&host, id);
    push_host_await(&host, 200);
    server.always = ok;
    for (size_t i = 0; i < server.request_count; i++) {
        if (!server.requests[i].answered && server.requests[i].peer->fd >= 0 && i % 3 == 0)
            push_server_disconnect(server.requests[i].peer, false);
    }
    push_host_await(&host, 400);
}
END_TEST

/* The connection breaks inside the write that a delivery from inside a timeout causes. */
START_TEST(test_reentry_while_the_connection_breaks)
{
    next_id = 101;
    last_id = 180;
    host.on_outcome = deliver_next;
    push_open("request_timeout_ms", "2000", "breaker_failures", "1000", "reconnect_max_ms", "1000",
              NULL);
    trust();
    server.always = hold;
    for (uint64_t id = 2; id <= 60; id++)
        push_host_deliver(&host, id);
    push_server_await(&server, 60);
    push_server_disconnect(&server.peers[0], true);
    /* late, before anybody has looked at the socket */
    push_host_skip(&host, 2500);
    server.always = ok;
    push_host_await(&host, 140);
}
END_TEST

/* Delivers once, when so many outcomes are there, with a deadline that is over if `late`. */
static size_t deliver_at;
static bool late;

static void deliver_once(struct push_host *h, const struct push_outcome *o)
{
    (void)o;
    if (h->outcome_count != deliver_at)
        return;
    ck_assert_int_eq(
        push_host_deliver_as(h, 1000,
                             &(struct push_changes){.deadline_ms = late ? h->wheel.now_ms : 0}),
        0);
}

/* What is sent and what waits times out together; the delivery from inside the first report about
 * what waits sends those that were to be looked at next. */
START_TEST(test_reentry_between_queued_timeouts)
{
    host.on_outcome = deliver_once;
    deliver_at = 1 + 4 + 1;
    late = false;
    server.max_streams = 4;
    push_open("request_timeout_ms", "2000", "breaker_failures", "1000", "connections", "1", NULL);
    trust();
    server.always = hold;
    for (uint64_t id = 2; id <= 12; id++)
        push_host_deliver(&host, id);
    push_server_await(&server, 5);
    push_host_await(&host, 6);
    push_host_pass(&host, 20);
    server.always = ok;
    for (size_t i = 5; i < server.request_count; i++)
        push_server_answer(&server.requests[i], 200, NULL);
    push_host_await(&host, 13);
}
END_TEST

/* The same while the connection is lost in that delivery: the list being looked at is another's. */
START_TEST(test_reentry_between_sent_timeouts)
{
    host.on_outcome = deliver_once;
    deliver_at = 2;
    late = true;
    push_open("request_timeout_ms", "2000", "breaker_failures", "1000", "reconnect_max_ms", "1000",
              NULL);
    trust();
    server.always = hold;
    for (uint64_t id = 2; id <= 12; id++)
        push_host_deliver(&host, id);
    push_server_await(&server, 12);
    push_server_disconnect(&server.peers[0], true);
    push_host_skip(&host, 2500);
    server.always = ok;
    push_host_deliver(&host, 13);
    push_host_await(&host, 14);
    ck_assert_uint_eq(push_host_outcome(&host, 13)->kind, DP_ACCEPTED);
}
END_TEST

START_TEST(test_reentry_when_the_breaker_opens)
{
    next_id = 31;
    last_id = 60;
    host.on_outcome = deliver_next;
    server.always = (struct push_answer){.status = 500};
    push_open("breaker_failures", "2", NULL);
    for (uint64_t id = 1; id <= 30; id++)
        push_host_deliver(&host, id);
    push_host_await(&host, 60);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("apns_lane");
    TCase *tcase = tcase_create("lane");

    tcase_add_checked_fixture(tcase, push_set_up, push_tear_down);
    tcase_add_test(tcase, test_in_flight_limit);
    tcase_add_test(tcase, test_a_stalled_lane_stalls_no_other);
    tcase_add_test(tcase, test_one_key_stalls_no_other);
    tcase_add_test(tcase, test_no_answers_open_the_breaker);
    tcase_add_test(tcase, test_deadline_of_the_host);
    tcase_add_test(tcase, test_cancel);
    tcase_add_test(tcase, test_close_with_deliveries_in_flight);
    tcase_add_loop_test(tcase, test_close_at_any_moment, 0, 8);
    tcase_add_test(tcase, test_reentry_when_accepted);
    tcase_add_test(tcase, test_reentry_when_timed_out);
    tcase_add_test(tcase, test_reentry_while_the_connection_breaks);
    tcase_add_test(tcase, test_reentry_between_queued_timeouts);
    tcase_add_test(tcase, test_reentry_between_sent_timeouts);
    tcase_add_test(tcase, test_reentry_when_the_breaker_opens);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
