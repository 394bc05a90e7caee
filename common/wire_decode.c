/* The decoding half of wire.h. What arrives here was sent by a peer process, which may be broken or
 * not even ours, so nothing is believed (wire_cursor.h). A decoder reads its fields straight
 * through and is checked once, at its end; there it must also have used up the record, so that a
 * layout that one side doesn't know is never half understood.
 *
 * No copy: strings and bytes point into the frame. Lists are walked once here, so that reading them
 * later can't fail. The order of the get_ calls is that of the put_ calls in wire_encode.c. */
#include "common/wire.h"

#include <assert.h>

#include "common/auto.h"
#include "common/wire_cursor.h"

#define FIXED_HEADER_SIZE 4 /* 'B', 'K', version, 0 */

static void get_subscription(struct cursor *cursor, struct wire_subscription *subscription)
{
    subscription->filter = get_string(cursor);
    subscription->qos = get_in(cursor, 0, 1);
    subscription->options = get_u8(cursor);
    subscription->id = get_u32(cursor);
}

static struct wire_list get_subscriptions(struct cursor *cursor)
{
    struct wire_list list = {.count = get_u16(cursor)};
    const uint8_t *start = cursor->at;
    uint32_t left = cursor->left;
    struct wire_subscription checked;

    for (uint16_t i = 0; i < list.count && !cursor->bad; i++)
        get_subscription(cursor, &checked);
    list.encoded = bytes_of(start, left - cursor->left);
    return list;
}

static void get_member(struct cursor *cursor, struct wire_member *member)
{
    member->name = get_string(cursor);
    member->endpoint = get_bytes(cursor);
}

static struct wire_members get_member_list(struct cursor *cursor)
{
    struct wire_members members = {.generation = get_u64(cursor)};
    struct wire_member checked;

    members.list.count = get_u16(cursor);
    const uint8_t *start = cursor->at;
    uint32_t left = cursor->left;
    for (uint16_t i = 0; i < members.list.count && !cursor->bad; i++)
        get_member(cursor, &checked);
    members.list.encoded = bytes_of(start, left - cursor->left);
    return members;
}

static struct wire_list get_seqs(struct cursor *cursor)
{
    struct wire_list list = {.count = get_u16(cursor)};

    list.encoded = get_run(cursor, list.count * (uint32_t)sizeof(uint64_t));
    return list;
}

static struct wire_progress get_progress(struct cursor *cursor)
{
    struct wire_progress progress = {.acked_seq = get_u64(cursor)};

    progress.more = get_seqs(cursor);
    progress.sent = get_seqs(cursor);
    return progress;
}

static void get_will(struct cursor *cursor, struct wire_will *will)
{
    *will = (struct wire_will){.present = get_bool(cursor)};
    if (!will->present)
        return;
    will->kind = get_target(cursor);
    will->qos = get_in(cursor, 0, 1);
    will->has_expiry = get_bool(cursor);
    will->delay_s = get_u32(cursor);
    will->expiry_s = get_u32(cursor);
    will->to = get_string(cursor);
    will->key = get_string(cursor);
    will->properties = get_bytes(cursor);
    will->payload = get_bytes(cursor);
}

static void get_open_fields(struct cursor *cursor, struct wire_open *open)
{
    open->conn = get_u64(cursor);
    open->user = get_string(cursor);
    open->device = get_string(cursor);
    open->level = get_in(cursor, 4, 5); /* MQTT 3.1.1 and 5 */
    open->clean_start = get_bool(cursor);
    open->service = get_bool(cursor);
    open->state = get_in(cursor, WIRE_FOREGROUND, WIRE_BACKGROUND);
    open->lease_s = get_u32(cursor);
    open->session_expiry_s = get_u32(cursor);
    open->receive_max = get_u16(cursor);
    open->token_issued_s = get_u64(cursor);
    get_will(cursor, &open->will);
}

static void get_body(struct cursor *cursor, struct wire_body *body)
{
    body->kind = get_in(cursor, WIRE_BODY_USER, WIRE_BODY_SENT_GROUP);
    get_octets(cursor, body->mid.octets, MID_SIZE);
    body->sent_at_ms = get_u64(cursor);
    body->expires_at_ms = get_u64(cursor);
    body->from = get_string(cursor);
    body->to = get_string(cursor);
    body->properties = get_bytes(cursor);
    body->payload = get_bytes(cursor);
}

static void get_empty(struct cursor *cursor, struct wire_record *record)
{
    (void)cursor; /* that nothing is left is checked for every record */
    (void)record;
}

static void get_refuse(struct cursor *cursor, struct wire_record *record)
{
    record->refuse.version = get_u8(cursor);
    record->refuse.reason = get_u8(cursor); /* any: a later version may know more of them */
    record->refuse.text = get_string(cursor);
}

