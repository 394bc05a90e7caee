/* simulator - what the parts of the APNs simulator share. One event loop thread. */
#ifndef BECKON_APNS_SIMULATOR_SIMULATOR_H
#define BECKON_APNS_SIMULATOR_SIMULATOR_H

#include "common/loop.h"

#include <jansson.h>
#include <openssl/ssl.h>

struct control;
struct door;
struct provider_keys;
struct pushes;

struct options {
    const char *log_level;
    const char *listen_address;
    uint32_t listen_port;
    const char *control_address;
    uint32_t control_port;
    const char *directory;
    const char *tls_certificate, *tls_key;
    const char *team, *key_id;
    uint32_t min_token_interval_s;
    uint32_t max_concurrent_streams;
    uint32_t max_connections;
    uint32_t max_pushes;
    const char *environment;
};

/* How it misbehaves: PUT /behaviour. All zero: as Apple does. */
struct behaviour {
    uint32_t delay_ms;
    uint32_t status; /* 0 = as the rules say */
    char reason[64];
    uint32_t retry_after;
    bool has_retry_after;
    uint32_t goaway_after; /* answers on a connection, 0 = never */
    bool drop_connections;
    bool hang;
    uint32_t max_concurrent_streams; /* 0 = as configured */
};

struct simulator {
    struct loop *loop;
    struct options options;
    struct behaviour behaviour;
    json_t *tokens; /* PUT /tokens/HEX: object by token */
    struct provider_keys *keys;
    struct pushes *pushes;
    struct door *door;
    struct control *control;
};

#endif
