/* client_io - one client: its handshakes, its packets in and out. The engine's other half. */
#ifndef BECKON_BENCH_LOAD_CLIENT_IO_H
#define BECKON_BENCH_LOAD_CLIENT_IO_H

#include "bench/load/engine.h"

/* One read; what a busy client gets in a turn. */
#define CLIENT_SCRATCH_BYTES 65536

/* Begins to connect; engine_on_begun follows, perhaps from within. */
void client_begin(struct client *client);
/* Sends what waits. */
void client_flush(struct client *client);
/* Frees what it has; says nothing to anybody. No effect when closed. */
void client_close(struct client *client);

/* engine.c: a client got open, or never will. */
void engine_on_begun(struct engine *engine, bool opened);

#endif
