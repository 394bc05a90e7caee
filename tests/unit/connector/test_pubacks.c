/* Tests of connector/pubacks.c: answers in any order, PUBACKs in one. */
#include "connector/pubacks.h"

#include "tests/support/run_suite.h"

#include <check.h>
#include <stdlib.h>

static struct pubacks *pubacks;

static void setup(void)
{
    pubacks = NULL;
}

static void teardown(void)
{
    free(pubacks);
}

static uint32_t expect(uint16_t packet_id)
{
    uint32_t position = 0;

    ck_assert_int_eq(pubacks_expect(&pubacks, packet_id, &position), 0);
    return position;
}

static int next(void)
{
    struct puback_owed owed;

    return pubacks_next(&pubacks, &owed) ? owed.packet_id : -1;
}

START_TEST(in_order_answers_pass_at_once)
{
    uint32_t a = expect(7), b = expect(9);

    ck_assert_int_eq(next(), -1);
    pubacks_answer(pubacks, a, 0, NULL);
    ck_assert_int_eq(next(), 7);
    ck_assert_int_eq(next(), -1);
    pubacks_answer(pubacks, b, 0, NULL);
    ck_assert_int_eq(next(), 9);
    ck_assert_ptr_null(pubacks);
}
END_TEST

START_TEST(early_answer_waits_for_the_older)
{
    uint32_t a = expect(1), b = expect(2), c = expect(3);
    struct puback_owed owed;

    pubacks_answer(pubacks, c, 0x90, "no");
    pubacks_answer(pubacks, b, 0, NULL);
    ck_assert_int_eq(next(), -1);
    pubacks_answer(pubacks, a, 0, NULL);
    ck_assert_int_eq(next(), 1);
    ck_assert_int_eq(next(), 2);
    ck_assert(pubacks_next(&pubacks, &owed));
    ck_assert_uint_eq(owed.packet_id, 3);
    ck_assert_uint_eq(owed.reason, 0x90);
    ck_assert_str_eq(owed.text, "no");
}
END_TEST

START_TEST(knows_what_is_owed)
{
    uint32_t a = expect(5);

    ck_assert(pubacks_owes(pubacks, 5));
    ck_assert(!pubacks_owes(pubacks, 6));
    pubacks_answer(pubacks, a, 0, NULL);
    ck_assert_int_eq(next(), 5);
    ck_assert(!pubacks_owes(pubacks, 5));
    pubacks_answer(pubacks, a, 0, NULL); /* a second answer finds nothing */
    ck_assert_int_eq(next(), -1);
}
END_TEST

/* The ring grows and wraps, answers come in random order. */
START_TEST(random_orders)
{
    uint16_t next_in = 1, next_out = 1;
    uint32_t positions[300];
    bool open[300] = {false};

    srandom((unsigned)_i);
    while (next_out <= 299) {
        if (next_in <= 299 && random() % 2 == 0) {
            positions[next_in] = expect(next_in);
            open[next_in++] = true;
        } else {
            uint16_t pick = (uint16_t)(next_out + random() % 20);

            if (pick < next_in && open[pick]) {
                pubacks_answer(pubacks, positions[pick], 0, NULL);
                open[pick] = false;
            }
        }
        for (int packet_id; (packet_id = next()) != -1; next_out++) {
            ck_assert_int_eq(packet_id, next_out);
            ck_assert(!open[packet_id]);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pubacks");
    TCase *tcase = tcase_create("order");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, in_order_answers_pass_at_once);
    tcase_add_test(tcase, early_answer_waits_for_the_older);
    tcase_add_test(tcase, knows_what_is_owed);
    tcase_add_loop_test(tcase, random_orders, 0, 20);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
