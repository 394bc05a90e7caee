/* plugin_wire - see the header.
 *
 * The host process runs code that the project did not write, so what it sends is believed no more
 * than a peer's: a cursor hands out only bytes that are there, stays `bad` once it has run out, and
 * is checked at the end of each record. The order of the get_ calls is that of the put_ calls. */
#include "plugin-host/plugin_wire.h"

#include "common/auto.h"

#define TEXT_MAX 65535 /* its length is two bytes */
#define HEADER_SIZE 4
#define LENGTH_SIZE 4

/* --- encoding --- */

void plugin_wire_begin(struct buf *frame)
{
    const uint8_t header[HEADER_SIZE] = {'B', 'H', PLUGIN_WIRE_VERSION, 0};

    buf_put(frame, header, sizeof(header));
}

static size_t record_begin(struct buf *frame, enum plugin_wire_type type)
{
    size_t start = frame->len;

    buf_put_le32(frame, 0);
    buf_put_u8(frame, (uint8_t)type);
    return start;
}

static void record_end(struct buf *frame, size_t start)
{
    size_t len;

    if (!buf_ok(frame))
        return;
    len = frame->len - start - LENGTH_SIZE;
    if (len > UINT32_MAX) {
        frame->failed = true;
        return;
    }
    for (unsigned i = 0; i < LENGTH_SIZE; i++)
        frame->data[start + i] = (uint8_t)(len >> (8 * i));
}

static void put_text_len(struct buf *frame, const char *text, size_t len)
{
    buf_put_le16(frame, (uint16_t)len);
    buf_put(frame, text, len);
    buf_put_u8(frame, '\0');
}

static void put_text(struct buf *frame, const char *text)
{
    size_t len = strlen(text);

    if (len > TEXT_MAX)
        frame->failed = true;
    else
        put_text_len(frame, text, len);
}

static void put_text_cut(struct buf *frame, const char *text)
{
    put_text_len(frame, text ? text : "", text ? strnlen(text, TEXT_MAX) : 0);
}

static void put_data(struct buf *frame, const void *data, size_t len)
{
    if (len > UINT32_MAX) {
        frame->failed = true;
        return;
    }
    buf_put_le32(frame, (uint32_t)len);
    buf_put(frame, data, len);
}

void plugin_wire_put_hello(struct buf *frame, uint32_t abi)
{
    size_t start = record_begin(frame, PLUGIN_WIRE_HELLO);

    buf_put_le32(frame, abi);
    record_end(frame, start);
}

void plugin_wire_put_open(struct buf *frame, const struct dp_setting *settings, uint16_t count)
{
    size_t start = record_begin(frame, PLUGIN_WIRE_OPEN);

    buf_put_le16(frame, count);
    for (uint16_t i = 0; i < count; i++) {
        put_text(frame, settings[i].path);
        put_text(frame, settings[i].value);
        put_text(frame, settings[i].where);
    }
    record_end(frame, start);
}

void plugin_wire_put_opened(struct buf *frame, const struct dp_plugin *descriptor)
{
    size_t start = record_begin(frame, PLUGIN_WIRE_OPENED);

    put_text(frame, descriptor->name);
    put_text(frame, descriptor->version);
    buf_put_le32(frame, descriptor->flags);
    record_end(frame, start);
}

void plugin_wire_put_failed(struct buf *frame, const char *text)
{
    size_t start = record_begin(frame, PLUGIN_WIRE_FAILED);

    put_text_cut(frame, text);
    record_end(frame, start);
}

static void put_message(struct buf *frame, const struct dp_message *message)
{
    buf_put_le32(frame, message->flags);
    buf_put(frame, message->mid, sizeof(message->mid));
    put_text(frame, message->from);
    put_text(frame, message->conversation);
    buf_put_le64(frame, message->sent_at_ms);
    buf_put_le64(frame, message->expires_at_ms);
    put_data(frame, message->payload, message->payload_size);
    put_data(frame, message->properties, message->properties_size);
    buf_put_le32(frame, message->priority);
}

static void put_device(struct buf *frame, const struct dp_device *device)
{
    buf_put_le32(frame, device->state);
    put_text(frame, device->user);
    put_text(frame, device->device);
    put_text(frame, device->push_provider);
    put_text(frame, device->push_token);
    put_text(frame, device->push_topic);
    put_text(frame, device->push_environment);
    buf_put_le64(frame, device->push_registered_at_ms);
}

void plugin_wire_put_deliver(struct buf *frame, const struct dp_delivery *delivery)
{
    size_t start = record_begin(frame, PLUGIN_WIRE_DELIVER);

    buf_put_le32(frame, delivery->attempt);
    buf_put_le64(frame, delivery->id);
    buf_put_le64(frame, delivery->deadline_ms);
    put_message(frame, delivery->message);
    put_device(frame, delivery->device);
    buf_put_u8(frame, delivery->notification ? 1 : 0);
    if (delivery->notification)
        put_text(frame, delivery->notification);
    record_end(frame, start);
}

