/* claims - what docs/scaling.md says, each looked at where the simulation knows it. */
#ifndef BECKON_BENCH_SCALING_CLAIMS_H
#define BECKON_BENCH_SCALING_CLAIMS_H

#include <stdbool.h>

/* One line of JSON. Met when found is not above the limit. */
void claim(const char *what, double devices, double found, double limit);
bool claims_all_met(void);

#endif
