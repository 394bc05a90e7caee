/* The encoding half of wire.h. Brokers write one record a message and receiver, so records go
 * straight into the frame that will be sent: no intermediate copy, one pass, the length patched in
 * at the end. What can't be encoded (a name of more than 255 bytes, a record of more than 4 GiB)
 * fails the whole frame, as running out of memory does: buf_ok says so before anything is sent.
 *
 * The layout of each record is the order of its put_ calls below; wire_decode.c has the same order
 * of get_ calls. tests/unit/common/wire_samples.h holds the bytes of every record of version 4. */
#include "common/wire.h"

#include <assert.h>
#include <string.h>

#define STRING_MAX 255 /* its length is one byte */
#define LENGTH_SIZE 4
/* Every request begins with its token, after length and type. */
#define TOKEN_OFFSET (LENGTH_SIZE + 1)
/* Of the MID in a PUBLISH or COPY record: length, type, token, conn; of the resend flag after it;
 * in a STATE record: length, type, token, conn, epoch. */
#define PUBLISH_MID_OFFSET (LENGTH_SIZE + 1 + 8 + 8)
#define PUBLISH_RESEND_OFFSET (PUBLISH_MID_OFFSET + MID_SIZE)
#define STATE_RESEND_OFFSET (LENGTH_SIZE + 1 + 8 + 8 + 8)
/* Of what is left of the session in an ENDED record: length, type, conn, epoch. */
#define ENDED_EXPIRY_OFFSET (LENGTH_SIZE + 1 + 8 + 8)

/* Versions up to this one had no generation in the header. */
#define LAST_SHORT_HEADER 3

static void put_header(struct buf *frame, uint8_t version)
{
    const uint8_t header[] = {'B', 'K', version, 0};

    buf_put(frame, header, sizeof(header));
}

void wire_begin(struct buf *frame, uint64_t generation)
{
    put_header(frame, WIRE_VERSION);
    buf_put_le64(frame, generation);
}

void wire_begin_refusal(struct buf *frame, uint8_t version)
{
    if (version <= LAST_SHORT_HEADER)
        put_header(frame, version);
    else
        wire_begin(frame, 0);
}

/* Returns where the record starts, for record_end. */
static size_t record_begin(struct buf *frame, enum wire_type type)
{
    size_t start = frame->len;

    buf_put_le32(frame, 0);
    buf_put_u8(frame, (uint8_t)type);
    return start;
}

static void record_end(struct buf *frame, size_t start)
{
    if (!buf_ok(frame))
        return;

    size_t len = frame->len - start - LENGTH_SIZE;
    if (len > UINT32_MAX) {
        frame->failed = true;
        return;
    }
    for (unsigned i = 0; i < LENGTH_SIZE; i++)
        frame->data[start + i] = (uint8_t)(len >> (8 * i));
}

static void put_bool(struct buf *frame, bool value)
{
    buf_put_u8(frame, value ? 1 : 0);
}

static void put_mid(struct buf *frame, const struct mid *mid)
{
    buf_put(frame, mid->octets, MID_SIZE);
}

static void put_string(struct buf *frame, struct bytes text)
{
    if (text.len > STRING_MAX) {
        frame->failed = true;
        return;
    }
    buf_put_u8(frame, (uint8_t)text.len);
    buf_put(frame, text.data, text.len);
}

/* For text that only people read: its end is worth less than the frame. */
static void put_string_cut(struct buf *frame, struct bytes text)
{
    put_string(frame, bytes_of(text.data, text.len > STRING_MAX ? STRING_MAX : text.len));
}

static void put_bytes(struct buf *frame, struct bytes data)
{
    buf_put_le32(frame, data.len);
    buf_put(frame, data.data, data.len);
}

static void put_subscriptions(struct buf *frame, const struct wire_subscription *subscriptions,
                              uint16_t count)
{
    buf_put_le16(frame, count);
    for (uint16_t i = 0; i < count; i++) {
        put_string(frame, subscriptions[i].filter);
        buf_put_u8(frame, subscriptions[i].qos);
        buf_put_u8(frame, subscriptions[i].options);
        buf_put_le32(frame, subscriptions[i].id);
    }
}

