/* identity - the certificate of the push door: as configured, or made with a CA of its own. */
#ifndef BECKON_APNS_SIMULATOR_IDENTITY_H
#define BECKON_APNS_SIMULATOR_IDENTITY_H

#include "common/err.h"
#include "simulator.h"

/* A TLS context that speaks h2 and nothing else. Returns owned; NULL with et. */
SSL_CTX *identity_context(const struct simulator *simulator, struct err_text *et);

#endif
