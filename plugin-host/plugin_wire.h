/* plugin_wire - the records that a broker and a beckon-plugin-host exchange. Encode and decode, no
 * I/O, no state.
 *
 * A frame is one ZeroMQ message: a header of four bytes ('B', 'H', version, 0) and any number of
 * records. A record is a u32 length (of what follows it), a u8 type and the fields below in their
 * order. Integers are little-endian; text is u16 length + bytes + a NUL, which is not counted, so
 * that decoded strings are used where they lie; data is u32 length + bytes.
 *
 * Both programs are of one installation: another version is refused, never translated.
 *
 *     host                     broker
 *     HELLO            ->
 *                      <-      OPEN          the plugin's settings
 *     OPENED or FAILED ->
 *                      <-      DELIVER, CANCEL, PING
 *     OUTCOME, PONG, COUNT, LOG ->
 *                      <-      CLOSE         the host closes the plugin
 *     OUTCOME, CLOSED  ->                    what was in flight; then it ends
 */
#ifndef BECKON_PLUGIN_HOST_PLUGIN_WIRE_H
#define BECKON_PLUGIN_HOST_PLUGIN_WIRE_H

#include "beckon/delivery_plugin.h"
#include "common/buf.h"
#include "common/bytes.h"
#include "common/err.h"

#define PLUGIN_WIRE_VERSION 1

enum plugin_wire_type {
    PLUGIN_WIRE_HELLO = 1,   /* u32 abi: the host's DP_ABI */
    PLUGIN_WIRE_OPEN = 2,    /* u16 count, then path, value, where of each setting (text) */
    PLUGIN_WIRE_OPENED = 3,  /* name, version (text), u32 flags: of the descriptor */
    PLUGIN_WIRE_FAILED = 4,  /* text: why the plugin can't be loaded or opened */
    PLUGIN_WIRE_DELIVER = 5, /* struct dp_delivery with its message and device */
    PLUGIN_WIRE_OUTCOME = 6, /* u64 id, u8 kind, u64 retry_after_ms, u64 gone_at_ms, text reason */
    PLUGIN_WIRE_CANCEL = 7,  /* u64 id */
    PLUGIN_WIRE_PING = 8,    /* u64 stamp, echoed in PONG */
    PLUGIN_WIRE_PONG = 9,    /* u64 stamp */
    PLUGIN_WIRE_COUNT = 10,  /* text name, u64 delta since the last COUNT of it */
    PLUGIN_WIRE_LOG = 11,    /* u8 level, text */
    PLUGIN_WIRE_CLOSE = 12,  /* empty */
    PLUGIN_WIRE_CLOSED = 13, /* empty: nothing follows */
    PLUGIN_WIRE_TYPE_LAST = 13
};

/* Decoded records borrow from the frame. A struct plugin_wire_record must not be copied after it
 * was decoded: a delivery points into it. */
struct plugin_wire_record {
    enum plugin_wire_type type;
    union {
        uint32_t abi;
        struct {
            uint16_t count;
            struct bytes encoded; /* plugin_wire_next_setting reads them */
        } settings;
        struct {
            const char *name, *version;
            uint32_t flags;
        } opened;
        const char *text; /* FAILED */
        struct {
            struct dp_delivery delivery;
            struct dp_message message;
            struct dp_device device;
        } deliver;
        struct {
            uint64_t id;
            struct dp_outcome outcome; /* reason NULL when it was NULL or empty */
        } outcome;
        uint64_t id;    /* CANCEL */
        uint64_t stamp; /* PING, PONG */
        struct {
            const char *name;
            uint64_t delta;
        } count;
        struct {
            uint8_t level; /* enum dp_log_level */
            const char *text;
        } log;
    };
};

/* Starts a frame: puts the header. Then look at buf_ok once before sending. Text that only people
 * read (reason, log, why) is cut where it is too long; any other text above 65,535 bytes fails the
 * frame. */
void plugin_wire_begin(struct buf *frame);
void plugin_wire_put_hello(struct buf *frame, uint32_t abi);
void plugin_wire_put_open(struct buf *frame, const struct dp_setting *settings, uint16_t count);
void plugin_wire_put_opened(struct buf *frame, const struct dp_plugin *descriptor);
void plugin_wire_put_failed(struct buf *frame, const char *text);
void plugin_wire_put_deliver(struct buf *frame, const struct dp_delivery *delivery);
void plugin_wire_put_outcome(struct buf *frame, uint64_t id, const struct dp_outcome *outcome);
void plugin_wire_put_cancel(struct buf *frame, uint64_t id);
/* type: PLUGIN_WIRE_PING or PLUGIN_WIRE_PONG */
void plugin_wire_put_stamp(struct buf *frame, enum plugin_wire_type type, uint64_t stamp);
void plugin_wire_put_count(struct buf *frame, const char *name, uint64_t delta);
void plugin_wire_put_log(struct buf *frame, uint32_t level, const char *text);
/* type: PLUGIN_WIRE_CLOSE or PLUGIN_WIRE_CLOSED */
void plugin_wire_put_empty(struct buf *frame, enum plugin_wire_type type);

struct plugin_wire_reader {
    struct bytes rest;
};
/* Checks the frame's header. 0; ERR_VERSION; ERR_MALFORMED. */
MUST_CHECK int plugin_wire_open_frame(struct bytes frame, struct plugin_wire_reader *ret_reader);
/* Decodes the next record. 1; 0 at the end of the frame; ERR_MALFORMED (unknown type, bad length, a
 * field out of its range). */
MUST_CHECK int plugin_wire_next(struct plugin_wire_reader *reader,
                                struct plugin_wire_record *ret_record);
/* Takes the first setting off an OPEN record. 1, or 0 at the end. plugin_wire_next has validated
 * them all. */
MUST_CHECK int plugin_wire_next_setting(struct plugin_wire_record *open, struct dp_setting *ret);

#endif
