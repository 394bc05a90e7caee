/* plugin_remote - see the header.
 *
 * Each process has a link of its own (plugin_link.h) and is in one of these states:
 *
 *     STARTING -> UP -> ENDING -> DOWN -> STARTING ...
 *
 * STARTING until it says that the plugin is open; ENDING from the moment it is given up (it does
 * not answer, needs too much memory, sends nonsense) until the kernel says that it is gone, so that
 * two of them never run; DOWN until the next start, whose delay doubles each time and is forgotten
 * after a minute of health. Leaving UP reports everything in flight.
 *
 * The kernel may tell of an end before ZeroMQ's thread has handed over what the process sent last:
 * the outcomes of a plugin that was closed, the reason of one that could not start. So an end
 * counts only when the link has settled; until then the state stays, without a process.
 * An idle process costs a PING a second. */
#include "broker/plugin_remote.h"

#include "broker/broker.h"
#include "broker/delivery.h"
#include "broker/plugin_hosts.h"
#include "broker/plugin_inflight.h"
#include "broker/plugin_internal.h"
#include "broker/plugin_link.h"
#include "broker/plugin_process.h"
#include "common/auto.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long a process may take to open its plugin: keys are read then, nothing is connected. */
#define START_MS 10000
/* How long processes may take to report what was in flight and end, all together. */
#define CLOSE_MS 2000
#define HEARTBEAT_MS 1000
/* How long what a process sent may be under way after its end: far above what a busy machine needs
 * to run one thread, and no more than the shortest wait before the next start. */
#define SETTLE_MS 100
/* Up for so long, a process counts as healthy and the next start is soon again. */
#define HEALTHY_MS 60000
/* Bytes of deliveries in flight: whatever the limit of their number, a plugin that stands still
 * costs no more memory than this. One delivery always fits. */
#define IN_FLIGHT_BYTES (64 * 1024 * 1024)
/* What leaves before the turn's end, so that no frame grows without bound. */
#define FLUSH_BYTES (1024 * 1024)

enum state { DOWN, STARTING, UP, ENDING };

struct plugin_remote {
    struct plugin plugin;
    char *path;
    struct plugin_settings settings;
    enum state state;
    bool opened_once; /* until then a failure is for plugin_hosts_wait */
    struct err_text failure;
    struct plugin_process process;
    char how[64]; /* the last one ended */
    bool closed;  /* it said that nothing follows */
    struct plugin_link link;
    char socket_path[PLUGIN_SOCKET_SIZE];
    struct plugin_inflight inflight;
    uint32_t in_flight_max;
    struct timer heartbeat; /* STARTING: the deadline of the start; no process: it has settled */
    struct timer restart;   /* DOWN */
    struct timer answer;    /* the oldest delivery's time is up */
    struct loop_task ready;
    uint64_t started; /* processes so far */
    uint64_t up_since_ms;
    uint64_t ping_ms;   /* sent and unanswered since; 0: none */
    uint64_t looked_ms; /* the last heartbeat */
    uint32_t failures;
};

static struct plugin_remote *from(struct plugin *plugin)
{
    return CONTAINER_OF(plugin, struct plugin_remote, plugin);
}

static struct loop *loop_of(const struct plugin_remote *remote)
{
    return remote->plugin.broker->loop;
}

static const struct options *options_of(const struct plugin_remote *remote)
{
    return &remote->plugin.broker->options;
}

static bool is_up(const struct plugin_remote *remote)
{
    return remote->state == UP && remote->process.pid != 0;
}

static bool has_room(const struct plugin_remote *remote)
{
    return is_up(remote) && plugin_inflight_count(&remote->inflight) < remote->in_flight_max &&
           remote->inflight.bytes < IN_FLIGHT_BYTES;
}

/* --- outcomes --- */

static void report(struct plugin_remote *remote, struct plugin_inflight_item *item,
                   const struct dp_outcome *outcome)
{
    uint64_t id = item->id;

    plugin_inflight_remove(&remote->inflight, item);
    delivery_outcome(remote->plugin.broker, &remote->plugin, id, outcome);
}

static void report_retry(struct plugin_remote *remote, struct plugin_inflight_item *item,
                         const char *reason)
{
    report(remote, item,
           &(struct dp_outcome){
               .struct_size = sizeof(struct dp_outcome), .kind = DP_RETRY, .reason = reason});
}

