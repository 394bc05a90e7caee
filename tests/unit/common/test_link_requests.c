/* Tests of common/link/link_requests.c. */
#include "common/link/link_requests.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/wire.h"

#include "tests/support/run_suite.h"

#define MAX_BYTES (1u << 20)

static struct link_requests *requests;

static void set_up(void)
{
    requests = link_requests_create(MAX_BYTES);
    ck_assert_ptr_nonnull(requests);
    link_requests_set_credit(requests, 100000);
}

static void tear_down(void)
{
    link_requests_destroy(requests);
}

/* Record bytes that depend on the token, so that a mix-up shows. */
static uint32_t fill(uint64_t token, uint32_t len, uint8_t *record)
{
    for (uint32_t i = 0; i < len; i++)
        record[i] = (uint8_t)(token * 31 + i);
    return len;
}

static uint64_t add(uint32_t len, uint64_t previous)
{
    static uint8_t record[200000];
    uint64_t token = link_requests_next_token(requests);
    struct link_request request = {
        .conn = token + 1000,
        .previous = previous,
        .reply = (uint32_t)token,
        .type = WIRE_PUBLISH,
        .record = bytes_of(record, fill(token, len, record)),
    };

    ck_assert_int_eq(link_requests_add(requests, &request), 0);
    return token;
}

static void check(uint64_t token, uint32_t len)
{
    static uint8_t expected[200000];
    struct link_request request;

    fill(token, len, expected);
    ck_assert(link_requests_find(requests, token, &request));
    ck_assert_uint_eq(request.conn, token + 1000);
    ck_assert_uint_eq(request.reply, (uint32_t)token);
    ck_assert_uint_eq(request.record.len, len);
    ck_assert_mem_eq(request.record.data, expected, len);
}

START_TEST(test_tokens_ascend)
{
    struct link_request request;
    uint64_t first = add(10, 0);

    ck_assert_uint_eq(add(10, 0), first + 1);
    ck_assert_uint_eq(link_requests_count(requests), 2);
    link_requests_release(requests, first);
    ck_assert(!link_requests_find(requests, first, &request));
    check(first + 1, 10);
    link_requests_release(requests, first); /* twice, and unknown ones: no effect */
    link_requests_release(requests, 0);
    link_requests_release(requests, first + 2);
    ck_assert_uint_eq(link_requests_count(requests), 1);
    ck_assert_uint_eq(add(10, 0), first + 2); /* never reused */
}
END_TEST

START_TEST(test_codes_are_kept)
{
    const uint8_t codes[] = {0x8F, CODE_FROM_BROKER, 0x9E};
    struct link_request request =
                            {
                                .type = WIRE_SUBSCRIBE,
                                .record = bytes_of("record", 6),
                                .codes = bytes_of(codes, sizeof(codes)),
                            },
                        found;
    uint64_t token = link_requests_next_token(requests);

    ck_assert_int_eq(link_requests_add(requests, &request), 0);
    ck_assert(link_requests_find(requests, token, &found));
    ck_assert_uint_eq(found.type, WIRE_SUBSCRIBE);
    ck_assert_uint_eq(found.codes.len, sizeof(codes));
    ck_assert_mem_eq(found.codes.data, codes, sizeof(codes));
    ck_assert_uint_eq(found.record.len, 6);
}
END_TEST

START_TEST(test_credit)
{
    uint64_t first;

    link_requests_set_credit(requests, 0);
    ck_assert(link_requests_full(requests)); /* no broker yet */
    link_requests_set_credit(requests, 4);
    first = add(1, 0);
    add(1, 0);
    add(1, 0);
    ck_assert(!link_requests_full(requests));
    add(1, 0);
    ck_assert(link_requests_full(requests));
    link_requests_release(requests, first);
    ck_assert(!link_requests_full(requests));
    ck_assert(!link_requests_roomy(requests)); /* not with every answer */
    link_requests_release(requests, first + 1);
    ck_assert(link_requests_roomy(requests));
}
END_TEST

START_TEST(test_credit_of_one_moves)
{
    uint64_t token;

    link_requests_set_credit(requests, 1);
    token = add(1, 0);
    ck_assert(link_requests_full(requests));
    ck_assert(!link_requests_roomy(requests));
    link_requests_release(requests, token);
    ck_assert(link_requests_roomy(requests));
}
END_TEST

START_TEST(test_bytes)
{
    uint64_t first = link_requests_next_token(requests), token;

    while (!link_requests_full(requests))
        add(30000, 0);
    ck_assert_uint_ge((link_requests_next_token(requests) - first) * 30000, MAX_BYTES * 8 / 10);
    for (token = first; !link_requests_roomy(requests); token++)
        link_requests_release(requests, token);
    ck_assert(!link_requests_full(requests));
    ck_assert_uint_gt(link_requests_count(requests), 0); /* did not have to wait for all */
}
END_TEST

