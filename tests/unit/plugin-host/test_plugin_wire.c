/* Tests of plugin-host/plugin_wire.c: each record there and back, and what is refused. With
 * CORPUS=FOLDER the samples are also written there, as seeds of the fuzz target. */
#include "plugin-host/plugin_wire.h"

#include "tests/support/plugin_wire_again.h"
#include "tests/support/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct buf frame;
static struct plugin_wire_record record;

static void set_up(void)
{
    frame = (struct buf){0};
    plugin_wire_begin(&frame);
}

static void tear_down(void)
{
    buf_release(&frame);
}

static void keep_seed(const char *name)
{
    const char *folder = getenv("CORPUS");
    char path[512];
    FILE *file;

    if (!folder)
        return;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(frame.data, 1, frame.len, file), frame.len);
    fclose(file);
}

/* Reads the one record of the frame, and checks that it is used up and encodes to itself. */
static void read_back(const char *name)
{
    struct plugin_wire_reader reader;
    struct plugin_wire_record copy;
    struct buf again = {0};

    ck_assert(buf_ok(&frame));
    keep_seed(name);
    ck_assert_int_eq(plugin_wire_open_frame(bytes_of(frame.data, (uint32_t)frame.len), &reader), 0);
    ck_assert_int_eq(plugin_wire_next(&reader, &copy), 1);
    plugin_wire_begin(&again);
    plugin_wire_again(&again, &copy);
    ck_assert_uint_eq(again.len, frame.len);
    ck_assert_mem_eq(again.data, frame.data, frame.len);
    buf_release(&again);
    ck_assert_int_eq(plugin_wire_next(&reader, &copy), 0);
    ck_assert_int_eq(plugin_wire_open_frame(bytes_of(frame.data, (uint32_t)frame.len), &reader), 0);
    ck_assert_int_eq(plugin_wire_next(&reader, &record), 1);
}

START_TEST(hello)
{
    plugin_wire_put_hello(&frame, 7);
    read_back("hello");
    ck_assert_uint_eq(record.abi, 7);
}
END_TEST

START_TEST(open_settings)
{
    const struct dp_setting settings[] = {{"url", "http://x", "b.conf:3"},
                                          {"keys[0].file", "", ""}};
    struct dp_setting setting;

    plugin_wire_put_open(&frame, settings, 2);
    read_back("open");
    ck_assert_uint_eq(record.settings.count, 2);
    ck_assert_int_eq(plugin_wire_next_setting(&record, &setting), 1);
    ck_assert_str_eq(setting.path, "url");
    ck_assert_str_eq(setting.value, "http://x");
    ck_assert_str_eq(setting.where, "b.conf:3");
    ck_assert_int_eq(plugin_wire_next_setting(&record, &setting), 1);
    ck_assert_str_eq(setting.path, "keys[0].file");
    ck_assert_int_eq(plugin_wire_next_setting(&record, &setting), 0);
}
END_TEST

START_TEST(opened)
{
    const struct dp_plugin descriptor = {.name = "apns", .version = "1.2", .flags = 2};

    plugin_wire_put_opened(&frame, &descriptor);
    read_back("opened");
    ck_assert_str_eq(record.opened.name, "apns");
    ck_assert_str_eq(record.opened.version, "1.2");
    ck_assert_uint_eq(record.opened.flags, 2);
}
END_TEST

START_TEST(failed)
{
    plugin_wire_put_failed(&frame, "b.conf:3: no such key");
    read_back("failed");
    ck_assert_str_eq(record.text, "b.conf:3: no such key");
}
END_TEST

static const struct dp_message message = {.struct_size = sizeof(message),
                                          .flags = DP_MESSAGE_HAS_EXPIRY,
                                          .mid = {1, 2, 3},
                                          .from = "alice",
                                          .conversation = "u/alice",
                                          .sent_at_ms = 1000,
                                          .expires_at_ms = 2000,
                                          .payload = "a\0b",
                                          .payload_size = 3,
                                          .priority = 5};
