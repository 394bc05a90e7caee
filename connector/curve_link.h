/* curve_link - the keys of the links to the brokers, from the options. Start-up and SIGHUP only. */
#ifndef BECKON_CONNECTOR_CURVE_LINK_H
#define BECKON_CONNECTOR_CURVE_LINK_H

#include "common/link/link_keys.h"
#include "connector/endpoints.h"
#include "connector/options.h"

/* endpoints: those in force. Relative files are relative to the configuration file's folder. 0;
 * ERR_CONFIG, ERR_NO_MEMORY with et. The caller wipes the keys. */
MUST_CHECK int curve_link_load(const struct options *options, const struct endpoints *endpoints,
                               const config_t *config, struct link_keys *ret_link,
                               struct err_text *et);

#endif
