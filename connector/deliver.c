/* deliver - DELIVER and LIVE become PUBLISH, encoded straight into the client's output.
 *
 * Nothing is looked up but the connection, by slot. The packet identifier is computed from the
 * sequence, so a resumed session repeats it without anyone having stored it. */
#include "connector/handle.h"

#include <assert.h>
#include <stdlib.h>

#include "common/auto.h"

#include "connector/conn.h"

/* "inbox/notify/sent/g/" and a MID, and two strings of the wire (u8 length) with their slashes. */
#define TOPIC_BYTES (20 + MID_TEXT_SIZE + 2 * 256)

struct topic_text {
    char text[TOPIC_BYTES];
    uint32_t len;
};

static void add(struct topic_text *topic, const void *data, uint32_t len)
{
    if (len > 0)
        memcpy(topic->text + topic->len, data, len);
    topic->len += len;
}

static void add_level(struct topic_text *topic, struct bytes name)
{
    add(topic, name.data, name.len);
    add(topic, "/", 1);
}

static void topic_of_body(struct topic_text *topic, const struct wire_body *body, bool notification)
{
    static const struct {
        const char *text;
        bool to, from; /* levels that follow, in this order */
    } forms[] = {
        [WIRE_BODY_USER] = {"u/", false, true},
        [WIRE_BODY_GROUP] = {"g/", true, true},
        [WIRE_BODY_SENT_USER] = {"sent/u/", true, false},
        [WIRE_BODY_SENT_GROUP] = {"sent/g/", true, false},
    };
    char mid[MID_TEXT_SIZE];

    assert(forms[body->kind].text != NULL); /* wire_next has checked the kind */
    topic->len = 0;
    add(topic, "inbox/", 6);
    if (notification)
        add(topic, "notify/", 7);
    add(topic, forms[body->kind].text, (uint32_t)strlen(forms[body->kind].text));
    if (forms[body->kind].to)
        add_level(topic, body->to);
    if (forms[body->kind].from)
        add_level(topic, body->from);
    mid_format(&body->mid, mid);
    add(topic, mid, MID_TEXT_SIZE - 1);
}

static bool fits(const struct conn *c, const struct mqtt_publish_out *publish, uint32_t *ret_size)
{
    if (c->max_packet_bytes == 0)
        return true;
    *ret_size = mqtt_publish_size(c->level, publish);
    return *ret_size <= c->max_packet_bytes;
}

static void skip(struct conn *c, const struct wire_deliver *deliver, uint32_t size)
{
    struct buf *frame = conn_frame(c);
    const struct wire_skip record = {
        .conn = conn_handle(c),
        .epoch = c->client->epoch,
        .seq = deliver->seq,
        .size = size,
        .limit = c->max_packet_bytes,
        .notification = deliver->notification,
    };

    c->connector->metrics.deliveries_too_large++;
    if (frame != NULL && deliver->seq != 0)
        wire_put_skip(frame, &record);
}

/* Records that seq is in flight. False: it is already (or there is no memory), nothing is sent. */
static bool take_seq(struct conn *c, const struct wire_deliver *deliver)
{
    int r = inflight_add(deliver->notification ? &c->client->notified : &c->inflight, deliver->seq);

    if (r == ERR_EXISTS) {
        /* At most once a connection. If it was acknowledged, beyond a gap, the broker missed that.
         */
        c->connector->metrics.deliveries_repeated++;
        conn_ack_later(c);
        return false;
    }
    if (r < 0) {
        conn_close(c, CLOSE_NO_MEMORY, NULL);
        return false;
    }
    return true;
}

static void put_publish(struct conn *c, const struct mqtt_publish_out *publish)
{
    struct buf out = conn_begin(c);

    mqtt_put_publish(&out, c->level, publish);
    conn_end(c, &out);
}

