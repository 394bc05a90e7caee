#include "bench/scaling/constants.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/auto.h"

struct constants constants = {
#define SCALING_VALUE(name, value) .name = (value),
    SCALING_CONSTANTS(SCALING_VALUE)
#undef SCALING_VALUE
};

static const struct {
    const char *name;
    double *value;
} table[] = {
#define SCALING_ROW(name, value) {#name, &constants.name},
    SCALING_CONSTANTS(SCALING_ROW)
#undef SCALING_ROW
};

int constants_set(const char *text, struct err_text *et)
{
    const char *equals = strchr(text, '=');

    for (size_t i = 0; equals && i < ARRAY_LEN(table); i++) {
        size_t len = (size_t)(equals - text);
        double value;
        char *end;

        if (strlen(table[i].name) != len || memcmp(text, table[i].name, len) != 0)
            continue;
        value = strtod(equals + 1, &end);
        if (end == equals + 1 || *end != '\0' || !isfinite(value) || value <= 0)
            return err_set(et, ERR_CONFIG, "--set %s: expected a number above 0", text);
        *table[i].value = value;
        return 0;
    }
    return err_set(et, ERR_CONFIG,
                   "--set is \"%s\", expected NAME=VALUE with a name of constants.h", text);
}

void constants_print(void)
{
    printf("{\"row\": \"constants\"");
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        printf(", \"%s\": %g", table[i].name, *table[i].value);
    puts("}");
}
