/* Tests of connector/will.c. */
#include "connector/will.h"

#include <stdlib.h>

#include "tests/support/run_suite.h"

static struct wills *wills;

static void set_up(void)
{
    wills = wills_create(2000);
    ck_assert_ptr_nonnull(wills);
}

static void tear_down(void)
{
    wills_destroy(wills);
}

static struct will *make(const char *payload)
{
    const struct wire_will wire = {
        .present = true,
        .kind = WIRE_TO_GROUP,
        .qos = 1,
        .has_expiry = true,
        .delay_s = 30,
        .expiry_s = 60,
        .to = bytes_of_string("team"),
        .key = bytes_of_string("k1"),
        .properties = bytes_of("\x01\x01", 2),
        .payload = bytes_of_string(payload),
    };
    struct will *will = will_create(&wire);

    ck_assert_ptr_nonnull(will);
    return will;
}

static int add(uint64_t conn, uint64_t due_ms, const char *payload)
{
    struct will *will = make(payload);
    const struct pending_will pending = {
        .conn = conn,
        .mid = {.octets = {1, 2, 3}},
        .epoch = 7,
        .due_ms = due_ms,
        .session_ends_ms = UINT64_MAX,
        .user = bytes_of_string("alice"),
        .device = bytes_of_string("phone"),
    };
    int r = wills_add(wills, &pending, &will);

    ck_assert_ptr_null(will); /* taken either way */
    return r;
}

/* The only record that is announced at now_ms. */
static void announced(uint64_t now_ms, struct buf *frame, struct wire_pending_will *ret_record)
{
    struct wire_reader reader;
    struct wire_record record;
    uint8_t version;

    buf_clear(frame);
    wire_begin(frame, 0);
    wills_announce(wills, 0, now_ms, frame);
    ck_assert(buf_ok(frame));
    ck_assert_int_eq(
        wire_open_frame(bytes_of(frame->data, (uint32_t)frame->len), &reader, &version), 0);
    ck_assert_int_eq(wire_next(&reader, &record), 1);
    ck_assert_int_eq(record.type, WIRE_WILL);
    *ret_record = record.pending_will;
    ck_assert_int_eq(wire_next(&reader, &record), 0);
}

START_TEST(test_copy)
{
    struct will *will = make("bye");
    struct wire_will view = will_view(will);

    ck_assert(view.present);
    ck_assert_uint_eq(view.kind, WIRE_TO_GROUP);
    ck_assert(bytes_equal_string(view.to, "team"));
    ck_assert(bytes_equal_string(view.key, "k1"));
    ck_assert(bytes_equal(view.properties, bytes_of("\x01\x01", 2)));
    ck_assert(bytes_equal_string(view.payload, "bye"));
    ck_assert_uint_eq(view.delay_s, 30);
    ck_assert_uint_eq(view.expiry_s, 60);
    free(will);
    ck_assert(!will_view(NULL).present);
}
END_TEST

START_TEST(test_until_done)
{
    struct buf frame = {0};
    struct wire_pending_will record;

    ck_assert_int_eq(add(42, 31000, "bye"), 0);
    announced(1000, &frame, &record);
    ck_assert_uint_eq(record.conn, 42);
    ck_assert_uint_eq(record.epoch, 7);
    ck_assert_uint_eq(record.mid.octets[2], 3);
    ck_assert(bytes_equal_string(record.user, "alice"));
    ck_assert(bytes_equal_string(record.device, "phone"));
    ck_assert_uint_eq(record.session_expiry_s, UINT32_MAX);
    ck_assert(bytes_equal_string(record.will.payload, "bye"));
    ck_assert_uint_eq(record.will.delay_s, 30);
    announced(30500, &frame, &record);
    ck_assert_uint_eq(record.will.delay_s, 1); /* rounded up: never early */
    announced(99000, &frame, &record);
    ck_assert_uint_eq(record.will.delay_s, 0);
    wills_remove(wills, 41, 0);
    ck_assert_uint_eq(wills_count(wills), 1);
    wills_remove(wills, 42, 0);
    ck_assert_uint_eq(wills_count(wills), 0);
    buf_release(&frame);
}
END_TEST

START_TEST(test_bounded)
{
    static char large[1500];

    memset(large, 'x', sizeof(large) - 1);
    ck_assert_int_eq(add(1, 0, large), 0);
    ck_assert_int_eq(add(2, 0, large), ERR_FULL);
    ck_assert_uint_eq(wills_count(wills), 1);
    wills_remove(wills, 1, 0);
    ck_assert_int_eq(add(3, 0, large), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("will");
    TCase *keeping = tcase_create("keeping");

    tcase_add_checked_fixture(keeping, set_up, tear_down);
    tcase_add_test(keeping, test_copy);
    tcase_add_test(keeping, test_until_done);
    tcase_add_test(keeping, test_bounded);
    suite_add_tcase(suite, keeping);
    return run_suite(suite);
}