static void report_all(struct plugin_remote *remote, const char *reason)
{
    struct plugin_inflight_item *item;

    while ((item = plugin_inflight_oldest(&remote->inflight)))
        report_retry(remote, item, reason);
    loop_timer_cancel(loop_of(remote), &remote->answer);
}

static void on_ready(void *arg)
{
    struct plugin_remote *remote = arg;

    if (has_room(remote))
        plugin_tell_ready(&remote->plugin);
}

static void on_answer_timer(struct timer *timer)
{
    struct plugin_remote *remote = CONTAINER_OF(timer, struct plugin_remote, answer);
    uint64_t now_ms = loop_now_ms(loop_of(remote)),
             max_ms = options_of(remote)->plugin_host_answer_ms;
    struct log_subject s = plugin_log(&remote->plugin);
    struct plugin_inflight_item *item;

    while ((item = plugin_inflight_oldest(&remote->inflight)) &&
           item->since_ms + max_ms <= now_ms) {
        log_limited(now_ms, LOG_WARNING, &s, "the plugin did not answer a delivery for %llu ms",
                    (unsigned long long)max_ms);
        plugin_counters_add(&remote->plugin.counters, "host_no_answer", 1);
        if (is_up(remote) && !item->cancelled)
            plugin_wire_put_cancel(plugin_link_out(&remote->link), item->id);
        report_retry(remote, item, "no-answer");
        loop_post(loop_of(remote), &remote->ready);
    }
    item = plugin_inflight_oldest(&remote->inflight);
    if (item)
        loop_timer_add(loop_of(remote), timer, item->since_ms + max_ms - now_ms);
}

/* --- the end of a process --- */

/* ZeroMQ leaves the socket's file behind. It is gone already when the process got to open. */
static void close_link(struct plugin_remote *remote)
{
    plugin_link_close(&remote->link);
    unlink(remote->socket_path);
}

static void schedule_restart(struct plugin_remote *remote)
{
    if (!remote->opened_once || remote->plugin.broker->plugins->closing)
        return;
    loop_timer_add(loop_of(remote), &remote->restart,
                   plugin_process_backoff_ms(remote->failures++));
}

/* Gives the process up, if it still runs, and reports what it had. reason: of the outcomes. */
static void lose(struct plugin_remote *remote, const char *reason)
{
    struct loop *loop = loop_of(remote);

    if (remote->state == UP && loop_now_ms(loop) - remote->up_since_ms >= HEALTHY_MS)
        remote->failures = 0;
    remote->state = remote->process.pid != 0 ? ENDING : DOWN;
    remote->ping_ms = 0;
    loop_timer_cancel(loop, &remote->heartbeat);
    close_link(remote);
    plugin_process_kill(&remote->process);
    report_all(remote, reason);
    if (remote->state == DOWN)
        schedule_restart(remote);
}

/* what: for the log, or for who waits for the start. */
static void give_up(struct plugin_remote *remote, const char *reason, const char *what)
{
    struct log_subject s = plugin_log(&remote->plugin);

    if (remote->opened_once)
        log_error(&s, "%s, %zu deliveries are tried again; ending its process", what,
                  plugin_inflight_count(&remote->inflight));
    else if (remote->failure.text[0] == '\0')
        err_format(&remote->failure, "%s", what);
    lose(remote, reason);
}

static void on_process_end(void *arg, int status)
{
    struct plugin_remote *remote = arg;

    plugin_process_describe(status, remote->how, sizeof(remote->how));
    if (remote->state == ENDING) {
        remote->state = DOWN;
        schedule_restart(remote);
    } else {
        loop_timer_add(loop_of(remote), &remote->heartbeat, SETTLE_MS);
    }
}

static void on_settled(struct plugin_remote *remote)
{
    struct log_subject s = plugin_log(&remote->plugin);

    if (remote->opened_once)
        log_error(&s, "the plugin's process ended: %s, %zu deliveries are tried again", remote->how,
                  plugin_inflight_count(&remote->inflight));
    else if (remote->failure.text[0] == '\0')
        err_format(&remote->failure, "its process ended before it was open: %s", remote->how);
    lose(remote, "plugin-crashed");
}

/* --- the beginning of a process --- */