static const struct dp_device device = {.struct_size = sizeof(device),
                                        .state = DP_BACKGROUND,
                                        .user = "bob",
                                        .device = "phone",
                                        .push_provider = "apns",
                                        .push_token = "00ff",
                                        .push_topic = "org.example",
                                        .push_environment = "production",
                                        .push_registered_at_ms = 3};

START_TEST(deliver)
{
    struct dp_delivery delivery = {.struct_size = sizeof(delivery),
                                   .attempt = 2,
                                   .id = UINT64_MAX,
                                   .deadline_ms = 17,
                                   .message = &message,
                                   .device = &device,
                                   .notification = "{\"aps\":{}}",
                                   .notification_size = 10};
    const struct dp_delivery *d = &record.deliver.delivery;

    plugin_wire_put_deliver(&frame, &delivery);
    read_back("deliver");
    ck_assert_uint_eq(d->attempt, 2);
    ck_assert_uint_eq(d->id, UINT64_MAX);
    ck_assert_uint_eq(d->deadline_ms, 17);
    ck_assert_str_eq(d->notification, "{\"aps\":{}}");
    ck_assert_uint_eq(d->notification_size, 10);
    ck_assert_uint_eq(d->message->flags, DP_MESSAGE_HAS_EXPIRY);
    ck_assert_mem_eq(d->message->mid, message.mid, 16);
    ck_assert_str_eq(d->message->conversation, "u/alice");
    ck_assert_uint_eq(d->message->expires_at_ms, 2000);
    ck_assert_uint_eq(d->message->payload_size, 3);
    ck_assert_mem_eq(d->message->payload, "a\0b", 3);
    ck_assert_ptr_null(d->message->properties);
    ck_assert_uint_eq(d->message->priority, 5);
    ck_assert_uint_eq(d->device->state, DP_BACKGROUND);
    ck_assert_str_eq(d->device->push_token, "00ff");
    ck_assert_str_eq(d->device->push_environment, "production");
    ck_assert_uint_eq(d->device->push_registered_at_ms, 3);
}
END_TEST

START_TEST(deliver_without_notification)
{
    struct dp_delivery delivery = {.message = &message, .device = &device};

    plugin_wire_put_deliver(&frame, &delivery);
    read_back("deliver-plain");
    ck_assert_ptr_null(record.deliver.delivery.notification);
}
END_TEST

START_TEST(outcome)
{
    const struct dp_outcome o = {
        .kind = DP_RETRY, .retry_after_ms = 5, .gone_at_ms = 6, .reason = "busy"};

    plugin_wire_put_outcome(&frame, 9, &o);
    read_back("outcome");
    ck_assert_uint_eq(record.outcome.id, 9);
    ck_assert_uint_eq(record.outcome.outcome.kind, DP_RETRY);
    ck_assert_uint_eq(record.outcome.outcome.retry_after_ms, 5);
    ck_assert_uint_eq(record.outcome.outcome.gone_at_ms, 6);
    ck_assert_str_eq(record.outcome.outcome.reason, "busy");
}
END_TEST

START_TEST(outcome_without_reason)
{
    plugin_wire_put_outcome(&frame, 9, &(struct dp_outcome){.kind = DP_ACCEPTED});
    read_back("outcome-plain");
    ck_assert_ptr_null(record.outcome.outcome.reason);
}
END_TEST

