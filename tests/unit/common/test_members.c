/* Tests of common/members.c: the list is in order whatever comes, and a bad one is refused. */
#include "common/members.h"

#include <check.h>
#include <stdio.h>

#include "common/auto.h"

#include "tests/support/run_suite.h"

static struct members members, other;

static int add(struct members *to, const char *name, const char *endpoint)
{
    return members_add(to, bytes_of_string(name), bytes_of_string(endpoint));
}

static void setup(void)
{
    members = (struct members){.generation = 7};
    other = (struct members){.generation = 7};
    ck_assert_int_eq(add(&members, "broker/1", "tcp://b:1"), 0);
    ck_assert_int_eq(add(&members, "broker/0", "tcp://a:1"), 0);
    ck_assert_int_eq(add(&members, "broker/10", "tcp://c:1"), 0);
}

START_TEST(test_order)
{
    static const char *const expected[] = {"broker/0", "broker/1", "broker/10"};

    ck_assert_uint_eq(members.count, 3);
    for (size_t i = 0; i < ARRAY_LEN(expected); i++)
        ck_assert_str_eq(members.all[i].name, expected[i]);
    ck_assert_str_eq(members_find(&members, bytes_of_string("broker/1"))->endpoint, "tcp://b:1");
    ck_assert_ptr_null(members_find(&members, bytes_of_string("broker")));
    ck_assert_ptr_null(members_find(&members, bytes_of_string("broker/2")));
}
END_TEST

START_TEST(test_bad_entries)
{
    char long_name[MEMBER_NAME_MAX + 2] = {0}, long_endpoint[MEMBER_ENDPOINT_MAX + 2] = {0};

    memset(long_name, 'n', MEMBER_NAME_MAX + 1);
    memset(long_endpoint, 'e', MEMBER_ENDPOINT_MAX + 1);
    ck_assert_int_eq(add(&members, "broker/0", "tcp://x:1"), ERR_MALFORMED);
    ck_assert_int_eq(add(&members, "", "tcp://x:1"), ERR_MALFORMED);
    ck_assert_int_eq(add(&members, "x", ""), ERR_MALFORMED);
    ck_assert_int_eq(add(&members, "a b", "tcp://x:1"), ERR_MALFORMED);
    ck_assert_int_eq(add(&members, "x", "tcp://x\n:1"), ERR_MALFORMED);
    ck_assert_int_eq(add(&members, "\x7f", "tcp://x:1"), ERR_MALFORMED);
    ck_assert_int_eq(add(&members, long_name, "tcp://x:1"), ERR_MALFORMED);
    ck_assert_int_eq(add(&members, "x", long_endpoint), ERR_MALFORMED);
    ck_assert_int_eq(members_add(&members, bytes_of("x\0y", 3), bytes_of_string("e")),
                     ERR_MALFORMED);
    ck_assert_uint_eq(members.count, 3);
    long_name[MEMBER_NAME_MAX] = long_endpoint[MEMBER_ENDPOINT_MAX] = '\0';
    ck_assert_int_eq(add(&members, long_name, long_endpoint), 0);
}
END_TEST

START_TEST(test_limit)
{
    char name[16];

    for (unsigned i = members.count; i < MEMBERS_MAX; i++) {
        snprintf(name, sizeof(name), "m%u", i);
        ck_assert_int_eq(add(&members, name, "tcp://x:1"), 0);
    }
    ck_assert_int_eq(add(&members, "one-more", "tcp://x:1"), ERR_TOO_LARGE);
    ck_assert_uint_eq(members.count, MEMBERS_MAX);
}
END_TEST

/* The same list, whatever the order of adding; and what makes it another one. */
START_TEST(test_equality)
{
    ck_assert_int_eq(add(&other, "broker/10", "tcp://c:1"), 0);
    ck_assert_int_eq(add(&other, "broker/0", "tcp://a:1"), 0);
    ck_assert(!members_equal(&members, &other));
    ck_assert_int_eq(add(&other, "broker/1", "tcp://b:1"), 0);
    ck_assert(members_equal(&members, &other));
    other.generation++;
    ck_assert(!members_equal(&members, &other));
    other.generation--;
    other.all[1].endpoint[6] = 'x';
    ck_assert(!members_equal(&members, &other));
}
END_TEST

static int read_list(const struct wire_member *list, uint16_t count)
{
    struct buf raw = {0};
    struct wire_reader reader;
    struct wire_record record;
    int r;

    wire_put_members(&raw, 9, list, count);
    reader.rest = bytes_of(raw.data, (uint32_t)raw.len);
    ck_assert_int_eq(wire_next(&reader, &record), 1);
    r = members_read(&record.members, &other);
    buf_release(&raw);
    return r;
}

START_TEST(test_over_the_wire)
{
    struct wire_member list[MEMBERS_MAX], swapped;
    uint16_t count = members_list(&members, list);

    ck_assert_uint_eq(count, 3);
    ck_assert_int_eq(read_list(list, count), 0);
    members.generation = 9;
    ck_assert(members_equal(&members, &other));
    ck_assert_uint_eq(other.all[2].hash, members.all[2].hash);

    /* Refused, and the list that there was stays. */
    ck_assert_int_eq(read_list(list, 0), ERR_MALFORMED);
    swapped = list[0];
    list[0] = list[1];
    list[1] = swapped;
    ck_assert_int_eq(read_list(list, count), ERR_MALFORMED);
    list[0] = list[1];
    ck_assert_int_eq(read_list(list, count), ERR_MALFORMED); /* twice the same */
    list[0] = (struct wire_member){.name = bytes_of_string("a\n"),
                                   .endpoint = bytes_of_string("tcp://x:1")};
    ck_assert_int_eq(read_list(list, count), ERR_MALFORMED);
    ck_assert(members_equal(&members, &other));
}
END_TEST

START_TEST(test_too_many_over_the_wire)
{
    static struct wire_member list[MEMBERS_MAX + 1];
    static char names[MEMBERS_MAX + 1][8];

    for (unsigned i = 0; i <= MEMBERS_MAX; i++) {
        snprintf(names[i], sizeof(names[i]), "m%03u", i);
        list[i] = (struct wire_member){.name = bytes_of_string(names[i]),
                                       .endpoint = bytes_of_string("tcp://x:1")};
    }
    ck_assert_int_eq(read_list(list, MEMBERS_MAX), 0);
    ck_assert_int_eq(read_list(list, MEMBERS_MAX + 1), ERR_TOO_LARGE);
    ck_assert_uint_eq(other.count, MEMBERS_MAX);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("members");
    TCase *tcase = tcase_create("members");

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, test_order);
    tcase_add_test(tcase, test_bad_entries);
    tcase_add_test(tcase, test_limit);
    tcase_add_test(tcase, test_equality);
    tcase_add_test(tcase, test_over_the_wire);
    tcase_add_test(tcase, test_too_many_over_the_wire);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
