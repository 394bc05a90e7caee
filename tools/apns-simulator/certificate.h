/* certificate - a certificate of our own for whoever has none: an authority that signs exactly one
 * certificate, for this machine's names, and is forgotten. Start-up only. */
#ifndef BECKON_APNS_SIMULATOR_CERTIFICATE_H
#define BECKON_APNS_SIMULATOR_CERTIFICATE_H

#include "common/err.h"

/* Makes ca.pem, server.pem and server.key in directory unless all three are there. 0; ERR_SYSTEM
 * with et. */
MUST_CHECK int certificate_ensure(const char *directory, struct err_text *et);

#endif
