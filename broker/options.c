/* options - the broker's option table. Each default says why it is what it is. */
#include "broker/options.h"

#include "broker/curve_config.h"
#include "broker/http_config.h"
#include "broker/pg_target.h"
#include "broker/plugin_load.h"
#include "broker/routing.h"
#include "common/auth_keys.h"
#include "common/auto.h"
#include "common/log.h"
#include "common/members.h"

#include <ctype.h>
#include <string.h>

#define AT(field) offsetof(struct options, field)

const struct option broker_options[] = {
    {"index", OPTION_UINT, AT(index), "0", 0, 65535, false,
     "number of this broker in its installation, for logs and connectors", NULL},
    {"broker.name", OPTION_STRING, AT(broker_name), "", 0, MEMBER_NAME_MAX, false,
     "what people are dealt to: the same after a restart, and no other broker's; empty: "
     "broker-INDEX",
     NULL},
    /* how long a killed broker's people wait; a database that fails over takes some seconds */
    {"membership.lease_ms", OPTION_UINT, AT(lease_ms), "5000", 1000, 600000, false,
     "a broker that has not renewed its lease for so long is removed by the others, milliseconds; "
     "the same for all brokers",
     NULL},
    {"log.level", OPTION_STRING, AT(log_level), "info", 0, 16, true,
     "error, warning, info or debug", NULL},
    {"log.deliveries", OPTION_BOOL, AT(log_deliveries), "false", 0, 0, true,
     "a line for each delivery that a device acknowledged; for development, it costs time", NULL},
    {"listen.endpoint", OPTION_STRING, AT(listen_endpoint), "tcp://127.0.0.1:7400", 0, 255, false,
     "ZeroMQ endpoint that connectors reach; beyond this machine, as tcp://*:7400, it needs keys",
     NULL},
    {"listen.advertise", OPTION_STRING, AT(listen_advertise), "", 0, MEMBER_ENDPOINT_MAX, false,
     "ZeroMQ endpoint under which connectors and other brokers reach this one, as "
     "tcp://HOST:7400; empty: as listen.endpoint, which must not be a wildcard then",
     NULL},
    /* who links can send as anybody: that a network is private is to be said, not assumed */
    {"listen.plain", OPTION_BOOL, AT(listen_plain), "false", 0, 0, false,
     "without keys to other machines too: only where the network encrypts and authenticates, as "
     "WireGuard does",
     NULL},
    {"listen.curve.secret_key", OPTION_STRING, AT(curve_secret_key), "", 0, 4096, false,
     "file with this broker's key pair, from beckonctl keygen; empty: no encryption", NULL},
    {"listen.curve.clients", OPTION_STRING, AT(curve_clients), "", 0, 4096, true,
     "folder with the public keys (*.pub) of the connectors that may link", NULL},
    /* three silent intervals end a link: a dead connector's devices are offline within 3 s */
    {"listen.heartbeat_ms", OPTION_UINT, AT(heartbeat_ms), "1000", 100, 60000, false,
     "interval of heartbeats with connectors, milliseconds", NULL},
    /* what a second of full load needs, so that it limits only when the database stands */
    {"listen.credit", OPTION_UINT, AT(credit), "65536", 1, 1000000, false,
     "requests a connector may have unanswered", NULL},
    {"database.dsn", OPTION_STRING, AT(database_dsn), "dbname=beckon", 0, 4096, false,
     "libpq connection string; of several hosts the one that takes writes is found", NULL},
    /* a commit takes milliseconds, a checkpoint on a slow disk a second or two */
    {"database.timeout_ms", OPTION_UINT, AT(database_timeout_ms), "5000", 100, 600000, false,
     "silence of the database after which all hosts are asked whether one was promoted, "
     "milliseconds",
     NULL},
    /* longer than a failover takes, shorter than a person looks at a message that is being sent */
    {"database.wait_ms", OPTION_UINT, AT(database_wait_ms), "30000", 0, 86400000, true,
     "how long a publish waits for the database before it is refused (0x97), milliseconds; 0: for "
     "ever",
     NULL},
    {"database.batch_rows", OPTION_UINT, AT(batch_rows), "4096", 1, 100000, true,
     "messages in one transaction at most", NULL},
    {"database.batch_bytes", OPTION_UINT, AT(batch_bytes), "8388608", 65536, 1073741824, true,
     "payload bytes in one transaction at most", NULL},
    {"database.cursor_ms", OPTION_UINT, AT(cursor_ms), "100", 1, 10000, true,
     "longest time a moved cursor waits for a batch to ride in, milliseconds", NULL},
    /* a row of two tables for each person with new messages, and what is not written is counted
     * again when the person is loaded: a few seconds of messages at most */
    {"database.unread_ms", OPTION_UINT, AT(unread_ms), "2000", 1, 60000, true,
     "longest time a changed unread count waits for a batch to ride in, milliseconds", NULL},
    {"retention.days", OPTION_UINT, AT(retention_days), "30", 1, 3650, true,
     "days a message is kept", NULL},
    {"session.max_expiry_s", OPTION_UINT, AT(session_max_expiry_s), "2592000", 0, UINT32_MAX - 1,
     true, "longest MQTT session expiry granted, seconds", NULL},
    /* enough for a device 25 ms away to drain 10,000 messages a second */
    {"inbox.window", OPTION_UINT, AT(inbox_window), "256", 1, 16384, true,
     "messages a device may have unacknowledged at once", NULL},
    /* half of a connector's client.queue_bytes, so that what a slow client has not read yet fits */
    {"inbox.window_bytes", OPTION_UINT, AT(inbox_window_bytes), "524288", 1024, 1073741824, true,
     "the same, as bytes; one message always fits", NULL},
    {"inbox.tail_messages", OPTION_UINT, AT(tail_messages), "512", 1, 1000000, true,
     "newest messages kept in memory for the online devices of a person", NULL},
    {"inbox.tail_bytes", OPTION_UINT, AT(tail_bytes), "1048576", 1024, 1073741824, true,
     "the same, as bytes", NULL},
    {"cache.users", OPTION_UINT, AT(cache_users), "100000", 1, 100000000, true,
     "people without a connected device whose state is kept in memory", NULL},
    /* iOS lets an app run for about 30 s after it left the foreground */
    {"device.background_lease_s", OPTION_UINT, AT(background_lease_s), "25", 1, 86400, true,
     "how long a device in the background is reached over its socket when it does not say, seconds",
     NULL},
    {"alert.hold_ms", OPTION_UINT, AT(hold_ms), "2000", 0, 600000, true,
     "how long an alert waits while the person is in the foreground on another device, "
     "milliseconds",
     NULL},
    /* three heartbeats: connectors that live are back by then */
    {"alert.settle_ms", OPTION_UINT, AT(settle_ms), "3000", 0, 600000, true,
     "how long pushes wait after a start for connectors to announce their devices, milliseconds",
     NULL},
    {"alert.per_minute", OPTION_UINT, AT(push_per_minute), "600", 1, 1000000, true,
     "pushes a device gets in a minute; what is above becomes one summary", NULL},
    {"notification.content", OPTION_BOOL, AT(notification_content), "false", 0, 0, true,
     "carry the message in the notification document where it fits: push services see it", NULL},
    {"notification.title", OPTION_STRING, AT(notification_title), "{sender}", 0, 200, true,
     "title of a notification", NULL},
    {"notification.body", OPTION_STRING, AT(notification_body), "New message", 0, 200, true,
     "text of a notification; {sender} is replaced", NULL},
    {"notification.sound", OPTION_STRING, AT(notification_sound), "default", 0, 100, true,
     "sound of a notification", NULL},
    {"notification.category", OPTION_STRING, AT(notification_category), "MESSAGE", 0, 100, true,
     "category of a notification, empty: none", NULL},
    {"notification.sender_may_title", OPTION_BOOL, AT(notification_sender_may_title), "false", 0, 0,
     true, "alert-title, alert-sound and alert-level count from every sender, not only services",
     NULL},
    {"http.listen", OPTION_STRING, AT(http_listen), "127.0.0.1:7480", 0, 80, false,
     "ADDRESS:PORT of the HTTP door; empty: none", NULL},
    {"http.tls_certificate", OPTION_STRING, AT(http_tls_certificate), "", 0, 4096, false,
     "PEM file; empty: plain HTTP", NULL},
    {"http.tls_key", OPTION_STRING, AT(http_tls_key), "", 0, 4096, false,
     "PEM file with the certificate's key", NULL},
    {"http.max_connections", OPTION_UINT, AT(http_max_connections), "256", 1, 65535, false,
     "HTTP clients at once; more wait until one leaves", NULL},
    {"auth.keys", OPTION_LIST, 0, NULL, 0, 0, true,
     "keys whose tokens are good at the HTTP door, as in the connector's configuration: "
     "( { kid = \"...\"; algorithm = \"HS256\"; file = \"...\"; } )",
     auth_keys_check},
    /* as the connector's: one folder may serve both */
    {"auth.key_dir", OPTION_STRING, AT(auth_key_dir), "", 0, 4096, true,
     "folder of further keys, a file each: KID.hs256 (a secret), KID.rs256.pem, KID.es256.pem "
     "(public keys); empty: none",
     NULL},
    {"auth.issuer", OPTION_STRING, AT(auth_issuer), "", 0, 255, false,
     "iss that tokens must have; empty: any", NULL},
    {"auth.audience", OPTION_STRING, AT(auth_audience), "", 0, 255, false,
     "aud that tokens must have; empty: any", NULL},
    {"auth.leeway_s", OPTION_UINT, AT(auth_leeway_s), "0", 0, 3600, false,
     "clock difference allowed in tokens, seconds", NULL},
    {"trace.days", OPTION_UINT, AT(trace_days), "7", 1, 3650, true,
     "days the trace of deliveries is kept", NULL},
    {"routing", OPTION_LIST, 0, NULL, 0, 0, true,
     "steps by state: { foreground = ( { plugin = \"live\"; ack_ms = 4000; }, "
     "{ plugin = \"push\"; } ); background = ...; offline = ...; }",
     routing_check_setting},
    {"plugin_dir", OPTION_STRING, AT(plugin_dir), "", 0, 4096, false,
     "where plugin files without a slash in their name are looked for; empty: where they were "
     "installed",
     NULL},
    {"plugins", OPTION_LIST, 0, NULL, 0, 0, false,
     "delivery plugins: ( { name = \"live\"; file = \"live.so\"; options = { ... }; hosted = "
     "false; in_flight = 1000; } )",
     plugin_check_setting},
    {"plugin_host.program", OPTION_STRING, AT(plugin_host_program), "", 0, 4000, false,
     "program that runs hosted plugins; empty: beckon-plugin-host beside the broker", NULL},
    {"plugin_host.runtime_dir", OPTION_STRING, AT(plugin_host_runtime_dir), "", 0, 80, false,
     "where a private directory for the sockets of hosted plugins is made; empty: the service's "
     "RUNTIME_DIRECTORY, or /tmp",
     NULL},
    /* a plugin must not block at all; a machine that swaps may stand for a second or two */
    {"plugin_host.hang_ms", OPTION_UINT, AT(plugin_host_hang_ms), "5000", 200, 600000, true,
     "a hosted plugin that shows no sign of life for so long is restarted, milliseconds", NULL},
    {"plugin_host.memory_mb", OPTION_UINT, AT(plugin_host_memory_mb), "256", 64, 1048576, true,
     "a hosted plugin with more resident memory is restarted, megabytes", NULL},
    {"plugin_host.answer_ms", OPTION_UINT, AT(plugin_host_answer_ms), "60000", 100, 3600000, true,
     "a delivery that a hosted plugin does not answer for so long is tried again, milliseconds",
     NULL},
};

