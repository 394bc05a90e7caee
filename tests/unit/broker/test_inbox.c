/* Tests of broker/inbox.c: sequences, windows, cursors. The store, the route and the bus around it
 * are fakes that remember what they were asked. */
#include "broker/inbox.h"
#include "broker/retention.h"

#include "beckon/delivery_plugin.h"
#include "broker/route.h"

#include "tests/support/run_suite.h"
#include "tests/unit/broker/alert_fakes.h"
#include "tests/unit/broker/person_fakes.h"

#define MAX_SENT 1000

static struct device *device;

/* --- fakes --- */

static struct {
    uint64_t id[MAX_SENT], seq[MAX_SENT];
    bool redelivery[MAX_SENT];
    unsigned count;
} sent;
static unsigned cursor_moves, fetches, lost;
static bool route_full;

void store_cursor_moved(struct broker *b, struct device *d)
{
    (void)b, (void)d;
    cursor_moves++;
}

void store_fetch(struct broker *b, struct feed *feed)
{
    (void)b;
    if (feed->fetching)
        return;
    feed->fetching = true;
    fetches++;
}

struct session *session_find(struct broker *b, const struct peer *p, uint64_t conn)
{
    (void)b, (void)p;
    return conn == session.conn ? &session : NULL;
}

static const struct step live = {.plugin = NULL, .ack_ms = 4000};

const struct step *route_message_step(struct broker *b, const struct device *d)
{
    (void)b;
    return d->session && (d->inbox || d->feed.next_seq <= d->sent_seq) ? &live : NULL;
}

uint64_t route_wants(struct broker *b, const struct device *d)
{
    (void)b;
    return d->session ? d->feed.next_seq : UINT64_MAX;
}

uint32_t route_ack_ms(const struct broker *b, bool notification)
{
    (void)b, (void)notification;
    return live.ack_ms;
}

const char *plugin_name(const struct plugin *plugin)
{
    (void)plugin;
    return "live";
}

int delivery_start(struct broker *b, struct plugin *plugin, const struct delivery_source *source,
                   uint64_t id)
{
    (void)b, (void)plugin;
    if (route_full)
        return ERR_AGAIN;
    ck_assert_uint_lt(sent.count, MAX_SENT);
    sent.id[sent.count] = id;
    sent.seq[sent.count] = source->message->seq;
    sent.redelivery[sent.count++] = source->redelivery;
    return 0;
}

static void report(uint64_t id, uint32_t kind, const char *reason)
{
    inbox_outcome(&broker, id,
                  &(struct dp_outcome){
                      .struct_size = sizeof(struct dp_outcome), .kind = kind, .reason = reason});
}

/* What `live` does: the socket's answer is the outcome. */
void plugin_socket_result(struct plugin *plugin, uint64_t id, uint32_t result)
{
    (void)plugin;
    lost += result == DP_SOCKET_LOST;
    report(id,
           result == DP_SOCKET_ACKED ? DP_ACKNOWLEDGED
                                     : (result == DP_SOCKET_TOO_LARGE ? DP_FAILED : DP_RETRY),
           result == DP_SOCKET_TOO_LARGE ? "too-large" : NULL);
}

/* --- fixture --- */

static void setup(void)
{
    memset(&sent, 0, sizeof(sent));
    memset(&broker, 0, sizeof(broker));
    cursor_moves = fetches = lost = traced = 0;
    carried = 0;
    route_full = false;
    broker.loop = loop_create();
    ck_assert_ptr_nonnull(broker.loop);
    device = person_create(4);
}

static void teardown(void)
{
    person_destroy(device);
    loop_destroy(broker.loop);
}

static struct message *make(uint64_t seq)
{
    struct wire_body body = {.kind = WIRE_BODY_USER,
                             .from = bytes_of_string("alice"),
                             .sent_at_ms = loop_wall_ms(broker.loop)};
    struct message *m = message_create(&body, body.from, body.from, bytes_of(NULL, 0));

    m->seq = seq;
    return m;
}

/* Commits messages up to and including last. */
static void commit(uint64_t last)
{
    while (user->last_seq < last) {
        struct message *m = make(user->last_seq + 1);

        inbox_append(&broker, user, m);
        message_unref(m);
    }
    inbox_pump_touched(&broker);
}

