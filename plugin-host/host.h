/* host - one plugin in a process of its own: the link to the broker, and what it asks for.
 * One per process; loop thread. */
#ifndef BECKON_PLUGIN_HOST_HOST_H
#define BECKON_PLUGIN_HOST_HOST_H

#include "common/err.h"
#include "common/loop.h"
#include "plugin-host/options.h"

struct host;

/* Connects to the broker and says hello; the plugin is loaded when the broker asks. options are
 * borrowed until host_destroy. ERR_SYSTEM, ERR_NO_MEMORY, ERR_CONFIG with et. The loop is stopped
 * when there is nothing left to do. */
MUST_CHECK int host_create(struct loop *loop, const struct host_options *options,
                           struct host **ret_host, struct err_text *et);
/* 0 when the broker closed it, ERR_* when something else ended it. */
int host_result(const struct host *host);
/* Closes the plugin, and sends what it reported. NULL is allowed. */
void host_destroy(struct host *host);

#endif
