/* wire_samples - one record of every type, and its bytes in wire version 4.
 *
 * The bytes were written by hand from the layout in common/wire.h. They are frozen: when a test
 * says that they differ, either the change is wrong, or WIRE_VERSION is to be raised and peers of
 * the former version are refused. In the text: hex, spaces anywhere, "text" in quotes as it is. */
#ifndef BECKON_TESTS_WIRE_SAMPLES_H
#define BECKON_TESTS_WIRE_SAMPLES_H

#include "common/wire.h"

struct wire_sample {
    const char *name;
    void (*put)(struct buf *frame);
    const char *bytes;
};

#define S(text)                                                                                    \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }

#define INSTANCE_HEX "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"
#define MID_HEX "018f00000001700080000000000000ff"
static const uint8_t sample_instance[WIRE_INSTANCE_SIZE] = {
    0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf};
static const struct mid sample_mid = {
    {0x01, 0x8f, 0, 0, 0, 1, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 0xff}};

static const struct wire_subscription sample_subscriptions[] = {
    {.filter = S("inbox/#"), .qos = 1, .options = 0x2c, .id = 0x01020304},
    {.filter = S("receipt/#"), .qos = 0, .options = 0, .id = 0},
};
#define SUBSCRIPTIONS_HEX "0200 07\"inbox/#\"012c04030201 09\"receipt/#\"000000000000"
static const uint64_t sample_seqs[] = {0x11, 0x2233};
#define SEQS_HEX "0200 1100000000000000 3322000000000000"

static const struct wire_member sample_members[] = {
    {.name = S("broker/0"), .endpoint = S("tcp://a:1")},
    {.name = S("broker/1"), .endpoint = S("tcp://b:2")},
};
#define MEMBER_HEX "08\"broker/0\" 09000000 \"tcp://a:1\""

static const struct wire_will sample_will = {
    .present = true,
    .kind = WIRE_TO_GROUP,
    .qos = 1,
    .has_expiry = true,
    .delay_s = 0x0a,
    .expiry_s = 0x0b,
    .to = S("team"),
    .key = S("k"),
    .properties = S("\x01\x01"),
    .payload = S("bye"),
};
#define WILL_HEX "01 67 01 01 0a000000 0b000000 04\"team\" 01\"k\" 02000000 0101 03000000 \"bye\""

static const struct wire_open sample_open = {
    .conn = 0x0102030405060708,
    .user = S("alice"),
    .device = S("phone"),
    .level = 5,
    .clean_start = true,
    .service = false,
    .state = WIRE_BACKGROUND,
    .lease_s = 30,
    .session_expiry_s = UINT32_MAX,
    .receive_max = 0x0102,
    .token_issued_s = 0x60000000,
};
#define OPEN_HEX                                                                                   \
    "0807060504030201 05\"alice\" 05\"phone\" 05 01 00 02 1e000000 ffffffff 0201 0000006000000000"

