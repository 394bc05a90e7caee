/* webhook - notifications as signed HTTP requests to a service of the operator's own.
 *
 * libcurl's multi interface does the work; it says which sockets to watch and when to wake it, and
 * the host does both (CURLMOPT_SOCKETFUNCTION, CURLMOPT_TIMERFUNCTION), so that nothing blocks.
 * Connections are kept and shared by its cache. A request that was given up may have arrived: the
 * next one carries the same Idempotency-Key. */
#include "beckon/delivery_plugin.h"
#include "request.h"
#include "settings.h"

#include <stdio.h>
#include <stdlib.h>

struct webhook {
    const struct dp_host *host;
    struct settings settings;
    CURLM *multi;
    uint64_t timer; /* 0: not set */
    LIST_HEAD(, request) requests;
    uint32_t in_flight;
};

static void count(const struct webhook *w, const char *name)
{
    w->host->count(w->host->ctx, name, 1);
}

/* --- libcurl and the host's loop --- */

static const char *counter_of(uint32_t kind)
{
    switch (kind) {
    case DP_ACCEPTED:
        return "accepted";
    case DP_RETRY:
        return "retried";
    default:
        return "failed";
    }
}

static void finish(struct webhook *w, CURLMsg *msg)
{
    struct request *request = NULL;
    CURLcode result = msg->data.result; /* msg goes with the handle */
    CURL *easy = msg->easy_handle;
    struct dp_outcome outcome;
    char reason[REASON_SIZE], line[96];
    uint64_t id;

    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &request);
    request_outcome(easy, result, &outcome, reason);
    curl_multi_remove_handle(w->multi, easy);
    LIST_REMOVE(request, link);
    w->in_flight--;
    id = request->id;
    request_destroy(request);
    count(w, counter_of(outcome.kind));
    if (outcome.kind != DP_ACCEPTED) {
        snprintf(line, sizeof(line), "could not deliver: %s", reason);
        w->host->log(w->host->ctx, outcome.kind == DP_RETRY ? DP_LOG_INFO : DP_LOG_WARNING, line);
    }
    w->host->complete(w->host->ctx, id, &outcome);
}

static void drive(struct webhook *w, curl_socket_t fd, int events)
{
    int running, left;
    CURLMsg *msg;

    curl_multi_socket_action(w->multi, fd, events, &running);
    while ((msg = curl_multi_info_read(w->multi, &left))) {
        if (msg->msg == CURLMSG_DONE)
            finish(w, msg);
    }
}

static void on_timer(void *arg)
{
    struct webhook *w = arg;

    w->timer = 0;
    drive(w, CURL_SOCKET_TIMEOUT, 0);
}

/* One a socket of libcurl's: what a callback needs to know. */
struct watch {
    struct webhook *webhook;
    curl_socket_t fd;
};

static void on_socket(void *arg, uint32_t events)
{
    const struct watch *watch = arg;

    drive(watch->webhook, watch->fd,
          (events & DP_READABLE ? CURL_CSELECT_IN : 0) |
              (events & DP_WRITABLE ? CURL_CSELECT_OUT : 0));
}

/* watch is what curl_multi_assign remembers for fd. */
static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *assigned)
{
    struct webhook *w = arg;
    struct watch *watch = assigned;
    uint32_t events =
        (what & CURL_POLL_IN ? DP_READABLE : 0u) | (what & CURL_POLL_OUT ? DP_WRITABLE : 0u);

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        w->host->watch(w->host->ctx, fd, 0, NULL, NULL);
        curl_multi_assign(w->multi, fd, NULL);
        free(watch);
        return 0;
    }
    if (!watch) {
        watch = malloc(sizeof(*watch));
        if (!watch)
            return -1;
        watch->webhook = w;
        watch->fd = fd;
        curl_multi_assign(w->multi, fd, watch);
    }
    return w->host->watch(w->host->ctx, fd, events, on_socket, watch);
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct webhook *w = arg;

    (void)multi;
    if (w->timer)
        w->host->timer_stop(w->host->ctx, w->timer);
    w->timer = 0;
    if (timeout_ms < 0)
        return 0;
    w->timer = w->host->timer_start(w->host->ctx, (uint64_t)timeout_ms, on_timer, w);
    return w->timer ? 0 : -1;
}

