/* alert_fixture - what test_alert*.c stand on: a clock of its own, one person with one phone, and
 * fakes of plugins, the store and the bus that remember what they were asked. Included by those
 * files only. */
#ifndef BECKON_TESTS_ALERT_FIXTURE_H
#define BECKON_TESTS_ALERT_FIXTURE_H

#include "broker/alert.h"

#include "broker/inbox.h"
#include "broker/push.h"
#include "broker/trace.h"
#include "common/auto.h"
#include "tests/unit/broker/person_fakes.h"

#define LIVE_MS 4000
#define NOTIFY_MS 2000
#define SENT_MAX 256
#define ASKED_MAX 8

struct plugin {
    const char *name;
    uint32_t flags;
};
static struct plugin live = {"live", DP_USES_SOCKET},
                     local_push = {"local-push", DP_USES_SOCKET | DP_USES_NOTIFICATION},
                     apns = {"apns", DP_USES_NOTIFICATION}, webhook = {"webhook", 0};

static struct device *phone;
static struct timer_wheel wheel;
static struct feed *asked[ASKED_MAX];
static unsigned asked_count;
static struct message *stored[SENT_MAX];
static uint64_t now, wall = 1780000000000;

/* What plugins were given. */
static struct given {
    const struct plugin *plugin;
    uint64_t id, seq, at;
} given[SENT_MAX];
static unsigned given_count;
static bool plugin_full, whole;
static unsigned cancels, forgotten;
static uint64_t read_up_to;
static char last_outcome[32], last_reason[32];

/* --- fakes --- */

uint64_t loop_now_ms(const struct loop *loop)
{
    (void)loop;
    return now;
}
uint64_t loop_wall_ms(const struct loop *loop)
{
    (void)loop;
    return wall + now;
}
void loop_timer_add(struct loop *loop, struct timer *timer, uint64_t delay_ms)
{
    (void)loop;
    timer_wheel_add(&wheel, timer, now + delay_ms);
}
void loop_timer_cancel(struct loop *loop, struct timer *timer)
{
    (void)loop;
    timer_wheel_cancel(&wheel, timer);
}
struct plugin *plugin_find(struct broker *b, const char *name)
{
    (void)b;
    return strcmp(name, "apns") == 0 ? &apns : NULL;
}
const char *plugin_name(const struct plugin *plugin)
{
    return plugin->name;
}
uint32_t plugin_flags(const struct plugin *plugin)
{
    return plugin->flags;
}
void plugin_cancel(struct plugin *plugin, uint64_t id)
{
    (void)plugin, (void)id;
    cancels++;
}
int delivery_start(struct broker *b, struct plugin *plugin, const struct delivery_source *source,
                   uint64_t id)
{
    (void)b;
    if (plugin_full)
        return ERR_AGAIN;
    ck_assert_uint_lt(given_count, SENT_MAX);
    given[given_count++] =
        (struct given){.plugin = plugin, .id = id, .seq = source->message->seq, .at = now};
    if (source->flight)
        source->flight->whole = whole;
    return 0;
}
static void report(const struct plugin *plugin, uint64_t id, uint32_t kind, uint64_t after_ms,
                   uint64_t gone_ms)
{
    const struct dp_outcome outcome = {.struct_size = sizeof(outcome),
                                       .kind = kind,
                                       .retry_after_ms = after_ms,
                                       .gone_at_ms = gone_ms,
                                       .reason = "said"};

    if (plugin == &live)
        inbox_outcome(&broker, id, &outcome);
    else if (plugin == &local_push)
        alert_notify_outcome(&broker, id, &outcome);
    else
        alert_push_outcome(&broker, (struct plugin *)plugin, id, &outcome);
}
void plugin_socket_result(struct plugin *plugin, uint64_t id, uint32_t result)
{
    report(plugin, id, result == DP_SOCKET_ACKED ? DP_ACKNOWLEDGED : DP_RETRY, 0, 0);
}
void delivery_log_push(struct broker *b, const struct device *d, const struct message *message,
                       const char *route, uint64_t began_ms)
{
    (void)b, (void)d, (void)message, (void)route, (void)began_ms;
}
void trace_add(struct broker *b, const struct device *d, uint64_t seq, const char *step,
               const char *outcome, const char *reason, uint64_t took_ms)
{
    (void)b, (void)d, (void)seq, (void)step, (void)took_ms;
    snprintf(last_outcome, sizeof(last_outcome), "%s", outcome);
    snprintf(last_reason, sizeof(last_reason), "%s", reason);
}
static bool badge_is_stale; /* a recount is under way */

bool unread_fresh(struct broker *b, struct user *u)
{
    (void)b, (void)u;
    return !badge_is_stale;
}

bool unread_was_read(const struct user *u, const struct message *message)
{
    (void)u;
    return message->seq <= read_up_to;
}
void store_cursor_moved(struct broker *b, struct device *d)
{
    (void)b, (void)d;
}
void store_fetch(struct broker *b, struct feed *feed)
{
    (void)b;
    if (feed->fetching)
        return;
    feed->fetching = true;
    feed->fetch_stale = false;
    ck_assert_uint_lt(asked_count, ASKED_MAX);
    asked[asked_count++] = feed;
}

