/* wire - the records that connectors and brokers exchange. Encode and decode, no I/O, no state.
 * docs/wire.md describes the protocol; this header its records, in the order of a connection's
 * life. Brokers speak it among themselves as well: whoever made the link is the connector then.
 *
 * A frame is one ZeroMQ message: a header ('B', 'K', version, 0, and the u64 generation of
 * ownership that its sender believes in) and any number of records. A record is a u32 length (of
 * what follows it), a u8 type and the fields in the order of the struct. Integers are
 * little-endian; a string is u8 length + bytes (names), bytes are u32 length + bytes, a list is u16
 * count + elements.
 *
 * A frame of another version is refused as a whole, in a frame that the other version reads: REFUSE
 * has the same layout in every version, and wire_begin_refusal knows the older header.
 * Decoded structs borrow from the frame. Each wire_put_* appends one record to a frame begun with
 * wire_begin; look at buf_ok once before sending. */
#ifndef BECKON_COMMON_WIRE_H
#define BECKON_COMMON_WIRE_H

#include "common/buf.h"
#include "common/bytes.h"
#include "common/err.h"
#include "common/mid.h"

#define WIRE_VERSION 4
#define WIRE_HEADER_SIZE 12
#define WIRE_INSTANCE_SIZE 16 /* random, one per process start */

enum wire_type {
    /* both ways */
    WIRE_PING = 1,   /* empty; sent when nothing else was for a heartbeat interval */
    WIRE_REFUSE = 2, /* the peer's last frame can't be accepted; the sender forgets the link */
    /* connector to broker */
    WIRE_HELLO = 10,
    WIRE_ANNOUNCE = 11,     /* a session that was open before this link */
    WIRE_ANNOUNCE_END = 12, /* empty; everything open was announced */
    WIRE_OPEN = 13,
    WIRE_SUBSCRIBE = 14,
    WIRE_UNSUBSCRIBE = 15,
    WIRE_PUBLISH = 16,
    WIRE_SIGNAL = 17, /* QoS 0: ephemeral */
    WIRE_ACK = 18,
    WIRE_SKIP = 19,  /* a delivery that was too large for the client */
    WIRE_STATE = 20, /* me/state; answered with PUBLISHED */
    WIRE_CLOSE = 21,
    WIRE_WILL = 22,     /* a Will whose delay runs, of a connection that is closed */
    WIRE_NOTIFIED = 23, /* as ACK, for deliveries on inbox/notify/... */
    WIRE_HEARD = 24,    /* a doubtful client spoke */
    WIRE_PUSH = 25,     /* me/push; answered with PUBLISHED, as the two that follow */
    WIRE_READ = 26,     /* me/read */
    WIRE_SHOWN = 27,    /* me/shown */
    WIRE_ENDED = 28,    /* a session that ended, of which CLOSED has not come */
    WIRE_COPY = 29,     /* a message for its sender's other devices; answered with PUBLISHED */
    /* between brokers */
    WIRE_PUSH_GONE = 30, /* a registration belongs to somebody else; answered with PUBLISHED */
    /* broker to connector */
    WIRE_WELCOME = 40,
    WIRE_OPENED = 41,
    WIRE_SUBACK = 42,    /* answers SUBSCRIBE and UNSUBSCRIBE */
    WIRE_PUBLISHED = 43, /* answers PUBLISH and the me/... requests */
    WIRE_DELIVER = 44,
    WIRE_LIVE = 45, /* an ephemeral signal for a client */
    WIRE_KICK = 46,
    WIRE_WILL_DONE = 47, /* the Will of that connection was published or is not wanted any more */
    WIRE_DOUBT = 48,     /* the client is doubtful: tell when it speaks */
    WIRE_CLOSED = 49, /* answers CLOSE and ENDED: what the connection acknowledged is committed */
    WIRE_MEMBERS = 50 /* another view of who the brokers are */
};

struct wire_refuse {
    uint8_t version;   /* of the sender of this record */
    uint8_t reason;    /* enum wire_refusal */
    struct bytes text; /* string: for the log */
};
enum wire_refusal {
    WIRE_REFUSED_VERSION = 1,
    WIRE_REFUSED_NO_HELLO = 2, /* a record before HELLO */
    WIRE_REFUSED_MALFORMED = 3,
    WIRE_REFUSED_NOT_READY = 4, /* no database yet: try again */
    WIRE_REFUSED_KEY = 5        /* the connector's key is not allowed any more */
};

