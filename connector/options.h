/* options - the connector's configuration, read at start; where the table says so, again at SIGHUP.
 * Strings belong to the option set that filled the struct. */
#ifndef BECKON_CONNECTOR_OPTIONS_H
#define BECKON_CONNECTOR_OPTIONS_H

#include "common/option.h"

#include "connector/bucket.h"

/* Of one kind of listener: see door.h. */
struct listen_options {
    const char *address;
    uint32_t port;
    bool enabled;
    bool proxy_protocol;
};

struct tls_options {
    const char *client_ca;
    bool client_required;
    const char *min_version;
    const char *ciphers;
    const char *ciphersuites;
    const char *ticket_keys;
};

struct options {
    uint32_t index;
    const char *log_level;
    struct listen_options listen_tcp, listen_tls, listen_ws, listen_wss;
    uint32_t listen_backlog;
    uint32_t max_connections;
    struct tls_options tls;
    const char *websocket_path;
    bool plain;
    const char *server_key, *secret_key;
    const char *auth_key_dir;
    const char *auth_issuer;
    const char *auth_audience;
    uint32_t auth_leeway_s;
    uint32_t auth_expiry_grace_s;
    uint32_t open_ms;
    uint32_t max_packet_bytes;
    uint32_t receive_max;
    uint32_t max_keep_alive_s;
    uint32_t max_user_properties, max_properties_bytes, max_will_bytes;
    uint32_t connect_timeout_ms;
    uint32_t queue_bytes;
    struct bucket_limit accepts, address_connects, device_connects, device_publishes;
    uint32_t abuse_s;
    uint32_t pending_bytes;
    uint32_t drain_ms;
    uint32_t drain_wait_ms;
};

extern const struct option connector_options[];
extern const size_t connector_option_count;

/* What the table can't check by itself: log.level, that there is a listener, websocket.path, the
 * files of token keys and of TLS. For --check-config. */
MUST_CHECK int options_check(struct option_set *set, struct err_text *et);

#endif
