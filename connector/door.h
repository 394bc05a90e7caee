/* door - one kind of listener: where its options are, and which layers its connections get.
 *
 *   accept -> [PROXY header] -> [TLS] -> [WebSocket] -> MQTT
 *
 * in this order; each layer is a transport on top of the one before. A new layer is a field of
 * struct door and a step of door_open. */
#ifndef BECKON_CONNECTOR_DOOR_H
#define BECKON_CONNECTOR_DOOR_H

#include "connector/options.h"
#include "connector/peer_address.h"
#include "connector/transport.h"

#include <sys/socket.h>

struct connector;
struct tls_context;

enum door_kind { DOOR_TCP, DOOR_TLS, DOOR_WS, DOOR_WSS, DOOR_COUNT };

struct door {
    const char *name; /* the path of its options, for logs and errors */
    size_t options;   /* where its struct listen_options is in struct options */
    const char *tls;  /* NULL: no TLS; else the protocol's name in ALPN */
    bool websocket;
};

extern const struct door doors[DOOR_COUNT];

static inline const struct listen_options *door_options(const struct door *door,
                                                        const struct options *options)
{
    return (const struct listen_options *)(const void *)((const char *)options + door->options);
}

/* Makes the transport of a connection that came in by this door; fd is a connected non-blocking
 * socket, which the transport owns from now on. *peer changes when a PROXY header says so, and
 * lives as long as the transport. 0; ERR_NO_MEMORY: fd is closed. */
MUST_CHECK int door_open(const struct door *door, struct connector *connector, int fd,
                         struct peer_address *peer, struct transport *ret_transport);

/* What doors with TLS need, from the configuration: *ret_tls is NULL when no certificates are
 * configured, else owned. in_force says which doors are open, which a reload does not change. An
 * enabled door without a certificate is an error. ERR_CONFIG, ERR_NO_MEMORY with et. */
MUST_CHECK int doors_read_tls(const struct options *in_force, const struct tls_options *tls,
                              const config_t *config, struct tls_context **ret_tls,
                              struct err_text *et);

/* Where it listens. ERR_CONFIG with et when that is no IP address. */
MUST_CHECK int door_address(const struct door *door, const struct options *options,
                            struct sockaddr_storage *ret_address, socklen_t *ret_size,
                            struct err_text *et);

/* At least one door has to be enabled, each of these at an IP address. ERR_CONFIG with et. */
MUST_CHECK int doors_check(const struct options *options, struct err_text *et);

#endif
