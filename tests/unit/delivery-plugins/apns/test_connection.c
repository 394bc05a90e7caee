/* Tests of delivery-plugins/apns/connection.c and resolve.c: streams, and connections that end. */
#include "push_fixture.h"

#include <check.h>
#include <netinet/in.h>
#include <stdio.h>

#include "common/auto.h"

#include "tests/support/run_suite.h"

static const struct push_answer ok = {.status = 200}, hold = {.action = PUSH_HOLD};

static void deliver_many(uint64_t first, uint64_t last)
{
    for (uint64_t id = first; id <= last; id++)
        ck_assert_int_eq(push_host_deliver(&host, id), 0);
}

/* One accepted request: as many streams as the server allows from now on. */
static void trust(void)
{
    server.always = ok;
    deliver_many(1, 1);
    push_host_await(&host, 1);
    ck_assert_uint_eq(push_host_outcome(&host, 1)->kind, DP_ACCEPTED);
}

static void all_accepted(uint64_t first, uint64_t last)
{
    push_host_await(&host, last);
    for (uint64_t id = first; id <= last; id++)
        ck_assert_msg(push_host_outcome(&host, id)->kind == DP_ACCEPTED, "%s",
                      push_host_outcome(&host, id)->reason);
}

static size_t requests_with(const char *apns_id)
{
    size_t count = 0;

    for (size_t i = 0; i < server.request_count; i++)
        count += strcmp(server.requests[i].apns_id, apns_id) == 0;
    return count;
}

/* --- streams --- */

START_TEST(test_one_stream_until_a_token_was_accepted)
{
    server.always = hold;
    server.max_streams = 5;
    push_open("connections", "2", NULL);
    deliver_many(1, 30);
    push_server_await(&server, 1);
    push_host_pass(&host, 2000);
    ck_assert_uint_eq(server.request_count, 1);
    ck_assert_uint_eq(server.peer_count, 1);
    /* now what the settings say, and another connection, because they are what limits */
    push_server_answer(&server.requests[0], 200, NULL);
    push_server_await(&server, 1 + 5 + 1);
    push_host_pass(&host, 2000);
    ck_assert_uint_eq(server.request_count, 1 + 5 + 1);
    ck_assert_uint_eq(server.peer_count, 2);
    ck_assert_uint_eq(server.peers[1].requests, 1);
}
END_TEST

START_TEST(test_an_answer_about_the_device_is_trust_too)
{
    server.always = hold;
    push_open(NULL);
    deliver_many(1, 10);
    push_server_await(&server, 1);
    push_server_answer(&server.requests[0], 410, "{\"reason\":\"Unregistered\"}");
    push_server_await(&server, 10);
}
END_TEST

START_TEST(test_the_limit_is_followed)
{
    server.max_streams = 2;
    push_open("connections", "1", NULL);
    trust();
    server.always = hold;
    deliver_many(2, 20);
    push_server_await(&server, 3);
    push_host_pass(&host, 500);
    ck_assert_uint_eq(server.request_count, 3);
    push_server_limit(&server.peers[0], 6);
    push_server_answer(&server.requests[1], 200, NULL);
    push_server_await(&server, 8);
    push_host_pass(&host, 500);
    ck_assert_uint_eq(server.request_count, 8);
    push_server_limit(&server.peers[0], 1);
    for (size_t i = 2; i < 7; i++)
        push_server_answer(&server.requests[i], 200, NULL);
    push_host_pass(&host, 500);
    ck_assert_uint_eq(server.request_count, 8);
    push_server_answer(&server.requests[7], 200, NULL);
    push_server_await(&server, 9);
    push_host_pass(&host, 500);
    ck_assert_uint_eq(server.request_count, 9);
}
END_TEST

START_TEST(test_a_thousand)
{
    push_open("in_flight", "2000", NULL);
    trust();
    deliver_many(2, 1000);
    all_accepted(1, 1000);
    ck_assert_uint_eq(server.request_count, 1000);
    ck_assert_uint_le(server.peer_count, 2);
    ck_assert_uint_eq(server.priority_frames, 0);
}
END_TEST