static void put_seqs(struct buf *frame, const uint64_t *seqs, uint16_t count)
{
    buf_put_le16(frame, count);
    for (uint16_t i = 0; i < count; i++)
        buf_put_le64(frame, seqs[i]);
}

static void put_progress(struct buf *frame, const struct wire_progress *progress,
                         const struct wire_seqs *seqs)
{
    buf_put_le64(frame, progress->acked_seq);
    put_seqs(frame, seqs->more, seqs->more_count);
    put_seqs(frame, seqs->sent, seqs->sent_count);
}

static void put_will(struct buf *frame, const struct wire_will *will)
{
    put_bool(frame, will->present);
    if (!will->present)
        return;
    buf_put_u8(frame, will->kind);
    buf_put_u8(frame, will->qos);
    put_bool(frame, will->has_expiry);
    buf_put_le32(frame, will->delay_s);
    buf_put_le32(frame, will->expiry_s);
    put_string(frame, will->to);
    put_string(frame, will->key);
    put_bytes(frame, will->properties);
    put_bytes(frame, will->payload);
}

static void put_open(struct buf *frame, const struct wire_open *open)
{
    buf_put_le64(frame, open->conn);
    put_string(frame, open->user);
    put_string(frame, open->device);
    buf_put_u8(frame, open->level);
    put_bool(frame, open->clean_start);
    put_bool(frame, open->service);
    buf_put_u8(frame, open->state);
    buf_put_le32(frame, open->lease_s);
    buf_put_le32(frame, open->session_expiry_s);
    buf_put_le16(frame, open->receive_max);
    buf_put_le64(frame, open->token_issued_s);
    put_will(frame, &open->will);
}

void wire_put_empty(struct buf *frame, enum wire_type type)
{
    assert(type == WIRE_PING || type == WIRE_ANNOUNCE_END);

    record_end(frame, record_begin(frame, type));
}

void wire_put_refuse(struct buf *frame, const struct wire_refuse *record)
{
    size_t start = record_begin(frame, WIRE_REFUSE);

    buf_put_u8(frame, record->version);
    buf_put_u8(frame, record->reason);
    put_string_cut(frame, record->text);
    record_end(frame, start);
}

void wire_put_hello(struct buf *frame, const struct wire_hello *record)
{
    size_t start = record_begin(frame, WIRE_HELLO);

    buf_put(frame, record->instance, WIRE_INSTANCE_SIZE);
    buf_put_u8(frame, record->kind);
    put_string_cut(frame, record->name);
    record_end(frame, start);
}

static void put_members(struct buf *frame, uint64_t generation, const struct wire_member *members,
                        uint16_t count)
{
    buf_put_le64(frame, generation);
    buf_put_le16(frame, count);
    for (uint16_t i = 0; i < count; i++) {
        put_string(frame, members[i].name);
        put_bytes(frame, members[i].endpoint);
    }
}

void wire_put_welcome(struct buf *frame, const struct wire_welcome *record,
                      const struct wire_member *members, uint16_t member_count)
{
    size_t start = record_begin(frame, WIRE_WELCOME);

    buf_put(frame, record->instance, WIRE_INSTANCE_SIZE);
    buf_put_le32(frame, record->credit);
    buf_put_le32(frame, record->heartbeat_ms);
    put_string(frame, record->name);
    put_members(frame, record->members.generation, members, member_count);
    record_end(frame, start);
}

void wire_put_members(struct buf *frame, uint64_t generation, const struct wire_member *members,
                      uint16_t member_count)
{
    size_t start = record_begin(frame, WIRE_MEMBERS);

    put_members(frame, generation, members, member_count);
    record_end(frame, start);
}

