/* alert_properties - what a sender says about the notification, in the MQTT 5 properties that
 * travel with a message. Pure. docs/client-guide.md, "Notifications". */
#ifndef BECKON_BROKER_ALERT_PROPERTIES_H
#define BECKON_BROKER_ALERT_PROPERTIES_H

#include "common/bytes.h"

struct alert_properties {
    struct bytes body, category, thread, title, sound, level; /* len 0 = not given */
    struct bytes content_type;
    uint8_t priority; /* 5 or 10 */
    bool none;        /* never notify */
    bool utf8;        /* Payload Format Indicator 1 */
    bool others;      /* there are properties that a notification does not carry */
};

/* properties: MQTT 5 encoding, without the length. What is malformed ends the reading: the
 * connector has checked it. Borrows from properties. */
struct alert_properties alert_properties_read(struct bytes properties);
/* Only `none`, cheap for the ordinary message without any. */
bool alert_properties_none(struct bytes properties);

#endif