static void get_hello(struct cursor *cursor, struct wire_record *record)
{
    get_octets(cursor, record->hello.instance, WIRE_INSTANCE_SIZE);
    record->hello.kind = get_in(cursor, WIRE_PEER_CONNECTOR, WIRE_PEER_PROBE);
    record->hello.name = get_string(cursor);
}

static void get_welcome(struct cursor *cursor, struct wire_record *record)
{
    get_octets(cursor, record->welcome.instance, WIRE_INSTANCE_SIZE);
    record->welcome.credit = get_u32(cursor);
    record->welcome.heartbeat_ms = get_u32(cursor);
    record->welcome.name = get_string(cursor);
    record->welcome.members = get_member_list(cursor);
}

static void get_members(struct cursor *cursor, struct wire_record *record)
{
    record->members = get_member_list(cursor);
}

static void get_announce(struct cursor *cursor, struct wire_record *record)
{
    get_open_fields(cursor, &record->announce.open);
    record->announce.epoch = get_u64(cursor);
    record->announce.doubtful = get_bool(cursor);
    record->announce.subscriptions = get_subscriptions(cursor);
    record->announce.messages = get_progress(cursor);
    record->announce.notified = get_progress(cursor);
}

static void get_ended(struct cursor *cursor, struct wire_record *record)
{
    record->ended.conn = get_u64(cursor);
    record->ended.epoch = get_u64(cursor);
    record->ended.session_expiry_s = get_u32(cursor);
    record->ended.user = get_string(cursor);
    record->ended.device = get_string(cursor);
    record->ended.messages = get_progress(cursor);
    record->ended.notified = get_progress(cursor);
}

static void get_open(struct cursor *cursor, struct wire_record *record)
{
    get_open_fields(cursor, &record->open);
}

static void get_opened(struct cursor *cursor, struct wire_record *record)
{
    record->opened.conn = get_u64(cursor);
    record->opened.reason = get_u8(cursor);
    record->opened.session_present = get_bool(cursor);
    record->opened.epoch = get_u64(cursor);
    record->opened.session_expiry_s = get_u32(cursor);
    record->opened.acked_seq = get_u64(cursor);
    record->opened.subscriptions = get_subscriptions(cursor);
}

static void get_subscribe(struct cursor *cursor, struct wire_record *record)
{
    record->subscribe.token = get_u64(cursor);
    record->subscribe.conn = get_u64(cursor);
    record->subscribe.subscriptions = get_subscriptions(cursor);
}

static void get_suback(struct cursor *cursor, struct wire_record *record)
{
    record->suback.token = get_u64(cursor);
    record->suback.conn = get_u64(cursor);
    record->suback.codes = get_string(cursor);
}

static void get_publish(struct cursor *cursor, struct wire_record *record)
{
    struct wire_publish *publish = &record->publish;

    publish->token = get_u64(cursor);
    publish->conn = get_u64(cursor);
    get_octets(cursor, publish->mid.octets, MID_SIZE);
    publish->resend = get_bool(cursor);
    publish->service = get_bool(cursor);
    publish->has_expiry = get_bool(cursor);
    publish->kind = get_target(cursor);
    publish->expiry_s = get_u32(cursor);
    publish->from = get_string(cursor);
    publish->from_device = get_string(cursor);
    publish->to = get_string(cursor);
    publish->key = get_string(cursor);
    publish->properties = get_bytes(cursor);
    publish->payload = get_bytes(cursor);
}

static void get_signal(struct cursor *cursor, struct wire_record *record)
{
    record->signal.kind = get_target(cursor);
    record->signal.from = get_string(cursor);
    record->signal.from_device = get_string(cursor);
    record->signal.to = get_string(cursor);
    record->signal.properties = get_bytes(cursor);
    record->signal.payload = get_bytes(cursor);
}

static void get_published(struct cursor *cursor, struct wire_record *record)
{
    record->published.token = get_u64(cursor);
    record->published.reason = get_u8(cursor);
    record->published.has_stored = get_bool(cursor);
    if (record->published.has_stored)
        get_octets(cursor, record->published.stored.octets, MID_SIZE);
}

static void get_ack(struct cursor *cursor, struct wire_record *record)
{
    record->ack.conn = get_u64(cursor);
    record->ack.epoch = get_u64(cursor);
    record->ack.acked_seq = get_u64(cursor);
    record->ack.more = get_seqs(cursor);
}

static void get_skip(struct cursor *cursor, struct wire_record *record)
{
    record->skip.conn = get_u64(cursor);
    record->skip.epoch = get_u64(cursor);
    record->skip.seq = get_u64(cursor);
    record->skip.size = get_u32(cursor);
    record->skip.limit = get_u32(cursor);
    record->skip.notification = get_bool(cursor);
}

