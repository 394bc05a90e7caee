/* pem_file - files are written beside their place and renamed: a process that is killed leaves
 * either none or a whole one, and never half a key. */
#include "pem_file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/auto.h"

const char *pem_openssl_error(void)
{
    static char text[256];
    unsigned long error = ERR_peek_last_error();

    ERR_error_string_n(error, text, sizeof(text));
    ERR_clear_error();
    return error != 0 ? text : "no reason given";
}

EVP_PKEY *pem_make_key(void)
{
    return EVP_EC_gen("P-256");
}

static EVP_PKEY *read_any(FILE *file)
{
    EVP_PKEY *key = PEM_read_PUBKEY(file, NULL, NULL, NULL);

    if (key == NULL) {
        rewind(file);
        key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    }
    return key;
}

EVP_PKEY *pem_read_key(const char *file, struct err_text *et)
{
    FILE *in = fopen(file, "re");
    char curve[32] = "";
    EVP_PKEY *key;

    if (in == NULL) {
        err_format(et, "could not read the key file \"%s\": %s", file, strerror(errno));
        return NULL;
    }
    key = read_any(in);
    fclose(in);
    if (key == NULL || EVP_PKEY_get_base_id(key) != EVP_PKEY_EC ||
        EVP_PKEY_get_group_name(key, curve, sizeof(curve), NULL) != 1 ||
        strcmp(curve, SN_X9_62_prime256v1) != 0) {
        err_format(et, "key file \"%s\" is not a P-256 key, expected PEM, public or private", file);
        EVP_PKEY_free(key);
        ERR_clear_error();
        return NULL;
    }
    return key;
}

bool pem_file_exists(const char *file)
{
    return access(file, F_OK) == 0;
}

int pem_make_directory(const char *directory, struct err_text *et)
{
    if (mkdir(directory, 0755) == 0 || errno == EEXIST)
        return 0;
    return err_set(et, ERR_SYSTEM, "could not make the folder \"%s\": %s", directory,
                   strerror(errno));
}

/* Opens FILE.new; finish_file gives it its name. */
static FILE *start_file(const char *file, mode_t mode, char **ret_path, struct err_text *et)
{
    char *path = NULL;
    FILE *out = NULL;
    int fd = -1;

    if (asprintf(&path, "%s.new", file) >= 0)
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    else
        path = NULL;
    if (fd >= 0)
        out = fdopen(fd, "w");
    if (out == NULL) {
        err_format(et, "could not write \"%s\": %s", file, strerror(errno));
        if (fd >= 0)
            close(fd);
        free(path);
        return NULL;
    }
    *ret_path = path;
    return out;
}

static int finish_file(FILE *out, const char *path, const char *file, bool written,
                       struct err_text *et)
{
    bool flushed = fflush(out) == 0;

    if (fclose(out) != 0 || !flushed || !written || rename(path, file) < 0) {
        err_format(et, "could not write \"%s\": %s", file,
                   written ? strerror(errno) : pem_openssl_error());
        unlink(path);
        return ERR_SYSTEM;
    }
    return 0;
}

int pem_write_key(const char *file, EVP_PKEY *key, struct err_text *et)
{
    AUTO_FREE char *path = NULL;
    FILE *out = start_file(file, 0600, &path, et);
    bool written;

    if (out == NULL)
        return ERR_SYSTEM;
    written = PEM_write_PKCS8PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1;
    return finish_file(out, path, file, written, et);
}

int pem_write_certificate(const char *file, X509 *certificate, struct err_text *et)
{
    AUTO_FREE char *path = NULL;
    FILE *out = start_file(file, 0644, &path, et);

    if (out == NULL)
        return ERR_SYSTEM;
    return finish_file(out, path, file, PEM_write_X509(out, certificate) == 1, et);
}
