/* door - one kind of listener: where its options are, and which layers its connections get.
 *
 *   accept -> [PROXY header] -> [TLS] -> [WebSocket] -> MQTT
 *
 * in this order; each layer is a transport on top of the one before. A new layer is a field of
 * struct door and a step of door_open. */
#ifndef BECKON_CONNECTOR_DOOR_H
#define BECKON_CONNECTOR_DOOR_H

#include "connector/options.h"
#include "connector/transport.h"

struct connector;

enum door_kind { DOOR_TCP, DOOR_COUNT };

struct door {
    const char *name; /* the path of its options, for logs and errors */
    size_t options;   /* where its struct listen_options is in struct options */
};

extern const struct door doors[DOOR_COUNT];

static inline const struct listen_options *door_options(const struct door *door,
                                                        const struct options *options)
{
    return (const struct listen_options *)(const void *)((const char *)options + door->options);
}

/* Makes the transport of a connection that came in by this door; fd is a connected non-blocking
 * socket, which the transport owns from now on. 0; ERR_NO_MEMORY: fd is closed. */
MUST_CHECK int door_open(const struct door *door, struct connector *connector, int fd,
                         struct transport *ret_transport);

/* At least one door has to be enabled. ERR_CONFIG with et. */
MUST_CHECK int doors_check(const struct options *options, struct err_text *et);

#endif
