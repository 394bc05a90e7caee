/* Tests of broker/feed.c with tail.c: a place in the sequence, what is read back for it, and holes.
 * The store is a fake that remembers what it was asked. */
#include "broker/feed.h"

#include "broker/broker.h"
#include "broker/device.h"
#include "broker/store.h"

#include "tests/support/run_suite.h"

#include <check.h>
#include <stdlib.h>

#define LAST 20

static struct broker broker;
static struct user *user;
static struct device *device;
static struct feed *feed;
static struct message *messages[LAST + 1];
static unsigned fetches;

void store_fetch(struct broker *b, struct feed *f)
{
    ck_assert_ptr_eq(b, &broker);
    ck_assert_ptr_eq(f, feed);
    if (f->fetching)
        return;
    f->fetching = true;
    f->fetch_stale = false;
    fetches++;
}

/* The store's answer: the messages first to last, without the hole [hole, hole + holes). */
static void fetched(uint64_t first, uint64_t last, uint64_t hole, uint64_t holes)
{
    struct message **ready = calloc(LAST, sizeof(*ready));
    uint32_t count = 0;

    for (uint64_t seq = first; seq <= last; seq++) {
        if (seq < hole || seq >= hole + holes)
            ready[count++] = message_ref(messages[seq]);
    }
    feed->fetching = false;
    feed_fetched(feed, ready, count, last);
}

static void set_up(void)
{
    const struct wire_body body = {.kind = WIRE_BODY_USER, .from = bytes_of_string("alice")};

    for (uint64_t seq = 1; seq <= LAST; seq++) {
        messages[seq] = message_create(&body, body.from, body.from, bytes_of(NULL, 0));
        ck_assert_ptr_nonnull(messages[seq]);
        messages[seq]->seq = seq;
    }
    user = calloc(1, sizeof(*user) + 1);
    user->last_seq = LAST;
    device = calloc(1, sizeof(*device) + 1);
    device->user = user;
    feed = &device->feed;
    *feed = (struct feed){.device = device, .next_seq = 1};
    fetches = 0;
}

/* Nobody keeps a message that is not in a queue. */
static void tear_down(void)
{
    feed_fini(feed);
    tail_fini(&user->tail);
    for (uint64_t seq = 1; seq <= LAST; seq++) {
        ck_assert_uint_eq(messages[seq]->refs, 1);
        message_unref(messages[seq]);
    }
    free(device);
    free(user);
}

static void next_is(uint64_t seq)
{
    struct message *message = feed_next(&broker, feed);

    ck_assert_ptr_nonnull(message);
    ck_assert_uint_eq(message->seq, seq);
    ck_assert_uint_eq(feed->next_seq, seq);
}

static void next_is_asked_for(unsigned times)
{
    ck_assert_ptr_null(feed_next(&broker, feed));
    ck_assert_uint_eq(fetches, times);
}

static void take(uint64_t seq)
{
    next_is(seq);
    feed_take(feed);
    ck_assert_uint_eq(feed->next_seq, seq + 1);
}

static void in_tail(uint64_t first)
{
    for (uint64_t seq = first; seq <= LAST; seq++)
        tail_append(&user->tail, messages[seq]);
}

START_TEST(from_the_tail_without_a_read)
{
    in_tail(1);
    for (uint64_t seq = 1; seq <= LAST; seq++)
        take(seq);
    next_is_asked_for(0); /* there is none */
}
END_TEST

START_TEST(looking_does_not_take)
{
    in_tail(1);
    next_is(1);
    next_is(1);
}
END_TEST

START_TEST(read_back_and_then_from_the_tail)
{
    in_tail(16);
    next_is_asked_for(1);
    next_is_asked_for(1); /* once is enough */
    fetched(1, 15, 0, 0);
    for (uint64_t seq = 1; seq <= LAST; seq++)
        take(seq);
    ck_assert_uint_eq(fetches, 1);
    ck_assert_ptr_null(feed->ready);
}
END_TEST

START_TEST(one_read_after_the_other)
{
    next_is_asked_for(1);
    fetched(1, 5, 0, 0);
    for (uint64_t seq = 1; seq <= 5; seq++)
        take(seq);
    next_is_asked_for(2);
    fetched(6, LAST, 0, 0);
    take(6);
}
END_TEST

