/* beckon/delivery_plugin.h - the delivery plugin ABI, version 1.
 *
 * A delivery plugin is a shared object that gets messages to devices in one way: over the socket,
 * through a push service, through a webhook. It exports one function, dp_plugin_query, which
 * returns a static descriptor. This header is all it needs: C99 or C++, no other dependency, and
 * no symbol of the host is resolved by the plugin: everything the host offers is a function
 * pointer in struct dp_host.
 *
 * Threads. A host has one event loop thread. Every function of the plugin is called on it, and
 * every function of dp_host may be called only on it, except where its comment says "any thread".
 * No plugin function may block: waiting stalls every delivery of the process. The host ignores
 * SIGPIPE: a write to a closed socket fails with EPIPE.
 *
 * Life cycle. query -> open -> { deliver, cancel, socket_result, callbacks } -> close. One
 * instance for each section of the broker's configuration that names the plugin; an instance never
 * outlives close. The host never calls a plugin after close returned.
 *
 * Outcomes. For each deliver that returned 0 the plugin calls host->complete exactly once, at once
 * (inside deliver) or later. A second call for the same id is ignored and logged as the plugin's
 * defect. After the delivery's deadline the host may already have moved on; the outcome is still
 * to be reported, and is then recorded as late.
 *
 * Compatibility. Within one ABI number structs only grow at their end, and every struct starts
 * with its size as the side that made it knew it: read a field only if struct_size covers it
 * (DP_HAS). A change of meaning or order raises DP_ABI; a host refuses another number and says
 * both. Zero every struct you make.
 *
 * Strings are UTF-8 and NUL-terminated, never NULL unless said; times named _ms are milliseconds:
 * `*_at_ms` since the Unix epoch, others on the host's monotonic clock (host->now_ms). */
#ifndef BECKON_DELIVERY_PLUGIN_H
#define BECKON_DELIVERY_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DP_ABI 1u

/* True when the struct behind ptr is new enough to have field. */
#define DP_HAS(ptr, type, field)                                                                   \
    ((ptr)->struct_size >= offsetof(type, field) + sizeof((ptr)->field))

#if defined(__GNUC__)
#define DP_EXPORT __attribute__((visibility("default")))
#else
#define DP_EXPORT
#endif

/* How one delivery ended. */
enum dp_outcome_kind {
    DP_ACKNOWLEDGED = 1, /* the device itself has the message */
    DP_ACCEPTED = 2,     /* a push service took responsibility for alerting the person */
    DP_RETRY = 3,        /* a passing fault: ask again after retry_after_ms */
    DP_FAILED = 4,       /* this message can't go this way: next step of the route */
    DP_DEVICE_GONE = 5   /* the push token is dead since gone_at_ms; the host forgets it unless it
                            was registered again after that */
};

struct dp_outcome {
    uint32_t struct_size;
    uint32_t kind;           /* enum dp_outcome_kind */
    uint64_t retry_after_ms; /* DP_RETRY: at least so long; 0 = the host decides */
    uint64_t gone_at_ms;     /* DP_DEVICE_GONE: 0 = now */
    const char *reason; /* short, stable, machine-readable ("Unregistered", "too-large"); may be
                           NULL for ACKNOWLEDGED and ACCEPTED; borrowed during complete */
};

/* State of the device when the route chose this plugin. */
enum dp_device_state { DP_OFFLINE = 0, DP_FOREGROUND = 1, DP_BACKGROUND = 2 };

struct dp_device {
    uint32_t struct_size;
    uint32_t state;            /* enum dp_device_state */
    const char *user;          /* user id */
    const char *device;        /* device id */
    const char *push_provider; /* "" when the device has no push registration */
    const char *push_token;
    const char *push_topic;
    const char *push_environment; /* "production", "development" or "" */
    uint64_t push_registered_at_ms;
};

enum dp_message_flags {
    DP_MESSAGE_HAS_EXPIRY = 1, /* the sender chose expires_at_ms */
    DP_MESSAGE_REDELIVERY = 2  /* this device may have been sent it before */
};

struct dp_message {
    uint32_t struct_size;
    uint32_t flags;           /* enum dp_message_flags */
    uint8_t mid[16];          /* UUIDv7 */
    const char *from;         /* user id of the sender */
    const char *conversation; /* "u/USER" or "g/GROUP", as the recipient sees it */
    uint64_t sent_at_ms;
    uint64_t expires_at_ms;
    const void *payload; /* may be NULL when payload_size is 0 */
    size_t payload_size;
    const void *properties; /* MQTT 5 properties to carry along, in MQTT 5 encoding without the
                               length prefix (MQTT 5.0 section 2.2.2) */
    size_t properties_size;
    uint32_t priority; /* 10: alert at once; 5: when it costs the device little */
    uint32_t reserved;
};

struct dp_delivery {
    uint32_t struct_size;
    uint32_t attempt;     /* 1 for the first try of this step */
    uint64_t id;          /* names this delivery in complete, cancel and the socket calls */
    uint64_t deadline_ms; /* monotonic; 0 = none: the host waits for the outcome */
    const struct dp_message *message; /* borrowed until deliver returns */
    const struct dp_device *device;   /* borrowed until deliver returns */
    /* For plugins with DP_USES_NOTIFICATION, else NULL: the notification document, JSON of at most
     * 4,096 bytes, NUL-terminated: {"aps": {...}, "beckon": {...}}. Borrowed until deliver
     * returns. Socket plugins do not get it: socket_send renders it. */
    const char *notification;
    size_t notification_size; /* without the NUL */
};

