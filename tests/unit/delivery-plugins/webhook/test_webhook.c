/* Tests of delivery-plugins/webhook as the shared object it is, against a receiver on the test's
 * loop: what is sent, and what each answer means. */
#include "common/loop.h"
#include "http_server.h"
#include "plugin-host/plugin_file.h"
#include "plugin-host/plugin_services.h"
#include "tests/support/run_suite.h"

#include <check.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Longer than a busy machine takes for anything here. */
#define DEADLINE_MS 20000
#define SECRET "0123456789abcdef0123456789abcdef"

static struct loop *loop;
static struct http_server server;
static struct plugin_file file;
static struct plugin_services *services;
static void *instance;
static char secret_path[] = "/tmp/beckon-webhook-XXXXXX";
static char url[64], error[512];
static unsigned completed;
static struct dp_outcome last;
static char reason[64];
static uint64_t last_id;

static void on_complete(void *arg, uint64_t id, const struct dp_outcome *outcome)
{
    (void)arg;
    last = *outcome;
    last_id = id;
    snprintf(reason, sizeof(reason), "%s", outcome->reason ? outcome->reason : "");
    completed++;
}

static void on_log(void *arg, uint32_t level, const char *text)
{
    (void)arg, (void)level, (void)text;
}

static void on_count(void *arg, const char *name, uint64_t delta)
{
    (void)arg, (void)name, (void)delta;
}

static const struct plugin_services_hooks hooks = {
    .complete = on_complete, .log = on_log, .count = on_count};

static void set_up(void)
{
    struct err_text et;
    int fd;

    loop = loop_create();
    http_server_start(&server, loop);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/hook", server.port);
    fd = mkstemp(secret_path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, SECRET "\n", sizeof(SECRET)), (ssize_t)sizeof(SECRET));
    close(fd);
    ck_assert_msg(plugin_file_load(WEBHOOK_PLUGIN, &file, &et) == 0, "%s", et.text);
    services = plugin_services_create(loop, &hooks, NULL);
}

static void close_plugin(void)
{
    size_t watches, timers;

    if (instance)
        file.descriptor->close(instance);
    instance = NULL;
    plugin_services_held(services, &watches, &timers);
    ck_assert_uint_eq(watches, 0);
    ck_assert_uint_eq(timers, 0);
}

static void tear_down(void)
{
    close_plugin();
    plugin_services_destroy(services);
    http_server_stop(&server);
    plugin_file_unload(&file);
    unlink(secret_path);
    loop_destroy(loop);
}

static int open_with(const struct dp_setting *settings, size_t count)
{
    return file.descriptor->open(plugin_services_host(services), settings, count, &instance, error,
                                 sizeof(error));
}

static void open_plugin(const char *timeout_ms, const char *max_in_flight)
{
    const struct dp_setting settings[] = {{"url", url, "t:1"},
                                          {"secret_file", secret_path, "t:2"},
                                          {"timeout_ms", timeout_ms, "t:3"},
                                          {"max_in_flight", max_in_flight, "t:4"}};

    ck_assert_msg(open_with(settings, 4) == 0, "%s", error);
}

static int32_t deliver(uint64_t id)
{
    static const char document[] = "{\"aps\":{\"alert\":{\"title\":\"alice\"}}}";
    const struct dp_message message = {.struct_size = sizeof(message),
                                       .mid = {0x01, 0x89, 0x0a, 0x5d, 0xac, 0x96, 0x77, 0x4b, 0xbc,
                                               0xce, 0xb3, 0x02, 0x09, 0x9a, 0x80, 0x57},
                                       .from = "alice",
                                       .conversation = "u/alice"};
    const struct dp_device device = {.struct_size = sizeof(device),
                                     .user = "b\xc3\xb6"
                                             "b\r\nX-Evil: 1",
                                     .device = "phone",
                                     .push_provider = "webhook",
                                     .push_token = "",
                                     .push_topic = "",
                                     .push_environment = ""};
    const struct dp_delivery delivery = {.struct_size = sizeof(delivery),
                                         .attempt = 1,
                                         .id = id,
                                         .message = &message,
                                         .device = &device,
                                         .notification = document,
                                         .notification_size = sizeof(document) - 1};

    return file.descriptor->deliver(instance, &delivery);
}

