/* All files are read before the database is touched, so that a folder with a mistake in it changes
 * nothing. A file whose name ends in .sql and doesn't fit the pattern is a mistake as well:
 * ignored, it would be missed only when something needs it. */
#include "migration.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_DIGITS 4
/* Statements, not data: the largest chains known to us have some hundred kilobytes a file. */
#define FILE_MAX (16 * 1024 * 1024)

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);

    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

static int is_sql(const struct dirent *entry)
{
    return ends_with(entry->d_name, ".sql");
}

/* NNNN_NAME.sql; 0 when it is not. */
static unsigned number_of(const char *name)
{
    unsigned number = 0;

    for (int i = 0; i < NUMBER_DIGITS; i++) {
        if (name[i] < '0' || name[i] > '9')
            return 0;
        number = number * 10 + (unsigned)(name[i] - '0');
    }
    bool named = name[NUMBER_DIGITS] == '_' && strlen(name) > strlen("NNNN_.sql");
    return named ? number : 0;
}

static int read_sql(const char *path, char **ret_sql, size_t *ret_len, struct err_text *et)
{
    FILE *in = fopen(path, "rbe");
    if (in == NULL)
        return err_set(et, ERR_CONFIG, "could not open \"%s\": %s", path, strerror(errno));

    char *sql = NULL;
    size_t len = 0, cap = 0;
    int result = 0;
    do {
        if (cap - len < 2) { /* one byte more to read, and NUL */
            cap = cap == 0 ? 16384 : 2 * cap;
            char *grown = cap > FILE_MAX ? NULL : realloc(sql, cap);
            if (grown == NULL) {
                result = err_set(et, ERR_CONFIG, "could not read \"%s\": %s", path,
                                 cap > FILE_MAX ? "larger than 16 MiB" : "out of memory");
                break;
            }
            sql = grown;
        }
        len += fread(sql + len, 1, cap - len - 1, in);
    } while (!feof(in) && !ferror(in));
    if (result == 0 && ferror(in))
        result = err_set(et, ERR_CONFIG, "could not read \"%s\": %s", path, strerror(errno));
    fclose(in);                         /* only read from: nothing can be lost */
    assert(result != 0 || sql != NULL); /* the loop has allocated or failed */
    if (result == 0 && memchr(sql, '\0', len) != NULL)
        result = err_set(et, ERR_CONFIG, "\"%s\" has a NUL byte, expected SQL text", path);
    if (result != 0) {
        free(sql);
        return result;
    }
    sql[len] = '\0';
    *ret_sql = sql;
    *ret_len = len;
    return 0;
}

static bool sha256_hex(const char *data, size_t len, char out[MIGRATION_SHA256_SIZE])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int digest_len;

    if (EVP_Digest(data, len, digest, &digest_len, EVP_sha256(), NULL) != 1)
        return false;
    for (unsigned i = 0; i < digest_len; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    return true;
}

/* Takes name. */
static int add(struct migrations *migrations, const char *folder, char *name, struct err_text *et)
{
    struct migration *migration = &migrations->list[migrations->count];
    unsigned number = number_of(name), expected = (unsigned)migrations->count + 1;
    char path[PATH_MAX];
    size_t len = 0;

    assert(migrations->list != NULL);
    *migration = (struct migration){.number = number, .name = name};
    migrations->count++; /* from here on migrations_fini frees it */
    if (number == 0)
        return err_set(et, ERR_CONFIG, "\"%s/%s\" has no number, expected a name as 0001_base.sql",
                       folder, name);
    if (number < expected)
        return err_set(et, ERR_CONFIG, "two migrations have the number %04u: \"%s\" and \"%s\"",
                       number, migration[-1].name, name);
    if (number > expected)
        return err_set(et, ERR_CONFIG, "migration %04u is missing in \"%s\": \"%s\" is next",
                       expected, folder, name);
    if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path))
        return err_set(et, ERR_CONFIG, "path of \"%s\" is too long", name);
    int result = read_sql(path, &migration->sql, &len, et);
    if (result != 0)
        return result;
    if (!sha256_hex(migration->sql, len, migration->sha256))
        return err_set(et, ERR_CONFIG, "could not compute the SHA-256 of \"%s\"", path);
    return 0;
}

int migrations_read(const char *folder, struct migrations *ret_migrations, struct err_text *et)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, is_sql, alphasort);
    int result = 0;

    if (count < 0)
        return err_set(et, ERR_CONFIG, "could not read folder \"%s\": %s", folder, strerror(errno));
    if (count == 0)
        result = err_set(et, ERR_CONFIG, "no migration in \"%s\"", folder);
    ret_migrations->list = calloc((size_t)count + 1, sizeof(*ret_migrations->list));
    if (ret_migrations->list == NULL)
        result = err_set(et, ERR_CONFIG, "out of memory");
    for (int i = 0; i < count; i++) {
        if (result == 0) {
            char *name = strdup(entries[i]->d_name);
            result = name == NULL ? err_set(et, ERR_CONFIG, "out of memory")
                                  : add(ret_migrations, folder, name, et);
        }
        free(entries[i]);
    }
    free(entries);
    if (result != 0)
        migrations_fini(ret_migrations);
    return result;
}

void migrations_fini(struct migrations *migrations)
{
    for (size_t i = 0; i < migrations->count; i++) {
        free(migrations->list[i].name);
        free(migrations->list[i].sql);
    }
    free(migrations->list);
    *migrations = (struct migrations){0};
}