START_TEST(test_refused_stream_goes_again)
{
    static const struct push_answer answers[] = {
        {.status = 200}, {.action = PUSH_RESET, .error = NGHTTP2_REFUSED_STREAM}};

    server.script = answers;
    server.script_len = 2;
    push_open(NULL);
    deliver_many(1, 1);
    push_host_await(&host, 1);
    deliver_many(2, 2);
    all_accepted(2, 2);
    ck_assert_uint_eq(server.request_count, 3);
    ck_assert_str_eq(server.requests[1].apns_id, server.requests[2].apns_id);
}
END_TEST

START_TEST(test_refused_for_ever_is_given_back)
{
    push_open(NULL);
    trust();
    server.always = (struct push_answer){.action = PUSH_RESET, .error = NGHTTP2_REFUSED_STREAM};
    deliver_many(2, 2);
    push_host_await(&host, 2);
    ck_assert_uint_eq(push_host_outcome(&host, 2)->kind, DP_RETRY);
    ck_assert_str_eq(push_host_outcome(&host, 2)->reason, "stream-refused");
    ck_assert_uint_eq(server.request_count, 1 + 4);
}
END_TEST

START_TEST(test_timeout)
{
    push_open("request_timeout_ms", "5000", NULL);
    trust();
    server.always = hold;
    deliver_many(2, 2);
    push_host_await(&host, 2);
    ck_assert_uint_eq(push_host_outcome(&host, 2)->kind, DP_RETRY);
    ck_assert_str_eq(push_host_outcome(&host, 2)->reason, "timeout");
    push_host_pass(&host, 10);
    ck_assert_uint_eq(server.resets, 1);
    ck_assert_uint_eq(push_host_counter(&host, "timeouts"), 1);
    /* the connection is still good; a late answer finds nobody */
    server.always = ok;
    deliver_many(3, 3);
    all_accepted(3, 3);
    ck_assert_uint_eq(server.peer_count, 1);
}
END_TEST

/* A connection whose first request is never answered is not the one to send all others on. */
START_TEST(test_hung_from_the_start)
{
    server.always = hold;
    push_open("request_timeout_ms", "5000", NULL);
    deliver_many(1, 1);
    push_host_await(&host, 1);
    server.always = ok;
    deliver_many(2, 2);
    all_accepted(2, 2);
    ck_assert_uint_eq(server.requests[1].peer_index, 1);
}
END_TEST

/* --- connections --- */

START_TEST(test_goaway)
{
    push_open(NULL);
    trust();
    server.always = hold;
    deliver_many(2, 5);
    push_server_await(&server, 5);
    server.always = ok;
    /* the first two are still worked on, the others were not looked at */
    push_server_goaway(&server.peers[0], server.requests[2].stream_id);
    push_server_await(&server, 7);
    push_host_await(&host, 3);
    ck_assert_uint_eq(server.requests[5].peer_index, 1);
    push_server_answer(&server.requests[1], 200, NULL);
    push_server_answer(&server.requests[2], 200, NULL);
    all_accepted(1, 5);
    push_host_pass(&host, 1000);
    ck_assert_uint_eq(server.request_count, 7);
    for (size_t i = 1; i < 5; i++)
        ck_assert_uint_eq(requests_with(server.requests[i].apns_id), i < 3 ? 1 : 2);
    ck_assert_int_eq(server.peers[0].fd, -1);
    ck_assert_uint_eq(push_host_counter(&host, "goaways"), 1);
    ck_assert_uint_eq(push_host_counter(&host, "connections_lost"), 0);
    /* the next connection was made at once */
    ck_assert_uint_lt(server.peers[1].accepted_ms, server.requests[4].at_ms + 500);
}
END_TEST

START_TEST(test_goaway_and_no_answer)
{
    push_open(NULL);
    trust();
    server.always = hold;
    deliver_many(2, 3);
    push_server_await(&server, 3);
    server.always = ok;
    push_server_goaway(&server.peers[0], server.requests[2].stream_id);
    push_server_disconnect(&server.peers[0], false);
    all_accepted(1, 3);
    ck_assert_uint_eq(requests_with(server.requests[1].apns_id), 2);
    ck_assert_uint_eq(requests_with(server.requests[2].apns_id), 2);
}
END_TEST

/* A server that says goodbye to everyone is not called again at once, for ever. */
START_TEST(test_goodbyes_are_paced)
{
    server.goodbye = true;
    push_open(NULL);
    deliver_many(1, 20);
    push_host_await(&host, 20);
    ck_assert_uint_ge(server.peer_count, 2);
    ck_assert_uint_le(server.peer_count, 10);
    for (size_t i = 1; i < server.peer_count; i++)
        ck_assert_uint_ge(server.peers[i].accepted_ms - server.peers[i - 1].accepted_ms, 1000);
}
END_TEST

