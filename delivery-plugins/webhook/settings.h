/* settings - what the plugin `webhook` is configured with. */
#ifndef BECKON_WEBHOOK_SETTINGS_H
#define BECKON_WEBHOOK_SETTINGS_H

#include "beckon/delivery_plugin.h"

#define SECRET_MAX_BYTES 4096 /* of the file: anything above is no secret but a wrong file */

struct settings {
    char *url;
    char *ca_file; /* NULL: the system's authorities */
    unsigned char secret[SECRET_MAX_BYTES];
    size_t secret_size;
    uint32_t timeout_ms;
    uint32_t max_in_flight;
};

/* Reads the flattened settings and the secret's file. 0, or -1 with what, where and what was
 * expected in error. */
int settings_read(const struct dp_setting *list, size_t count, struct settings *ret_settings,
                  char *error, size_t error_size);
/* Wipes the secret. */
void settings_fini(struct settings *settings);

#endif
