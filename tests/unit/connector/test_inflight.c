/* Tests of connector/inflight.c. */
#include "connector/inflight.h"

#include <stdlib.h>

#include "tests/support/run_suite.h"

static struct inflight inflight;

static void set_up(void)
{
    inflight = (struct inflight){0};
}

static void tear_down(void)
{
    inflight_fini(&inflight);
}

static void add(uint64_t seq)
{
    ck_assert_int_eq(inflight_add(&inflight, seq), 0);
}

static void ack(uint64_t seq)
{
    ck_assert_int_eq(inflight_ack(&inflight, false, inflight_packet_id(seq, false)), 0);
}

START_TEST(test_packet_id)
{
    ck_assert_uint_eq(inflight_packet_id(0, false), 1);
    ck_assert_uint_eq(inflight_packet_id(1, false), 3);
    ck_assert_uint_eq(inflight_packet_id(1, true), 4);
    ck_assert_uint_eq(inflight_packet_id(32766, true), 65534);
    ck_assert_uint_eq(inflight_packet_id(32767, false), 1);
}
END_TEST

START_TEST(test_nothing_in_flight_owns_nothing)
{
    ck_assert_ptr_null(inflight.entries);
    add(1);
    ck_assert_ptr_nonnull(inflight.entries);
    ack(1);
    ck_assert_ptr_null(inflight.entries);
    ck_assert_uint_eq(inflight.acked_seq, 1);
}
END_TEST

START_TEST(test_in_order)
{
    for (uint64_t seq = 10; seq < 1010; seq++)
        add(seq);
    for (uint64_t seq = 10; seq < 1010; seq++) {
        ack(seq);
        ck_assert_uint_eq(inflight.acked_seq, seq);
    }
    ck_assert_uint_eq(inflight.count, 0);
}
END_TEST

START_TEST(test_gap)
{
    uint64_t seqs[INFLIGHT_MAX];

    inflight.acked_seq = 4;
    for (uint64_t seq = 5; seq <= 9; seq++)
        add(seq);
    ack(7);
    ack(9);
    ck_assert_uint_eq(inflight.acked_seq, 4);
    ck_assert_uint_eq(inflight_list(&inflight, true, seqs), 2);
    ck_assert_uint_eq(seqs[0], 7);
    ck_assert_uint_eq(seqs[1], 9);
    ck_assert_uint_eq(inflight_list(&inflight, false, seqs), 3);
    ck_assert_uint_eq(inflight.open, 3);
    ck_assert_uint_eq(seqs[0], 5);
    ck_assert_uint_eq(seqs[2], 8);
    ack(5);
    ck_assert_uint_eq(inflight.acked_seq, 5);
    ack(6);
    ck_assert_uint_eq(inflight.acked_seq, 7); /* the gap closed */
    ack(8);
    ck_assert_uint_eq(inflight.acked_seq, 9);
    ck_assert_uint_eq(inflight.open, 0);
}
END_TEST

START_TEST(test_unknown_and_repeated)
{
    ck_assert_int_eq(inflight_ack(&inflight, false, 3), ERR_NOT_FOUND);
    add(1);
    add(2);
    ck_assert_int_eq(inflight_ack(&inflight, false, inflight_packet_id(3, false)), ERR_NOT_FOUND);
    ck_assert_int_eq(inflight_ack(&inflight, false, inflight_packet_id(2, true)), ERR_NOT_FOUND);
    ack(2);
    ck_assert_int_eq(inflight_ack(&inflight, false, inflight_packet_id(2, false)), ERR_NOT_FOUND);
    ck_assert_int_eq(inflight_add(&inflight, 1), ERR_EXISTS);
    ck_assert_int_eq(inflight_add(&inflight, 2), ERR_EXISTS); /* acknowledged beyond a gap */
}
END_TEST

START_TEST(test_insert_before)
{
    uint64_t seqs[INFLIGHT_MAX];

    add(20);
    add(10);
    add(15);
    ck_assert_uint_eq(inflight_list(&inflight, false, seqs), 3);
    ck_assert_uint_eq(seqs[0], 10);
    ck_assert_uint_eq(seqs[1], 15);
    ck_assert_uint_eq(seqs[2], 20);
}
END_TEST

START_TEST(test_bounded)
{
    for (uint64_t seq = 1; seq <= INFLIGHT_MAX; seq++)
        add(seq);
    ck_assert_int_eq(inflight_add(&inflight, INFLIGHT_MAX + 1), ERR_FULL);
    ack(1);
    add(INFLIGHT_MAX + 1);
}
END_TEST

/* Against the plain definition: a list of what is open. */
START_TEST(test_random_order)
{
    enum { COUNT = 300 };
    uint16_t order[COUNT];
    bool acked[COUNT] = {false};
    unsigned seed = 4711;

    for (unsigned i = 0; i < COUNT; i++) {
        add(i + 1u);
        order[i] = (uint16_t)i;
    }
    for (unsigned i = COUNT - 1; i > 0; i--) {
        unsigned j = (unsigned)rand_r(&seed) % (i + 1);
        uint16_t other = order[i];

        order[i] = order[j];
        order[j] = other;
    }
    for (unsigned i = 0; i < COUNT; i++) {
        uint64_t contiguous = 0;

        ack(order[i] + 1u);
        acked[order[i]] = true;
        while (contiguous < COUNT && acked[contiguous])
            contiguous++;
        ck_assert_uint_eq(inflight.acked_seq, contiguous);
    }
    ck_assert_ptr_null(inflight.entries);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("inflight");
    TCase *ids = tcase_create("identifiers"), *acks = tcase_create("acknowledgements");

    tcase_add_checked_fixture(acks, set_up, tear_down);
    tcase_add_test(ids, test_packet_id);
    tcase_add_test(acks, test_nothing_in_flight_owns_nothing);
    tcase_add_test(acks, test_in_order);
    tcase_add_test(acks, test_gap);
    tcase_add_test(acks, test_unknown_and_repeated);
    tcase_add_test(acks, test_insert_before);
    tcase_add_test(acks, test_bounded);
    tcase_add_test(acks, test_random_order);
    suite_add_tcase(suite, ids);
    suite_add_tcase(suite, acks);
    return run_suite(suite);
}
