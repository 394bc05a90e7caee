/* fuzz - the entry point of every fuzz target: libFuzzer calls it, and so does replay_main.c. */
#ifndef BECKON_TESTS_FUZZ_H
#define BECKON_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Returns 0. A finding is an abort, or what a sanitizer says. Borrows data. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