void wire_put_announce(struct buf *frame, const struct wire_announce *record,
                       const struct wire_subscription *subscriptions, uint16_t subscription_count,
                       const struct wire_seqs *messages, const struct wire_seqs *notified)
{
    size_t start = record_begin(frame, WIRE_ANNOUNCE);

    put_open(frame, &record->open);
    buf_put_le64(frame, record->epoch);
    put_bool(frame, record->doubtful);
    put_subscriptions(frame, subscriptions, subscription_count);
    put_progress(frame, &record->messages, messages);
    put_progress(frame, &record->notified, notified);
    record_end(frame, start);
}

void wire_put_ended(struct buf *frame, const struct wire_ended *record,
                    const struct wire_seqs *messages, const struct wire_seqs *notified)
{
    size_t start = record_begin(frame, WIRE_ENDED);

    buf_put_le64(frame, record->conn);
    buf_put_le64(frame, record->epoch);
    buf_put_le32(frame, record->session_expiry_s);
    put_string(frame, record->user);
    put_string(frame, record->device);
    put_progress(frame, &record->messages, messages);
    put_progress(frame, &record->notified, notified);
    record_end(frame, start);
}

void wire_put_open(struct buf *frame, const struct wire_open *record)
{
    size_t start = record_begin(frame, WIRE_OPEN);

    put_open(frame, record);
    record_end(frame, start);
}

void wire_put_opened(struct buf *frame, const struct wire_opened *record,
                     const struct wire_subscription *subscriptions, uint16_t subscription_count)
{
    size_t start = record_begin(frame, WIRE_OPENED);

    buf_put_le64(frame, record->conn);
    buf_put_u8(frame, record->reason);
    put_bool(frame, record->session_present);
    buf_put_le64(frame, record->epoch);
    buf_put_le32(frame, record->session_expiry_s);
    buf_put_le64(frame, record->acked_seq);
    put_subscriptions(frame, subscriptions, subscription_count);
    record_end(frame, start);
}

void wire_put_subscribe(struct buf *frame, enum wire_type type, const struct wire_subscribe *record,
                        const struct wire_subscription *subscriptions, uint16_t subscription_count)
{
    assert(type == WIRE_SUBSCRIBE || type == WIRE_UNSUBSCRIBE);
    size_t start = record_begin(frame, type);

    buf_put_le64(frame, record->token);
    buf_put_le64(frame, record->conn);
    put_subscriptions(frame, subscriptions, subscription_count);
    record_end(frame, start);
}

void wire_put_suback(struct buf *frame, const struct wire_suback *record)
{
    size_t start = record_begin(frame, WIRE_SUBACK);

    buf_put_le64(frame, record->token);
    buf_put_le64(frame, record->conn);
    put_string(frame, record->codes);
    record_end(frame, start);
}

void wire_put_publish(struct buf *frame, enum wire_type type, const struct wire_publish *record)
{
    assert(type == WIRE_PUBLISH || type == WIRE_COPY);
    size_t start = record_begin(frame, type);

    buf_put_le64(frame, record->token);
    buf_put_le64(frame, record->conn);
    put_mid(frame, &record->mid);
    put_bool(frame, record->resend);
    put_bool(frame, record->service);
    put_bool(frame, record->has_expiry);
    buf_put_u8(frame, record->kind);
    buf_put_le32(frame, record->expiry_s);
    put_string(frame, record->from);
    put_string(frame, record->from_device);
    put_string(frame, record->to);
    put_string(frame, record->key);
    put_bytes(frame, record->properties);
    put_bytes(frame, record->payload);
    record_end(frame, start);
}

void wire_put_signal(struct buf *frame, const struct wire_signal *record)
{
    size_t start = record_begin(frame, WIRE_SIGNAL);

    buf_put_u8(frame, record->kind);
    put_string(frame, record->from);
    put_string(frame, record->from_device);
    put_string(frame, record->to);
    put_bytes(frame, record->properties);
    put_bytes(frame, record->payload);
    record_end(frame, start);
}

void wire_put_published(struct buf *frame, const struct wire_published *record)
{
    size_t start = record_begin(frame, WIRE_PUBLISHED);

    buf_put_le64(frame, record->token);
    buf_put_u8(frame, record->reason);
    put_bool(frame, record->has_stored);
    if (record->has_stored)
        put_mid(frame, &record->stored);
    record_end(frame, start);
}

