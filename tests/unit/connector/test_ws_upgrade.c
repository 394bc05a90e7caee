/* Tests of connector/ws_upgrade.c: the example of RFC 6455 section 1.3, and each thing a request
 * can get wrong. All of them also byte by byte. */
#include "connector/ws_upgrade.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/auto.h"

#include "tests/support/run_suite.h"

#define LINE "GET /mqtt HTTP/1.1\r\n"
#define HOST "Host: example.org\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define PROTOCOL "Sec-WebSocket-Protocol: mqtt\r\n"
#define END "\r\n"
#define GOOD_HEADERS HOST UPGRADE KEY VERSION PROTOCOL

static char chat[] = "https://chat.example.org", local[] = "http://localhost:8000";
static char *origins[] = {chat, local};
static struct ws_policy policy;
static struct ws_upgrade upgrade;
static struct buf answer;

static void set_up(void)
{
    policy = (struct ws_policy){.path = "/mqtt"};
    answer = (struct buf){0};
}

static void tear_down(void)
{
    buf_release(&answer);
}

/* Returns the bytes used; the answer is in `answer`, NUL-terminated. */
static uint32_t feed(const char *request, uint32_t chunk)
{
    uint32_t len = (uint32_t)strlen(request), at = 0;
    int r = 0;

    ws_upgrade_init(&upgrade, &policy);
    while (at < len && r == 0) {
        uint32_t used, size = len - at < chunk ? len - at : chunk;

        r = ws_upgrade_feed(&upgrade, bytes_of(request + at, size), &used);
        ck_assert(r == 1 || used == size);
        at += used;
    }
    ck_assert_msg(r == 1, "not decided: %s", request);
    buf_clear(&answer);
    ws_upgrade_answer(&upgrade, &answer);
    buf_put_u8(&answer, '\0');
    ck_assert(buf_ok(&answer));
    return at;
}

static const char *text(void)
{
    return (const char *)answer.data;
}

/* A response of that status whose body is as long as it says and has `what` in it. */
static void expect_refusal(const char *request, const char *status, const char *what)
{
    static const uint32_t chunks[] = {UINT32_MAX, 1, 7};

    for (size_t i = 0; i < ARRAY_LEN(chunks); i++) {
        const char *body, *length;
        char why[256];

        feed(request, chunks[i]);
        ck_assert(ws_upgrade_refused(&upgrade));
        ck_assert_msg(strncmp(text(), "HTTP/1.1 ", 9) == 0 &&
                          strncmp(text() + 9, status, strlen(status)) == 0,
                      "expected %s: %s", status, text());
        body = strstr(text(), "\r\n\r\n");
        length = strstr(text(), "Content-Length: ");
        ck_assert(body != NULL && length != NULL);
        body += 4;
        ck_assert_uint_eq(strtoul(length + 16, NULL, 10), strlen(body));
        ws_upgrade_explain(&upgrade, why, sizeof(why)); /* the log has the same as the client */
        ck_assert(strncmp(why, body, strlen(why)) == 0 && strcmp(body + strlen(why), "\n") == 0);
        ck_assert_msg(strstr(text(), what) != NULL, "expected \"%s\": %s", what, text());
        ck_assert_ptr_nonnull(strstr(text(), "lose\r\n"));
    }
}

static void expect_upgrade(const char *request)
{
    ck_assert_uint_eq(feed(request, UINT32_MAX), strlen(request));
    ck_assert_msg(!ws_upgrade_refused(&upgrade), "%s", text());
    ck_assert_uint_eq(feed(request, 1), strlen(request));
    ck_assert(!ws_upgrade_refused(&upgrade));
}

