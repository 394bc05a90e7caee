#include "bench/scaling/claims.h"

#include <stdio.h>

static bool missed;

void claim(const char *what, double devices, double found, double limit)
{
    bool met = found <= limit; /* false for what is not a number, too */

    missed |= !met;
    printf("{\"row\": \"claim\", \"claim\": \"%s\", \"devices\": %.0f, \"found\": %.6g, "
           "\"limit\": %g, \"met\": %s}\n",
           what, devices, found, limit, met ? "true" : "false");
}

bool claims_all_met(void)
{
    return !missed;
}
