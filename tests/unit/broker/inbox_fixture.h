/* inbox_fixture - what test_inbox*.c stand on: one person with one phone in the foreground, and
 * fakes of the store, the route and the bus that remember what they were asked. Included by those
 * files only. */
#ifndef BECKON_TESTS_INBOX_FIXTURE_H
#define BECKON_TESTS_INBOX_FIXTURE_H

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

static void reconnect(uint64_t epoch)
{
    inbox_connection_lost(&broker, device);
    session.epoch = epoch;
    inbox_pump(&broker, device);
    if (device->feed.fetching)
        fetched(device->feed.next_seq, user->last_seq);
}

#endif