/* One key of the plugin's section of the configuration, flattened: `keys[0].file`. */
struct dp_setting {
    const char *path;
    const char *value; /* as text */
    const char *where; /* "FILE:LINE", for error messages */
};

enum dp_log_level { DP_LOG_ERROR = 0, DP_LOG_WARNING = 1, DP_LOG_INFO = 2, DP_LOG_DEBUG = 3 };

enum dp_watch_events { DP_READABLE = 1, DP_WRITABLE = 2 };

enum dp_socket_kind {
    DP_SOCKET_MESSAGE = 0,     /* the message itself, on inbox/u/... or inbox/g/... */
    DP_SOCKET_NOTIFICATION = 1 /* the notification document, on inbox/notify/... */
};

typedef void (*dp_watch_fn)(void *arg, uint32_t events);
typedef void (*dp_timer_fn)(void *arg);

/* What the host offers. Filled by the host, valid until close returns. `ctx` is handed back as the
 * first argument of each call. */
struct dp_host {
    uint32_t struct_size;
    uint32_t abi; /* DP_ABI of the host */
    void *ctx;

    /* Milliseconds, monotonic / since the epoch. */
    uint64_t (*now_ms)(void *ctx);
    uint64_t (*wall_ms)(void *ctx);

    /* One line; the host adds the plugin's name. Never payloads or tokens. */
    void (*log)(void *ctx, uint32_t level, const char *text);

    /* Adds delta to the counter `name` ([a-z_]+), made at its first use. */
    void (*count)(void *ctx, const char *name, uint64_t delta);

    /* Reports the outcome of delivery id. Borrows outcome. May be called inside deliver. */
    void (*complete)(void *ctx, uint64_t id, const struct dp_outcome *outcome);

    /* Calls fn(arg) whenever fd is ready for `events` (dp_watch_events; level-triggered). events 0
     * removes the watch, which must happen before fd is closed. 0, or -1 when it can't. */
    int32_t (*watch)(void *ctx, int fd, uint32_t events, dp_watch_fn fn, void *arg);

    /* Calls fn(arg) once after delay_ms. Returns a handle above 0, or 0 when out of memory. */
    uint64_t (*timer_start)(void *ctx, uint64_t delay_ms, dp_timer_fn fn, void *arg);
    /* No effect on a handle that fired or was stopped. */
    void (*timer_stop)(void *ctx, uint64_t timer);

    /* Inline hosts only (NULL elsewhere): hands delivery id to the connector that holds the
     * device's socket. 0: taken, socket_result follows exactly once, later, never from inside this
     * call; -1: the device has no socket now. Only inside deliver. */
    int32_t (*socket_send)(void *ctx, uint64_t id, uint32_t kind);
};

/* How the socket answered. */
enum dp_socket_result {
    DP_SOCKET_ACKED = 1,    /* the device's PUBACK */
    DP_SOCKET_LOST = 2,     /* the connection ended first */
    DP_SOCKET_TOO_LARGE = 3 /* above the client's Maximum Packet Size: never sent */
};

/* The plugin's static descriptor. */
struct dp_plugin {
    uint32_t struct_size;
    uint32_t abi;        /* DP_ABI the plugin was built with */
    const char *name;    /* [a-z][a-z0-9-]{0,31}: the name routing tables use */
    const char *version; /* its own, for logs */
    uint32_t flags;      /* enum dp_plugin_flags */

    /* Makes an instance from its settings. Returns 0 and *ret_instance (never freed by the host),
     * or -1 after writing what, where and what was expected into error (error_size bytes). The
     * host refuses to start then. Borrows settings; host stays valid until close. */
    int32_t (*open)(const struct dp_host *host, const struct dp_setting *settings,
                    size_t setting_count, void **ret_instance, char *error, size_t error_size);

    /* Takes a delivery. 0: complete follows exactly once. -1: not taken now (a full queue): the
     * host keeps it and asks again. Borrows delivery. Must not block. */
    int32_t (*deliver)(void *instance, const struct dp_delivery *delivery);

    /* The host no longer needs delivery id (read elsewhere, expired, acknowledged). A hint: stop if
     * that still helps. The outcome is reported all the same. May be NULL. */
    void (*cancel)(void *instance, uint64_t id);

    /* The answer to socket_send. Required from plugins with DP_USES_SOCKET, else NULL. */
    void (*socket_result)(void *instance, uint64_t id, uint32_t result);

    /* Ends the instance: report an outcome for whatever is in flight (DP_RETRY), stop watches and
     * timers, free everything. */
    void (*close)(void *instance);
};

enum dp_plugin_flags {
    DP_USES_SOCKET = 1,      /* runs inline only: it hands messages to the device's socket */
    DP_USES_NOTIFICATION = 2 /* what it delivers is the notification document: a push service, or,
                                with DP_USES_SOCKET, DP_SOCKET_NOTIFICATION */
};

/* The one exported symbol. host_abi is the host's DP_ABI; a plugin that supports several may choose
 * which descriptor to return. Never NULL. */
#define DP_QUERY_SYMBOL "dp_plugin_query"
DP_EXPORT const struct dp_plugin *dp_plugin_query(uint32_t host_abi);
typedef const struct dp_plugin *(*dp_plugin_query_fn)(uint32_t host_abi);

#ifdef __cplusplus
}
#endif

#endif