void wire_put_ack(struct buf *frame, enum wire_type type, const struct wire_ack *record,
                  const uint64_t *more, uint16_t more_count)
{
    assert(type == WIRE_ACK || type == WIRE_NOTIFIED);
    size_t start = record_begin(frame, type);

    buf_put_le64(frame, record->conn);
    buf_put_le64(frame, record->epoch);
    buf_put_le64(frame, record->acked_seq);
    put_seqs(frame, more, more_count);
    record_end(frame, start);
}

void wire_put_skip(struct buf *frame, const struct wire_skip *record)
{
    size_t start = record_begin(frame, WIRE_SKIP);

    buf_put_le64(frame, record->conn);
    buf_put_le64(frame, record->epoch);
    buf_put_le64(frame, record->seq);
    buf_put_le32(frame, record->size);
    buf_put_le32(frame, record->limit);
    put_bool(frame, record->notification);
    record_end(frame, start);
}

void wire_put_state(struct buf *frame, const struct wire_state *record)
{
    size_t start = record_begin(frame, WIRE_STATE);

    buf_put_le64(frame, record->token);
    buf_put_le64(frame, record->conn);
    buf_put_le64(frame, record->epoch);
    put_bool(frame, record->resend);
    buf_put_u8(frame, record->state);
    buf_put_le32(frame, record->lease_s);
    record_end(frame, start);
}

void wire_put_session(struct buf *frame, enum wire_type type, const struct wire_session *record)
{
    assert(type == WIRE_HEARD || type == WIRE_DOUBT);
    size_t start = record_begin(frame, type);

    buf_put_le64(frame, record->conn);
    buf_put_le64(frame, record->epoch);
    record_end(frame, start);
}

void wire_put_push(struct buf *frame, const struct wire_push *record)
{
    size_t start = record_begin(frame, WIRE_PUSH);

    buf_put_le64(frame, record->token);
    put_string(frame, record->user);
    put_string(frame, record->device);
    put_string(frame, record->provider);
    put_string(frame, record->topic);
    put_string(frame, record->environment);
    put_bytes(frame, record->push_token);
    record_end(frame, start);
}

void wire_put_read(struct buf *frame, const struct wire_read *record)
{
    size_t start = record_begin(frame, WIRE_READ);

    buf_put_le64(frame, record->token);
    put_string(frame, record->user);
    put_string(frame, record->device);
    buf_put_u8(frame, record->kind);
    put_string(frame, record->conversation);
    put_mid(frame, &record->mid);
    record_end(frame, start);
}

void wire_put_shown(struct buf *frame, const struct wire_shown *record, const struct mid *mids,
                    uint16_t mid_count)
{
    size_t start = record_begin(frame, WIRE_SHOWN);

    buf_put_le64(frame, record->token);
    put_string(frame, record->user);
    put_string(frame, record->device);
    buf_put_le16(frame, mid_count);
    for (uint16_t i = 0; i < mid_count; i++)
        put_mid(frame, &mids[i]);
    record_end(frame, start);
}

void wire_put_push_gone(struct buf *frame, const struct wire_push_gone *record)
{
    size_t start = record_begin(frame, WIRE_PUSH_GONE);

    buf_put_le64(frame, record->token);
    put_string(frame, record->user);
    buf_put_le64(frame, record->device_no);
    put_bytes(frame, record->push_token);
    record_end(frame, start);
}

void wire_put_close(struct buf *frame, const struct wire_close *record)
{
    size_t start = record_begin(frame, WIRE_CLOSE);

    buf_put_le64(frame, record->conn);
    buf_put_le64(frame, record->epoch);
    buf_put_u8(frame, record->reason);
    put_bool(frame, record->send_will);
    buf_put_le32(frame, record->session_expiry_s);
    put_mid(frame, &record->will_mid);
    record_end(frame, start);
}