static void deliver_now(struct conn *c, const struct wire_deliver *deliver)
{
    const struct wire_body *body = &deliver->body;
    uint64_t wall_ms = loop_wall_ms(c->connector->loop);
    struct topic_text topic;
    struct mqtt_publish_out publish;
    uint32_t size = 0;

    topic_of_body(&topic, body, deliver->notification);
    publish = (struct mqtt_publish_out){
        .dup = deliver->dup && deliver->seq != 0,
        .qos = deliver->seq != 0 ? 1 : 0, /* seq 0: a tap */
        .packet_id = inflight_packet_id(deliver->seq, deliver->notification),
        .topic = bytes_of(topic.text, topic.len),
        .payload = body->payload,
        .properties = body->properties,
        .has_expiry = body->expires_at_ms != 0,
        .subscription_id = c->inbox.id,
    };
    if (publish.has_expiry) {
        uint64_t left_s = body->expires_at_ms > wall_ms
                              ? (body->expires_at_ms - wall_ms + 999) / 1000
                              : 1; /* ran out on the way: the client decides */

        publish.expiry_s = left_s < UINT32_MAX ? (uint32_t)left_s : UINT32_MAX;
    }
    if (!fits(c, &publish, &size)) {
        skip(c, deliver, size);
        return;
    }
    if (deliver->seq != 0 && !take_seq(c, deliver))
        return;
    c->connector->metrics.deliveries++;
    put_publish(c, &publish);
}

/* MQTT-3.3.4-9: of messages and notifications together. */
static bool has_room(const struct conn *c)
{
    return (uint32_t)c->inflight.open + c->client->notified.open < c->client->receive_max;
}

/* No more than may wait to be written: a client that lets both grow does not answer at all. */
static void hold(struct conn *c, const struct wire_deliver *deliver)
{
    int r = held_add(&c->client->held, deliver, c->connector->options.queue_bytes);

    c->connector->metrics.deliveries_held++;
    if (r == ERR_FULL)
        conn_close(c, CLOSE_QUEUE_FULL, NULL);
    else if (r < 0)
        conn_close(c, CLOSE_NO_MEMORY, NULL);
}

void deliver_message(struct broker *broker, const struct wire_deliver *deliver)
{
    struct connector *connector = broker->brokers->connector;
    struct conn *c = conn_of(broker, deliver->conn);

    if (c == NULL || !conn_is_open(c))
        connector->metrics.records_stale++;
    else if (c->state == CONN_LEAVING)
        connector->metrics.drain_undelivered++; /* the client's next connection gets it */
    else if (deliver->seq != 0 && (c->client->held != NULL || !has_room(c)))
        hold(c, deliver);
    else
        deliver_now(c, deliver);
}

void deliver_held(struct conn *c)
{
    struct wire_deliver deliver;
    void *memory;

    while (conn_is_open(c) && c->state != CONN_LEAVING && has_room(c) &&
           (memory = held_take(&c->client->held, &deliver)) != NULL) {
        deliver_now(c, &deliver);
        free(memory);
    }
}

void deliver_live(struct broker *broker, const struct wire_live *live)
{
    struct connector *connector = broker->brokers->connector;
    struct conn *c = conn_of(broker, live->conn);
    struct topic_text topic = {.len = 0};
    struct mqtt_publish_out publish;
    uint32_t size = 0;

    if (c == NULL || !conn_is_open(c) || !c->inbox.active) {
        connector->metrics.records_stale++;
        return;
    }
    add(&topic, "inbox/live/", 11);
    add(&topic, live->kind == WIRE_BODY_GROUP ? "g/" : "u/", 2);
    if (live->kind == WIRE_BODY_GROUP)
        add_level(&topic, live->to);
    add(&topic, live->from.data, live->from.len);
    publish = (struct mqtt_publish_out){
        .topic = bytes_of(topic.text, topic.len),
        .payload = live->payload,
        .properties = live->properties,
        .subscription_id = c->inbox.id,
    };
    if (!fits(c, &publish, &size))
        return; /* ephemeral: nobody waits for it */
    connector->metrics.live_deliveries++;
    put_publish(c, &publish);
}
