/* endpoints - broker.endpoints: where a connector asks first who the brokers are. */
#ifndef BECKON_CONNECTOR_ENDPOINTS_H
#define BECKON_CONNECTOR_ENDPOINTS_H

#include "common/err.h"

#include <libconfig.h>

/* One that answers is enough; more than this no installation keeps in step. */
#define ENDPOINTS_MAX 16

struct endpoints {
    unsigned count;
    char *all[ENDPOINTS_MAX];
};

/* For the option table: a list of 1 to ENDPOINTS_MAX strings. */
int endpoints_check(const config_setting_t *setting, struct err_text *et);
/* What config says, or the default. 0; ERR_NO_MEMORY with et. The caller calls endpoints_fini. */
MUST_CHECK int endpoints_read(const config_t *config, struct endpoints *ret_endpoints,
                              struct err_text *et);
void endpoints_fini(struct endpoints *endpoints);

#endif
