/* pg_target - see the header. */
#include "broker/pg_target.h"

#include "broker/broker.h"
#include "broker/store_sql.h"
#include "common/auto.h"
#include "common/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* libpq's 0 is "for ever", which would keep a broker from the other hosts. */
#define CONNECT_TIMEOUT_MAX_S 10
/* What libpq knows some forty of, and the end of the list. */
#define PARAMS_MAX 96

struct pg_host {
    char *host, *hostaddr, *port; /* owned, or NULL */
    const char *keywords[PARAMS_MAX], *values[PARAMS_MAX];
    unsigned count;
};

/* In force where the connection string does not say. */
static const struct {
    const char *keyword, *value;
} defaults[] = {
    /* a host that does not answer is one of several: a second for a busy machine, two for a packet
     * that has to be repeated */
    {"connect_timeout", "3"},
    /* a machine that is gone while nothing is under way is noticed within 5 + 3 * 2 seconds... */
    {"keepalives_idle", "5"},
    {"keepalives_interval", "2"},
    {"keepalives_count", "3"},
    /* ...and within 10 while something is: longer than what a network that is to be used loses */
    {"tcp_user_timeout", "10000"},
    {"fallback_application_name", "beckon-broker"},
};

static const char *option(const PQconninfoOption *options, const char *keyword)
{
    for (; options->keyword; options++) {
        if (strcmp(options->keyword, keyword) == 0)
            return options->val && options->val[0] != '\0' ? options->val : NULL;
    }
    return NULL;
}

static unsigned elements(const char *list)
{
    unsigned count = list ? 1 : 0;

    for (; list && *list; list++)
        count += *list == ',';
    return count;
}

/* The element of a list with commas; a list of one stands for all. NULL when out of memory. */
static char *element(const char *list, unsigned index)
{
    if (elements(list) == 1)
        index = 0;
    for (; index > 0; index--)
        list = strchr(list, ',') + 1;
    return strndup(list, strcspn(list, ","));
}

static void add(struct pg_host *host, const char *keyword, const char *value)
{
    if (!value || host->count + 1 >= PARAMS_MAX)
        return;
    host->keywords[host->count] = keyword;
    host->values[host->count++] = value;
}

static int make_host(const PQconninfoOption *parsed, unsigned index, struct pg_host *host)
{
    const char *names = option(parsed, "host"), *addresses = option(parsed, "hostaddr");
    const char *ports = option(parsed, "port");

    host->host = names ? element(names, index) : NULL;
    host->hostaddr = addresses ? element(addresses, index) : NULL;
    host->port = ports ? element(ports, index) : NULL;
    if ((names && !host->host) || (addresses && !host->hostaddr) || (ports && !host->port))
        return ERR_NO_MEMORY;
    add(host, "host", host->host);
    add(host, "hostaddr", host->hostaddr);
    add(host, "port", host->port);
    for (const PQconninfoOption *o = parsed; o->keyword; o++) {
        if (strcmp(o->keyword, "host") != 0 && strcmp(o->keyword, "hostaddr") != 0 &&
            strcmp(o->keyword, "port") != 0)
            add(host, o->keyword, option(o, o->keyword));
    }
    for (size_t i = 0; i < ARRAY_LEN(defaults); i++) {
        if (!option(parsed, defaults[i].keyword))
            add(host, defaults[i].keyword, defaults[i].value);
    }
    return 0;
}

/* How many hosts the string names; libpq's rules. */
static int count_hosts(const PQconninfoOption *parsed, unsigned *ret_count, struct err_text *et)
{
    unsigned names = elements(option(parsed, "host"));
    unsigned addresses = elements(option(parsed, "hostaddr"));
    unsigned ports = elements(option(parsed, "port"));
    unsigned count = addresses > 0 ? addresses : names > 0 ? names : 1;

    if (names > 0 && addresses > 0 && names != addresses)
        return err_set(et, ERR_CONFIG, "database.dsn has %u host names and %u addresses", names,
                       addresses);
    if (ports > 1 && ports != count)
        return err_set(et, ERR_CONFIG, "database.dsn has %u ports for %u hosts, expected 1 or %u",
                       ports, count, count);
    *ret_count = count;
    return 0;
}

int pg_target_init(struct pg_target *target, const char *dsn, uint32_t timeout_ms,
                   struct metrics *metrics, struct err_text *et)
{
    char *error = NULL;
    const char *timeout;
    long timeout_s;
    unsigned count;
    int r;