static void wait_for(const unsigned *counter, unsigned count)
{
    uint64_t until_ms = loop_now_ms(loop) + DEADLINE_MS;

    while (*counter < count) {
        ck_assert_uint_lt(loop_now_ms(loop), until_ms);
        ck_assert_int_eq(loop_turn(loop, 100), 0);
    }
}

/* One delivery that gets `answer`. */
static void exchange(const char *answer)
{
    server.answer = answer;
    open_plugin("5000", "10");
    ck_assert_int_eq(deliver(7), 0);
    wait_for(&completed, 1);
    ck_assert_uint_eq(completed, 1);
    ck_assert_uint_eq(last_id, 7);
}

static void has_header(const char *line)
{
    ck_assert_msg(strstr(server.head, line) != NULL, "no \"%s\" in: %s", line, server.head);
}

START_TEST(accepted_with_headers_and_signature)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    char text[1024], hex[128];
    unsigned mac_size = 0;
    const char *signature;
    unsigned long long time;

    exchange("HTTP/1.1 204 No Content\r\n\r\n");
    ck_assert_uint_eq(last.kind, DP_ACCEPTED);
    ck_assert_str_eq(server.body, "{\"aps\":{\"alert\":{\"title\":\"alice\"}}}");
    has_header("POST /hook HTTP/1.1\r\n");
    has_header("Content-Type: application/json\r\n");
    has_header("X-Beckon-MID: 01890a5d-ac96-774b-bcce-b302099a8057\r\n");
    has_header("X-Beckon-User: b%C3%B6b%0D%0AX-Evil%3A%201\r\n");
    has_header("X-Beckon-Device: phone\r\n");
    has_header("Idempotency-Key: 01890a5d-ac96-774b-bcce-b302099a8057.phone\r\n");
    signature = strstr(server.head, "X-Beckon-Signature: t=");
    ck_assert_ptr_nonnull(signature);
    time = strtoull(signature + 22, NULL, 10);
    ck_assert_uint_le(time, loop_wall_ms(loop) / 1000);
    snprintf(text, sizeof(text), "%llu.%.512s", time, server.body);
    ck_assert_ptr_nonnull(HMAC(EVP_sha256(), SECRET, sizeof(SECRET) - 1,
                               (const unsigned char *)text, strlen(text), mac, &mac_size));
    for (unsigned i = 0; i < mac_size; i++)
        snprintf(hex + 2 * i, 3, "%02x", mac[i]);
    snprintf(text, sizeof(text), "X-Beckon-Signature: t=%llu,v1=%s\r\n", time, hex);
    has_header(text);
}
END_TEST

static const struct answer {
    const char *text;
    uint32_t kind;
    const char *reason;
    uint64_t retry_after_ms;
} answers[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", DP_ACCEPTED, "http-200", 0},
    {"HTTP/1.1 302 F\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", DP_FAILED, "http-302", 0},
    {"HTTP/1.1 404 N\r\nContent-Length: 0\r\n\r\n", DP_FAILED, "http-404", 0},
    {"HTTP/1.1 410 G\r\nContent-Length: 0\r\n\r\n", DP_FAILED, "http-410", 0},
    {"HTTP/1.1 408 T\r\nContent-Length: 0\r\n\r\n", DP_RETRY, "http-408", 0},
    {"HTTP/1.1 429 T\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", DP_RETRY, "http-429", 7000},
    {"HTTP/1.1 503 S\r\nRetry-After: 99999\r\nContent-Length: 0\r\n\r\n", DP_RETRY, "http-503",
     3600000},
    {"HTTP/1.1 500 I\r\nContent-Length: 0\r\n\r\n", DP_RETRY, "http-500", 0},
    {"", DP_RETRY, "connection-lost", 0},
    {"nonsense\r\n\r\n", DP_RETRY, "connection-lost", 0},
};

START_TEST(answers_and_outcomes)
{
    const struct answer *answer = &answers[_i];

    exchange(answer->text);
    ck_assert_uint_eq(last.kind, answer->kind);
    ck_assert_str_eq(reason, answer->reason);
    ck_assert_uint_eq(last.retry_after_ms, answer->retry_after_ms);
}
END_TEST

