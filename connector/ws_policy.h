/* ws_policy - what the doors with WebSocket let in, from the configuration. Filled at start and by
 * a reload; loop thread. */
#ifndef BECKON_CONNECTOR_WS_POLICY_H
#define BECKON_CONNECTOR_WS_POLICY_H

#include "common/err.h"

#include <libconfig.h>
#include <stdbool.h>
#include <stdint.h>

struct ws_policy {
    const char *path; /* borrowed from the options; a request's query is not looked at */
    char **origins;   /* of pages that may connect; none: all. A client without Origin is no page */
    uint32_t origin_count;
};

/* Checks path (option websocket.path) and reads websocket.origins. ERR_CONFIG, ERR_NO_MEMORY with
 * et. */
MUST_CHECK int ws_policy_read(const char *path, const config_t *config,
                              struct ws_policy *ret_policy, struct err_text *et);
void ws_policy_fini(struct ws_policy *policy);

/* For the option table: a list of origins. ERR_CONFIG with et. */
int ws_origins_check(const config_setting_t *setting, struct err_text *et);
/* True for what a browser sends as a page's Origin: scheme://host or scheme://host:port. */
bool ws_origin_valid(const char *origin);

#endif
