/* Runs a fuzz target on every file of the folders it is given, without libFuzzer and with any
 * compiler: so each input that once found something is a regression test in every build. A folder
 * without files fails, because then nothing was tested. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

/* Far above any seed; libFuzzer itself stops at 4 KiB unless a corpus has more. */
#define INPUT_MAX (1024 * 1024)

static int is_input(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* In memory of exactly its size, so that a sanitizer sees every read past the end. */
static int run_file(const char *path)
{
    FILE *in = fopen(path, "rbe");
    uint8_t *read = malloc(INPUT_MAX), *exact;

    if (in == NULL || read == NULL) {
        fprintf(stderr, "could not open %s: %s\n", path, strerror(errno));
        free(read);
        if (in != NULL)
            fclose(in);
        return 1;
    }
    size_t size = fread(read, 1, INPUT_MAX, in);
    int failed = ferror(in) || !feof(in);
    fclose(in);
    exact = failed ? NULL : malloc(size == 0 ? 1 : size);
    if (exact != NULL) {
        memcpy(exact, read, size);
        LLVMFuzzerTestOneInput(exact, size);
        free(exact);
    } else {
        fprintf(stderr, "could not read %s\n", path);
    }
    free(read);
    return exact == NULL;
}

/* Adds how many files it ran to *ran. */
static int run_folder(const char *folder, unsigned *ran)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, is_input, alphasort), failed = 0;

    if (count <= 0) {
        fprintf(stderr, "no input in %s\n", folder);
        if (count == 0)
            free(entries);
        return 1;
    }
    for (int i = 0; i < count; i++) {
        char path[PATH_MAX];
        if (snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name) >=
                (int)sizeof(path) ||
            run_file(path) != 0)
            failed = 1;
        ++*ran;
        free(entries[i]);
    }
    free(entries);
    return failed;
}

int main(int argc, char **argv)
{
    unsigned ran = 0;
    int failed = argc < 2;

    if (argc < 2)
        fprintf(stderr, "usage: %s FOLDER...\n", argv[0]);
    for (int i = 1; i < argc; i++)
        failed |= run_folder(argv[i], &ran);
    printf("%u inputs\n", ran);
    return failed;
}