void plugin_wire_put_outcome(struct buf *frame, uint64_t id, const struct dp_outcome *outcome)
{
    size_t start = record_begin(frame, PLUGIN_WIRE_OUTCOME);

    buf_put_le64(frame, id);
    buf_put_u8(frame, (uint8_t)outcome->kind);
    buf_put_le64(frame, outcome->retry_after_ms);
    buf_put_le64(frame, outcome->gone_at_ms);
    put_text_cut(frame, outcome->reason);
    record_end(frame, start);
}

static void put_number(struct buf *frame, enum plugin_wire_type type, uint64_t number)
{
    size_t start = record_begin(frame, type);

    buf_put_le64(frame, number);
    record_end(frame, start);
}

void plugin_wire_put_cancel(struct buf *frame, uint64_t id)
{
    put_number(frame, PLUGIN_WIRE_CANCEL, id);
}

void plugin_wire_put_stamp(struct buf *frame, enum plugin_wire_type type, uint64_t stamp)
{
    put_number(frame, type, stamp);
}

void plugin_wire_put_count(struct buf *frame, const char *name, uint64_t delta)
{
    size_t start = record_begin(frame, PLUGIN_WIRE_COUNT);

    put_text_cut(frame, name);
    buf_put_le64(frame, delta);
    record_end(frame, start);
}

void plugin_wire_put_log(struct buf *frame, uint32_t level, const char *text)
{
    size_t start = record_begin(frame, PLUGIN_WIRE_LOG);

    buf_put_u8(frame, (uint8_t)(level > DP_LOG_DEBUG ? DP_LOG_DEBUG : level));
    put_text_cut(frame, text);
    record_end(frame, start);
}

void plugin_wire_put_empty(struct buf *frame, enum plugin_wire_type type)
{
    record_end(frame, record_begin(frame, type));
}

/* --- decoding --- */

struct cursor {
    const uint8_t *at;
    uint32_t left;
    bool bad;
};

static const uint8_t *take(struct cursor *cursor, uint32_t len)
{
    const uint8_t *data = cursor->at;

    if (cursor->bad || len > cursor->left) {
        cursor->bad = true;
        return NULL;
    }
    if (len != 0) /* at may be NULL, which knows no arithmetic, when nothing is left */
        cursor->at += len;
    cursor->left -= len;
    return data;
}

static uint64_t get_le(struct cursor *cursor, unsigned size)
{
    const uint8_t *data = take(cursor, size);
    uint64_t value = 0;

    if (!data)
        return 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)data[i] << (8 * i);
    return value;
}

static uint8_t get_u8(struct cursor *cursor, uint8_t min, uint8_t max)
{
    uint8_t value = (uint8_t)get_le(cursor, 1);

    if (value < min || value > max)
        cursor->bad = true;
    return value;
}

static uint32_t get_u32(struct cursor *cursor)
{
    return (uint32_t)get_le(cursor, 4);
}

static uint64_t get_u64(struct cursor *cursor)
{
    return get_le(cursor, 8);
}

/* Exactly its length before its NUL. "" when there is none. */
static const char *get_text_len(struct cursor *cursor, size_t *ret_len)
{
    uint32_t len = (uint32_t)get_le(cursor, 2);
    const uint8_t *data = take(cursor, len + 1);

    if (data && (data[len] != '\0' || memchr(data, '\0', len)))
        cursor->bad = true;
    if (!data || cursor->bad) {
        *ret_len = 0;
        return "";
    }
    *ret_len = len;
    return (const char *)data;
}

static const char *get_text(struct cursor *cursor)
{
    size_t len;

    return get_text_len(cursor, &len);
}

static const void *get_data(struct cursor *cursor, size_t *ret_len)
{
    uint32_t len = get_u32(cursor);
    const uint8_t *data = take(cursor, len);

    *ret_len = data ? len : 0;
    return len ? data : NULL;
}

static void get_setting(struct cursor *cursor, struct dp_setting *setting)
{
    setting->path = get_text(cursor);
    setting->value = get_text(cursor);
    setting->where = get_text(cursor);
}

static void get_open(struct cursor *cursor, struct plugin_wire_record *record)
{
    const uint8_t *start;
    uint32_t left;
    struct dp_setting checked;

    record->settings.count = (uint16_t)get_le(cursor, 2);
    start = cursor->at;
    left = cursor->left;
    for (uint16_t i = 0; i < record->settings.count && !cursor->bad; i++)
        get_setting(cursor, &checked);
    record->settings.encoded = bytes_of(start, left - cursor->left);
}

static void get_message(struct cursor *cursor, struct dp_message *message)
{
    const uint8_t *mid;

    *message = (struct dp_message){.struct_size = sizeof(*message)};
    message->flags = get_u32(cursor);
    mid = take(cursor, sizeof(message->mid));
    if (mid)
        memcpy(message->mid, mid, sizeof(message->mid));
    message->from = get_text(cursor);
    message->conversation = get_text(cursor);
    message->sent_at_ms = get_u64(cursor);
    message->expires_at_ms = get_u64(cursor);
    message->payload = get_data(cursor, &message->payload_size);
    message->properties = get_data(cursor, &message->properties_size);
    message->priority = get_u32(cursor);
}