/* As if read back: messages first..last. */
static void fetched(uint64_t first, uint64_t last)
{
    struct message **ready = calloc(last - first + 1, sizeof(*ready));

    for (uint64_t seq = first; seq <= last; seq++)
        ready[seq - first] = make(seq);
    device->feed.fetching = false;
    inbox_fetched(&broker, &device->feed, ready, (uint32_t)(last - first + 1), 0);
}

static void ack(uint64_t acked)
{
    struct wire_ack record = {.conn = 1, .epoch = session.epoch, .acked_seq = acked};

    inbox_on_ack(&broker, &peer, &record);
}

static void ack_more(uint64_t acked, uint64_t beyond)
{
    uint8_t encoded[8];
    struct wire_ack record = {.conn = 1, .epoch = session.epoch, .acked_seq = acked};

    for (int i = 0; i < 8; i++)
        encoded[i] = (uint8_t)(beyond >> (8 * i));
    record.more = (struct wire_list){.count = 1, .encoded = bytes_of(encoded, 8)};
    inbox_on_ack(&broker, &peer, &record);
}

static void adopt(uint64_t acked_seq, struct wire_list list)
{
    const struct wire_progress messages = {.acked_seq = acked_seq, .sent = list}, notified = {0};

    inbox_adopt(&broker, device, &messages, &notified);
}

static void reconnect(uint64_t epoch)
{
    inbox_connection_lost(&broker, device);
    session.epoch = epoch;
    inbox_pump(&broker, device);
    if (device->feed.fetching)
        fetched(device->feed.next_seq, user->last_seq);
}

/* --- tests --- */

START_TEST(covered_by_a_notification_that_is_under_way)
{
    carried = 2;
    commit(3);
    ck_assert_uint_eq(sent.count, 2); /* 1 and 3 */
    ack(1);
    ack(3);
    ck_assert_uint_eq(device->acked_seq, 1);
    inbox_acknowledged(&broker, device, 2, "local-push");
    ck_assert_uint_eq(device->acked_seq, 3);
}
END_TEST

START_TEST(acknowledged_as_a_notification)
{
    device->session = NULL; /* what it gets, it gets as notifications */
    commit(4);
    inbox_acknowledged(&broker, device, 1, "local-push");
    ck_assert_uint_eq(device->acked_seq, 1);
    inbox_acknowledged(&broker, device, 3, "local-push");
    ck_assert_uint_eq(device->acked_seq, 1);
    ck_assert(inbox_has(device, 3));
    ck_assert(!inbox_has(device, 2));
    inbox_acknowledged(&broker, device, 2, "local-push");
    ck_assert_uint_eq(device->acked_seq, 3);
    device->session = &session;
    inbox_pump(&broker, device);
    if (device->feed.fetching)
        fetched(4, 4);
    ck_assert_uint_eq(sent.count, 1);
    ck_assert_uint_eq(sent.seq[0], 4);
}
END_TEST

START_TEST(delivers_in_order_within_the_window)
{
    commit(10);
    ck_assert_uint_eq(sent.count, 4);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_uint_eq(sent.seq[i], i + 1);
    ack(1);
    ck_assert_uint_eq(sent.count, 5);
    ck_assert_uint_eq(device->acked_seq, 1);
    ack(5);
    ck_assert_uint_eq(sent.count, 9);
    ack(10);
    ck_assert_uint_eq(device->acked_seq, 9); /* 10 was never sent when that came */
    ack(10);
    ck_assert_uint_eq(device->acked_seq, 10);
    ck_assert_uint_eq(fetches, 0);
    ck_assert_ptr_null(device->flights.ring);
    ck_assert_uint_eq(user->tail.count, 0);
    ck_assert_uint_eq(user->max_acked, 10);
}
END_TEST

START_TEST(window_counts_bytes_too)
{
    broker.options.inbox_window_bytes = 1; /* less than any message: one at a time */
    commit(3);
    ck_assert_uint_eq(sent.count, 1);
    ack(1);
    ck_assert_uint_eq(sent.count, 2);
    ck_assert_uint_gt(device->flights.outstanding_bytes, 0);
    ack(2);
    ack(3);
    ck_assert_uint_eq(sent.count, 3);
    ck_assert_uint_eq(device->flights.outstanding_bytes, 0);
}
END_TEST

