/* topic - the topics of the client contract, and the grammar of the names in them.
 * Pure functions, no state, no I/O. Results borrow from the input. */
#ifndef BECKON_COMMON_TOPIC_H
#define BECKON_COMMON_TOPIC_H

#include "common/bytes.h"
#include "common/err.h"

#define NAME_MAX_LEN 64 /* user id, device id, group id, key: 1 to 64 characters */

/* [A-Za-z0-9._~@:-]{1,64} */
bool name_is_user(struct bytes text);
/* [A-Za-z0-9._~-]{1,64} */
bool name_is_device(struct bytes text);
/* As user ids. */
bool name_is_group(struct bytes text);
/* [A-Za-z0-9._~-]{1,64} */
bool name_is_key(struct bytes text);

/* What a client may publish to. */
enum topic_kind {
    TOPIC_UNKNOWN, /* not in the table: 0x90 */
    TOPIC_TO_USER,
    TOPIC_TO_GROUP,
    TOPIC_SEND,
    TOPIC_ME_STATE,
    TOPIC_ME_PUSH,
    TOPIC_ME_READ,
    TOPIC_ME_SHOWN,
    TOPIC_ME_TOKEN,
};

struct topic {
    enum topic_kind kind;
    struct bytes to;  /* TO_USER, TO_GROUP: the id */
    struct bytes key; /* TO_USER, TO_GROUP: client message id, len 0 when absent */
};

/* Never fails: anything that breaks the grammar is TOPIC_UNKNOWN. */
struct topic topic_parse(struct bytes name);

/* What a client may subscribe to. */
enum filter_kind {
    FILTER_UNKNOWN, /* not in the table: SUBACK 0x8F */
    FILTER_SHARED,  /* $share/...: SUBACK 0x9E */
    FILTER_INBOX,   /* inbox/# */
    FILTER_RECEIPT, /* receipt/# */
    FILTER_PRESENCE /* presence/u/USER */
};

struct filter {
    enum filter_kind kind;
    struct bytes user; /* FILTER_PRESENCE */
};

struct filter filter_parse(struct bytes text);
/* A syntactically valid MQTT topic filter / topic name (non-empty, wildcards well placed / absent).
 * UTF-8 is checked by the codec. MQTT 5.0 section 4.7. */
bool filter_syntax_valid(struct bytes text);
bool topic_name_valid(struct bytes text);

#endif
