/* auth_key_dir - see the header. The file's name says all that an entry of `auth.keys` would: what
 * it is good for can't differ from what the other processes of the installation believe. Names are
 * taken in order, so that of several bad files the same one is reported each time. */
#include "common/auth_key_dir.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/auto.h"

/* Keys are compared one by one with each token's kid, and rotation needs a handful at once: more is
 * a folder that was not meant. */
#define FILES_MAX 256

static const struct suffix {
    const char *text, *algorithm;
} suffixes[] = {
    {".hs256", "HS256"},
    {".rs256.pem", "RS256"},
    {".es256.pem", "ES256"},
};

/* What editors and volume managers leave beside the files is hidden. */
static int is_shown(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* The suffix of name, which has something before it; or NULL. */
static const struct suffix *find_suffix(const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        size_t tail = strlen(suffixes[i].text);

        if (len > tail && strcmp(name + len - tail, suffixes[i].text) == 0)
            return &suffixes[i];
    }
    return NULL;
}

static int add_file(struct token_keys *keys, const char *folder, const char *name,
                    struct err_text *et)
{
    const struct suffix *suffix = find_suffix(name);
    AUTO_FREE char *path = NULL, *kid = NULL;
    struct stat status;

    if (suffix == NULL)
        return err_set(et, ERR_CONFIG,
                       "key file \"%s/%s\" has a name of no kind, expected KID.hs256, "
                       "KID.rs256.pem or KID.es256.pem",
                       folder, name);
    kid = strndup(name, strlen(name) - strlen(suffix->text));
    if (kid == NULL || asprintf(&path, "%s/%s", folder, name) < 0) {
        path = NULL; /* asprintf leaves it undefined */
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    }
    if (stat(path, &status) < 0)
        return err_set(et, ERR_CONFIG, "could not look at key file \"%s\": %s", path,
                       strerror(errno));
    if (!S_ISREG(status.st_mode)) /* opening a pipe would wait for ever */
        return err_set(et, ERR_CONFIG, "key file \"%s\" is no regular file", path);
    return token_keys_add_file(keys, kid, suffix->algorithm, path, et);
}

int auth_key_dir_add(struct token_keys *keys, const char *folder, struct err_text *et)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, is_shown, alphasort), r = 0;

    if (count < 0)
        return err_set(et, ERR_CONFIG, "auth.key_dir: could not read folder \"%s\": %s", folder,
                       strerror(errno));
    if (count > FILES_MAX)
        r = err_set(et, ERR_CONFIG, "auth.key_dir: folder \"%s\" has %d files, expected %d at most",
                    folder, count, FILES_MAX);
    else if (count == 0)
        r = err_set(et, ERR_CONFIG,
                    "auth.key_dir: folder \"%s\" is empty, expected at least one key: KID.hs256, "
                    "KID.rs256.pem or KID.es256.pem",
                    folder);
    for (int i = 0; i < count; i++) {
        if (r == 0)
            r = add_file(keys, folder, entries[i]->d_name, et);
        free(entries[i]);
    }
    free(entries);
    return r;
}