START_TEST(over_a_hole)
{
    next_is_asked_for(1);
    fetched(1, LAST, 3, 10);
    take(1);
    take(2);
    take(13);
}
END_TEST

START_TEST(a_hole_at_the_front_and_nothing_else)
{
    next_is_asked_for(1);
    fetched(1, 10, 1, 10);
    ck_assert_uint_eq(feed->next_seq, 11);
    next_is_asked_for(2);
    fetched(11, LAST, 11, LAST);
    ck_assert_uint_eq(feed->next_seq, LAST + 1);
    next_is_asked_for(2);
}
END_TEST

START_TEST(nothing_below_the_place_moves_it_back)
{
    feed_seek(feed, 8);
    fetched(1, 5, 1, 5);
    ck_assert_uint_eq(feed->next_seq, 8);
}
END_TEST

START_TEST(seek_within_what_was_read)
{
    next_is_asked_for(1);
    fetched(1, 10, 0, 0);
    feed_seek(feed, 4);
    take(4);
    ck_assert(!feed->fetch_stale);
    feed_seek(feed, 5); /* it is there already */
    take(5);
    ck_assert_uint_eq(fetches, 1);
}
END_TEST

START_TEST(seek_out_of_what_was_read)
{
    next_is_asked_for(1);
    fetched(1, 10, 0, 0);
    feed_seek(feed, 11);
    ck_assert_ptr_null(feed->ready);
    next_is_asked_for(2);
    fetched(11, 12, 0, 0);
    take(11);
    feed_seek(feed, 2); /* and back */
    next_is_asked_for(3);
    fetched(2, 12, 0, 0);
    take(2);
}
END_TEST

START_TEST(seek_into_a_hole)
{
    next_is_asked_for(1);
    fetched(1, LAST, 3, 10);
    feed_seek(feed, 5);
    next_is_asked_for(2); /* what is in the hole now is the database's to say */
    fetched(5, LAST, 5, 8);
    take(13);
}
END_TEST

START_TEST(seek_while_a_read_is_under_way)
{
    next_is_asked_for(1);
    feed_seek(feed, 7);
    ck_assert(feed->fetching);
    ck_assert(feed->fetch_stale); /* its answer is for another place */
    next_is_asked_for(1);
}
END_TEST

START_TEST(forgotten)
{
    next_is_asked_for(1);
    fetched(1, 10, 0, 0);
    take(1);
    feed_forget(feed);
    ck_assert_uint_eq(feed->next_seq, 2);
    ck_assert(feed->fetch_stale);
    next_is_asked_for(2);
}
END_TEST

START_TEST(an_answer_takes_the_place_of_the_last_one)
{
    next_is_asked_for(1);
    fetched(1, 10, 0, 0);
    fetched(1, 4, 0, 0);
    take(1);
    ck_assert_uint_eq(feed->ready_count, 3);
}
END_TEST

START_TEST(an_answer_from_before_the_place_is_dropped)
{
    feed_seek(feed, 6);
    fetched(1, 5, 0, 0);
    next_is_asked_for(1);
    ck_assert_uint_eq(feed->next_seq, 6);
    ck_assert_ptr_null(feed->ready);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("feed");
    TCase *tcase = tcase_create("feed");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, from_the_tail_without_a_read);
    tcase_add_test(tcase, looking_does_not_take);
    tcase_add_test(tcase, read_back_and_then_from_the_tail);
    tcase_add_test(tcase, one_read_after_the_other);
    tcase_add_test(tcase, over_a_hole);
    tcase_add_test(tcase, a_hole_at_the_front_and_nothing_else);
    tcase_add_test(tcase, nothing_below_the_place_moves_it_back);
    tcase_add_test(tcase, seek_within_what_was_read);
    tcase_add_test(tcase, seek_out_of_what_was_read);
    tcase_add_test(tcase, seek_into_a_hole);
    tcase_add_test(tcase, seek_while_a_read_is_under_way);
    tcase_add_test(tcase, forgotten);
    tcase_add_test(tcase, an_answer_takes_the_place_of_the_last_one);
    tcase_add_test(tcase, an_answer_from_before_the_place_is_dropped);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
