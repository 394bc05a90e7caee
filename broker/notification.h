/* notification - the JSON document that is shown to the person: over the socket and through a push
 * service the same. Pure: no clock, no I/O. docs/client-guide.md, "Notifications". */
#ifndef BECKON_BROKER_NOTIFICATION_H
#define BECKON_BROKER_NOTIFICATION_H

#include "broker/message.h"
#include "common/buf.h"
#include "common/err.h"

/* What a push service takes (APNs: 4,096 bytes). */
#define NOTIFICATION_MAX 4096

struct notification {
    const struct message *message;
    uint64_t badge;        /* unread messages of the person */
    uint32_t summarized;   /* messages it stands for beside its own */
    bool content;          /* carry the message itself, if it fits */
    bool sender_may_title; /* alert-title, alert-sound, alert-level count */
    const char *title;     /* templates: {sender} is replaced */
    const char *body;
    const char *sound;
    const char *category;   /* "" = none */
    uint32_t *ret_priority; /* may be NULL */
};

/* Appends the document to out. *ret_whole: it carries the whole message. 0 or ERR_NO_MEMORY. */
MUST_CHECK int notification_render(const struct notification *notification, struct buf *out,
                                   bool *ret_whole);

#endif