enum wire_peer_kind {
    WIRE_PEER_CONNECTOR = 1,
    WIRE_PEER_BROKER = 2,
    WIRE_PEER_PROBE = 3 /* looks whether the broker answers, and goes */
};
struct wire_hello {
    uint8_t instance[WIRE_INSTANCE_SIZE];
    uint8_t kind;      /* enum wire_peer_kind */
    struct bytes name; /* string: "connector/0", for logs; of a broker its name as a member */
};

/* A list as it lies in the frame; read with the wire_*_next functions. */
struct wire_list {
    uint16_t count;
    struct bytes encoded;
};

struct wire_member {
    struct bytes name;     /* string */
    struct bytes endpoint; /* bytes: a host name of a legal length makes it longer than 255 */
};

/* Who the brokers are; common/members.h keeps it. */
struct wire_members {
    uint64_t generation;   /* of ownership */
    struct wire_list list; /* struct wire_member, ascending by name */
};

struct wire_welcome {
    uint8_t instance[WIRE_INSTANCE_SIZE]; /* another one than before: the broker restarted */
    uint32_t credit;       /* requests (what PUBLISHED or SUBACK answers) unanswered, at most */
    uint32_t heartbeat_ms; /* interval of PING; three silent ones end the link */
    struct bytes name;     /* string: its own, "broker/0" */
    struct wire_members members;
};

enum wire_device_state { WIRE_FOREGROUND = 1, WIRE_BACKGROUND = 2 };

/* MQTT Will, already checked against the topics the client may publish to. */
struct wire_will {
    bool present; /* when false, nothing else is encoded */
    uint8_t kind; /* enum wire_target */
    uint8_t qos;  /* 0 or 1 */
    bool has_expiry;
    uint32_t delay_s;
    uint32_t expiry_s;
    struct bytes to, key;    /* strings */
    struct bytes properties; /* bytes: as in wire_publish */
    struct bytes payload;    /* bytes */
};
enum wire_target { WIRE_TO_USER = 'u', WIRE_TO_GROUP = 'g' };

struct wire_open {
    uint64_t conn; /* the connector's handle: slot and generation, never reused in its life */
    struct bytes user, device; /* strings */
    uint8_t level;             /* MQTT protocol level: 4 or 5 */
    bool clean_start;
    bool service;              /* the token says svc */
    uint8_t state;             /* enum wire_device_state */
    uint32_t lease_s;          /* background: granted by the client's system, 0 = not said */
    uint32_t session_expiry_s; /* 0 = ends with the connection, UINT32_MAX = the maximum */
    uint16_t receive_max;      /* client's Receive Maximum */
    uint64_t token_issued_s;
    struct wire_will will;
};

struct wire_subscription {
    struct bytes filter; /* string */
    uint8_t qos;         /* granted: 0 or 1 */
    uint8_t options;     /* MQTT 5 subscription options byte without QoS; 0 for 3.1.1 */
    uint32_t id;         /* Subscription Identifier, 0 = none */
};

/* What a connection's client has of what was PUBLISHed to it in one kind of topic: messages, or
 * notifications (inbox/notify/...). */
struct wire_progress {
    uint64_t acked_seq;    /* everything sent up to here is acknowledged */
    struct wire_list more; /* u64 seq: acknowledged beyond a gap, ascending */
    struct wire_list sent; /* u64 seq: not acknowledged, ascending */
};

struct wire_announce {
    struct wire_open open; /* as when it was opened; state, lease_s (what is left of it) and
                              receive_max as of now */
    uint64_t epoch;
    bool doubtful;
    struct wire_list subscriptions; /* struct wire_subscription */
    struct wire_progress messages, notified;
};

struct wire_ended {
    uint64_t conn; /* the closed one; echoed in CLOSED */
    uint64_t epoch;
    uint32_t session_expiry_s; /* what is left of the session */
    struct bytes user, device; /* strings */
    struct wire_progress messages, notified;
};