START_TEST(test_example)
{
    expect_upgrade("GET /mqtt HTTP/1.1\r\n"
                   "Host: server.example.com\r\n"
                   "Upgrade: websocket\r\n"
                   "Connection: Upgrade\r\n"
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                   "Origin: http://example.com\r\n"
                   "Sec-WebSocket-Protocol: mqtt, superchat\r\n"
                   "Sec-WebSocket-Version: 13\r\n\r\n");
    ck_assert_str_eq(text(), "HTTP/1.1 101 Switching Protocols\r\n"
                             "Upgrade: websocket\r\n"
                             "Connection: Upgrade\r\n"
                             "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                             "Sec-WebSocket-Protocol: mqtt\r\n\r\n");
}
END_TEST

START_TEST(test_spellings)
{
    expect_upgrade("GET /mqtt HTTP/1.1\r\n"
                   "hOST:server\r\n"
                   "UPGRADE:\t h2c ,WebSocket\t\r\n"
                   "connection: keep-alive, uPGRADE\r\n"
                   "sec-websocket-key:dGhlIHNhbXBsZSBub25jZQ==  \r\n"
                   "sec-websocket-protocol: superchat\r\n"
                   "sec-websocket-protocol:mqttv3.1,mqtt\r\n"
                   "sec-websocket-extensions: permessage-deflate; client_max_window_bits\r\n"
                   "content-length: 0\r\n"
                   "X-Empty:\r\n"
                   "X-Not-Ascii: \xc3\xbc\r\n"
                   "sec-websocket-version: 13\r\n\r\n");
    ck_assert_ptr_nonnull(strstr(text(), "Sec-WebSocket-Protocol: mqtt\r\n"));
    ck_assert_ptr_null(strstr(text(), "Extensions"));
}
END_TEST

START_TEST(test_targets)
{
    expect_upgrade("GET /mqtt?token=a://b/c?d HTTP/1.1\r\n" GOOD_HEADERS END);
    expect_upgrade("GET http://example.org/mqtt HTTP/1.1\r\n" GOOD_HEADERS END);
    expect_upgrade("GET wss://example.org:8084/mqtt?x HTTP/1.1\r\n" GOOD_HEADERS END);
    policy.path = "/";
    expect_upgrade("GET / HTTP/1.1\r\n" GOOD_HEADERS END);
    expect_upgrade("GET http://example.org HTTP/1.1\r\n" GOOD_HEADERS END);
}
END_TEST

START_TEST(test_bytes_behind_the_request)
{
    static const char request[] = LINE GOOD_HEADERS END "\x82\x80";

    ck_assert_uint_eq(feed(request, UINT32_MAX), sizeof(request) - 3);
    ck_assert(!ws_upgrade_refused(&upgrade));
}
END_TEST

START_TEST(test_older_protocol_name)
{
    expect_upgrade(LINE HOST UPGRADE KEY VERSION "Sec-WebSocket-Protocol: mqttv3.1\r\n\r\n");
    ck_assert_ptr_nonnull(strstr(text(), "Sec-WebSocket-Protocol: mqttv3.1\r\n"));
}
END_TEST

/* --- refusals --- */

START_TEST(test_request_lines)
{
    static const struct {
        const char *line, *status, *what;
    } cases[] = {
        {"\x10\x10MQTT\r\n", "400", "HTTP/1.1 request"}, /* a client of the TCP port */
        {"\x16\x03\x01\r\n", "400", "HTTP/1.1 request"}, /* of the TLS port */
        {"\r\n", "400", "HTTP/1.1 request"},
        {"GET\r\n", "400", "HTTP/1.1 request"},
        {"GET /mqtt\r\n", "400", "HTTP/1.1 request"},
        {"GET  HTTP/1.1\r\n", "400", "HTTP/1.1 request"},
        {" /mqtt HTTP/1.1\r\n", "400", "HTTP/1.1 request"},
        {"GET  /mqtt HTTP/1.1\r\n", "400", "HTTP/1.1 request"},
        {"GET /mqtt HTTP/1.1 \r\n", "505", "expected HTTP/1.1"},
        {"GET /mqtt HTTP/1.0\r\n", "505", "expected HTTP/1.1"},
        {"PRI * HTTP/2.0\r\n", "505", "expected HTTP/1.1"},
        {"POST /mqtt HTTP/1.1\r\n", "405", "Allow: GET\r\n"},
        {"get /mqtt HTTP/1.1\r\n", "405", "the method GET"},
        {"GET / HTTP/1.1\r\n", "404", "the path /mqtt\n"},
        {"GET /mqtt/ HTTP/1.1\r\n", "404", "the path /mqtt\n"},
        {"GET /MQTT HTTP/1.1\r\n", "404", "the path /mqtt\n"},
        {"GET mqtt HTTP/1.1\r\n", "404", "the path /mqtt\n"},
        {"GET http:///mqtt/x HTTP/1.1\r\n", "404", "the path /mqtt\n"},
        {"GET * HTTP/1.1\r\n", "404", "the path /mqtt\n"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        expect_refusal(cases[i].line, cases[i].status, cases[i].what);
}
END_TEST

START_TEST(test_missing_headers)
{
    expect_refusal(LINE UPGRADE KEY VERSION PROTOCOL END, "400", "one Host header");
    expect_refusal(LINE "Host:\r\n" UPGRADE KEY VERSION PROTOCOL END, "400", "one Host header");
    expect_refusal(LINE HOST KEY VERSION PROTOCOL END, "426", "Upgrade: websocket\r\n");
    expect_refusal(LINE HOST "Upgrade: websocket\r\n" KEY VERSION PROTOCOL END, "426",
                   "\"Connection: Upgrade\"");
    expect_refusal(LINE HOST "Connection: Upgrade\r\nUpgrade: h2c\r\n" KEY VERSION PROTOCOL END,
                   "426", "\"Upgrade: websocket\"");
    expect_refusal(LINE HOST UPGRADE KEY PROTOCOL END, "426", "\r\nSec-WebSocket-Version: 13\r\n");
    expect_refusal(LINE HOST UPGRADE VERSION PROTOCOL END, "400", "Sec-WebSocket-Key");
    expect_refusal(LINE HOST UPGRADE KEY VERSION END, "400", "Sec-WebSocket-Protocol: mqtt");
}
END_TEST

START_TEST(test_bad_values)
{
    static const struct {
        const char *headers, *status, *what;
    } cases[] = {
        {HOST UPGRADE KEY PROTOCOL "Sec-WebSocket-Version: 8\r\n", "426",
         "\r\nSec-WebSocket-Version: 13\r\n"},
        {HOST UPGRADE KEY PROTOCOL "Sec-WebSocket-Version: 013\r\n", "426",
         "\r\nSec-WebSocket-Version: 13\r\n"},
        {HOST UPGRADE VERSION PROTOCOL "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ===\r\n", "400",
         "Sec-WebSocket-Key"},
        {HOST UPGRADE VERSION PROTOCOL "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n", "400",
         "Sec-WebSocket-Key"},
        {HOST UPGRADE VERSION PROTOCOL "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQAA\r\n", "400",
         "Sec-WebSocket-Key"},
        {HOST UPGRADE VERSION PROTOCOL "Sec-WebSocket-Key: dGhl*HNhbXBsZSBub25jZQ==\r\n", "400",
         "Sec-WebSocket-Key"},
        {HOST UPGRADE VERSION PROTOCOL "Sec-WebSocket-Key: dGhlIHNh XBsZSBub25jZQ==\r\n", "400",
         "Sec-WebSocket-Key"},
        {HOST UPGRADE VERSION PROTOCOL "Sec-WebSocket-Key:\r\n", "400", "Sec-WebSocket-Key"},
        {HOST UPGRADE KEY VERSION "Sec-WebSocket-Protocol: mqtt5, MQTT, xmqtt\r\n", "400",
         "Sec-WebSocket-Protocol: mqtt"},
        {HOST UPGRADE KEY VERSION "Sec-WebSocket-Protocol: ,, \r\n", "400",
         "Sec-WebSocket-Protocol: mqtt"},
        {GOOD_HEADERS "Content-Length: 5\r\n", "400", "without a body"},
        {GOOD_HEADERS "Transfer-Encoding: chunked\r\n", "400", "without a body"},
    };
    char request[1024];

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        snprintf(request, sizeof(request), LINE "%s\r\n", cases[i].headers);
        expect_refusal(request, cases[i].status, cases[i].what);
    }
}
END_TEST

START_TEST(test_headers_given_twice)
{
    policy.origins = origins;
    policy.origin_count = ARRAY_LEN(origins);
    expect_refusal(LINE GOOD_HEADERS HOST END, "400", "one Host header");
    expect_refusal(LINE GOOD_HEADERS KEY END, "400", "one Sec-WebSocket-Key");
    expect_refusal(LINE GOOD_HEADERS VERSION END, "426", "Version: 13");
    expect_refusal(LINE GOOD_HEADERS "Origin: https://chat.example.org\r\n"
                                     "Origin: https://chat.example.org\r\n" END,
                   "403", "websocket.origins");
}
END_TEST

START_TEST(test_header_syntax)
{
    static const char *const lines[] = {
        "no colon\r\n",       ": no name\r\n",     "Name : space\r\n",   " folded: line\r\n",
        "\tfolded: line\r\n", "Bad\"Name: x\r\n",  "N\xc3\xbc: x\r\n",   "Name: bare\rCR\r\n",
        "Name: bare LF\n",    "Name: bell \a\r\n", "Name: DEL \x7f\r\n", "\n",
    };
    char request[1024];

    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        snprintf(request, sizeof(request), LINE HOST "%s" UPGRADE KEY VERSION PROTOCOL END,
                 lines[i]);
        expect_refusal(request, "400", "\"Name: value\"");
    }
}
END_TEST

/* --- limits --- */

/* front, then `count` times `middle`, then back. Owned by the caller. */
static char *repeat(const char *front, const char *middle, size_t count, const char *back)
{
    char *made = malloc(strlen(front) + count * strlen(middle) + strlen(back) + 1);
    char *at = made;

    ck_assert_ptr_nonnull(made);
    at = stpcpy(at, front);
    for (size_t i = 0; i < count; i++)
        at = stpcpy(at, middle);
    stpcpy(at, back);
    return made;
}

START_TEST(test_long_request_line)
{
    const size_t around = strlen("GET /mqtt? HTTP/1.1");
    AUTO_FREE char *fits =
        repeat("GET /mqtt?", "x", WS_LINE_MAX - around, " HTTP/1.1\r\n" GOOD_HEADERS END);
    AUTO_FREE char *over =
        repeat("GET /mqtt?", "x", WS_LINE_MAX - around + 1, " HTTP/1.1\r\n" GOOD_HEADERS END);

    expect_upgrade(fits);
    expect_refusal(over, "414", "2048");
}
END_TEST

START_TEST(test_long_headers)
{
    AUTO_FREE char *cookie =
        repeat(LINE "Cookie: ", "x", 8 * WS_LINE_MAX - 1000, END GOOD_HEADERS END);
    AUTO_FREE char *name = repeat(LINE, "x", WS_LINE_MAX + 1, ": y\r\n" GOOD_HEADERS END);
    AUTO_FREE char *ours =
        repeat(LINE GOOD_HEADERS "Sec-WebSocket-Protocol: ", "x", WS_LINE_MAX, END END);

    expect_upgrade(cookie); /* longer than what is kept of a line */
    expect_refusal(name, "431", "2048 in a header");
    expect_refusal(ours, "431", "2048 in a header");
}
END_TEST

START_TEST(test_many_headers)
{
    const size_t ours = 6; /* lines of GOOD_HEADERS */
    AUTO_FREE char *fits = repeat(LINE GOOD_HEADERS, "X: y\r\n", WS_HEADERS_MAX - ours, END);
    AUTO_FREE char *over = repeat(LINE GOOD_HEADERS, "X: y\r\n", WS_HEADERS_MAX - ours + 1, END);

    expect_upgrade(fits);
    expect_refusal(over, "431", "100 headers");
}
END_TEST

START_TEST(test_large_request)
{
    const size_t others = strlen(LINE GOOD_HEADERS "Cookie: " END END);
    AUTO_FREE char *fits =
        repeat(LINE GOOD_HEADERS "Cookie: ", "x", WS_REQUEST_MAX - others, END END);
    AUTO_FREE char *over =
        repeat(LINE GOOD_HEADERS "Cookie: ", "x", WS_REQUEST_MAX - others + 1, END END);

    ck_assert_uint_eq(strlen(fits), WS_REQUEST_MAX);
    expect_upgrade(fits);
    expect_refusal(over, "431", "16384 bytes");
}
END_TEST

/* --- Origin --- */

START_TEST(test_any_origin_without_a_list)
{
    expect_upgrade(LINE GOOD_HEADERS "Origin: https://anywhere.example\r\n\r\n");
    expect_upgrade(LINE GOOD_HEADERS "Origin: null\r\n\r\n");
}
END_TEST

START_TEST(test_listed_origins)
{
    policy.origins = origins;
    policy.origin_count = ARRAY_LEN(origins);
    expect_upgrade(LINE GOOD_HEADERS "Origin: https://chat.example.org\r\n\r\n");
    expect_upgrade(LINE GOOD_HEADERS "Origin: HTTPS://Chat.Example.org\r\n\r\n");
    expect_upgrade(LINE GOOD_HEADERS "Origin: http://localhost:8000\r\n\r\n");
    expect_upgrade(LINE GOOD_HEADERS END); /* no page */
}
END_TEST

START_TEST(test_other_origins)
{
    static const char *const others[] = {
        "https://anywhere.example",
        "http://chat.example.org",       /* another scheme */
        "https://chat.example.org:8443", /* another port */
        "https://chat.example.org.evil.example",
        "https://evil.example/https://chat.example.org",
        "null",
        "",
    };
    char request[1024];

    policy.origins = origins;
    policy.origin_count = ARRAY_LEN(origins);
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        snprintf(request, sizeof(request), LINE GOOD_HEADERS "Origin: %s\r\n\r\n", others[i]);
        expect_refusal(request, "403", "websocket.origins");
    }
}
END_TEST