const size_t broker_option_count = ARRAY_LEN(broker_options);

const char *options_advertised(const struct options *options)
{
    return options->listen_advertise[0] != '\0' ? options->listen_advertise
                                                : options->listen_endpoint;
}

/* Everybody is told where this broker is, also while it is the only one: connectors link to what
 * they are told. */
int options_check_membership(const struct options *options, struct err_text *et)
{
    static const char *const wildcards[] = {"tcp://*:", "tcp://0.0.0.0:", "tcp://[::]:"};
    const char *endpoint = options_advertised(options);

    for (const char *c = options->broker_name; *c != '\0'; c++) {
        if (!isalnum((unsigned char)*c) && !strchr("._-", *c))
            return err_set(et, ERR_CONFIG,
                           "broker.name is \"%s\", expected letters, digits, '.', '_' and '-'",
                           options->broker_name);
    }
    for (size_t i = 0; i < ARRAY_LEN(wildcards); i++) {
        if (strncmp(endpoint, wildcards[i], strlen(wildcards[i])) == 0)
            return err_set(et, ERR_CONFIG,
                           "%s is \"%s\", which nobody can connect to: set listen.advertise to the "
                           "endpoint that connectors and other brokers reach, as tcp://HOST:PORT",
                           endpoint == options->listen_endpoint ? "listen.endpoint"
                                                                : "listen.advertise",
                           endpoint);
    }
    return 0;
}

int options_check(struct option_set *set, struct err_text *et)
{
    const struct options *options = set->values;
    struct curve_config curve;
    struct pg_target database;
    enum log_level level;
    int r;

    if (log_level_parse(options->log_level, &level) < 0)
        return err_set(et, ERR_CONFIG,
                       "log.level is \"%s\", expected error, warning, info or debug",
                       options->log_level);
    if (routing_check_names(&set->config, et) < 0)
        return ERR_CONFIG;
    r = pg_target_init(&database, options->database_dsn, options->database_timeout_ms, NULL, et);
    pg_target_fini(&database);
    if (r < 0)
        return r;
    r = curve_config_read(options, &set->config, &curve, et);
    if (r < 0)
        return r;
    curve_config_fini(&curve);
    if (options_check_membership(options, et) < 0)
        return ERR_CONFIG;
    if (options->http_listen[0] != '\0') {
        struct http_config http;

        r = http_config_read(options, &set->config, &http, et);
        if (r < 0)
            return r;
        http_config_fini(&http);
    }
    return plugin_check_files(&set->config, options->plugin_dir, et);
}
