/* sqlstate - what an error code of PostgreSQL says about trying again. */
#ifndef BECKON_BROKER_SQLSTATE_H
#define BECKON_BROKER_SQLSTATE_H

#include <stdbool.h>

/* True when it is the server's state and may be another one later: the same statement, sent again,
 * may work. False: it is refused for what it is. NULL or "" (no answer of the server): true. */
bool sqlstate_passes(const char *sqlstate);

#endif