START_TEST(test_lost_before_the_answer)
{
    push_open(NULL);
    trust();
    server.always = hold;
    deliver_many(2, 4);
    push_server_await(&server, 4);
    server.always = ok;
    push_server_disconnect(&server.peers[0], _i);
    all_accepted(1, 4);
    ck_assert_uint_eq(server.request_count, 7);
    for (size_t i = 1; i < 4; i++) {
        ck_assert_uint_eq(requests_with(server.requests[i].apns_id), 2);
        /* in their order, under the ids they had */
        ck_assert_str_eq(server.requests[i].apns_id, server.requests[i + 3].apns_id);
        ck_assert_str_eq(server.requests[i].collapse_id, server.requests[i + 3].collapse_id);
    }
    ck_assert_uint_eq(push_host_counter(&host, "connections_lost"), 1);
    ck_assert_uint_ge(server.peers[1].accepted_ms, server.requests[3].at_ms + 1000);
}
END_TEST

START_TEST(test_lost_too_often)
{
    server.always = (struct push_answer){.action = PUSH_DISCONNECT};
    push_open("reconnect_max_ms", "1000", NULL);
    deliver_many(1, 1);
    push_host_await(&host, 1);
    ck_assert_uint_eq(host.outcomes[0].kind, DP_RETRY);
    ck_assert_str_eq(host.outcomes[0].reason, "connection-lost");
    ck_assert_uint_eq(server.request_count, 4);
    ck_assert_uint_eq(requests_with(server.requests[0].apns_id), 4);
}
END_TEST

START_TEST(test_ping)
{
    push_open("ping_idle_ms", "20000", NULL);
    trust();
    push_host_pass(&host, 100000);
    ck_assert_uint_ge(server.pings, 4);
    ck_assert_int_ge(server.peers[0].fd, 0);
    ck_assert_uint_eq(push_host_counter(&host, "connections_lost"), 0);
}
END_TEST

START_TEST(test_ping_without_answer)
{
    server.mute_pings = true;
    push_open("ping_idle_ms", "5000", "ping_timeout_ms", "3000", NULL);
    trust();
    server.mute_pings = false;
    server.always = hold;
    deliver_many(2, 2);
    push_server_await(&server, 2);
    server.always = ok;
    all_accepted(2, 2);
    ck_assert_uint_eq(server.pings, 1);
    ck_assert_uint_eq(push_host_counter(&host, "connections_lost"), 1);
    ck_assert_str_eq(server.requests[1].apns_id, server.requests[2].apns_id);
    ck_assert_uint_eq(server.requests[2].peer_index, 1);
}
END_TEST

/* Frames that break the protocol: the session is over, and so is the connection, now. */
START_TEST(test_protocol_error)
{
    static const struct {
        const uint8_t bytes[17];
        size_t len;
    } frames[] = {
        {{0, 0, 1, 0x0, 0, 0, 0, 0, 0, 'x'}, 10},    /* DATA on stream 0 */
        {{0, 0, 4, 0x8, 0, 0, 0, 0, 0}, 13},         /* WINDOW_UPDATE of 0 */
        {{0xff, 0xff, 0xff, 0x0, 0, 0, 0, 0, 1}, 9}, /* far too long */
        {"HTTP/1.1 400 bad\n", 17},
    };

    push_open(NULL);
    trust();
    server.always = hold;
    deliver_many(2, 2);
    push_server_await(&server, 2);
    server.always = ok;
    push_server_garbage(&server.peers[0], frames[_i].bytes, frames[_i].len);
    all_accepted(2, 2);
    ck_assert_uint_eq(server.requests[2].peer_index, 1);
    ck_assert_uint_lt(server.requests[2].at_ms - server.requests[1].at_ms, 5000);
}
END_TEST

/* SIGPIPE would end this process, as it would the host's. */
START_TEST(test_writing_to_a_reset_connection)
{
    push_open(NULL);
    trust();
    server.always = ok;
    push_server_disconnect(&server.peers[0], true);
    deliver_many(2, 40); /* before the plugin has read that it is over */
    all_accepted(2, 40);
}
END_TEST