struct wire_opened {
    uint64_t conn;
    uint8_t reason; /* 0, or the MQTT 5 reason code to refuse with */
    bool session_present;
    uint64_t epoch;
    uint32_t session_expiry_s;      /* granted */
    uint64_t acked_seq;             /* deliveries start after it */
    struct wire_list subscriptions; /* resumed, struct wire_subscription */
};

struct wire_subscribe { /* SUBSCRIBE, and UNSUBSCRIBE (only the filters count) */
    uint64_t token;     /* the connector's name for this request, echoed in the answer */
    uint64_t conn;
    struct wire_list subscriptions; /* only filters that exist; the connector refuses the others */
};

struct wire_suback {
    uint64_t token;
    uint64_t conn;
    struct bytes codes; /* string: one MQTT 5 reason code a filter */
};

/* PUBLISH, to the owner of the recipient; and COPY, to the owner of the sender, where that is
 * another broker: with the MID under which the message was stored. */
struct wire_publish {
    uint64_t token; /* as in wire_subscribe; ascending in the order of sending */
    uint64_t conn;  /* 0 when there is none any more (a Will) */
    struct mid mid;
    bool resend;  /* may have been accepted over an earlier link */
    bool service; /* the sender's token says svc */
    bool has_expiry;
    uint8_t kind; /* enum wire_target */
    uint32_t expiry_s;
    struct bytes from, from_device, to, key; /* strings; key may be empty */
    struct bytes properties; /* bytes: MQTT 5 properties to carry along, MQTT 5 encoding */
    struct bytes payload;    /* bytes */
};

struct wire_signal {
    uint8_t kind;
    struct bytes from, from_device, to; /* strings */
    struct bytes properties, payload;   /* bytes */
};

struct wire_published {
    uint64_t token;
    uint8_t reason;    /* MQTT 5 PUBACK reason code; 0 = committed */
    bool has_stored;   /* when false, stored is not encoded */
    struct mid stored; /* the KEY was used before: the message is stored under this MID */
};

struct wire_ack { /* ACK and NOTIFIED */
    uint64_t conn;
    uint64_t epoch;
    uint64_t acked_seq;    /* everything sent up to here is acknowledged */
    struct wire_list more; /* u64 seq: acknowledged beyond a gap, ascending */
};

struct wire_skip {
    uint64_t conn;
    uint64_t epoch;
    uint64_t seq;
    uint32_t size, limit; /* of the packet, of the client */
    bool notification;
};

struct wire_state {
    uint64_t token; /* as in wire_publish */
    uint64_t conn;
    uint64_t epoch;
    bool resend; /* the announcement before it said what is so now: only to be answered */
    uint8_t state;
    uint32_t lease_s;
};

struct wire_session { /* HEARD and DOUBT */
    uint64_t conn;
    uint64_t epoch;
};

/* A request of a device about itself. token as in wire_publish. */
struct wire_push {
    uint64_t token;
    struct bytes user, device, provider, topic, environment; /* strings; provider "none" forgets */
    struct bytes push_token;                                 /* bytes */
};

struct wire_read {
    uint64_t token;
    struct bytes user, device; /* strings */
    uint8_t kind;              /* enum wire_target */
    struct bytes conversation; /* string: the other person, or the group */
    struct mid mid;
};

struct wire_shown {
    uint64_t token;
    struct bytes user, device; /* strings */
    struct wire_list mids;     /* struct mid */
};

struct wire_push_gone {
    uint64_t token;
    struct bytes user; /* string: whose registration it was */
    uint64_t device_no;
    struct bytes push_token; /* bytes: forgotten only if it is this one still */
};

struct wire_close {
    uint64_t conn;
    uint64_t epoch; /* 0 when it was never opened */
    uint8_t reason; /* MQTT 5 reason code, for the log */
    bool send_will;
    uint32_t session_expiry_s; /* in force now (DISCONNECT may change it) */
    struct mid will_mid;       /* minted by the connector, so that its Will is stored once */
};

struct wire_pending_will {
    uint64_t conn; /* the closed one; echoed in WILL_DONE */
    struct mid mid;
    uint64_t epoch;
    struct bytes user, device; /* strings */
    uint32_t session_expiry_s; /* what is left of the session */
    struct wire_will will;     /* delay_s: what is left of it */
};