void wire_put_will(struct buf *frame, const struct wire_pending_will *record)
{
    size_t start = record_begin(frame, WIRE_WILL);

    buf_put_le64(frame, record->conn);
    put_mid(frame, &record->mid);
    buf_put_le64(frame, record->epoch);
    put_string(frame, record->user);
    put_string(frame, record->device);
    buf_put_le32(frame, record->session_expiry_s);
    put_will(frame, &record->will);
    record_end(frame, start);
}

void wire_put_deliver(struct buf *frame, const struct wire_deliver *record)
{
    size_t start = record_begin(frame, WIRE_DELIVER);

    buf_put_le64(frame, record->conn);
    buf_put_le64(frame, record->seq);
    put_bool(frame, record->dup);
    put_bool(frame, record->notification);
    put_bytes(frame, record->encoded_body);
    record_end(frame, start);
}

void wire_put_live(struct buf *frame, const struct wire_live *record)
{
    size_t start = record_begin(frame, WIRE_LIVE);

    buf_put_le64(frame, record->conn);
    buf_put_u8(frame, record->kind);
    put_string(frame, record->from);
    put_string(frame, record->to);
    put_bytes(frame, record->properties);
    put_bytes(frame, record->payload);
    record_end(frame, start);
}

void wire_put_kick(struct buf *frame, const struct wire_kick *record)
{
    size_t start = record_begin(frame, WIRE_KICK);

    buf_put_le64(frame, record->conn);
    buf_put_u8(frame, record->reason);
    record_end(frame, start);
}

void wire_put_conn(struct buf *frame, enum wire_type type, const struct wire_conn *record)
{
    size_t start = record_begin(frame, type);

    assert(type == WIRE_WILL_DONE || type == WIRE_CLOSED);

    buf_put_le64(frame, record->conn);
    record_end(frame, start);
}

void wire_put_body(struct buf *out, const struct wire_body *body)
{
    buf_put_u8(out, body->kind);
    put_mid(out, &body->mid);
    buf_put_le64(out, body->sent_at_ms);
    buf_put_le64(out, body->expires_at_ms);
    put_string(out, body->from);
    put_string(out, body->to);
    put_bytes(out, body->properties);
    put_bytes(out, body->payload);
}

size_t wire_body_size(const struct wire_body *body)
{
    return 1 + MID_SIZE + 8 + 8 + (1 + (size_t)body->from.len) + (1 + (size_t)body->to.len) +
           (4 + (size_t)body->properties.len) + (4 + (size_t)body->payload.len);
}

void wire_put_raw(struct buf *frame, struct bytes record)
{
    buf_put(frame, record.data, record.len);
}

void wire_mark_resend(uint8_t *record, size_t len)
{
    assert(len > LENGTH_SIZE);

    if (record[LENGTH_SIZE] == WIRE_PUBLISH || record[LENGTH_SIZE] == WIRE_COPY)
        record[PUBLISH_RESEND_OFFSET] = 1;
    else if (record[LENGTH_SIZE] == WIRE_STATE)
        record[STATE_RESEND_OFFSET] = 1;
}

void wire_set_token(uint8_t *record, size_t len, uint64_t token)
{
    assert(len >= TOKEN_OFFSET + 8);

    for (unsigned i = 0; i < 8; i++)
        record[TOKEN_OFFSET + i] = (uint8_t)(token >> (8 * i));
}

void wire_mark_copy(uint8_t *record, size_t len, const struct mid *stored)
{
    assert(len > PUBLISH_RESEND_OFFSET && record[LENGTH_SIZE] == WIRE_PUBLISH);

    record[LENGTH_SIZE] = WIRE_COPY;
    record[PUBLISH_RESEND_OFFSET] = stored != NULL;
    if (stored != NULL)
        memcpy(record + PUBLISH_MID_OFFSET, stored->octets, MID_SIZE);
}

void wire_set_ended_expiry(uint8_t *record, size_t len, uint32_t session_expiry_s)
{
    assert(len > ENDED_EXPIRY_OFFSET + 4 && record[LENGTH_SIZE] == WIRE_ENDED);

    for (unsigned i = 0; i < 4; i++)
        record[ENDED_EXPIRY_OFFSET + i] = (uint8_t)(session_expiry_s >> (8 * i));
}
