/* pem - see the header. Files are read by us and parsed from memory: OpenSSL's own loaders say "no
 * start line" of a folder, of a missing file and of noise alike. */
#include "common/pem.h"

#include "common/auto.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX 65536 /* a certificate with its chain has some KiB */

static int read_open_file(FILE *in, const struct pem_source *source, char **ret_text,
                          struct err_text *et)
{
    AUTO_FREE char *text = calloc(1, FILE_MAX);
    size_t len;

    if (!text)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    len = fread(text, 1, FILE_MAX, in);
    if (ferror(in))
        return err_set(et, ERR_CONFIG, "%s: could not read \"%s\": %m", source->option,
                       source->path);
    if (len == FILE_MAX)
        return err_set(et, ERR_CONFIG, "%s: \"%s\" has %d bytes or more, expected PEM",
                       source->option, source->path, FILE_MAX);
    *ret_text = text;
    text = NULL;
    return 0;
}

int pem_read(const struct pem_source *source, char **ret_text, struct err_text *et)
{
    FILE *in = fopen(source->path, "re");
    int r;

    if (!in)
        return err_set(et, ERR_CONFIG, "%s: could not open \"%s\": %m", source->option,
                       source->path);
    r = read_open_file(in, source, ret_text, et);
    fclose(in);
    return r;
}

/* Nobody is there to be asked for a passphrase. */
static int on_passphrase(char *buf, int size, int writing, void *arg)
{
    (void)buf, (void)size, (void)writing, (void)arg;
    return -1;
}

/* The certificates behind the first one, up to the end of the file. */
static int parse_chain(BIO *in, const struct pem_source *source, struct pem_pair *pair,
                       struct err_text *et)
{
    X509 *x509;
    unsigned long error;

    pair->chain = sk_X509_new_null();
    if (!pair->chain)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    ERR_clear_error();
    while ((x509 = PEM_read_bio_X509(in, NULL, on_passphrase, NULL))) {
        if (sk_X509_push(pair->chain, x509) == 0) {
            X509_free(x509);
            return err_set(et, ERR_NO_MEMORY, "out of memory");
        }
    }
    error = ERR_peek_last_error();
    if (ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE)
        return 0;
    return err_set(et, ERR_CONFIG, "%s: certificate %d in \"%s\" can't be read, expected PEM",
                   source->option, sk_X509_num(pair->chain) + 2, source->path);
}

static int parse(BIO *certificate_in, BIO *key_in, const struct pem_source *certificate,
                 const struct pem_source *key, struct pem_pair *pair, struct err_text *et)
{
    int r;

    if (!certificate_in || !key_in)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    pair->certificate = PEM_read_bio_X509(certificate_in, NULL, on_passphrase, NULL);
    if (!pair->certificate)
        return err_set(et, ERR_CONFIG, "%s: \"%s\" has no certificate, expected PEM",
                       certificate->option, certificate->path);
    r = parse_chain(certificate_in, certificate, pair, et);
    if (r < 0)
        return r;
    pair->key = PEM_read_bio_PrivateKey(key_in, NULL, on_passphrase, NULL);
    if (!pair->key)
        return err_set(et, ERR_CONFIG,
                       "%s: \"%s\" has no private key, expected PEM without a passphrase",
                       key->option, key->path);
    if (X509_check_private_key(pair->certificate, pair->key) != 1)
        return err_set(et, ERR_CONFIG, "%s: \"%s\" is not the key of the certificate \"%s\"",
                       key->option, key->path, certificate->path);
    return 0;
}

int pem_pair_parse(const struct pem_source *certificate, const char *certificate_text,
                   const struct pem_source *key, const char *key_text, struct pem_pair *ret_pair,
                   struct err_text *et)
{
    BIO *certificate_in = BIO_new_mem_buf(certificate_text, -1);
    BIO *key_in = BIO_new_mem_buf(key_text, -1);
    struct pem_pair pair = {0};
    int r = parse(certificate_in, key_in, certificate, key, &pair, et);

    BIO_free(key_in);
    BIO_free(certificate_in);
    ERR_clear_error(); /* of this thread: other users of OpenSSL would find it */
    if (r == 0)
        *ret_pair = pair;
    else
        pem_pair_fini(&pair);
    return r;
}

void pem_pair_fini(struct pem_pair *pair)
{
    X509_free(pair->certificate);
    sk_X509_pop_free(pair->chain, X509_free);
    EVP_PKEY_free(pair->key);
    *pair = (struct pem_pair){0};
}
