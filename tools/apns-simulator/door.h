/* door - the provider API: HTTP/2 over TLS. */
#ifndef BECKON_APNS_SIMULATOR_DOOR_H
#define BECKON_APNS_SIMULATOR_DOOR_H

#include "common/err.h"

struct simulator;

/* Listens. ERR_SYSTEM with et naming the address; ERR_CONFIG for the certificate. */
MUST_CHECK int door_create(struct simulator *simulator, struct err_text *et);
void door_destroy(struct simulator *simulator);
/* The behaviour changed: connections to drop are dropped, stream limits announced. */
void door_behave(struct simulator *simulator);
/* Connections open, and made since the start. */
void door_counts(const struct simulator *simulator, unsigned *ret_open, unsigned *ret_made);

#endif
