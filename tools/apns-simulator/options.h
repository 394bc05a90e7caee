/* options - the simulator's configuration, read once at start. */
#ifndef BECKON_APNS_SIMULATOR_OPTIONS_H
#define BECKON_APNS_SIMULATOR_OPTIONS_H

#include "common/option.h"

struct options {
    const char *log_level;
    const char *environment;
    const char *listen_address;
    uint32_t listen_port;
    uint32_t max_connections;
    uint32_t handshake_timeout_ms;
    uint32_t idle_timeout_s;
    uint32_t max_concurrent_streams;
    const char *control_address;
    uint32_t control_port;
    uint32_t control_max_connections;
    const char *tls_certificate;
    const char *tls_key;
    const char *tls_directory;
    const char *auth_directory;
    const char *auth_team;
    const char *auth_kid;
    uint32_t min_token_interval_s;
    uint32_t store_max_pushes;
    uint64_t store_max_bytes;
};

extern const struct option simulator_options[];
extern const size_t simulator_option_count;

/* What the table can't check by itself: names, and that configured files are what they should be.
 * Makes no files. For --check-config and the start. */
int options_check(struct option_set *set, struct err_text *et);

#endif