static void on_opened(struct plugin_remote *remote, const struct plugin_wire_record *record)
{
    struct loop *loop = loop_of(remote);
    struct log_subject s = plugin_log(&remote->plugin);

    if (remote->state != STARTING) {
        give_up(remote, "plugin-crashed", "its process said twice that it is open");
        return;
    }
    unlink(remote->socket_path); /* nobody else is to connect */
    remote->plugin.flags = record->opened.flags;
    remote->state = UP;
    remote->opened_once = true;
    remote->up_since_ms = remote->looked_ms = loop_now_ms(loop);
    if (remote->process.pid != 0)
        loop_timer_add(loop, &remote->heartbeat, 0);
    loop_post(loop, &remote->ready);
    log_info(&s, "plugin loaded in process %d, version %s", (int)remote->process.pid,
             record->opened.version);
}

static void on_hello(struct plugin_remote *remote, uint32_t abi)
{
    char what[96];

    if (abi != DP_ABI) {
        snprintf(what, sizeof(what), "its host program has delivery plugin ABI %u, expected %u",
                 abi, DP_ABI);
        give_up(remote, "plugin-crashed", what);
        return;
    }
    plugin_wire_put_open(plugin_link_out(&remote->link), remote->settings.list,
                         (uint16_t)remote->settings.count);
}

static void on_outcome(struct plugin_remote *remote, uint64_t id, const struct dp_outcome *outcome)
{
    struct plugin_inflight_item *item = plugin_inflight_find(&remote->inflight, id);
    struct log_subject s = plugin_log(&remote->plugin);

    if (!item) {
        plugin_counters_add(&remote->plugin.counters, "host_answers_unknown", 1);
        log_limited(
            loop_now_ms(loop_of(remote)), LOG_WARNING, &s,
            "the plugin reported delivery %llu, which it does not have (any more): ignoring "
            "its defect",
            (unsigned long long)id);
        return;
    }
    loop_post(loop_of(remote), &remote->ready);
    report(remote, item, outcome);
}

static void on_record(void *arg, struct plugin_wire_record *record)
{
    struct plugin_remote *remote = arg;
    struct log_subject s = plugin_log(&remote->plugin);

    switch (record->type) {
    case PLUGIN_WIRE_HELLO:
        on_hello(remote, record->abi);
        break;
    case PLUGIN_WIRE_OPENED:
        on_opened(remote, record);
        break;
    case PLUGIN_WIRE_FAILED:
        give_up(remote, "plugin-crashed", record->text);
        break;
    case PLUGIN_WIRE_OUTCOME:
        on_outcome(remote, record->outcome.id, &record->outcome.outcome);
        break;
    case PLUGIN_WIRE_PONG:
        remote->ping_ms = 0;
        break;
    case PLUGIN_WIRE_CLOSED:
        remote->closed = true;
        break;
    case PLUGIN_WIRE_COUNT:
        plugin_counters_add(&remote->plugin.counters, record->count.name, record->count.delta);
        break;
    case PLUGIN_WIRE_LOG:
        log_limited(loop_now_ms(loop_of(remote)), (enum log_level)record->log.level, &s, "%s",
                    record->log.text);
        break;
    default:
        give_up(remote, "plugin-crashed", "its process sent what only a broker sends");
        break;
    }
}

static void on_broken(void *arg, int err)
{
    struct plugin_remote *remote = arg;
    char what[96];

    snprintf(what, sizeof(what), "the link to its process is broken: %s", err_string(err));
    give_up(remote, "plugin-crashed", what);
}

static int start(struct plugin_remote *remote, struct err_text *et)
{
    struct plugin_hosts *hosts = remote->plugin.broker->plugins->hosts;
    char endpoint[PLUGIN_SOCKET_SIZE + 8];
    int r =
        plugin_hosts_socket(hosts, remote->plugin.name, ++remote->started, remote->socket_path, et);

    if (r < 0)
        return r;
    snprintf(endpoint, sizeof(endpoint), "ipc://%s", remote->socket_path);
    r = plugin_link_open(&remote->link, loop_of(remote), hosts->context, endpoint, on_record,
                         on_broken, remote, et);
    if (r < 0)
        return r;
    r = plugin_hosts_spawn(hosts, options_of(remote),
                           &(struct plugin_hosts_target){.name = remote->plugin.name,
                                                         .path = remote->path,
                                                         .socket_path = remote->socket_path},
                           &remote->process, loop_of(remote), on_process_end, remote, et);
    if (r < 0) {
        close_link(remote);
        return r;
    }
    remote->state = STARTING;
    remote->closed = false;
    loop_timer_add(loop_of(remote), &remote->heartbeat, START_MS);
    return 0;
}

