/* options - the simulator's option table. Each default says why it is what it is. */
#include "options.h"

#include <string.h>

#include "common/auto.h"
#include "common/log.h"
#include "common/option_group.h"

#include "provider_key.h"
#include "rules.h"
#include "tls.h"

#define AT(field) offsetof(struct options, field)

static int check_topics(const config_setting_t *setting, struct err_text *et);

const struct option simulator_options[] = {
    {"log.level", OPTION_STRING, AT(log_level), "info", 0, 16, false,
     "error, warning, info or debug", NULL},
    {"environment", OPTION_STRING, AT(environment), "development", 0, 16, false,
     "which of Apple's two services this is: development (the sandbox, which tells apns-unique-id) "
     "or production",
     NULL},
    {"topics", OPTION_LIST, 0, NULL, 0, 0, false,
     "bundle ids that notifications may be for; not set: any: ( \"com.example.app\" )",
     check_topics},
    {"listen.address", OPTION_STRING, AT(listen_address), "127.0.0.1", 0, 64, false,
     "IP address of the provider API (HTTP/2 over TLS)", NULL},
    {"listen.port", OPTION_UINT, AT(listen_port), "2197", 1, 65535, false,
     "TCP port of the provider API; 2197 is Apple's other one beside 443", NULL},
    /* a provider needs a handful; a thousand keep a mistake from eating all descriptors */
    {"listen.max_connections", OPTION_UINT, AT(max_connections), "1000", 1, 100000, false,
     "providers connected at once; more are closed when they come", NULL},
    {"listen.handshake_timeout_ms", OPTION_UINT, AT(handshake_timeout_ms), "10000", 100, 600000,
     false, "time a new connection has for its TLS handshake, milliseconds", NULL},
    /* providers are asked to keep connections for hours */
    {"listen.idle_timeout_s", OPTION_UINT, AT(idle_timeout_s), "3600", 0, 86400, false,
     "a connection that asks nothing for so long gets GOAWAY with IdleTimeout, seconds; 0: never",
     NULL},
    {"http2.max_concurrent_streams", OPTION_UINT, AT(max_concurrent_streams), "1000", 1, 100000,
     false, "requests under way on a connection, once its first provider token was accepted", NULL},
    {"control.address", OPTION_STRING, AT(control_address), "127.0.0.1", 0, 64, false,
     "IP address of the control door (HTTP); whoever reaches it is trusted", NULL},
    {"control.port", OPTION_UINT, AT(control_port), "2198", 1, 65535, false,
     "TCP port of the control door", NULL},
    {"control.max_connections", OPTION_UINT, AT(control_max_connections), "100", 1, 10000, false,
     "connections to the control door at once, streams of pushes among them", NULL},
    {"tls.certificate", OPTION_STRING, AT(tls_certificate), "", 0, 4096, false,
     "certificate chain of the provider API, PEM; empty: one that the simulator makes itself",
     NULL},
    {"tls.key", OPTION_STRING, AT(tls_key), "", 0, 4096, false,
     "private key of that certificate, PEM", NULL},
    {"tls.directory", OPTION_STRING, AT(tls_directory), "apns-simulator", 1, 4096, false,
     "folder for the certificate it makes: ca.pem, which clients trust, server.pem and server.key; "
     "used again when they are there",
     NULL},
    {"auth.keys", OPTION_LIST, 0, NULL, 0, 0, false,
     "keys of providers, PEM; not set: one that the simulator makes itself: ( { team = "
     "\"0123456789\"; kid = \"ABCDEFGHIJ\"; file = \"key.pem\"; } )",
     provider_keys_check_setting},
    {"auth.directory", OPTION_STRING, AT(auth_directory), "apns-simulator", 1, 4096, false,
     "folder for the key it makes, AuthKey_<kid>.p8; used again when it is there", NULL},
    {"auth.team", OPTION_STRING, AT(auth_team), "BECKONTEAM", 0, 16, false,
     "team id of the key it makes: iss in provider tokens", NULL},
    {"auth.kid", OPTION_STRING, AT(auth_kid), "BECKONKEY1", 0, 16, false,
     "id of the key it makes: kid in provider tokens", NULL},
    /* Apple's 20 minutes */
    {"auth.min_token_interval_s", OPTION_UINT, AT(min_token_interval_s), "1200", 0, 86400, false,
     "a team that changes its provider token sooner gets TooManyProviderTokenUpdates, seconds; "
     "0: never",
     NULL},
    /* a night of tests; about 100 MB */
    {"store.max_pushes", OPTION_UINT, AT(store_max_pushes), "100000", 1, 10000000, false,
     "requests remembered for the control door; the oldest are dropped", NULL},
    {"store.max_bytes", OPTION_UINT64, AT(store_max_bytes), "268435456", 65536, 1099511627776,
     false, "the same, as bytes", NULL},
};

const size_t simulator_option_count = ARRAY_LEN(simulator_options);

static int check_topics(const config_setting_t *setting, struct err_text *et)
{
    int length = config_setting_length(setting);

    if (config_setting_is_aggregate(setting) != CONFIG_TRUE ||
        config_setting_type(setting) == CONFIG_TYPE_GROUP)
        return err_set(et, ERR_CONFIG, "%s:%d: \"topics\" is not a list: ( \"com.example.app\" )",
                       option_source(setting), config_setting_source_line(setting));
    for (int i = 0; i < length; i++) {
        const char *topic = config_setting_get_string_elem(setting, i);

        if (topic == NULL || !rules_topic_valid(topic))
            return err_set(et, ERR_CONFIG,
                           "%s:%d: an element of \"topics\" is %s%s%s, expected a bundle id as a "
                           "string",
                           option_source(setting), config_setting_source_line(setting),
                           topic != NULL ? "\"" : "", topic != NULL ? topic : "no string",
                           topic != NULL ? "\"" : "");
    }
    return 0;
}

static int check_names(const struct options *options, struct err_text *et)
{
    enum log_level level;

    if (log_level_parse(options->log_level, &level) < 0)
        return err_set(et, ERR_CONFIG,
                       "log.level is \"%s\", expected error, warning, info or debug",
                       options->log_level);
    if (strcmp(options->environment, "development") != 0 &&
        strcmp(options->environment, "production") != 0)
        return err_set(et, ERR_CONFIG, "environment is \"%s\", expected development or production",
                       options->environment);
    if (provider_id_check(options->auth_team) < 0 || provider_id_check(options->auth_kid) < 0)
        return err_set(et, ERR_CONFIG,
                       "auth.team is \"%s\" and auth.kid is \"%s\", expected %d letters and digits "
                       "each",
                       options->auth_team, options->auth_kid, APPLE_ID_LEN);
    return 0;
}

static int check_files(const struct option_set *set, struct err_text *et)
{
    const struct options *options = set->values;
    const config_setting_t *setting = config_lookup(&set->config, "auth.keys");
    struct provider_keys keys = {0};
    SSL_CTX *tls = NULL;
    int r = 0;

    if ((options->tls_certificate[0] == '\0') != (options->tls_key[0] == '\0'))
        return err_set(et, ERR_CONFIG,
                       "tls.certificate and tls.key are set together or not at all");
    if (options->tls_certificate[0] != '\0')
        r = tls_create(options->tls_certificate, options->tls_key, &tls, et);
    tls_destroy(tls);
    if (r == 0 && setting != NULL && config_setting_length(setting) > 0)
        r = provider_keys_load(setting, &keys, et);
    provider_keys_fini(&keys);
    return r;
}

int options_check(struct option_set *set, struct err_text *et)
{
    int r = check_names(set->values, et);

    return r < 0 ? r : check_files(set, et);
}