    *target = (struct pg_target){.timeout_ms = timeout_ms, .metrics = metrics};
    TAILQ_INIT(&target->connections);
    target->parsed = PQconninfoParse(dsn, &error);
    if (!target->parsed) {
        r = err_set(et, ERR_CONFIG, "database.dsn: %.*s",
                    error ? (int)strcspn(error, "\n") : (int)sizeof("out of memory") - 1,
                    error ? error : "out of memory");
        PQfreemem(error);
        return r;
    }
    r = count_hosts(target->parsed, &count, et);
    if (r < 0)
        return r;
    target->hosts = calloc(count, sizeof(*target->hosts));
    if (!target->hosts)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    target->host_count = count;
    for (unsigned i = 0; i < count; i++) {
        if (make_host(target->parsed, i, &target->hosts[i]) < 0)
            return err_set(et, ERR_NO_MEMORY, "out of memory");
    }
    timeout = option(target->parsed, "connect_timeout") ?: defaults[0].value;
    timeout_s = strtol(timeout, NULL, 10);
    if (timeout_s < 1 || timeout_s > CONNECT_TIMEOUT_MAX_S)
        timeout_s = CONNECT_TIMEOUT_MAX_S;
    target->connect_timeout_ms = (uint32_t)timeout_s * 1000;
    return 0;
}

void pg_target_fini(struct pg_target *target)
{
    for (unsigned i = 0; i < target->host_count; i++) {
        free(target->hosts[i].host);
        free(target->hosts[i].hostaddr);
        free(target->hosts[i].port);
    }
    free(target->hosts);
    PQconninfoFree(target->parsed);
    target->hosts = NULL;
    target->parsed = NULL;
    target->host_count = 0;
}

PGconn *pg_target_begin(const struct pg_target *target, unsigned host)
{
    return PQconnectStartParams(target->hosts[host].keywords, target->hosts[host].values, 0);
}

PGconn *pg_target_connect(const struct pg_target *target, unsigned host)
{
    return PQconnectdbParams(target->hosts[host].keywords, target->hosts[host].values, 0);
}

int pg_server_read(const PGresult *result, struct pg_server *ret_server, struct err_text *et)
{
    if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1)
        return err_set(et, ERR_DATABASE, "the server does not say which it is: %.*s",
                       (int)strcspn(PQresultErrorMessage(result), "\n"),
                       PQresultErrorMessage(result));
    *ret_server = (struct pg_server){
        .system_id = strtoull(PQgetvalue(result, 0, SERVER_SYSTEM_ID), NULL, 10),
        .standby = PQgetvalue(result, 0, SERVER_STANDBY)[0] == 't',
        .read_only = PQgetvalue(result, 0, SERVER_READ_ONLY)[0] == 't',
        .timeline = (uint32_t)strtoul(PQgetvalue(result, 0, SERVER_TIMELINE), NULL, 10),
        .flushed = strtoull(PQgetvalue(result, 0, SERVER_FLUSHED), NULL, 10),
        .synchronous = PQgetvalue(result, 0, SERVER_SYNCHRONOUS)[0] == 't',
    };
    return 0;
}

int pg_target_judge(const struct pg_target *target, const struct pg_server *server,
                    struct err_text *et)
{
    const struct pg_server *newest = &target->newest;

    if (newest->system_id != 0 && server->system_id != newest->system_id)
        return err_set(et, ERR_DENIED,
                       "another installation: its system identifier is %" PRIu64
                       ", expected %" PRIu64,
                       server->system_id, newest->system_id);
    if (server->standby)
        return err_set(et, ERR_DENIED, "a standby, which takes no writes");
    if (server->timeline < newest->timeline)
        return err_set(et, ERR_DENIED,
                       "a server that was replaced: its timeline is %" PRIu32
                       ", a server of timeline %" PRIu32 " was seen",
                       server->timeline, newest->timeline);
    if (server->timeline == newest->timeline && server->flushed < newest->flushed)
        return err_set(et, ERR_DENIED,
                       "an older copy: its log ends at %" PRIX64 "/%" PRIX64
                       ", it was seen at %" PRIX64 "/%" PRIX64,
                       server->flushed >> 32, server->flushed & UINT32_MAX, newest->flushed >> 32,
                       newest->flushed & UINT32_MAX);
    if (server->read_only)
        return err_set(et, ERR_DENIED, "read-only (default_transaction_read_only)");
    return 0;
}

void pg_target_waits(struct pg_target *target, bool synchronous)
{
    target->newest.synchronous = synchronous && target->waited;
    target->waited = synchronous;
}

void pg_target_accept(struct pg_target *target, unsigned host, const struct pg_server *server)
{
    struct pg_server before = target->newest;
    bool promoted = before.system_id != 0 && server->timeline > before.timeline;

    target->host = host;
    target->newest = *server;
    if (before.system_id != 0 && !promoted) {
        target->newest.synchronous = before.synchronous && server->synchronous;
        return;
    }
    target->waited = server->synchronous;
    if (!promoted)
        return;
    log_warning(NULL, "another database server was promoted: timeline %" PRIu32 ", before %" PRIu32,
                server->timeline, before.timeline);
    target->metrics->promotions++;
    if (before.synchronous)
        return;
    target->metrics->histories_lost++;
    log_error(NULL, "commits did not wait for a standby: what was acknowledged last may be lost, "
                    "everything is read again");
    if (target->on_history_lost)
        target->on_history_lost(target->history_arg);
}