static void add_tests(TCase *upgrades, TCase *refusals, TCase *limits, TCase *origin)
{
    tcase_add_test(upgrades, test_example);
    tcase_add_test(upgrades, test_spellings);
    tcase_add_test(upgrades, test_targets);
    tcase_add_test(upgrades, test_bytes_behind_the_request);
    tcase_add_test(upgrades, test_older_protocol_name);
    tcase_add_test(refusals, test_request_lines);
    tcase_add_test(refusals, test_missing_headers);
    tcase_add_test(refusals, test_bad_values);
    tcase_add_test(refusals, test_headers_given_twice);
    tcase_add_test(refusals, test_header_syntax);
    tcase_add_test(limits, test_long_request_line);
    tcase_add_test(limits, test_long_headers);
    tcase_add_test(limits, test_many_headers);
    tcase_add_test(limits, test_large_request);
    tcase_add_test(origin, test_any_origin_without_a_list);
    tcase_add_test(origin, test_listed_origins);
    tcase_add_test(origin, test_other_origins);
}

int main(void)
{
    Suite *suite = suite_create("ws_upgrade");
    TCase *cases[] = {tcase_create("upgrades"), tcase_create("refusals"), tcase_create("limits"),
                      tcase_create("origin")};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        tcase_add_checked_fixture(cases[i], set_up, tear_down);
        suite_add_tcase(suite, cases[i]);
    }
    add_tests(cases[0], cases[1], cases[2], cases[3]);
    return run_suite(suite);
}
