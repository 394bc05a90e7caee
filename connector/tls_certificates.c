/* tls_certificates - see the header. An expired certificate is no reason to stop: clients that know
 * better than to trust it refuse it themselves, and those that pin it go on. */
#include "connector/tls_certificates.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "common/auto.h"
#include "common/log.h"
#include "common/option_group.h"

#define OPTION "tls.certificates"

static const char *const fields[] = {"certificate", "key"};
static const struct option_group group = {OPTION, fields, ARRAY_LEN(fields)};

int tls_certificates_check(const config_setting_t *setting, struct err_text *et)
{
    int length = config_setting_length(setting);

    if (config_setting_type(setting) != CONFIG_TYPE_LIST)
        return err_set(et, ERR_CONFIG,
                       "%s:%d: \"" OPTION "\" is not a list: ( { certificate = ...; key = ...; } )",
                       option_source(setting), config_setting_source_line(setting));
    if (length > TLS_CERTIFICATES_MAX)
        return err_set(et, ERR_CONFIG, "%s:%d: \"" OPTION "\" has %d elements, expected at most %d",
                       option_source(setting), config_setting_source_line(setting), length,
                       TLS_CERTIFICATES_MAX);
    for (int i = 0; i < length; i++) {
        int r = option_group_check(config_setting_get_elem(setting, (unsigned)i), &group, et);

        if (r < 0)
            return r;
    }
    return 0;
}

unsigned tls_certificates_count(const config_t *config)
{
    const config_setting_t *list = config_lookup(config, OPTION);

    return list != NULL ? (unsigned)config_setting_length(list) : 0;
}

static void warn_of_time(const X509 *certificate, const char *path)
{
    if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
        log_warning(NULL, "the certificate \"%s\" has expired: most clients will refuse it", path);
    else if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
        log_warning(NULL, "the certificate \"%s\" is not valid yet: most clients will refuse it",
                    path);
}

static int load_files(const char *certificate_path, const char *key_path, struct pem_pair *ret_pair,
                      struct err_text *et)
{
    const struct pem_source certificate = {OPTION, certificate_path}, key = {OPTION, key_path};
    AUTO_FREE char *certificate_text = NULL;
    char *key_text = NULL;
    int r = pem_read(&certificate, &certificate_text, et);

    if (r == 0)
        r = pem_read(&key, &key_text, et);
    if (r == 0) {
        r = pem_pair_parse(&certificate, certificate_text, &key, key_text, ret_pair, et);
        OPENSSL_cleanse(key_text, strlen(key_text));
    }
    free(key_text);
    return r;
}

static int load_one(const config_setting_t *one, struct tls_certificates *into, struct err_text *et)
{
    AUTO_FREE char *certificate = NULL, *key = NULL;
    const char *certificate_file = "", *key_file = "";
    int r;

    /* The shape was checked when the configuration was read. */
    config_setting_lookup_string(one, "certificate", &certificate_file);
    config_setting_lookup_string(one, "key", &key_file);
    certificate = option_path(one, certificate_file);
    key = option_path(one, key_file);
    if (certificate == NULL || key == NULL)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    r = load_files(certificate, key, &into->pairs[into->count], et);
    if (r < 0)
        return r;
    warn_of_time(into->pairs[into->count].certificate, certificate);
    into->paths[into->count++] = certificate;
    certificate = NULL;
    return 0;
}

int tls_certificates_load(const config_t *config, struct tls_certificates **ret_certificates,
                          struct err_text *et)
{
    const config_setting_t *list = config_lookup(config, OPTION);
    struct tls_certificates *certificates = calloc(1, sizeof(*certificates));
    int r = 0;

    if (certificates == NULL)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    for (unsigned i = 0; i < tls_certificates_count(config) && r == 0; i++)
        r = load_one(config_setting_get_elem(list, i), certificates, et);
    if (r == 0)
        *ret_certificates = certificates;
    else
        tls_certificates_destroy(certificates);
    return r;
}

void tls_certificates_destroy(struct tls_certificates *certificates)
{
    if (certificates == NULL)
        return;
    for (unsigned i = 0; i < certificates->count; i++) {
        pem_pair_fini(&certificates->pairs[i]);
        free(certificates->paths[i]);
    }
    free(certificates);
}