START_TEST(silent_receiver_times_out)
{
    open_plugin("200", "10");
    ck_assert_int_eq(deliver(1), 0);
    wait_for(&completed, 1);
    ck_assert_uint_eq(last.kind, DP_RETRY);
    ck_assert_str_eq(reason, "timeout");
    ck_assert_uint_eq(server.requests, 1);
}
END_TEST

START_TEST(nobody_listens)
{
    http_server_stop(&server);
    open_plugin("5000", "10");
    ck_assert_int_eq(deliver(1), 0);
    wait_for(&completed, 1);
    ck_assert_uint_eq(last.kind, DP_RETRY);
    ck_assert_str_eq(reason, "connect-failed");
}
END_TEST

START_TEST(receiver_without_tls)
{
    server.answer = "";
    snprintf(url, sizeof(url), "https://127.0.0.1:%u/hook", server.port);
    open_plugin("300", "10");
    ck_assert_int_eq(deliver(1), 0);
    wait_for(&completed, 1);
    ck_assert_uint_eq(last.kind, DP_RETRY);
}
END_TEST

START_TEST(in_flight_is_limited_and_close_reports)
{
    open_plugin("5000", "3");
    for (uint64_t id = 1; id <= 3; id++)
        ck_assert_int_eq(deliver(id), 0);
    ck_assert_int_eq(deliver(4), -1);
    wait_for(&server.requests, 3);
    ck_assert_uint_eq(completed, 0);
    close_plugin();
    ck_assert_uint_eq(completed, 3);
    ck_assert_uint_eq(last.kind, DP_RETRY);
    ck_assert_str_eq(reason, "plugin-closed");
}
END_TEST

START_TEST(connections_are_kept)
{
    server.answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    open_plugin("5000", "10");
    for (unsigned i = 1; i <= 5; i++) {
        ck_assert_int_eq(deliver(i), 0);
        wait_for(&completed, i);
    }
    ck_assert_uint_eq(server.requests, 5);
    ck_assert_uint_eq(server.accepted, 1);
}
END_TEST

/* The error that one more setting gives. */
static void refused(const char *path, const char *value, const char *words)
{
    const struct dp_setting settings[] = {
        {"url", url, "t:1"}, {"secret_file", secret_path, "t:2"}, {path, value, "t:3"}};

    ck_assert_int_eq(open_with(settings, 3), -1);
    ck_assert_msg(strstr(error, "t:3: ") == error && strstr(error, words), "%s", error);
}

START_TEST(bad_settings_are_refused)
{
    const struct dp_setting settings[] = {{"url", url, "t:1"}};

    refused("uri", "x", "unknown setting \"uri\"");
    refused("url", "ftp://x", "expected a URL that begins with");
    refused("secret_file", "/nonexistent", "could not open secret_file \"/nonexistent\"");
    refused("secret_file", "/dev/null", "expected a file of 16 to 4096 bytes");
    refused("secret_file", "/proc/self/exe", "expected a file of 16 to 4096 bytes");
    refused("timeout_ms", "99", "expected 100 to 600000");
    refused("timeout_ms", "1s", "expected 100 to 600000");
    refused("max_in_flight", "-1", "expected 1 to 10000");
    refused("tls.ca_file", "/nonexistent", "expected a readable file");
    ck_assert_int_eq(open_with(settings, 1), -1);
    ck_assert_ptr_nonnull(strstr(error, "secret_file is not set"));
    ck_assert_int_eq(open_with(NULL, 0), -1);
    ck_assert_ptr_nonnull(strstr(error, "url is not set"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("webhook");
    TCase *tcase = tcase_create("webhook");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, accepted_with_headers_and_signature);
    tcase_add_loop_test(tcase, answers_and_outcomes, 0, sizeof(answers) / sizeof(answers[0]));
    tcase_add_test(tcase, silent_receiver_times_out);
    tcase_add_test(tcase, nobody_listens);
    tcase_add_test(tcase, receiver_without_tls);
    tcase_add_test(tcase, in_flight_is_limited_and_close_reports);
    tcase_add_test(tcase, connections_are_kept);
    tcase_add_test(tcase, bad_settings_are_refused);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