START_TEST(acknowledged_beyond_a_gap)
{
    commit(4);
    ack_more(0, 3);
    ck_assert_uint_eq(device->acked_seq, 0);
    ck_assert_uint_eq(device->flights.outstanding, 3);
    ack(1);
    ck_assert_uint_eq(device->acked_seq, 1);
    ack(2);
    ck_assert_uint_eq(device->acked_seq, 3);
    ack(4);
    ck_assert_uint_eq(device->acked_seq, 4);
}
END_TEST

START_TEST(lost_connection_makes_it_due_again_with_dup)
{
    commit(3);
    ack_more(1, 3);
    reconnect(6);
    ck_assert_uint_eq(lost, 1); /* 2; 1 and 3 were done */
    ck_assert_uint_eq(sent.count, 4);
    ck_assert_uint_eq(sent.seq[3], 2);
    ck_assert(sent.redelivery[3]);
    commit(4);
    ck_assert_uint_eq(sent.count, 5);
    ck_assert_uint_eq(sent.seq[4], 4); /* 3 is not sent again */
    ck_assert(!sent.redelivery[4]);
    ack(4);
    ck_assert_uint_eq(device->acked_seq, 4);
}
END_TEST

START_TEST(older_connection_does_not_count)
{
    struct wire_ack stale = {.conn = 1, .epoch = 5, .acked_seq = 3};

    commit(3);
    reconnect(6);
    inbox_on_ack(&broker, &peer, &stale);
    ck_assert_uint_eq(device->acked_seq, 0);
    ck_assert_uint_eq(device->flights.outstanding, 3);
}
END_TEST

START_TEST(unsubscribed_what_was_begun_is_completed)
{
    commit(3);
    ack_more(0, 2);
    device->inbox = false;
    commit(5);
    ck_assert_uint_eq(sent.count, 3);
    reconnect(6);
    ck_assert_uint_eq(sent.count, 5);
    ck_assert_uint_eq(sent.seq[3], 1);
    ck_assert_uint_eq(sent.seq[4], 3); /* 2 is acknowledged, 4 and 5 were never begun */
    ck_assert(sent.redelivery[3] && sent.redelivery[4]);
}
END_TEST

/* Retention took the unfinished ones: what comes next in the sequence was never begun. */
START_TEST(unsubscribed_and_a_hole)
{
    commit(3);
    device->inbox = false;
    inbox_connection_lost(&broker, device);
    session.epoch = 6;
    user->last_seq = 8;
    inbox_pump(&broker, device);
    fetched(5, 8);
    ck_assert_uint_eq(sent.count, 3);
}
END_TEST

START_TEST(a_new_session_has_no_dup)
{
    commit(3);
    inbox_connection_lost(&broker, device);
    inbox_restart(&broker, device);
    session.epoch = 6;
    inbox_pump(&broker, device);
    fetched(1, 3);
    ck_assert_uint_eq(sent.count, 6);
    ck_assert(!sent.redelivery[3]);
}
END_TEST

START_TEST(backlog_is_read_then_the_tail_goes_on)
{
    user->last_seq = 6;
    inbox_pump(&broker, device);
    ck_assert_uint_eq(sent.count, 0);
    ck_assert_uint_eq(fetches, 1);
    commit(8); /* while the read is under way */
    ck_assert_uint_eq(sent.count, 0);
    fetched(1, 6);
    ck_assert_uint_eq(sent.count, 4);
    ack(4);
    ck_assert_uint_eq(sent.count, 8);
    ck_assert_uint_eq(sent.seq[7], 8);
    ck_assert_uint_eq(fetches, 1);
}
END_TEST

START_TEST(hole_left_by_retention_is_passed)
{
    user->last_seq = 10;
    inbox_pump(&broker, device);
    fetched(8, 10); /* 1 to 7 went with their partition */
    ck_assert_uint_eq(sent.count, 3);
    ck_assert_uint_eq(device->acked_seq, 7);
    ack(10);
    ck_assert_uint_eq(device->acked_seq, 10);
}
END_TEST

START_TEST(nothing_left_moves_the_cursor)
{
    user->last_seq = 10;
    inbox_pump(&broker, device);
    device->feed.fetching = false;
    inbox_fetched(&broker, &device->feed, NULL, 0, 10);
    ck_assert_uint_eq(device->acked_seq, 10);
    commit(11);
    ck_assert_uint_eq(sent.count, 1);
    ck_assert_uint_eq(sent.seq[0], 11);
}
END_TEST

