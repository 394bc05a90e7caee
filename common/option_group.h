/* option_group - for options that are lists of groups, as
 * auth.keys = ( { kid = "a"; algorithm = "HS256"; file = "a.key"; } ): what is the same in the
 * checks of all of them, and files that are named beside the configuration file. Start-up and
 * SIGHUP only. */
#ifndef BECKON_COMMON_OPTION_GROUP_H
#define BECKON_COMMON_OPTION_GROUP_H

#include "common/err.h"

#include <libconfig.h>
#include <stddef.h>

/* The fields that each group must have, and may have no others; all are strings. */
struct option_group {
    const char *option; /* path of the list, for errors */
    const char *const *fields;
    size_t field_count;
};

/* The configuration file that has setting, for errors. */
const char *option_source(const config_setting_t *setting);
/* 0, or ERR_CONFIG with et: file, line, and what was expected. */
MUST_CHECK int option_group_check(const config_setting_t *group, const struct option_group *what,
                                  struct err_text *et);
/* Returns owned: file, or file in the folder of the configuration file that has setting (NULL: none
 * has). NULL when out of memory. */
char *option_path(const config_setting_t *setting, const char *file);

#endif
