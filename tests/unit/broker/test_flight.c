/* Tests of broker/flight.c: the ring, what it counts, and finding by half a sequence. */
#include "broker/flight.h"

#include "tests/support/run_suite.h"

#include <check.h>

static struct flights flights;

static void tear_down(void)
{
    flights_clear(&flights);
}

static struct flight *push(uint64_t seq, enum flight_state state, uint32_t bytes)
{
    struct flight *flight = flight_push(&flights, seq, state);

    ck_assert_ptr_nonnull(flight);
    flight->bytes = bytes;
    if (state != FLIGHT_DONE)
        flights.outstanding_bytes += bytes;
    return flight;
}

static void counts(uint32_t count, uint32_t outstanding, uint32_t bytes)
{
    ck_assert_uint_eq(flights.count, count);
    ck_assert_uint_eq(flights.outstanding, outstanding);
    ck_assert_uint_eq(flights.outstanding_bytes, bytes);
}

START_TEST(in_order_through_growth_and_wrap)
{
    uint64_t first = 1, next = 1;

    for (unsigned round = 0; round < 40; round++) {
        for (unsigned i = 0; i < 5; i++)
            push(next++, FLIGHT_SENT, 10);
        for (unsigned i = 0; i < 3; i++, first++) {
            ck_assert_uint_eq(flight_at(&flights, 0)->seq, first);
            flight_pop(&flights);
        }
        for (uint64_t seq = first; seq < next; seq++) {
            ck_assert_uint_eq(flight_at(&flights, (uint32_t)(seq - first))->seq, seq);
            ck_assert_uint_eq(flight_find(&flights, (uint32_t)seq)->seq, seq);
        }
        ck_assert_ptr_null(flight_find(&flights, (uint32_t)first - 1));
        ck_assert_ptr_null(flight_find(&flights, (uint32_t)next));
        counts((uint32_t)(next - first), (uint32_t)(next - first), (uint32_t)(next - first) * 10);
    }
}
END_TEST

START_TEST(memory_only_while_something_is_in_flight)
{
    ck_assert_ptr_null(flight_find(&flights, 1));
    push(1, FLIGHT_SENT, 10);
    push(2, FLIGHT_SENT, 20);
    flight_pop(&flights);
    ck_assert_ptr_nonnull(flights.ring);
    flight_pop(&flights);
    ck_assert_ptr_null(flights.ring);
    counts(0, 0, 0);
    push(3, FLIGHT_SENT, 10);
    flight_unpush(&flights);
    ck_assert_ptr_null(flights.ring);
    counts(0, 0, 0);
}
END_TEST

START_TEST(a_new_one_knows_nothing_of_the_old)
{
    push(1, FLIGHT_SENT, 10)->timed_out = false;
    push(2, FLIGHT_SENT, 10)->whole = true;
    flight_timed_out(&flights, flight_find(&flights, 2));
    flight_unpush(&flights);
    ck_assert(!push(2, FLIGHT_SENT, 10)->timed_out);
    ck_assert(!flight_find(&flights, 2)->whole);
    ck_assert_uint_eq(flight_find(&flights, 2)->sent_ms, 0);
}
END_TEST

START_TEST(each_gives_its_place_back_once)
{
    push(1, FLIGHT_SENT, 10);
    push(2, FLIGHT_ADOPTED, 0);
    push(3, FLIGHT_SENT, 30);
    push(4, FLIGHT_DONE, 0);
    counts(4, 3, 40);
    flight_done(&flights, flight_find(&flights, 3));
    flight_done(&flights, flight_find(&flights, 3));
    counts(4, 2, 10);
    flight_timed_out(&flights, flight_find(&flights, 1));
    flight_timed_out(&flights, flight_find(&flights, 1));
    counts(4, 1, 0);
    flight_done(&flights, flight_find(&flights, 1)); /* the answer came after all */
    counts(4, 1, 0);
    flight_timed_out(&flights, flight_find(&flights, 3)); /* and the reverse */
    counts(4, 1, 0);
    for (int i = 0; i < 3; i++)
        flight_pop(&flights);
    counts(1, 0, 0);
    flight_unpush(&flights);
    counts(0, 0, 0);
}
END_TEST

START_TEST(open_until_it_is_done)
{
    struct flight *flight = push(1, FLIGHT_SENT, 10);

    ck_assert(!flight_open(NULL));
    ck_assert(flight_open(flight));
    flight_timed_out(&flights, flight);
    ck_assert(flight_open(flight)); /* its acknowledgement still moves the cursor */
    flight_done(&flights, flight);
    ck_assert(!flight_open(flight));
}
END_TEST

/* Ids have the low half: the ring may lie across the end of it. */
START_TEST(found_across_the_wrap_of_the_low_half)
{
    const uint64_t first = UINT64_C(0x7fffffff0);

    for (uint64_t seq = first; seq < first + 32; seq += 2)
        push(seq, FLIGHT_SENT, 1);
    for (uint64_t seq = first; seq < first + 32; seq++) {
        struct flight *flight = flight_find(&flights, (uint32_t)seq);

        if ((seq - first) % 2 == 0)
            ck_assert_uint_eq(flight->seq, seq);
        else
            ck_assert_ptr_null(flight);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("flight");
    TCase *tcase = tcase_create("flight");

    tcase_add_checked_fixture(tcase, NULL, tear_down);
    tcase_add_test(tcase, in_order_through_growth_and_wrap);
    tcase_add_test(tcase, memory_only_while_something_is_in_flight);
    tcase_add_test(tcase, a_new_one_knows_nothing_of_the_old);
    tcase_add_test(tcase, each_gives_its_place_back_once);
    tcase_add_test(tcase, open_until_it_is_done);
    tcase_add_test(tcase, found_across_the_wrap_of_the_low_half);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
