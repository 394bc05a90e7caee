/* control - the door for tests and people: what was pushed, and how to behave. Plain HTTP through
 * libmicrohttpd, driven by the loop. Loop thread only. */
#ifndef BECKON_APNS_SIMULATOR_CONTROL_H
#define BECKON_APNS_SIMULATOR_CONTROL_H

#include "common/err.h"

struct simulator;
struct control;

/* Listens and sets simulator->control. 0; ERR_CONFIG, ERR_SYSTEM or ERR_NO_MEMORY with et. */
MUST_CHECK int control_create(struct simulator *simulator, struct err_text *et);
/* Cuts whoever is connected. NULL is allowed. */
void control_destroy(struct control *control);

#endif
