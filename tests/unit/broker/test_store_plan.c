/* Tests of broker/store_plan.c. */
#include "broker/store_plan.h"

#include <stdio.h>
#include <stdlib.h>

#include "broker/push.h"
#include "broker/user.h"
#include "tests/support/run_suite.h"

#define PEOPLE 5
#define OPS_MAX 2000

static struct user people[PEOPLE];
static struct store_op ops[OPS_MAX];
static struct push pushes[OPS_MAX];
static char tokens[OPS_MAX][8];
static struct store_op_list list;
static unsigned count;
static struct store_plan plan;

static void setup(void)
{
    count = 0;
    STAILQ_INIT(&list);
}

static void add(enum store_op_type type, unsigned person, unsigned token)
{
    struct store_op *op = &ops[count];

    *op = (struct store_op){.type = type, .user = &people[person]};
    if (type == STORE_PUSH_PUT) {
        snprintf(tokens[count], sizeof(tokens[count]), "%u", token);
        pushes[count] = (struct push){.token = tokens[count]};
        op->push = &pushes[count];
    }
    STAILQ_INSERT_TAIL(&list, op, link);
    count++;
}

static unsigned statements(void)
{
    unsigned found = 0;

    for (unsigned i = 0; i < STORE_PLAN_STATEMENTS; i++)
        found += plan.runs[i].first != NULL;
    return found;
}

START_TEST(what_many_do_alike_is_one_statement_a_kind)
{
    for (unsigned person = 0; person < PEOPLE; person++) {
        add(STORE_SESSION_CLEAR, person, 0);
        add(STORE_SESSION_PUT, person, 0);
        add(STORE_SUBSCRIPTION_PUT, person, 0);
        add(STORE_NOTHING, person, 0);
        add(STORE_SESSION_LEAVE, person, 0);
    }
    ck_assert_ptr_null(store_plan_make(&plan, STAILQ_FIRST(&list)));
    ck_assert_uint_eq(statements(), 4);
    for (unsigned person = 0; person < PEOPLE; person++)
        ck_assert_uint_eq(people[person].op_statement, 0);
}
END_TEST

START_TEST(one_person_stays_in_order)
{
    add(STORE_SESSION_LEAVE, 0, 0);
    add(STORE_SESSION_CLEAR, 0, 0);
    add(STORE_SESSION_PUT, 1, 0);
    add(STORE_SESSION_PUT, 0, 0);
    add(STORE_SESSION_PUT, 0, 0); /* an upsert must not meet its row twice */
    ck_assert_ptr_null(store_plan_make(&plan, STAILQ_FIRST(&list)));
    ck_assert_uint_eq(statements(), 5);
}
END_TEST

START_TEST(a_token_comes_once_a_plan)
{
    struct store_op *rest;

    add(STORE_PUSH_PUT, 0, 7);
    add(STORE_PUSH_PUT, 1, 8);
    add(STORE_PUSH_PUT, 2, 7);
    rest = store_plan_make(&plan, STAILQ_FIRST(&list));
    ck_assert_ptr_eq(rest, &ops[2]);
    ck_assert_uint_eq(statements(), 1);
    ck_assert_ptr_null(store_plan_make(&plan, rest));
    ck_assert_ptr_eq(plan.runs[6].first, &ops[2]);
}
END_TEST

START_TEST(tokens_are_compared_with_so_many)
{
    for (unsigned i = 0; i <= STORE_PLAN_PUSH_PUTS; i++) {
        add(STORE_PUSH_PUT, i % PEOPLE, i);
        ops[i].user = calloc(1, sizeof(struct user));
        ck_assert_ptr_nonnull(ops[i].user);
    }
    ck_assert_ptr_eq(store_plan_make(&plan, STAILQ_FIRST(&list)), &ops[STORE_PLAN_PUSH_PUTS]);
    for (unsigned i = 0; i < count; i++)
        free(ops[i].user);
}
END_TEST

/* In the order of sending: each op once, none before an earlier one of its person, one kind a
 * statement, nobody twice in it. */
static unsigned check_plan(unsigned *last_of)
{
    unsigned found = 0;

    for (unsigned i = 0; i < STORE_PLAN_STATEMENTS; i++) {
        bool seen[PEOPLE] = {false};

        for (const struct store_op *op = plan.runs[i].first; op; op = op->next_in_run) {
            unsigned person = (unsigned)(op->user - people), number = (unsigned)(op - ops) + 1;

            ck_assert_int_eq(op->type, plan.runs[i].first->type);
            ck_assert(!seen[person]);
            seen[person] = true;
            ck_assert_uint_gt(number, last_of[person]);
            last_of[person] = number;
            found++;
        }
    }
    return found;
}

START_TEST(any_mixture_keeps_its_order)
{
    unsigned last_of[PEOPLE] = {0}, expected = 0, found = 0, plans = 0;

    srand(1);
    while (count < OPS_MAX) {
        enum store_op_type type = (enum store_op_type)(rand() % (STORE_NOTHING + 1));

        add(type, (unsigned)rand() % PEOPLE, (unsigned)rand() % 50);
        expected += type != STORE_NOTHING;
    }
    for (struct store_op *op = STAILQ_FIRST(&list); op; plans++) {
        op = store_plan_make(&plan, op);
        found += check_plan(last_of);
    }
    ck_assert_uint_eq(found, expected);
    ck_assert_uint_gt(plans, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_plan");
    TCase *tc = tcase_create("store_plan");

    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_test(tc, what_many_do_alike_is_one_statement_a_kind);
    tcase_add_test(tc, one_person_stays_in_order);
    tcase_add_test(tc, a_token_comes_once_a_plan);
    tcase_add_test(tc, tokens_are_compared_with_so_many);
    tcase_add_test(tc, any_mixture_keeps_its_order);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