static inline void put_sample_ping(struct buf *frame)
{
    wire_put_empty(frame, WIRE_PING);
}
static inline void put_sample_announce_end(struct buf *frame)
{
    wire_put_empty(frame, WIRE_ANNOUNCE_END);
}
static inline void put_sample_refuse(struct buf *frame)
{
    wire_put_refuse(frame, &(struct wire_refuse){.version = 1,
                                                 .reason = WIRE_REFUSED_NOT_READY,
                                                 .text = S("no database")});
}
static inline void put_sample_hello(struct buf *frame)
{
    struct wire_hello record = {.kind = WIRE_PEER_BROKER, .name = S("broker/1")};

    memcpy(record.instance, sample_instance, sizeof(sample_instance));
    wire_put_hello(frame, &record);
}
static inline void put_sample_welcome(struct buf *frame)
{
    struct wire_welcome record = {
        .credit = 1000, .heartbeat_ms = 2000, .name = S("broker/0"), .members = {.generation = 7}};

    memcpy(record.instance, sample_instance, sizeof(sample_instance));
    wire_put_welcome(frame, &record, sample_members, 2);
}
static inline void put_sample_members(struct buf *frame)
{
    wire_put_members(frame, 8, sample_members, 1);
}
static inline void put_sample_announce(struct buf *frame)
{
    struct wire_announce record = {.open = sample_open,
                                   .epoch = 0x0000000700000009,
                                   .doubtful = true,
                                   .messages = {.acked_seq = 0x10},
                                   .notified = {.acked_seq = 0x12}};

    record.open.will = sample_will;
    wire_put_announce(
        frame, &record, sample_subscriptions, 2,
        &(struct wire_seqs){
            .more = sample_seqs, .more_count = 1, .sent = sample_seqs, .sent_count = 2},
        &(struct wire_seqs){.sent = sample_seqs, .sent_count = 1});
}
static inline void put_sample_ended(struct buf *frame)
{
    wire_put_ended(frame,
                   &(struct wire_ended){.conn = 2,
                                        .epoch = 9,
                                        .session_expiry_s = 3600,
                                        .user = S("alice"),
                                        .device = S("phone"),
                                        .messages = {.acked_seq = 0x10},
                                        .notified = {.acked_seq = 0x12}},
                   &(struct wire_seqs){.more = sample_seqs, .more_count = 2},
                   &(struct wire_seqs){.sent = sample_seqs, .sent_count = 2});
}
static inline void put_sample_open(struct buf *frame)
{
    wire_put_open(frame, &sample_open);
}
static inline void put_sample_opened(struct buf *frame)
{
    wire_put_opened(frame,
                    &(struct wire_opened){.conn = 2,
                                          .reason = 0,
                                          .session_present = true,
                                          .epoch = 0x0000000700000009,
                                          .session_expiry_s = 3600,
                                          .acked_seq = 0x10},
                    sample_subscriptions, 2);
}
static inline void put_sample_subscribe(struct buf *frame)
{
    wire_put_subscribe(frame, WIRE_SUBSCRIBE, &(struct wire_subscribe){.token = 1, .conn = 2},
                       sample_subscriptions, 2);
}
static inline void put_sample_unsubscribe(struct buf *frame)
{
    wire_put_subscribe(frame, WIRE_UNSUBSCRIBE, &(struct wire_subscribe){.token = 3, .conn = 2},
                       NULL, 0);
}
static inline void put_sample_suback(struct buf *frame)
{
    wire_put_suback(frame, &(struct wire_suback){.token = 1, .conn = 2, .codes = S("\x01\x87")});
}
static const struct wire_publish sample_publish = {
    .token = 4,
    .conn = 2,
    .mid = {{0x01, 0x8f, 0, 0, 0, 1, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 0xff}},
    .resend = false,
    .service = true,
    .has_expiry = true,
    .kind = WIRE_TO_USER,
    .expiry_s = 60,
    .from = S("alice"),
    .from_device = S("phone"),
    .to = S("bob"),
    .key = S(""),
    .properties = S(""),
    .payload = S("hi\0\xff"),
};
static inline void put_sample_publish(struct buf *frame)
{
    wire_put_publish(frame, WIRE_PUBLISH, &sample_publish);
}
static inline void put_sample_copy(struct buf *frame)
{
    struct wire_publish record = sample_publish;

    record.resend = true;
    wire_put_publish(frame, WIRE_COPY, &record);
}
static inline void put_sample_signal(struct buf *frame)
{
    wire_put_signal(frame, &(struct wire_signal){.kind = WIRE_TO_GROUP,
                                                 .from = S("alice"),
                                                 .from_device = S("phone"),
                                                 .to = S("team"),
                                                 .properties = S("\x01\x00"),
                                                 .payload = S("typing")});
}
static inline void put_sample_published(struct buf *frame)
{
    wire_put_published(frame,
                       &(struct wire_published){
                           .token = 4, .reason = 0, .has_stored = true, .stored = sample_mid});
}
static inline void put_sample_ack(struct buf *frame)
{
    wire_put_ack(frame, WIRE_ACK, &(struct wire_ack){.conn = 2, .epoch = 9, .acked_seq = 0x10},
                 sample_seqs, 2);
}
static inline void put_sample_skip(struct buf *frame)
{
    wire_put_skip(
        frame,
        &(struct wire_skip){
            .conn = 2, .epoch = 9, .seq = 17, .size = 300, .limit = 256, .notification = true});
}
static inline void put_sample_state(struct buf *frame)
{
    wire_put_state(frame,
                   &(struct wire_state){
                       .token = 4, .conn = 2, .epoch = 9, .state = WIRE_FOREGROUND, .lease_s = 5});
}
static inline void put_sample_close(struct buf *frame)
{
    wire_put_close(frame, &(struct wire_close){.conn = 2,
                                               .epoch = 9,
                                               .reason = 0x8d,
                                               .send_will = true,
                                               .session_expiry_s = 3600,
                                               .will_mid = sample_mid});
}
static inline void put_sample_will(struct buf *frame)
{
    wire_put_will(frame, &(struct wire_pending_will){.conn = 2,
                                                     .mid = sample_mid,
                                                     .epoch = 9,
                                                     .user = S("alice"),
                                                     .device = S("phone"),
                                                     .session_expiry_s = 3600,
                                                     .will = sample_will});
}