static void on_restart_timer(struct timer *timer)
{
    struct plugin_remote *remote = CONTAINER_OF(timer, struct plugin_remote, restart);
    struct log_subject s = plugin_log(&remote->plugin);
    struct err_text et = {""};

    plugin_counters_add(&remote->plugin.counters, "host_restarts", 1);
    if (start(remote, &et) < 0) {
        log_error(&s, "could not start the plugin's process: %s", et.text);
        schedule_restart(remote);
    }
}

/* --- health --- */

/* Several looks within the time to hang. */
static uint64_t heartbeat_ms(const struct plugin_remote *remote)
{
    uint64_t quarter_ms = options_of(remote)->plugin_host_hang_ms / 4;

    return quarter_ms < HEARTBEAT_MS ? quarter_ms : HEARTBEAT_MS;
}

/* A look that comes late says that this process was stopped or starved, and the plugin's maybe
 * together with it: that time does not count. */
static void excuse(struct plugin_remote *remote, uint64_t now_ms)
{
    uint64_t since_ms = now_ms - remote->looked_ms, usual_ms = heartbeat_ms(remote);

    if (remote->ping_ms != 0 && since_ms > 2 * usual_ms)
        remote->ping_ms += since_ms - usual_ms;
    remote->looked_ms = now_ms;
}

static void on_heartbeat(struct timer *timer)
{
    struct plugin_remote *remote = CONTAINER_OF(timer, struct plugin_remote, heartbeat);
    const struct options *o = options_of(remote);
    uint64_t now_ms = loop_now_ms(loop_of(remote)), rss;
    char what[96];

    if (remote->process.pid == 0) {
        on_settled(remote);
        return;
    }
    if (remote->state == STARTING) {
        give_up(remote, "plugin-hung", "it did not open within 10 s");
        return;
    }
    excuse(remote, now_ms);
    if (remote->ping_ms != 0 && now_ms - remote->ping_ms >= o->plugin_host_hang_ms) {
        snprintf(what, sizeof(what), "the plugin hangs: no sign of life for %llu ms",
                 (unsigned long long)(now_ms - remote->ping_ms));
        give_up(remote, "plugin-hung", what);
        return;
    }
    rss = plugin_process_rss(&remote->process);
    if (rss > (uint64_t)o->plugin_host_memory_mb * 1024 * 1024) {
        snprintf(what, sizeof(what), "the plugin has %llu MB of memory, expected at most %u",
                 (unsigned long long)(rss / 1024 / 1024), o->plugin_host_memory_mb);
        give_up(remote, "plugin-crashed", what);
        return;
    }
    if (remote->ping_ms == 0) {
        remote->ping_ms = now_ms;
        plugin_wire_put_stamp(plugin_link_out(&remote->link), PLUGIN_WIRE_PING, now_ms);
    }
    /* for a delivery that was refused while nothing was in flight, as when memory was short */
    loop_post(loop_of(remote), &remote->ready);
    loop_timer_add(loop_of(remote), timer, heartbeat_ms(remote));
}

/* --- what plugin.h promises --- */

static int deliver(struct plugin *plugin, const struct dp_delivery *delivery,
                   const struct delivery_source *source)
{
    struct plugin_remote *remote = from(plugin);
    uint64_t now_ms = loop_now_ms(loop_of(remote));
    struct buf *out;
    size_t before;

    (void)source;
    if (!has_room(remote))
        return ERR_AGAIN;
    out = plugin_link_out(&remote->link);
    before = out->len;
    plugin_wire_put_deliver(out, delivery);
    if (!buf_ok(out) ||
        plugin_inflight_add(&remote->inflight, delivery->id, now_ms, out->len - before) < 0) {
        plugin_link_rollback(&remote->link, before);
        return ERR_AGAIN;
    }
    if (!timer_armed(&remote->answer))
        loop_timer_add(loop_of(remote), &remote->answer, options_of(remote)->plugin_host_answer_ms);
    if (out->len > FLUSH_BYTES)
        plugin_link_flush(&remote->link);
    return 0;
}

static void cancel(struct plugin *plugin, uint64_t id)
{
    struct plugin_remote *remote = from(plugin);
    struct plugin_inflight_item *item = plugin_inflight_find(&remote->inflight, id);

    if (!item || item->cancelled || !is_up(remote))
        return;
    item->cancelled = true;
    plugin_wire_put_cancel(plugin_link_out(&remote->link), id);
}

static bool up(const struct plugin *plugin)
{
    return is_up(CONTAINER_OF(plugin, const struct plugin_remote, plugin));
}

