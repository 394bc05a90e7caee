/* option_list - lists and groups given with --set, in the syntax of a configuration file:
 * --set 'plugins=( { name = "live"; file = "live.so"; } )'. Part of option.c. */
#ifndef BECKON_COMMON_OPTION_LIST_H
#define BECKON_COMMON_OPTION_LIST_H

#include "common/option.h"

/* Puts the setting that text describes at option's path, in place of what is there. The result
 * names `--set` as its file. ERR_CONFIG, ERR_NO_MEMORY with et. */
MUST_CHECK int option_list_set(config_t *config, const struct option *option, const char *text,
                               struct err_text *et);

#endif