START_TEST(test_refused_connections_are_paced)
{
    push_server_refuse(&server);
    push_open("breaker_failures", "3", NULL);
    deliver_many(1, 5);
    push_host_await(&host, 5);
    ck_assert_uint_eq(host.outcomes[4].kind, DP_RETRY);
    ck_assert_str_eq(host.outcomes[4].reason, "breaker-open");
    ck_assert_uint_eq(push_host_counter(&host, "breaker_opened"), 1);
    ck_assert_uint_eq(push_host_counter(&host, "connections_lost"), 3);
    ck_assert_uint_ge(host.outcomes[4].at_ms, 1000000 + 1000 + 2000);
    /* and it recovers */
    push_server_listen(&server);
    push_host_pass(&host, 10000);
    deliver_many(6, 6);
    all_accepted(6, 6);
}
END_TEST

START_TEST(test_hang_up)
{
    server.hang_up = true;
    push_open("breaker_failures", "2", NULL);
    deliver_many(1, 1);
    push_host_await(&host, 1);
    ck_assert_uint_eq(host.outcomes[0].kind, DP_RETRY);
    ck_assert_uint_eq(server.peer_count, 2);
}
END_TEST

START_TEST(test_a_certificate_for_somebody_else)
{
    push_server_refuse(&server);
    server.address = INADDR_LOOPBACK + 1;
    push_server_listen(&server);
    push_open("production.host", "127.0.0.2", "breaker_failures", "1", NULL);
    deliver_many(1, 1);
    push_host_await(&host, 1);
    ck_assert_uint_eq(host.outcomes[0].kind, DP_RETRY);
    ck_assert_uint_eq(server.peer_count, 1);
    ck_assert_uint_eq(server.request_count, 0);
}
END_TEST

START_TEST(test_an_unknown_authority)
{
    push_open("tls.ca_file", "", "breaker_failures", "1", NULL);
    deliver_many(1, 1);
    push_host_await(&host, 1);
    ck_assert_uint_eq(host.outcomes[0].kind, DP_RETRY);
    ck_assert_uint_eq(server.peer_count, 1);
    ck_assert_uint_eq(server.request_count, 0);
}
END_TEST

START_TEST(test_a_name)
{
    push_open("production.host", "localhost", "connect_timeout_ms", "600000", "request_timeout_ms",
              "600000", NULL);
    deliver_many(1, 1);
    all_accepted(1, 1);
}
END_TEST

/* Closed while the resolver works: nobody waits for it, and what it finds is freed. */
START_TEST(test_closed_while_resolving)
{
    push_open("production.host", "localhost", NULL);
    deliver_many(1, 1);
    push_host_close(&host);
    ck_assert_uint_eq(host.outcome_count, 1);
    ck_assert_str_eq(host.outcomes[0].reason, "closing");
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, test_one_stream_until_a_token_was_accepted);
    tcase_add_test(tcase, test_an_answer_about_the_device_is_trust_too);
    tcase_add_test(tcase, test_the_limit_is_followed);
    tcase_add_test(tcase, test_a_thousand);
    tcase_add_test(tcase, test_refused_stream_goes_again);
    tcase_add_test(tcase, test_refused_for_ever_is_given_back);
    tcase_add_test(tcase, test_timeout);
    tcase_add_test(tcase, test_hung_from_the_start);
    tcase_add_test(tcase, test_goaway);
    tcase_add_test(tcase, test_goaway_and_no_answer);
    tcase_add_test(tcase, test_goodbyes_are_paced);
    tcase_add_loop_test(tcase, test_lost_before_the_answer, 0, 2);
    tcase_add_test(tcase, test_lost_too_often);
    tcase_add_test(tcase, test_ping);
    tcase_add_test(tcase, test_ping_without_answer);
    tcase_add_loop_test(tcase, test_protocol_error, 0, 4);
    tcase_add_test(tcase, test_writing_to_a_reset_connection);
    tcase_add_test(tcase, test_refused_connections_are_paced);
    tcase_add_test(tcase, test_hang_up);
    tcase_add_test(tcase, test_a_certificate_for_somebody_else);
    tcase_add_test(tcase, test_an_unknown_authority);
    tcase_add_test(tcase, test_a_name);
    tcase_add_test(tcase, test_closed_while_resolving);
}

int main(void)
{
    Suite *suite = suite_create("apns_connection");
    TCase *tcase = tcase_create("connections");

    tcase_add_checked_fixture(tcase, push_set_up, push_tear_down);
    add_tests(tcase);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
