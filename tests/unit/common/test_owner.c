/* Tests of common/owner.c: the function is frozen, shares are even, and a change moves only the
 * people of the member that came or went. */
#include "common/owner.h"

#include <check.h>
#include <stdio.h>

#include "common/auto.h"

#include "tests/support/run_suite.h"

#define PEOPLE 100000u

static struct members members;

static void set_members(unsigned count)
{
    char name[24];

    members = (struct members){.generation = 1};
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "broker/%u", i);
        ck_assert_int_eq(members_add(&members, bytes_of_string(name), bytes_of_string("tcp://x:1")),
                         0);
    }
}

static const char *owner_name(unsigned person)
{
    char user[16];

    snprintf(user, sizeof(user), "user%u", person);
    return members.all[owner_of(&members, bytes_of_string(user))].name;
}

/* Other values would be another wire version: half the system would disagree with the rest. The
 * hashes are XXH64's own, the owners were computed by another program. */
START_TEST(test_function_is_frozen)
{
    static const char *const expected[] = {"broker/0", "broker/0", "broker/2", "broker/1",
                                           "broker/2", "broker/2", "broker/0", "broker/0"};

    ck_assert_uint_eq(owner_hash(bytes_of_string("")), 0xef46db3751d8e999u);
    ck_assert_uint_eq(owner_hash(bytes_of_string("abc")), 0x44bc2cf5ad770999u);
    set_members(4);
    for (unsigned i = 0; i < ARRAY_LEN(expected); i++)
        ck_assert_str_eq(owner_name(i), expected[i]);
}
END_TEST

START_TEST(test_balance)
{
    unsigned counts[MEMBERS_MAX] = {0};
    unsigned count = (unsigned)_i, share = PEOPLE / count;
    char user[16];

    set_members(count);
    for (unsigned i = 0; i < PEOPLE; i++) {
        snprintf(user, sizeof(user), "user%u", i);
        counts[owner_of(&members, bytes_of_string(user))]++;
    }
    for (unsigned i = 0; i < count; i++) {
        ck_assert_msg(counts[i] > share - share / 20 && counts[i] < share + share / 20,
                      "%s has %u of %u, its share is %u", members.all[i].name, counts[i], PEOPLE,
                      share);
    }
}
END_TEST

START_TEST(test_least_movement)
{
    static const char *before[PEOPLE];
    static struct members former;
    unsigned moved = 0;

    set_members(5);
    former = members;
    for (unsigned i = 0; i < PEOPLE; i++)
        before[i] = members_find(&former, bytes_of_string(owner_name(i)))->name;
    set_members(6);
    for (unsigned i = 0; i < PEOPLE; i++) {
        const char *now = owner_name(i);

        if (strcmp(now, before[i]) == 0)
            continue;
        ck_assert_str_eq(now, "broker/5"); /* the one that came */
        moved++;
    }
    ck_assert_uint_gt(moved, PEOPLE / 6 - PEOPLE / 100);
    ck_assert_uint_lt(moved, PEOPLE / 6 + PEOPLE / 100);
    set_members(4);
    for (unsigned i = 0; i < PEOPLE; i++) {
        if (strcmp(before[i], "broker/4") != 0) /* the one that went */
            ck_assert_str_eq(owner_name(i), before[i]);
    }
}
END_TEST

/* Endpoints, the generation and the order of coming do not count; a kept hash gives the same. */
START_TEST(test_only_names_count)
{
    static struct members others;
    char user[16];

    set_members(3);
    others = (struct members){.generation = 99};
    for (unsigned i = 3; i-- > 0;)
        ck_assert_int_eq(members_add(&others, bytes_of_string(members.all[i].name),
                                     bytes_of_string("tcp://elsewhere:2")),
                         0);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(user, sizeof(user), "%u", i);
        struct bytes name = bytes_of_string(user);
        ck_assert_uint_eq(owner_of(&members, name), owner_of(&others, name));
        ck_assert_uint_eq(owner_of(&members, name), owner_of_hash(&members, owner_hash(name)));
    }
    set_members(1);
    ck_assert_uint_eq(owner_of(&members, bytes_of_string("anybody")), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("owner");
    TCase *tcase = tcase_create("owner");

    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, test_function_is_frozen);
    tcase_add_loop_test(tcase, test_balance, 2, 17);
    tcase_add_test(tcase, test_least_movement);
    tcase_add_test(tcase, test_only_names_count);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