START_TEST(expired_and_own_copies_are_passed)
{
    struct message *m;

    for (uint64_t seq = 1; seq <= 4; seq++) {
        m = make(seq);
        m->expires_at_ms = seq == 2 ? 1 : 0;
        m->origin_device = seq == 3 ? device->no : 0;
        inbox_append(&broker, user, m);
        message_unref(m);
    }
    inbox_pump_touched(&broker);
    ck_assert_uint_eq(sent.count, 2);
    ck_assert_uint_eq(sent.seq[1], 4);
    ck_assert_uint_eq(broker.metrics.expired, 1);
    ack(1);
    ck_assert_uint_eq(device->acked_seq, 3);
    ack(4);
    ck_assert_uint_eq(device->acked_seq, 4);
}
END_TEST

START_TEST(older_than_the_retention_time_is_passed)
{
    struct message *m = make(1);

    m->sent_at_ms -= retention_ms(&broker);
    inbox_append(&broker, user, m);
    message_unref(m);
    inbox_pump_touched(&broker);
    ck_assert_uint_eq(sent.count, 0);
    ck_assert_uint_eq(broker.metrics.expired, 1);
    ck_assert_uint_eq(traced, 1);
    ck_assert_uint_eq(device->acked_seq, 1);
}
END_TEST

START_TEST(too_large_is_passed_and_counted)
{
    struct wire_skip skip = {.conn = 1, .epoch = 5, .seq = 1, .size = 9, .limit = 5};

    commit(2);
    inbox_on_skip(&broker, &peer, &skip);
    ck_assert_uint_eq(device->acked_seq, 1);
    ck_assert_uint_eq(broker.metrics.too_large, 1);
    ack(2);
    ck_assert_uint_eq(device->acked_seq, 2);
}
END_TEST

START_TEST(full_route_is_asked_again)
{
    route_full = true;
    commit(2);
    ck_assert_uint_eq(sent.count, 0);
    ck_assert_uint_eq(device->flights.outstanding, 0);
    route_full = false;
    inbox_pump(&broker, device);
    ck_assert_uint_eq(sent.count, 2);
    ck_assert_uint_eq(sent.seq[0], 1);
    ack(2);
    ck_assert_uint_eq(device->acked_seq, 2);
}
END_TEST

START_TEST(adopts_what_a_connector_has_sent)
{
    uint8_t encoded[16] = {4, 0, 0, 0, 0, 0, 0, 0, 6};
    struct wire_list list = {.count = 2, .encoded = bytes_of(encoded, sizeof(encoded))};

    user->last_seq = 8;
    device->acked_seq = 1;
    device->feed.next_seq = 2;
    adopt(3, list);
    ck_assert_uint_eq(device->acked_seq, 3);
    ck_assert_uint_eq(device->flights.outstanding, 2);
    inbox_pump(&broker, device);
    fetched(7, 8);
    ck_assert_uint_eq(sent.count, 2); /* 7 and 8; 4 and 6 are on the way already */
    ck_assert_uint_eq(sent.seq[0], 7);
    ack(4);
    ck_assert_uint_eq(device->acked_seq, 5); /* 5 was acknowledged beyond the gap */
    ack(8);
    ck_assert_uint_eq(device->acked_seq, 8);
}
END_TEST

/* The client has 2 and 4 beyond a gap, and its connection is gone: 3 comes again, they do not. */
START_TEST(adopts_what_a_connection_that_ended_had)
{
    uint8_t encoded[24] = {2, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 99}, open[8] = {3};
    const struct wire_progress messages = {.acked_seq = 1,
                                           .more = {.count = 3,
                                                    .encoded = bytes_of(encoded, sizeof(encoded))},
                                           .sent = {.count = 1,
                                                    .encoded = bytes_of(open, sizeof(open))}},
                               notified = {0};

    user->last_seq = 5;
    device->session = NULL;
    inbox_adopt(&broker, device, &messages, &notified);
    inbox_connection_lost(&broker, device);
    ck_assert_uint_eq(device->acked_seq, 2);
    ck_assert_uint_eq(device->feed.next_seq, 3);
    ck_assert_uint_eq(device->sent_seq, 3); /* what comes again comes with DUP */
    ck_assert(!inbox_has(device, 3) && inbox_has(device, 4) && !inbox_has(device, 5));
    ck_assert(!inbox_has(device, 99)); /* there is no such message */
}
END_TEST

