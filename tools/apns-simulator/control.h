/* control - the control door: what was received, and how to misbehave. Plain HTTP. */
#ifndef BECKON_APNS_SIMULATOR_CONTROL_H
#define BECKON_APNS_SIMULATOR_CONTROL_H

#include "common/err.h"

struct simulator;

MUST_CHECK int control_create(struct simulator *simulator, struct err_text *et);
void control_destroy(struct simulator *simulator);
/* A push was recorded: for the streams. */
void control_pushed(struct simulator *simulator);

#endif
