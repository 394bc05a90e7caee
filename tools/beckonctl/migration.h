/* migration - the numbered SQL files of a schema folder, read into memory. */
#ifndef BECKONCTL_MIGRATION_H
#define BECKONCTL_MIGRATION_H

#include <stddef.h>

#include "common/err.h"

#define MIGRATION_SHA256_SIZE 65 /* hex and NUL */

struct migration {
    unsigned number; /* 1 and on */
    char *name;      /* file name: "0001_base.sql" */
    char *sql;       /* NUL-terminated */
    char sha256[MIGRATION_SHA256_SIZE];
};

struct migrations {
    struct migration *list; /* in order: list[i].number is i + 1 */
    size_t count;
};

/* Reads folder, every NNNN_*.sql in it. Zero ret_migrations before. 0; ERR_CONFIG with et: a name
 * that breaks the pattern, a number missing or twice, a file that can't be read. */
MUST_CHECK int migrations_read(const char *folder, struct migrations *ret_migrations,
                               struct err_text *et);
void migrations_fini(struct migrations *migrations);

#endif