/* The database's answers. */
static void serve(void)
{
    while (asked_count > 0) {
        struct feed *feed = asked[--asked_count];
        struct message **ready = calloc(user->last_seq + 1, sizeof(struct message *));
        uint32_t count = 0;

        feed->fetching = false;
        for (uint64_t seq = feed->next_seq; !feed->fetch_stale && seq <= user->last_seq; seq++)
            ready[count++] = message_ref(stored[seq]);
        if (feed->fetch_stale) {
            free(ready);
            inbox_pump(&broker, feed->device);
        } else {
            inbox_fetched(&broker, feed, ready, count, user->last_seq);
        }
    }
}
void store_forget_feed(struct broker *b, struct feed *feed)
{
    (void)b, (void)feed;
}
struct session *session_find(struct broker *b, const struct peer *p, uint64_t conn)
{
    (void)b, (void)p;
    return phone->session && conn == session.conn ? &session : NULL;
}
void push_forget(struct broker *b, struct device *d)
{
    (void)b;
    free(d->push);
    d->push = NULL;
    forgotten++;
}

/* --- fixture --- */

static void registered(uint64_t at_ms)
{
    free(phone->push);
    phone->push = calloc(1, sizeof(*phone->push));
    phone->push->provider = "apns";
    phone->push->registered_at_ms = at_ms;
}

static void set_state(uint8_t state, uint64_t lease_ms)
{
    session.state = state;
    session.doubtful = false;
    session.lease_until_ms = lease_ms ? now + lease_ms : 0;
    inbox_pump(&broker, phone);
}

static void setup(void)
{
    memset(&broker, 0, sizeof(broker));
    given_count = cancels = forgotten = asked_count = 0;
    plugin_full = false;
    whole = true;
    read_up_to = 0;
    now = 1000000;
    timer_wheel_init(&wheel, now);
    broker.options.background_lease_s = 25;
    broker.options.push_per_minute = 5;
    broker.routing.state[ROUTE_FOREGROUND] =
        (struct steps){.step = {{&live, LIVE_MS}, {NULL, 0}}, .count = 2};
    broker.routing.state[ROUTE_BACKGROUND] =
        (struct steps){.step = {{&local_push, NOTIFY_MS}, {NULL, 0}}, .count = 2};
    broker.routing.state[ROUTE_OFFLINE] = (struct steps){.step = {{NULL, 0}}, .count = 1};
    ck_assert_int_eq(alerts_create(&broker), 0);
    phone = person_create(8);
    registered(wall);
}

static void teardown(void)
{
    for (uint64_t seq = 1; seq <= user->last_seq; seq++)
        message_unref(stored[seq]);
    person_destroy(phone);
    alerts_destroy(&broker);
}

static void advance(uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i++) {
        now++;
        timer_wheel_advance(&wheel, now);
        serve();
    }
}

static void send_expiring(uint64_t expires_at_ms)
{
    struct wire_body body = {.kind = WIRE_BODY_USER,
                             .from = bytes_of_string("alice"),
                             .sent_at_ms = wall + now,
                             .expires_at_ms = expires_at_ms};
    struct message *m = message_create(&body, body.from, body.from, bytes_of(NULL, 0));

    m->seq = user->last_seq + 1;
    stored[m->seq] = m;
    inbox_append(&broker, user, m);
    inbox_pump_touched(&broker);
    serve();
}

static void send(void)
{
    send_expiring(0);
}

static void ack(uint64_t seq)
{
    inbox_on_ack(&broker, &peer,
                 &(struct wire_ack){.conn = 1, .epoch = session.epoch, .acked_seq = seq});
}

static inline void ack_beyond(uint64_t seq)
{
    uint8_t encoded[8] = {(uint8_t)seq};
    struct wire_ack record = {
        .conn = 1, .epoch = session.epoch, .more = {.count = 1, .encoded = bytes_of(encoded, 8)}};

    inbox_on_ack(&broker, &peer, &record);
}

static void notified(uint64_t seq)
{
    inbox_on_notified(&broker, &peer,
                      &(struct wire_ack){.conn = 1, .epoch = session.epoch, .acked_seq = seq});
}

static void offline(void)
{
    phone->session = NULL;
    inbox_connection_lost(&broker, phone);
}

static unsigned count_of(const struct plugin *plugin)
{
    unsigned count = 0;

    serve();
    for (unsigned i = 0; i < given_count; i++)
        count += given[i].plugin == plugin;
    return count;
}

static const struct given *last(void)
{
    serve();
    ck_assert_uint_gt(given_count, 0);
    return &given[given_count - 1];
}

static void check_last(const struct plugin *plugin, uint64_t seq)
{
    ck_assert_ptr_eq(last()->plugin, plugin);
    ck_assert_uint_eq(last()->seq, seq);
}

static void answer(uint32_t kind)
{
    report(last()->plugin, last()->id, kind, 0, 0);
}

#endif