static const struct wire_body sample_body = {
    .kind = WIRE_BODY_GROUP,
    .mid = {{0x01, 0x8f, 0, 0, 0, 1, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 0xff}},
    .sent_at_ms = 0x0000018f00000001,
    .expires_at_ms = 0x0000018f00001001,
    .from = S("alice"),
    .to = S("team"),
    .properties = S("\x01\x01"),
    .payload = S("hi"),
};
#define BODY_HEX                                                                                   \
    "02 " MID_HEX " 010000008f010000 011000008f010000 05\"alice\" 04\"team\" 02000000 0101 "       \
    "02000000 \"hi\""

static inline void put_sample_deliver(struct buf *frame)
{
    struct buf body = {0};

    wire_put_body(&body, &sample_body);
    wire_put_deliver(
        frame, &(struct wire_deliver){.conn = 2,
                                      .seq = 0x12,
                                      .dup = true,
                                      .notification = false,
                                      .encoded_body = bytes_of(body.data, (uint32_t)body.len)});
    buf_release(&body);
}
static inline void put_sample_live(struct buf *frame)
{
    wire_put_live(frame, &(struct wire_live){.conn = 2,
                                             .kind = WIRE_BODY_USER,
                                             .from = S("alice"),
                                             .to = S(""),
                                             .properties = S(""),
                                             .payload = S("typing")});
}
static inline void put_sample_kick(struct buf *frame)
{
    wire_put_kick(frame, &(struct wire_kick){.conn = 2, .reason = 0x8e});
}
static inline void put_sample_notified(struct buf *frame)
{
    wire_put_ack(frame, WIRE_NOTIFIED, &(struct wire_ack){.conn = 2, .epoch = 9, .acked_seq = 0x10},
                 NULL, 0);
}
static inline void put_sample_heard(struct buf *frame)
{
    wire_put_session(frame, WIRE_HEARD, &(struct wire_session){.conn = 2, .epoch = 9});
}
static inline void put_sample_doubt(struct buf *frame)
{
    wire_put_session(frame, WIRE_DOUBT, &(struct wire_session){.conn = 2, .epoch = 9});
}
static inline void put_sample_push(struct buf *frame)
{
    wire_put_push(frame, &(struct wire_push){.token = 5,
                                             .user = S("bob"),
                                             .device = S("phone"),
                                             .provider = S("apns"),
                                             .topic = S("com.x"),
                                             .environment = S("production"),
                                             .push_token = S("abcd")});
}
static inline void put_sample_read(struct buf *frame)
{
    wire_put_read(frame, &(struct wire_read){.token = 6,
                                             .user = S("bob"),
                                             .device = S("phone"),
                                             .kind = WIRE_TO_USER,
                                             .conversation = S("alice"),
                                             .mid = sample_mid});
}
static inline void put_sample_shown(struct buf *frame)
{
    wire_put_shown(frame, &(struct wire_shown){.token = 7, .user = S("bob"), .device = S("phone")},
                   &sample_mid, 1);
}
static inline void put_sample_push_gone(struct buf *frame)
{
    wire_put_push_gone(
        frame, &(struct wire_push_gone){
                   .token = 8, .user = S("bob"), .device_no = 0x0102, .push_token = S("abcd")});
}
static inline void put_sample_will_done(struct buf *frame)
{
    wire_put_conn(frame, WIRE_WILL_DONE, &(struct wire_conn){.conn = 2});
}
static inline void put_sample_closed(struct buf *frame)
{
    wire_put_conn(frame, WIRE_CLOSED, &(struct wire_conn){.conn = 2});
}