/* --- the plugin's functions --- */

static int32_t webhook_open(const struct dp_host *host, const struct dp_setting *settings,
                            size_t setting_count, void **ret_instance, char *error,
                            size_t error_size)
{
    struct webhook *w = calloc(1, sizeof(*w));

    if (!w) {
        snprintf(error, error_size, "out of memory");
        return -1;
    }
    if (settings_read(settings, setting_count, &w->settings, error, error_size) < 0) {
        free(w);
        return -1;
    }
    w->host = host;
    LIST_INIT(&w->requests);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK) {
        w->multi = curl_multi_init();
        if (!w->multi)
            curl_global_cleanup();
    }
    if (!w->multi) {
        snprintf(error, error_size, "could not set up libcurl");
        settings_fini(&w->settings);
        free(w);
        return -1;
    }
    curl_multi_setopt(w->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    curl_multi_setopt(w->multi, CURLMOPT_SOCKETDATA, w);
    curl_multi_setopt(w->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl_multi_setopt(w->multi, CURLMOPT_TIMERDATA, w);
    *ret_instance = w;
    return 0;
}

static uint32_t timeout_ms(const struct webhook *w, const struct dp_delivery *delivery)
{
    uint64_t now_ms = w->host->now_ms(w->host->ctx);

    if (delivery->deadline_ms == 0 || delivery->deadline_ms >= now_ms + w->settings.timeout_ms)
        return w->settings.timeout_ms;
    return delivery->deadline_ms > now_ms ? (uint32_t)(delivery->deadline_ms - now_ms) : 1;
}

/* Nothing happens before the next turn: libcurl asks for a timer. */
static int32_t webhook_deliver(void *instance, const struct dp_delivery *delivery)
{
    struct webhook *w = instance;
    struct request *request;

    if (w->in_flight >= w->settings.max_in_flight)
        return -1;
    request = request_create(&w->settings, delivery, w->host->wall_ms(w->host->ctx) / 1000,
                             timeout_ms(w, delivery));
    if (!request)
        return -1;
    if (curl_multi_add_handle(w->multi, request->easy) != CURLM_OK) {
        request_destroy(request);
        return -1;
    }
    LIST_INSERT_HEAD(&w->requests, request, link);
    w->in_flight++;
    count(w, "sent");
    return 0;
}

static void webhook_close(void *instance)
{
    struct webhook *w = instance;
    struct request *request;

    while ((request = LIST_FIRST(&w->requests))) {
        struct dp_outcome outcome = {
            .struct_size = sizeof(outcome), .kind = DP_RETRY, .reason = "plugin-closed"};
        uint64_t id = request->id;

        curl_multi_remove_handle(w->multi, request->easy);
        LIST_REMOVE(request, link);
        request_destroy(request);
        w->host->complete(w->host->ctx, id, &outcome);
    }
    curl_multi_cleanup(w->multi); /* takes its sockets and its timer back */
    if (w->timer)
        w->host->timer_stop(w->host->ctx, w->timer);
    curl_global_cleanup();
    settings_fini(&w->settings);
    free(w);
}

DP_EXPORT const struct dp_plugin *dp_plugin_query(uint32_t host_abi)
{
    static const struct dp_plugin plugin = {
        .struct_size = sizeof(plugin),
        .abi = DP_ABI,
        .name = "webhook",
        .version = BECKON_VERSION,
        .flags = DP_USES_NOTIFICATION,
        .open = webhook_open,
        .deliver = webhook_deliver,
        /* no cancel: a request under way can't be taken back, and its answer is worth having */
        .close = webhook_close,
    };

    (void)host_abi; /* one ABI so far: the host compares plugin.abi */
    return &plugin;
}