START_TEST(test_large_records)
{
    uint64_t a = add(10, 0), b = add(150000, 0), c = add(10, 0), d = add(200000, 0);

    check(a, 10);
    check(b, 150000);
    check(c, 10);
    check(d, 200000);
    link_requests_release(requests, d);
    link_requests_release(requests, b);
    check(a, 10);
    check(c, 10);
    check(add(100, 0), 100);
}
END_TEST

START_TEST(test_chain_passes_answered_ones)
{
    uint64_t a = add(1, 0), b = add(1, a), c = add(1, b);

    ck_assert_uint_eq(link_requests_before(requests, c), b);
    link_requests_release(requests, b);
    ck_assert_uint_eq(link_requests_before(requests, c), b);
    ck_assert_uint_eq(link_requests_before(requests, b), a); /* a still waits: it must be found */
    link_requests_release(requests, a);
    ck_assert_uint_eq(link_requests_before(requests, b), 0); /* nothing before c waits */
}
END_TEST

static void on_each(uint8_t type, uint8_t *record, size_t len, void *arg)
{
    struct buf *seen = arg;

    ck_assert_uint_eq(type, WIRE_PUBLISH);
    ck_assert_uint_eq(len, 3);
    buf_put_u8(seen, record[0]);
    record[0] = 0xEE; /* in place */
}

START_TEST(test_each_in_order)
{
    struct buf seen = {0};
    struct link_request request;
    uint64_t a = add(3, 0), b = add(3, 0), c = add(3, 0);
    const uint8_t expected[] = {(uint8_t)(a * 31), (uint8_t)(c * 31)};

    link_requests_release(requests, b);
    link_requests_each(requests, on_each, &seen);
    ck_assert_uint_eq(seen.len, sizeof(expected));
    ck_assert_mem_eq(seen.data, expected, sizeof(expected));
    ck_assert(link_requests_find(requests, c, &request));
    ck_assert_uint_eq(request.record.data[0], 0xEE);
    buf_release(&seen);
}
END_TEST

/* Many requests, answered in random order: what is unanswered is always intact. */
START_TEST(test_random)
{
    enum { OPEN = 2000, ROUNDS = 50000 };
    static struct {
        uint64_t token;
        uint32_t len;
    } open[OPEN];
    unsigned count = 0, seed = 99;

    for (unsigned i = 0; i < ROUNDS; i++) {
        if (count < OPEN && (count == 0 || rand_r(&seed) % 2 == 0)) {
            uint32_t len = 1 + (uint32_t)rand_r(&seed) % 500;

            open[count].len = len;
            open[count++].token = add(len, 0);
        } else {
            unsigned at = (unsigned)rand_r(&seed) % count;

            check(open[at].token, open[at].len);
            link_requests_release(requests, open[at].token);
            open[at] = open[--count];
        }
        ck_assert_uint_eq(link_requests_count(requests), count);
    }
    while (count > 0) {
        count--;
        check(open[count].token, open[count].len);
    }
}
END_TEST

/* As when they move to another broker: taken out while they are walked through. */
START_TEST(test_walk_while_releasing)
{
    struct link_request request;
    uint64_t token = 0, expected = 2;

    ck_assert(!link_requests_after(requests, 0, &token, &request));
    for (unsigned i = 0; i < 600; i++) /* beyond the first ring */
        add(10, 0);
    for (uint64_t odd = 1; odd <= 600; odd += 2)
        link_requests_release(requests, odd);
    while (link_requests_after(requests, token, &token, &request)) {
        ck_assert_uint_eq(token, expected);
        ck_assert_uint_eq(request.conn, token + 1000);
        if (token % 4 == 0)
            link_requests_release(requests, token);
        expected += 2;
    }
    ck_assert_uint_eq(expected, 602);
    ck_assert_uint_eq(token, 600);
    ck_assert_uint_eq(link_requests_count(requests), 150);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("link_requests");
    TCase *store = tcase_create("store"), *limits = tcase_create("limits");

    tcase_add_checked_fixture(store, set_up, tear_down);
    tcase_add_checked_fixture(limits, set_up, tear_down);
    tcase_set_timeout(store, 30);
    tcase_add_test(store, test_tokens_ascend);
    tcase_add_test(store, test_codes_are_kept);
    tcase_add_test(store, test_large_records);
    tcase_add_test(store, test_chain_passes_answered_ones);
    tcase_add_test(store, test_each_in_order);
    tcase_add_test(store, test_random);
    tcase_add_test(store, test_walk_while_releasing);
    tcase_add_test(limits, test_credit);
    tcase_add_test(limits, test_credit_of_one_moves);
    tcase_add_test(limits, test_bytes);
    suite_add_tcase(suite, store);
    suite_add_tcase(suite, limits);
    return run_suite(suite);
}