START_TEST(small_records)
{
    plugin_wire_put_cancel(&frame, 4);
    read_back("cancel");
    ck_assert_uint_eq(record.id, 4);
    tear_down(), set_up();
    plugin_wire_put_stamp(&frame, PLUGIN_WIRE_PONG, 5);
    read_back("pong");
    ck_assert_int_eq(record.type, PLUGIN_WIRE_PONG);
    ck_assert_uint_eq(record.stamp, 5);
    tear_down(), set_up();
    plugin_wire_put_count(&frame, "sent", 6);
    read_back("count");
    ck_assert_str_eq(record.count.name, "sent");
    ck_assert_uint_eq(record.count.delta, 6);
    tear_down(), set_up();
    plugin_wire_put_log(&frame, 77, "text");
    read_back("log");
    ck_assert_uint_eq(record.log.level, DP_LOG_DEBUG);
    ck_assert_str_eq(record.log.text, "text");
    tear_down(), set_up();
    plugin_wire_put_empty(&frame, PLUGIN_WIRE_CLOSE);
    read_back("close");
    ck_assert_int_eq(record.type, PLUGIN_WIRE_CLOSE);
    tear_down(), set_up();
    plugin_wire_put_empty(&frame, PLUGIN_WIRE_CLOSED);
    read_back("closed");
    ck_assert_int_eq(record.type, PLUGIN_WIRE_CLOSED);
}
END_TEST

START_TEST(text_too_long_fails_the_frame)
{
    static char text[70000];
    struct dp_setting setting = {"a", text, ""};

    memset(text, 'x', sizeof(text) - 1);
    plugin_wire_put_open(&frame, &setting, 1);
    ck_assert(!buf_ok(&frame));
}
END_TEST

static int parse(void)
{
    struct plugin_wire_reader reader;
    int r = plugin_wire_open_frame(bytes_of(frame.data, (uint32_t)frame.len), &reader);

    while (r == 0) {
        r = plugin_wire_next(&reader, &record);
        if (r <= 0)
            return r;
        r = 0;
    }
    return r;
}

START_TEST(other_version_is_refused)
{
    frame.data[2]++;
    ck_assert_int_eq(parse(), ERR_VERSION);
    frame.data[0] = 'X';
    ck_assert_int_eq(parse(), ERR_MALFORMED);
    frame.len = 3;
    ck_assert_int_eq(parse(), ERR_MALFORMED);
}
END_TEST

START_TEST(damaged_records_are_refused)
{
    plugin_wire_put_log(&frame, 1, "ab");
    ck_assert_int_eq(parse(), 0);
    frame.data[frame.len - 1] = 'c'; /* not terminated */
    ck_assert_int_eq(parse(), ERR_MALFORMED);
    frame.data[frame.len - 1] = '\0';
    frame.data[frame.len - 2] = '\0'; /* terminated too early */
    ck_assert_int_eq(parse(), ERR_MALFORMED);
    frame.data[frame.len - 2] = 'b';
    frame.data[9] = 9; /* no such level */
    ck_assert_int_eq(parse(), ERR_MALFORMED);
    frame.data[9] = 1;
    frame.data[8] = 99; /* no such type */
    ck_assert_int_eq(parse(), ERR_MALFORMED);
    frame.data[8] = PLUGIN_WIRE_LOG;
    ck_assert_int_eq(parse(), 0);
    for (size_t len = frame.len - 1; len > 4; len--) {
        frame.len = len;
        ck_assert_int_eq(parse(), ERR_MALFORMED);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plugin_wire");
    TCase *records = tcase_create("records"), *refused = tcase_create("refused");

    tcase_add_checked_fixture(records, set_up, tear_down);
    tcase_add_test(records, hello);
    tcase_add_test(records, open_settings);
    tcase_add_test(records, opened);
    tcase_add_test(records, failed);
    tcase_add_test(records, deliver);
    tcase_add_test(records, deliver_without_notification);
    tcase_add_test(records, outcome);
    tcase_add_test(records, outcome_without_reason);
    tcase_add_test(records, small_records);
    tcase_add_test(records, text_too_long_fails_the_frame);
    tcase_add_checked_fixture(refused, set_up, tear_down);
    tcase_add_test(refused, other_version_is_refused);
    tcase_add_test(refused, damaged_records_are_refused);
    suite_add_tcase(suite, records);
    suite_add_tcase(suite, refused);
    return run_suite(suite);
}
