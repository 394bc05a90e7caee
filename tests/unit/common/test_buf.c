/* Tests of common/buf.c. */
#include "common/buf.h"

#include "tests/support/run_suite.h"

#include <check.h>

START_TEST(test_empty_owns_nothing)
{
    struct buf buf = {0};

    buf_put(&buf, NULL, 0);
    ck_assert_ptr_null(buf.data);
    ck_assert_uint_eq(buf.len, 0);
    ck_assert(buf_ok(&buf));
    buf_release(&buf);
}
END_TEST

START_TEST(test_integers_have_their_byte_order)
{
    static const uint8_t expected[] = {
        0x01, 0x34, 0x12, 0x78, 0x56, 0x34, 0x12, 0xF0, 0xDE, 0xBC, 0x9A, 0x78, 0x56, 0x34, 0x12,
        0x12, 0x34, 0x12, 0x34, 0x56, 0x78, 0x12, 0x34, 0x56, 0x78, 0x9A, 0xBC, 0xDE, 0xF0,
    };
    struct buf buf = {0};

    buf_put_u8(&buf, 1);
    buf_put_le16(&buf, 0x1234);
    buf_put_le32(&buf, 0x12345678);
    buf_put_le64(&buf, 0x123456789ABCDEF0);
    buf_put_be16(&buf, 0x1234);
    buf_put_be32(&buf, 0x12345678);
    buf_put_be64(&buf, 0x123456789ABCDEF0);
    ck_assert(buf_ok(&buf));
    ck_assert_uint_eq(buf.len, sizeof(expected));
    ck_assert_mem_eq(buf.data, expected, sizeof(expected));
    buf_release(&buf);
}
END_TEST

START_TEST(test_growth_keeps_content)
{
    struct buf buf = {0};

    for (uint32_t i = 0; i < 100000; i++)
        buf_put_le32(&buf, i);
    ck_assert(buf_ok(&buf));
    ck_assert_uint_eq(buf.len, 400000);
    ck_assert_uint_ge(buf.cap, buf.len);
    for (uint32_t i = 0; i < 100000; i++) {
        uint32_t value;
        memcpy(&value, buf.data + (size_t)i * 4, 4);
        ck_assert_uint_eq(value, i);
    }
    buf_release(&buf);
    ck_assert_ptr_null(buf.data);
    ck_assert_uint_eq(buf.cap, 0);
}
END_TEST

START_TEST(test_reserve_gives_room_at_the_end)
{
    struct buf buf = {0};

    buf_put(&buf, "abc", 3);
    uint8_t *to = buf_reserve(&buf, 1000);
    ck_assert_ptr_eq(to, buf.data + 3);
    ck_assert_uint_ge(buf.cap - buf.len, 1000);
    memset(to, 'x', 1000);
    buf.len += 1000;
    ck_assert_mem_eq(buf.data, "abcx", 4);
    buf_release(&buf);
}
END_TEST

START_TEST(test_clear_keeps_memory)
{
    struct buf buf = {0};

    buf_put(&buf, "abc", 3);
    size_t cap = buf.cap;
    buf_clear(&buf);
    ck_assert_uint_eq(buf.len, 0);
    ck_assert_uint_eq(buf.cap, cap);
    buf_release(&buf);
}
END_TEST

START_TEST(test_failure_sticks)
{
    struct buf buf = {0};

    buf_put(&buf, "abc", 3);
    ck_assert_ptr_null(buf_reserve(&buf, SIZE_MAX));
    ck_assert(!buf_ok(&buf));
    buf_put(&buf, "def", 3);
    buf_put_u8(&buf, 1);
    buf_put_be32(&buf, 1);
    buf_put_le64(&buf, 1);
    ck_assert_ptr_null(buf_reserve(&buf, 1));
    ck_assert_uint_eq(buf.len, 3);

    buf_clear(&buf);
    ck_assert(buf_ok(&buf));
    buf_put(&buf, "def", 3);
    ck_assert_mem_eq(buf.data, "def", 3);
    ck_assert_ptr_null(buf_reserve(&buf, SIZE_MAX / 2));
    buf_release(&buf);
    ck_assert(buf_ok(&buf));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("buf");
    TCase *append = tcase_create("append");
    TCase *failure = tcase_create("failure");

    tcase_add_test(append, test_empty_owns_nothing);
    tcase_add_test(append, test_integers_have_their_byte_order);
    tcase_add_test(append, test_growth_keeps_content);
    tcase_add_test(append, test_reserve_gives_room_at_the_end);
    tcase_add_test(append, test_clear_keeps_memory);
    tcase_add_test(failure, test_failure_sticks);
    suite_add_tcase(suite, append);
    suite_add_tcase(suite, failure);
    return suite;
}

int main(void)
{
    return run_suite(make_suite());
}
