/* beckon-scaling - docs/scaling.md as a program: lines of JSON; 0: all claims are met, 1: one is
 * not, 2: misuse. The same seed prints the same lines. Without --layout: 10^6 to 10^9 devices. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/scaling/claims.h"
#include "bench/scaling/constants.h"
#include "bench/scaling/parts.h"
#include "common/auto.h"
#include "common/members.h"

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

/* "DEVICES:BROKERS:CONNECTORS", one cell. */
static int read_layout(const char *text, struct layout *ret, struct err_text *et)
{
    unsigned devices, brokers, connectors;
    int end = -1;

    if (sscanf(text, "%9u:%3u:%6u%n", &devices, &brokers, &connectors, &end) != 3 ||
        text[end] != '\0' || brokers < 2 || brokers > MEMBERS_MAX ||
        connectors <= constants.connectors_per_machine || devices < brokers * connectors)
        return err_set(et, ERR_CONFIG,
                       "--layout is \"%s\", expected DEVICES:BROKERS:CONNECTORS, brokers from 2 to "
                       "%u, connectors of two machines or more, a device for each link or more",
                       text, MEMBERS_MAX);
    *ret = (struct layout){.devices = devices,
                           .cells = 1,
                           .cell_devices = devices,
                           .brokers = brokers,
                           .connectors = connectors};
    return 0;
}

struct words {
    uint64_t seed;
    const char *layout;
};

static int read_word(struct words *words, const char *name, const char *value, struct err_text *et)
{
    if (strcmp(name, "--seed") == 0)
        return read_seed(value, &words->seed, et);
    if (strcmp(name, "--set") == 0)
        return constants_set(value, et);
    if (strcmp(name, "--layout") != 0)
        return err_set(et, ERR_CONFIG, "unknown option \"%s\", expected --seed, --set or --layout",
                       name);
    words->layout = value;
    return 0;
}

static int read_words(int argc, char **argv, struct words *words, struct err_text *et)
{
    for (int i = 1; i < argc; i += 2) {
        int r = read_word(words, argv[i], i + 1 < argc ? argv[i + 1] : "", et);

        if (r < 0)
            return r;
    }
    return 0;
}

static void check(const struct layout *layout, uint64_t seed)
{
    layout_check(layout);
    people_check(layout, seed);
    handover_check(layout, seed);
    storm_check(layout, seed);
}

static void check_scales(uint64_t seed)
{
    static const double scales[] = {1e6, 1e7, 1e8, 1e9};

    layout_limits();
    for (size_t i = 0; i < ARRAY_LEN(scales); i++) {
        struct layout layout = layout_of(scales[i]);

        check(&layout, seed + i);
    }
}

int main(int argc, char **argv)
{
    struct words words = {.seed = 1};
    struct layout layout;
    struct err_text et;
    int r = read_words(argc, argv, &words, &et);

    if (r == 0 && words.layout)
        r = read_layout(words.layout, &layout, &et);
    if (r < 0) {
        fprintf(stderr, "beckon-scaling: %s\n", et.text);
        return 2;
    }
    constants_print();
    if (words.layout)
        check(&layout, words.seed);
    else
        check_scales(words.seed);
    return claims_all_met() ? 0 : 1;
}
