/* option_scan - reads a configuration file and checks what libconfig 1.5 gets wrong silently.
 * Start-up and SIGHUP only. No state. */
#ifndef BECKON_COMMON_OPTION_SCAN_H
#define BECKON_COMMON_OPTION_SCAN_H

#include "common/err.h"

/* Reads file, checks it and, as deep as libconfig goes, what it includes. On success *ret_text is
 * owned (free) and NUL-terminated, for config_read_string. 0; ERR_CONFIG or ERR_NO_MEMORY with
 * et: `FILE:LINE: 4294967296 needs the suffix L, as it has more than 32 bits`. */
MUST_CHECK int option_scan_read(const char *file, char **ret_text, struct err_text *et);
/* The same for a text that is no file; name stands for it in errors. */
MUST_CHECK int option_scan_text(const char *name, const char *text, struct err_text *et);

#endif
