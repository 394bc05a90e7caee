/* beckon-scaling - docs/scaling.md as a program: lines of JSON; 0: all claims are met, 1: one is
 * not, 2: misuse. The same seed prints the same lines. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/scaling/claims.h"
#include "bench/scaling/constants.h"
#include "bench/scaling/parts.h"
#include "common/auto.h"

static int read_seed(const char *text, uint64_t *ret, struct err_text *et)
{
    char *end;
    unsigned long long value;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0)
        return err_set(et, ERR_CONFIG, "--seed is \"%s\", expected a number", text);
    *ret = value;
    return 0;
}

static int read_words(int argc, char **argv, uint64_t *ret_seed, struct err_text *et)
{
    for (int i = 1; i < argc; i += 2) {
        int r;

        if (strcmp(argv[i], "--seed") != 0 && strcmp(argv[i], "--set") != 0)
            return err_set(et, ERR_CONFIG, "unknown option \"%s\", expected --seed or --set",
                           argv[i]);
        if (i + 1 == argc)
            return err_set(et, ERR_CONFIG, "%s needs a value", argv[i]);
        r = strcmp(argv[i], "--seed") == 0 ? read_seed(argv[i + 1], ret_seed, et)
                                           : constants_set(argv[i + 1], et);
        if (r < 0)
            return r;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const double scales[] = {1e6, 1e7, 1e8, 1e9};
    uint64_t seed = 1;
    struct err_text et;

    if (read_words(argc, argv, &seed, &et) < 0) {
        fprintf(stderr, "beckon-scaling: %s\n", et.text);
        return 2;
    }
    constants_print();
    layout_limits();
    for (size_t i = 0; i < ARRAY_LEN(scales); i++) {
        struct layout layout = layout_of(scales[i]);

        layout_check(&layout);
        people_check(&layout, seed + i);
        handover_check(&layout, seed + i);
        storm_check(&layout, seed + i);
    }
    return claims_all_met() ? 0 : 1;
}
