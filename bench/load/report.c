#include "bench/load/run.h"

#include <stdio.h>

json_t *report_histogram(const struct histogram *histogram)
{
    static const struct {
        const char *name;
        double share;
    } shares[] = {
        {"p50_us", 0.5}, {"p90_us", 0.9}, {"p99_us", 0.99}, {"p999_us", 0.999}, {"max_us", 1}};
    json_t *object = json_pack("{s:I}", "count", (json_int_t)histogram->count);

    for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
        double ns = (double)histogram_percentile(histogram, shares[i].share);

        /* Without memory the object is NULL, and report_print says so. */
        IGNORE_RESULT(json_object_set_new(object, shares[i].name, json_real(ns / 1000)));
    }
    return object;
}

void report_print(json_t *object)
{
    if (object == NULL || json_dumpf(object, stdout, JSON_REAL_PRECISION(9)) < 0)
        fputs("could not write the report\n", stderr);
    putchar('\n');
    fflush(stdout);
    json_decref(object);
}
