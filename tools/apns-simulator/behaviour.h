/* behaviour - PUT /behaviour and PUT /tokens/HEX, from JSON. */
#ifndef BECKON_APNS_SIMULATOR_BEHAVIOUR_H
#define BECKON_APNS_SIMULATOR_BEHAVIOUR_H

#include "simulator.h"

#include <stddef.h>

/* Each: NULL, or what is wrong (a constant that names the member and what was expected); then
 * nothing has changed. */
const char *behaviour_put(struct simulator *simulator, const char *body, size_t len);
const char *token_answer_put(struct simulator *simulator, const char *token, const char *body,
                             size_t len);
void token_answer_delete(struct simulator *simulator, const char *token);

#endif
