/* plugin_load - the `plugins` of the configuration: their shape, their files, and which of them run
 * inline (plugin_inline.h) and which in a process of their own (plugin_remote.h). Start-up only. */
#ifndef BECKON_BROKER_PLUGIN_LOAD_H
#define BECKON_BROKER_PLUGIN_LOAD_H

#include "common/err.h"

#include <libconfig.h>
#include <stdbool.h>

/* `plugins` of the configuration: its shape. For the option table. */
int plugin_check_setting(const config_setting_t *setting, struct err_text *et);
/* True when the configuration has a plugin of that name. */
bool plugin_configured(const config_t *config, const char *name);
/* That every named file loads, and may run where it is to run. For --check-config. */
MUST_CHECK int plugin_check_files(const config_t *config, const char *plugin_dir,
                                  struct err_text *et);

#endif