static void get_session(struct cursor *cursor, struct wire_record *record)
{
    record->session.conn = get_u64(cursor);
    record->session.epoch = get_u64(cursor);
}

static void get_push(struct cursor *cursor, struct wire_record *record)
{
    record->push.token = get_u64(cursor);
    record->push.user = get_string(cursor);
    record->push.device = get_string(cursor);
    record->push.provider = get_string(cursor);
    record->push.topic = get_string(cursor);
    record->push.environment = get_string(cursor);
    record->push.push_token = get_bytes(cursor);
}

static void get_read(struct cursor *cursor, struct wire_record *record)
{
    record->read.token = get_u64(cursor);
    record->read.user = get_string(cursor);
    record->read.device = get_string(cursor);
    record->read.kind = get_target(cursor);
    record->read.conversation = get_string(cursor);
    get_octets(cursor, record->read.mid.octets, MID_SIZE);
}

static void get_shown(struct cursor *cursor, struct wire_record *record)
{
    record->shown.token = get_u64(cursor);
    record->shown.user = get_string(cursor);
    record->shown.device = get_string(cursor);
    record->shown.mids.count = get_u16(cursor);
    record->shown.mids.encoded = get_run(cursor, record->shown.mids.count * (uint32_t)MID_SIZE);
}

static void get_push_gone(struct cursor *cursor, struct wire_record *record)
{
    record->push_gone.token = get_u64(cursor);
    record->push_gone.user = get_string(cursor);
    record->push_gone.device_no = get_u64(cursor);
    record->push_gone.push_token = get_bytes(cursor);
}

static void get_state(struct cursor *cursor, struct wire_record *record)
{
    record->state.token = get_u64(cursor);
    record->state.conn = get_u64(cursor);
    record->state.epoch = get_u64(cursor);
    record->state.resend = get_bool(cursor);
    record->state.state = get_in(cursor, WIRE_FOREGROUND, WIRE_BACKGROUND);
    record->state.lease_s = get_u32(cursor);
}

static void get_close(struct cursor *cursor, struct wire_record *record)
{
    record->close.conn = get_u64(cursor);
    record->close.epoch = get_u64(cursor);
    record->close.reason = get_u8(cursor);
    record->close.send_will = get_bool(cursor);
    record->close.session_expiry_s = get_u32(cursor);
    get_octets(cursor, record->close.will_mid.octets, MID_SIZE);
}

static void get_pending_will(struct cursor *cursor, struct wire_record *record)
{
    record->pending_will.conn = get_u64(cursor);
    get_octets(cursor, record->pending_will.mid.octets, MID_SIZE);
    record->pending_will.epoch = get_u64(cursor);
    record->pending_will.user = get_string(cursor);
    record->pending_will.device = get_string(cursor);
    record->pending_will.session_expiry_s = get_u32(cursor);
    get_will(cursor, &record->pending_will.will);
}

static void get_deliver(struct cursor *cursor, struct wire_record *record)
{
    record->deliver.conn = get_u64(cursor);
    record->deliver.seq = get_u64(cursor);
    record->deliver.dup = get_bool(cursor);
    record->deliver.notification = get_bool(cursor);
    record->deliver.encoded_body = get_bytes(cursor);
    if (!cursor->bad && wire_get_body(record->deliver.encoded_body, &record->deliver.body) != 0)
        cursor->bad = true;
}

static void get_live(struct cursor *cursor, struct wire_record *record)
{
    record->live.conn = get_u64(cursor);
    record->live.kind = get_in(cursor, WIRE_BODY_USER, WIRE_BODY_GROUP);
    record->live.from = get_string(cursor);
    record->live.to = get_string(cursor);
    record->live.properties = get_bytes(cursor);
    record->live.payload = get_bytes(cursor);
}

static void get_kick(struct cursor *cursor, struct wire_record *record)
{
    record->kick.conn = get_u64(cursor);
    record->kick.reason = get_u8(cursor);
}

static void get_conn(struct cursor *cursor, struct wire_record *record)
{
    record->done.conn = get_u64(cursor);
}