START_TEST(adoption_never_moves_back_or_ahead)
{
    struct wire_list none = {0};

    user->last_seq = 5;
    device->acked_seq = 3;
    adopt(2, none);
    ck_assert_uint_eq(device->acked_seq, 3);
    adopt(99, none);
    ck_assert_uint_eq(device->acked_seq, 3);
    ck_assert_uint_eq(device->feed.next_seq, 4);
}
END_TEST

START_TEST(late_outcome_is_counted_only)
{
    commit(1);
    ack(1);
    report(sent.id[0], DP_ACKNOWLEDGED, NULL);
    report(~sent.id[0], DP_ACKNOWLEDGED, NULL);
    ck_assert_uint_eq(broker.metrics.late_outcomes, 2);
    ck_assert_uint_eq(broker.metrics.acknowledged, 1);
}
END_TEST

/* Any order of commits, acknowledgements (also out of order) and lost connections: each message is
 * delivered at least once, in order on each connection, the window is kept, the cursor never passes
 * one that was not acknowledged. */
START_TEST(random_histories)
{
    bool acked[201] = {false};
    unsigned from = 0; /* first of `sent` on this connection */
    unsigned checked_sent = 0;
    uint64_t checked_seq = 0;

    srandom((unsigned)_i);
    while (device->acked_seq < 200) {
        long what = random() % 10;

        if (what < 4 && user->last_seq < 200) {
            commit(user->last_seq + 1 + (uint64_t)(random() % 3) < 200 ? user->last_seq + 1 : 200);
        } else if (what < 9 && sent.count > from) {
            uint64_t seq = sent.seq[from + (unsigned)random() % (sent.count - from)];
            uint64_t contiguous = device->acked_seq;

            acked[seq] = true;
            while (contiguous < 200 && acked[contiguous + 1])
                contiguous++;
            ack_more(contiguous, seq);
        } else if (what == 9 && sent.count < MAX_SENT - 250) {
            from = sent.count;
            reconnect(session.epoch + 1);
        }
        if (device->feed.fetching)
            fetched(device->feed.next_seq, user->last_seq);
        ck_assert_uint_le(device->flights.outstanding, session.window);
        while (checked_seq < device->acked_seq)
            ck_assert(acked[++checked_seq]);
        for (; checked_sent < sent.count; checked_sent++)
            ck_assert(checked_sent == from || sent.seq[checked_sent] > sent.seq[checked_sent - 1]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("inbox");
    TCase *tcase = tcase_create("inbox");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, delivers_in_order_within_the_window);
    tcase_add_test(tcase, window_counts_bytes_too);
    tcase_add_test(tcase, acknowledged_beyond_a_gap);
    tcase_add_test(tcase, lost_connection_makes_it_due_again_with_dup);
    tcase_add_test(tcase, older_connection_does_not_count);
    tcase_add_test(tcase, unsubscribed_what_was_begun_is_completed);
    tcase_add_test(tcase, unsubscribed_and_a_hole);
    tcase_add_test(tcase, a_new_session_has_no_dup);
    tcase_add_test(tcase, backlog_is_read_then_the_tail_goes_on);
    tcase_add_test(tcase, hole_left_by_retention_is_passed);
    tcase_add_test(tcase, nothing_left_moves_the_cursor);
    tcase_add_test(tcase, expired_and_own_copies_are_passed);
    tcase_add_test(tcase, older_than_the_retention_time_is_passed);
    tcase_add_test(tcase, too_large_is_passed_and_counted);
    tcase_add_test(tcase, full_route_is_asked_again);
    tcase_add_test(tcase, adopts_what_a_connector_has_sent);
    tcase_add_test(tcase, adopts_what_a_connection_that_ended_had);
    tcase_add_test(tcase, adoption_never_moves_back_or_ahead);
    tcase_add_test(tcase, late_outcome_is_counted_only);
    tcase_add_test(tcase, covered_by_a_notification_that_is_under_way);
    tcase_add_test(tcase, acknowledged_as_a_notification);
    tcase_add_loop_test(tcase, random_histories, 0, 50);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