static void status(const struct plugin *plugin, size_t *ret_in_flight, uint64_t *ret_restarts)
{
    const struct plugin_remote *remote = CONTAINER_OF(plugin, const struct plugin_remote, plugin);

    *ret_in_flight = plugin_inflight_count(&remote->inflight);
    *ret_restarts = remote->started > 0 ? remote->started - 1 : 0;
}

static void close_remote(struct plugin *plugin)
{
    struct plugin_remote *remote = from(plugin);
    uint64_t until_ms =
        plugin->broker->plugins->hosts ? plugin->broker->plugins->hosts->close_until_ms : 0;

    if (remote->state == UP)
        plugin_link_finish(&remote->link, remote->process.pid != 0 ? remote->process.pidfd : -1,
                           until_ms, SETTLE_MS, &remote->closed);
    plugin_process_end(&remote->process, remote->closed ? until_ms : 0);
    report_all(remote, "plugin-closed");
    close_link(remote);
    remote->state = DOWN;
    loop_timer_cancel(plugin->broker->loop, &remote->heartbeat);
    loop_timer_cancel(plugin->broker->loop, &remote->restart);
    loop_unpost(plugin->broker->loop, &remote->ready);
}

static void free_remote(struct plugin *plugin)
{
    struct plugin_remote *remote = from(plugin);

    plugin_inflight_fini(&remote->inflight);
    plugin_settings_fini(&remote->settings);
    free(remote->path);
    free(remote);
}

static const struct plugin_ops ops = {.deliver = deliver,
                                      .cancel = cancel,
                                      .up = up,
                                      .status = status,
                                      .close = close_remote,
                                      .free = free_remote};

/* --- life cycle --- */

int plugin_remote_start(struct broker *broker, const char *name, const char *path,
                        struct plugin_settings *settings, uint32_t in_flight, struct err_text *et)
{
    struct plugin_remote *remote = calloc(1, sizeof(*remote));
    struct err_text why = {""};
    int r = 0;

    if (remote)
        remote->path = strdup(path);
    if (!remote || !remote->path) {
        free(remote);
        plugin_settings_fini(settings);
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    }
    remote->settings = *settings;
    *settings = (struct plugin_settings){0};
    remote->plugin.hosted = true;
    remote->in_flight_max = in_flight;
    remote->ready = (struct loop_task){.fn = on_ready, .arg = remote};
    timer_init(&remote->heartbeat, on_heartbeat);
    timer_init(&remote->restart, on_restart_timer);
    timer_init(&remote->answer, on_answer_timer);
    plugin_inflight_init(&remote->inflight);
    plugin_register(broker, &remote->plugin, &ops, name);
    if (!broker->plugins->hosts)
        r = plugin_hosts_create(&broker->options, &broker->plugins->hosts, &why);
    if (r == 0)
        r = start(remote, &why);
    return r < 0 ? err_set(et, r, "plugin \"%s\" could not start: %s", name, why.text) : 0;
}

/* 1 when all are open, 0 when one is not yet. */
static int all_open(struct broker *broker, struct err_text *et)
{
    struct plugin *plugin;
    int open = 1;

    STAILQ_FOREACH(plugin, &broker->plugins->list, link)
    {
        struct plugin_remote *remote = plugin->hosted ? from(plugin) : NULL;

        if (!remote || remote->opened_once)
            continue;
        if (remote->failure.text[0] != '\0')
            return err_set(et, ERR_PLUGIN, "plugin \"%s\" could not start: %.400s", plugin->name,
                           remote->failure.text);
        open = 0;
    }
    return open;
}

/* Ends: each process opens, fails or meets the deadline of its start. */
int plugin_hosts_wait(struct broker *broker, struct err_text *et)
{
    int r;

    while ((r = all_open(broker, et)) == 0) {
        if (loop_turn(broker->loop, START_MS) < 0)
            return err_set(et, ERR_SYSTEM, "could not turn the event loop");
    }
    return r < 0 ? r : 0;
}

void plugin_hosts_close(struct broker *broker)
{
    struct plugin *plugin;

    if (broker->plugins->hosts)
        broker->plugins->hosts->close_until_ms = plugin_clock_ms() + CLOSE_MS;
    STAILQ_FOREACH(plugin, &broker->plugins->list, link)
    {
        struct plugin_remote *remote = plugin->hosted ? from(plugin) : NULL;

        if (!remote || remote->state != UP)
            continue;
        plugin_wire_put_empty(plugin_link_out(&remote->link), PLUGIN_WIRE_CLOSE);
        plugin_link_flush(&remote->link);
    }
}
