/* listen_socket - a listening TCP socket on an address from the configuration. Start-up only. */
#ifndef BECKON_APNS_SIMULATOR_LISTEN_SOCKET_H
#define BECKON_APNS_SIMULATOR_LISTEN_SOCKET_H

#include "common/err.h"

#include <stdint.h>

/* Non-blocking, TCP_NODELAY for what it accepts. group: the options' common path, for errors. 0;
 * ERR_CONFIG when address is no IP address; ERR_SYSTEM; both with et. ret_fd is the caller's. */
MUST_CHECK int listen_socket_open(const char *group, const char *address, uint32_t port,
                                  int *ret_fd, struct err_text *et);

#endif