/* What the recipient gets of a message. Encoded once, copied to every receiver. */
enum wire_body_kind {
    WIRE_BODY_USER = 1,      /* inbox/u/FROM/MID */
    WIRE_BODY_GROUP = 2,     /* inbox/g/GROUP/FROM/MID */
    WIRE_BODY_SENT_USER = 3, /* inbox/sent/u/TO/MID */
    WIRE_BODY_SENT_GROUP = 4 /* inbox/sent/g/GROUP/MID */
};
struct wire_body {
    uint8_t kind; /* enum wire_body_kind */
    struct mid mid;
    uint64_t sent_at_ms;
    uint64_t expires_at_ms; /* 0 = the sender set no expiry: send no Message Expiry Interval */
    struct bytes from;      /* string: FROM (kinds 1, 2), empty else */
    struct bytes to;        /* string: GROUP (2, 4), TO (3), empty else */
    struct bytes properties, payload; /* bytes */
};

struct wire_deliver {
    uint64_t conn;
    uint64_t seq;
    bool dup;                  /* PUBLISHed before in this session */
    bool notification;         /* on inbox/notify/...: payload is the notification document */
    struct bytes encoded_body; /* wire_get_body reads it */
    struct wire_body body;     /* decoded by wire_next */
};

struct wire_live {
    uint64_t conn;
    uint8_t kind;          /* WIRE_BODY_USER or WIRE_BODY_GROUP */
    struct bytes from, to; /* strings; to: GROUP or empty */
    struct bytes properties, payload;
};

struct wire_kick {
    uint64_t conn;
    uint8_t reason; /* MQTT 5 DISCONNECT reason code */
};

struct wire_conn { /* WILL_DONE and CLOSED */
    uint64_t conn;
};

struct wire_record {
    enum wire_type type;
    union {
        struct wire_refuse refuse;
        struct wire_hello hello;
        struct wire_welcome welcome;
        struct wire_members members;
        struct wire_announce announce;
        struct wire_ended ended;
        struct wire_open open;
        struct wire_opened opened;
        struct wire_subscribe subscribe;
        struct wire_suback suback;
        struct wire_publish publish; /* and COPY */
        struct wire_signal signal;
        struct wire_published published;
        struct wire_ack ack;
        struct wire_skip skip;
        struct wire_state state;
        struct wire_session session;
        struct wire_push push;
        struct wire_read read;
        struct wire_shown shown;
        struct wire_push_gone push_gone;
        struct wire_close close;
        struct wire_pending_will pending_will;
        struct wire_deliver deliver;
        struct wire_live live;
        struct wire_kick kick;
        struct wire_conn done;
    };
};

/* Starts a frame: puts the header. generation: of the view that the sender believes in, 0 = none
 * yet. */
void wire_begin(struct buf *frame, uint64_t generation);
/* Starts the frame of a REFUSE for a peer whose frames are of that version: with the header that it
 * reads. Newer peers than this program get its own, which is theirs to know. */
void wire_begin_refusal(struct buf *frame, uint8_t version);

void wire_put_empty(struct buf *frame, enum wire_type type); /* PING, ANNOUNCE_END */
void wire_put_refuse(struct buf *frame, const struct wire_refuse *record);
void wire_put_hello(struct buf *frame, const struct wire_hello *record);
/* Lists are given as arrays; the wire_list members of the structs are ignored. */
void wire_put_welcome(struct buf *frame, const struct wire_welcome *record,
                      const struct wire_member *members, uint16_t member_count);
void wire_put_members(struct buf *frame, uint64_t generation, const struct wire_member *members,
                      uint16_t member_count);
struct wire_seqs {
    const uint64_t *more, *sent;
    uint16_t more_count, sent_count;
};
void wire_put_announce(struct buf *frame, const struct wire_announce *record,
                       const struct wire_subscription *subscriptions, uint16_t subscription_count,
                       const struct wire_seqs *messages, const struct wire_seqs *notified);
void wire_put_ended(struct buf *frame, const struct wire_ended *record,
                    const struct wire_seqs *messages, const struct wire_seqs *notified);
void wire_put_open(struct buf *frame, const struct wire_open *record);
void wire_put_opened(struct buf *frame, const struct wire_opened *record,
                     const struct wire_subscription *subscriptions, uint16_t subscription_count);