static void get_device(struct cursor *cursor, struct dp_device *device)
{
    *device = (struct dp_device){.struct_size = sizeof(*device)};
    device->state = get_u32(cursor);
    device->user = get_text(cursor);
    device->device = get_text(cursor);
    device->push_provider = get_text(cursor);
    device->push_token = get_text(cursor);
    device->push_topic = get_text(cursor);
    device->push_environment = get_text(cursor);
    device->push_registered_at_ms = get_u64(cursor);
}

static void get_deliver(struct cursor *cursor, struct plugin_wire_record *record)
{
    struct dp_delivery *delivery = &record->deliver.delivery;

    *delivery = (struct dp_delivery){.struct_size = sizeof(*delivery),
                                     .message = &record->deliver.message,
                                     .device = &record->deliver.device};
    delivery->attempt = get_u32(cursor);
    delivery->id = get_u64(cursor);
    delivery->deadline_ms = get_u64(cursor);
    get_message(cursor, &record->deliver.message);
    get_device(cursor, &record->deliver.device);
    if (get_u8(cursor, 0, 1) == 1)
        delivery->notification = get_text_len(cursor, &delivery->notification_size);
}

static void get_outcome(struct cursor *cursor, struct plugin_wire_record *record)
{
    struct dp_outcome *outcome = &record->outcome.outcome;
    const char *reason;

    *outcome = (struct dp_outcome){.struct_size = sizeof(*outcome)};
    record->outcome.id = get_u64(cursor);
    outcome->kind = get_u8(cursor, DP_ACKNOWLEDGED, DP_DEVICE_GONE);
    outcome->retry_after_ms = get_u64(cursor);
    outcome->gone_at_ms = get_u64(cursor);
    reason = get_text(cursor);
    outcome->reason = reason[0] != '\0' ? reason : NULL;
}

static void get_record(struct cursor *cursor, struct plugin_wire_record *record)
{
    record->type = (enum plugin_wire_type)get_u8(cursor, 1, PLUGIN_WIRE_TYPE_LAST);
    if (cursor->bad)
        return;
    switch (record->type) {
    case PLUGIN_WIRE_HELLO:
        record->abi = get_u32(cursor);
        break;
    case PLUGIN_WIRE_OPEN:
        get_open(cursor, record);
        break;
    case PLUGIN_WIRE_OPENED:
        record->opened.name = get_text(cursor);
        record->opened.version = get_text(cursor);
        record->opened.flags = get_u32(cursor);
        break;
    case PLUGIN_WIRE_FAILED:
        record->text = get_text(cursor);
        break;
    case PLUGIN_WIRE_DELIVER:
        get_deliver(cursor, record);
        break;
    case PLUGIN_WIRE_OUTCOME:
        get_outcome(cursor, record);
        break;
    case PLUGIN_WIRE_CANCEL:
        record->id = get_u64(cursor);
        break;
    case PLUGIN_WIRE_PING:
    case PLUGIN_WIRE_PONG:
        record->stamp = get_u64(cursor);
        break;
    case PLUGIN_WIRE_COUNT:
        record->count.name = get_text(cursor);
        record->count.delta = get_u64(cursor);
        break;
    case PLUGIN_WIRE_LOG:
        record->log.level = get_u8(cursor, DP_LOG_ERROR, DP_LOG_DEBUG);
        record->log.text = get_text(cursor);
        break;
    case PLUGIN_WIRE_CLOSE:
    case PLUGIN_WIRE_CLOSED:
        break;
    }
}

int plugin_wire_open_frame(struct bytes frame, struct plugin_wire_reader *ret_reader)
{
    if (frame.len < HEADER_SIZE || frame.data[0] != 'B' || frame.data[1] != 'H' ||
        frame.data[3] != 0)
        return ERR_MALFORMED;
    if (frame.data[2] != PLUGIN_WIRE_VERSION)
        return ERR_VERSION;
    ret_reader->rest = bytes_of(frame.data + HEADER_SIZE, frame.len - HEADER_SIZE);
    return 0;
}

int plugin_wire_next(struct plugin_wire_reader *reader, struct plugin_wire_record *ret_record)
{
    struct cursor cursor = {.at = reader->rest.data, .left = reader->rest.len};
    uint32_t len;

    if (cursor.left == 0)
        return 0;
    len = get_u32(&cursor);
    if (cursor.bad || len > cursor.left)
        return ERR_MALFORMED;
    reader->rest = bytes_of(cursor.at + len, cursor.left - len);
    cursor.left = len;
    get_record(&cursor, ret_record);
    return cursor.bad || cursor.left > 0 ? ERR_MALFORMED : 1;
}

int plugin_wire_next_setting(struct plugin_wire_record *open, struct dp_setting *ret)
{
    struct cursor cursor = {.at = open->settings.encoded.data, .left = open->settings.encoded.len};

    if (open->settings.count == 0)
        return 0;
    get_setting(&cursor, ret);
    open->settings.count--;
    open->settings.encoded = bytes_of(cursor.at, cursor.left);
    return 1;
}
