/* options - the broker's configuration, read once at start (and, where marked, at SIGHUP). */
#ifndef BECKON_BROKER_OPTIONS_H
#define BECKON_BROKER_OPTIONS_H

#include "common/option.h"

struct options {
    uint32_t index;
    const char *broker_name;
    uint32_t lease_ms;
    const char *log_level;
    bool log_deliveries;
    const char *listen_endpoint, *listen_advertise;
    bool listen_plain;
    const char *curve_secret_key, *curve_clients;
    uint32_t heartbeat_ms;
    uint32_t credit;
    const char *database_dsn;
    uint32_t database_timeout_ms;
    uint32_t database_wait_ms;
    uint32_t batch_rows;
    uint32_t batch_bytes;
    uint32_t cursor_ms;
    uint32_t unread_ms;
    uint32_t retention_days;
    uint32_t session_max_expiry_s;
    uint32_t inbox_window;
    uint32_t inbox_window_bytes;
    uint32_t tail_messages;
    uint32_t tail_bytes;
    uint32_t cache_users;
    uint32_t background_lease_s;
    uint32_t hold_ms;
    uint32_t settle_ms;
    uint32_t push_per_minute;
    uint32_t trace_days;
    bool notification_content;
    bool notification_sender_may_title;
    const char *notification_title;
    const char *notification_body;
    const char *notification_sound;
    const char *notification_category;
    const char *http_listen;
    const char *http_tls_certificate, *http_tls_key;
    uint32_t http_max_connections;
    const char *auth_key_dir;
    const char *auth_issuer, *auth_audience;
    uint32_t auth_leeway_s;
    const char *plugin_dir;
    const char *plugin_host_program;
    const char *plugin_host_runtime_dir;
    uint32_t plugin_host_hang_ms;
    uint32_t plugin_host_memory_mb;
    uint32_t plugin_host_answer_ms;
};

extern const struct option broker_options[];
extern const size_t broker_option_count;

/* Where connectors and other brokers reach this one. */
const char *options_advertised(const struct options *options);
/* ERR_CONFIG: a name or an endpoint that can't be one of a member. */
MUST_CHECK int options_check_membership(const struct options *options, struct err_text *et);
/* What the table can't check by itself: plugin entries, whose files must load. For --check-config.
 */
int options_check(struct option_set *set, struct err_text *et);

#endif