/* type: WIRE_SUBSCRIBE or WIRE_UNSUBSCRIBE. */
void wire_put_subscribe(struct buf *frame, enum wire_type type, const struct wire_subscribe *record,
                        const struct wire_subscription *subscriptions, uint16_t subscription_count);
void wire_put_suback(struct buf *frame, const struct wire_suback *record);
/* type: WIRE_PUBLISH or WIRE_COPY. */
void wire_put_publish(struct buf *frame, enum wire_type type, const struct wire_publish *record);
void wire_put_signal(struct buf *frame, const struct wire_signal *record);
void wire_put_published(struct buf *frame, const struct wire_published *record);
/* type: WIRE_ACK or WIRE_NOTIFIED. */
void wire_put_ack(struct buf *frame, enum wire_type type, const struct wire_ack *record,
                  const uint64_t *more, uint16_t more_count);
void wire_put_skip(struct buf *frame, const struct wire_skip *record);
void wire_put_state(struct buf *frame, const struct wire_state *record);
/* type: WIRE_HEARD or WIRE_DOUBT. */
void wire_put_session(struct buf *frame, enum wire_type type, const struct wire_session *record);
void wire_put_push(struct buf *frame, const struct wire_push *record);
void wire_put_read(struct buf *frame, const struct wire_read *record);
void wire_put_shown(struct buf *frame, const struct wire_shown *record, const struct mid *mids,
                    uint16_t mid_count);
void wire_put_push_gone(struct buf *frame, const struct wire_push_gone *record);
void wire_put_close(struct buf *frame, const struct wire_close *record);
void wire_put_will(struct buf *frame, const struct wire_pending_will *record);
/* Uses encoded_body as it is; body is ignored. */
void wire_put_deliver(struct buf *frame, const struct wire_deliver *record);
void wire_put_live(struct buf *frame, const struct wire_live *record);
void wire_put_kick(struct buf *frame, const struct wire_kick *record);
/* type: WIRE_WILL_DONE or WIRE_CLOSED. */
void wire_put_conn(struct buf *frame, enum wire_type type, const struct wire_conn *record);

/* A body alone, as DELIVER embeds it: brokers keep messages in this form. */
void wire_put_body(struct buf *out, const struct wire_body *body);
size_t wire_body_size(const struct wire_body *body);
MUST_CHECK int wire_get_body(struct bytes encoded, struct wire_body *ret_body);

/* A record that was encoded before (with its length and type), as it is. */
void wire_put_raw(struct buf *frame, struct bytes record);
/* Sets the resend flag of an encoded request in place, if its type has one. */
void wire_mark_resend(uint8_t *record, size_t len);
/* Sets the token of an encoded request in place: it has another name on another link. */
void wire_set_token(uint8_t *record, size_t len, uint64_t token);
/* Makes the COPY of an encoded PUBLISH of it in place. stored: the MID that PUBLISHED named; that
 * one's copy may be there already, so resend is set then. NULL: the message has its own. */
void wire_mark_copy(uint8_t *record, size_t len, const struct mid *stored);
/* Sets what is left of the session in an encoded WIRE_ENDED record in place. */
void wire_set_ended_expiry(uint8_t *record, size_t len, uint32_t session_expiry_s);

struct wire_reader {
    struct bytes rest;
    uint64_t generation; /* that the frame's sender believes in */
};
/* Checks the frame's header. 0; ERR_VERSION (a Beckon frame of another version, *ret_version says
 * which); ERR_MALFORMED. */
MUST_CHECK int wire_open_frame(struct bytes frame, struct wire_reader *ret_reader,
                               uint8_t *ret_version);
/* Decodes the next record. 1; 0 at the end of the frame; ERR_MALFORMED (unknown type, bad length,
 * a field out of its range). Names are checked for length only, not for grammar. */
MUST_CHECK int wire_next(struct wire_reader *reader, struct wire_record *ret_record);

/* Take the first element off list. 1, or 0 at the end. wire_next has validated the list. */
MUST_CHECK int wire_subscription_next(struct wire_list *list, struct wire_subscription *ret);
MUST_CHECK int wire_member_next(struct wire_list *list, struct wire_member *ret);
MUST_CHECK int wire_seq_next(struct wire_list *list, uint64_t *ret_seq);
MUST_CHECK int wire_mid_next(struct wire_list *list, struct mid *ret_mid);

#endif
