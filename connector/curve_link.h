/* curve_link - the keys of the link to the broker, from the options. Start-up and SIGHUP only. */
#ifndef BECKON_CONNECTOR_CURVE_LINK_H
#define BECKON_CONNECTOR_CURVE_LINK_H

#include "common/curve_key.h"
#include "connector/options.h"

struct curve_link {
    char server_key[CURVE_KEY_SIZE]; /* of the broker; "": the link is plain */
    struct curve_key own;
};

/* endpoint: the one in force. Relative files are relative to the configuration file's folder. 0;
 * ERR_CONFIG, ERR_NO_MEMORY with et. The caller wipes the link. */
MUST_CHECK int curve_link_load(const struct options *options, const char *endpoint,
                               const config_t *config, struct curve_link *ret_link,
                               struct err_text *et);
void curve_link_wipe(struct curve_link *link);
static inline bool curve_link_has_keys(const struct curve_link *link)
{
    return link->server_key[0] != '\0';
}

#endif