/* NULL: no such type. */
static void (*const decoders[])(struct cursor *cursor, struct wire_record *record) = {
    [WIRE_PING] = get_empty,
    [WIRE_REFUSE] = get_refuse,
    [WIRE_HELLO] = get_hello,
    [WIRE_ANNOUNCE] = get_announce,
    [WIRE_ANNOUNCE_END] = get_empty,
    [WIRE_OPEN] = get_open,
    [WIRE_SUBSCRIBE] = get_subscribe,
    [WIRE_UNSUBSCRIBE] = get_subscribe,
    [WIRE_PUBLISH] = get_publish,
    [WIRE_SIGNAL] = get_signal,
    [WIRE_ACK] = get_ack,
    [WIRE_SKIP] = get_skip,
    [WIRE_STATE] = get_state,
    [WIRE_CLOSE] = get_close,
    [WIRE_WILL] = get_pending_will,
    [WIRE_NOTIFIED] = get_ack,
    [WIRE_HEARD] = get_session,
    [WIRE_PUSH] = get_push,
    [WIRE_READ] = get_read,
    [WIRE_SHOWN] = get_shown,
    [WIRE_ENDED] = get_ended,
    [WIRE_COPY] = get_publish,
    [WIRE_PUSH_GONE] = get_push_gone,
    [WIRE_WELCOME] = get_welcome,
    [WIRE_OPENED] = get_opened,
    [WIRE_SUBACK] = get_suback,
    [WIRE_PUBLISHED] = get_published,
    [WIRE_DELIVER] = get_deliver,
    [WIRE_LIVE] = get_live,
    [WIRE_KICK] = get_kick,
    [WIRE_WILL_DONE] = get_conn,
    [WIRE_DOUBT] = get_session,
    [WIRE_CLOSED] = get_conn,
    [WIRE_MEMBERS] = get_members,
};

int wire_open_frame(struct bytes frame, struct wire_reader *ret_reader, uint8_t *ret_version)
{
    /* That much every version has. */
    if (frame.len < FIXED_HEADER_SIZE || frame.data[0] != 'B' || frame.data[1] != 'K')
        return ERR_MALFORMED;
    *ret_version = frame.data[2];
    if (frame.data[2] != WIRE_VERSION)
        return ERR_VERSION;
    if (frame.len < WIRE_HEADER_SIZE || frame.data[3] != 0)
        return ERR_MALFORMED;
    struct cursor cursor = {.at = frame.data + FIXED_HEADER_SIZE,
                            .left = frame.len - FIXED_HEADER_SIZE};
    ret_reader->generation = get_u64(&cursor);
    ret_reader->rest = bytes_of(cursor.at, cursor.left);
    return 0;
}

int wire_next(struct wire_reader *reader, struct wire_record *ret_record)
{
    struct cursor frame = {.at = reader->rest.data, .left = reader->rest.len};

    if (frame.left == 0)
        return 0;
    struct bytes encoded = get_bytes(&frame);
    struct cursor cursor = {.at = encoded.data, .left = encoded.len, .bad = frame.bad};
    uint8_t type = get_u8(&cursor);
    if (cursor.bad || type >= ARRAY_LEN(decoders) || decoders[type] == NULL)
        return ERR_MALFORMED;

    struct wire_record record = {.type = type};
    decoders[type](&cursor, &record);
    if (cursor.bad || cursor.left != 0)
        return ERR_MALFORMED;
    *ret_record = record;
    reader->rest = bytes_of(frame.at, frame.left);
    return 1;
}

int wire_get_body(struct bytes encoded, struct wire_body *ret_body)
{
    struct cursor cursor = {.at = encoded.data, .left = encoded.len};
    struct wire_body body = {0};

    get_body(&cursor, &body);
    if (cursor.bad || cursor.left != 0)
        return ERR_MALFORMED;
    *ret_body = body;
    return 0;
}

int wire_subscription_next(struct wire_list *list, struct wire_subscription *ret)
{
    struct cursor cursor = {.at = list->encoded.data, .left = list->encoded.len};

    if (list->count == 0)
        return 0;
    get_subscription(&cursor, ret);
    assert(!cursor.bad); /* wire_next walked the list */
    list->encoded = bytes_of(cursor.at, cursor.left);
    list->count--;
    return 1;
}

int wire_member_next(struct wire_list *list, struct wire_member *ret)
{
    struct cursor cursor = {.at = list->encoded.data, .left = list->encoded.len};

    if (list->count == 0)
        return 0;
    get_member(&cursor, ret);
    assert(!cursor.bad); /* wire_next walked the list */
    list->encoded = bytes_of(cursor.at, cursor.left);
    list->count--;
    return 1;
}

int wire_seq_next(struct wire_list *list, uint64_t *ret_seq)
{
    struct cursor cursor = {.at = list->encoded.data, .left = list->encoded.len};

    if (list->count == 0)
        return 0;
    *ret_seq = get_u64(&cursor);
    assert(!cursor.bad); /* wire_next checked the length */
    list->encoded = bytes_of(cursor.at, cursor.left);
    list->count--;
    return 1;
}

int wire_mid_next(struct wire_list *list, struct mid *ret_mid)
{
    struct cursor cursor = {.at = list->encoded.data, .left = list->encoded.len};

    if (list->count == 0)
        return 0;
    get_octets(&cursor, ret_mid->octets, MID_SIZE);
    assert(!cursor.bad); /* wire_next checked the length */
    list->encoded = bytes_of(cursor.at, cursor.left);
    list->count--;
    return 1;
}