#define U64(low) low "00000000000000"
static const struct wire_sample wire_samples[] = {
    {"PING", put_sample_ping, "01000000 01"},
    {"REFUSE", put_sample_refuse, "0f000000 02 01 04 0b\"no database\""},
    {"HELLO", put_sample_hello, "1b000000 0a " INSTANCE_HEX " 02 08\"broker/1\""},
    {"ANNOUNCE", put_sample_announce,
     "ac000000 0b " OPEN_HEX WILL_HEX " 0900000007000000 01 " SUBSCRIPTIONS_HEX U64(
         "10") "0100 1100000000000000" SEQS_HEX U64("12") "0000 0100 1100000000000000"},
    {"ENDED", put_sample_ended,
     "59000000 1c" U64("02") U64("09") "100e0000 05\"alice\" 05\"phone\"" U64("10") SEQS_HEX
     "0000" U64("12") "0000" SEQS_HEX},
    {"ANNOUNCE_END", put_sample_announce_end, "01000000 0c"},
    {"OPEN", put_sample_open, "2c000000 0d " OPEN_HEX " 00"},
    {"SUBSCRIBE", put_sample_subscribe, "31000000 0e" U64("01") U64("02") SUBSCRIPTIONS_HEX},
    {"UNSUBSCRIBE", put_sample_unsubscribe, "13000000 0f" U64("03") U64("02") "0000"},
    {"PUBLISH", put_sample_publish,
     "46000000 10" U64("04") U64("02") MID_HEX " 00 01 01 75 3c000000 05\"alice\" 05\"phone\" "
                                               "03\"bob\" 00 00000000 04000000 \"hi\" 00ff"},
    {"COPY", put_sample_copy,
     "46000000 1d" U64("04") U64("02") MID_HEX " 01 01 01 75 3c000000 05\"alice\" 05\"phone\" "
                                               "03\"bob\" 00 00000000 04000000 \"hi\" 00ff"},
    {"SIGNAL", put_sample_signal,
     "23000000 11 67 05\"alice\" 05\"phone\" 04\"team\" 02000000 0100 06000000 \"typing\""},
    {"ACK", put_sample_ack, "2b000000 12" U64("02") U64("09") U64("10") SEQS_HEX},
    {"SKIP", put_sample_skip, "22000000 13" U64("02") U64("09") U64("11") "2c010000 00010000 01"},
    {"STATE", put_sample_state, "1f000000 14" U64("04") U64("02") U64("09") "00 01 05000000"},
    {"CLOSE", put_sample_close, "27000000 15" U64("02") U64("09") "8d 01 100e0000" MID_HEX},
    {"WILL", put_sample_will,
     "51000000 16" U64("02") MID_HEX U64("09") "05\"alice\" 05\"phone\" 100e0000" WILL_HEX},
    {"WELCOME", put_sample_welcome,
     "58000000 28 " INSTANCE_HEX "e8030000 d0070000 08\"broker/0\"" U64(
         "07") "0200 " MEMBER_HEX "08\"broker/1\" 09000000 \"tcp://b:2\""},
    {"MEMBERS", put_sample_members, "21000000 32" U64("08") "0100 " MEMBER_HEX},
    {"OPENED", put_sample_opened,
     "3f000000 29" U64("02") "00 01 0900000007000000 100e0000" U64("10") SUBSCRIPTIONS_HEX},
    {"SUBACK", put_sample_suback, "14000000 2a" U64("01") U64("02") "02 0187"},
    {"PUBLISHED", put_sample_published, "1b000000 2b" U64("04") "00 01" MID_HEX},
    {"DELIVER", put_sample_deliver, "4f000000 2c" U64("02") U64("12") "01 00 38000000" BODY_HEX},
    {"LIVE", put_sample_live,
     "1f000000 2d" U64("02") "01 05\"alice\" 00 00000000 06000000 \"typing\""},
    {"KICK", put_sample_kick, "0a000000 2e" U64("02") "8e"},
    {"NOTIFIED", put_sample_notified, "1b000000 17" U64("02") U64("09") U64("10") "0000"},
    {"HEARD", put_sample_heard, "11000000 18" U64("02") U64("09")},
    {"DOUBT", put_sample_doubt, "11000000 30" U64("02") U64("09")},
    {"PUSH", put_sample_push,
     "31000000 19" U64("05") "03\"bob\" 05\"phone\" 04\"apns\" 05\"com.x\" 0a\"production\""
                             " 04000000 \"abcd\""},
    {"READ", put_sample_read,
     "2a000000 1a" U64("06") "03\"bob\" 05\"phone\" 75 05\"alice\"" MID_HEX},
    {"SHOWN", put_sample_shown, "25000000 1b" U64("07") "03\"bob\" 05\"phone\" 0100" MID_HEX},
    {"PUSH_GONE", put_sample_push_gone,
     "1d000000 1e" U64("08") "03\"bob\" 0201000000000000 04000000 \"abcd\""},
    {"WILL_DONE", put_sample_will_done, "09000000 2f" U64("02")},
    {"CLOSED", put_sample_closed, "09000000 31" U64("02")},
};
#undef U64

#endif
