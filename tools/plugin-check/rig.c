/* rig - see the header.
 *
 * A delivery is lent for the length of one call. So each is built in pages of its own, which can't
 * be read any more when deliver has returned: a plugin that kept a pointer crashes here, and not
 * some day in production. */
#include "rig.h"

#include "common/auto.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

/* A message, a device and a document fit. */
#define LENT_BYTES 16384
/* When the fake socket answers: later, as a real one. */
#define SOCKET_MS 1
#define TURN_MS 10

static const char document[] =
    "{\"aps\":{\"alert\":{\"title\":\"alice\",\"body\":\"New message\"},\"sound\":\"default\"},"
    "\"beckon\":{\"mid\":\"01890a5d-ac96-774b-bcce-b302099a8057\",\"from\":\"alice\"}}";

void rig_defect(struct rig *rig, const char *fmt, ...)
{
    va_list args;

    if (rig->defect[0] != '\0')
        return;
    va_start(args, fmt);
    vsnprintf(rig->defect, sizeof(rig->defect), fmt, args);
    va_end(args);
}

bool rig_ok(const struct rig *rig)
{
    return rig->defect[0] == '\0';
}

/* --- the host's services --- */

static bool needs_reason(uint32_t kind)
{
    return kind == DP_RETRY || kind == DP_FAILED || kind == DP_DEVICE_GONE;
}

static void on_complete(void *arg, uint64_t id, const struct dp_outcome *outcome)
{
    struct rig *rig = arg;
    unsigned long long n = id;

    if (rig->closed)
        rig_defect(rig, "reported delivery %llu after close", n);
    else if (id == 0 || id > rig->last_id)
        rig_defect(rig, "reported delivery %llu, which it was never given", n);
    else if (outcome->reason && strcmp(outcome->reason, "bad-outcome") == 0)
        rig_defect(rig, "reported delivery %llu with no outcome or an unknown kind", n);
    else if (needs_reason(outcome->kind) && (!outcome->reason || outcome->reason[0] == '\0'))
        rig_defect(rig, "reported delivery %llu as not delivered without a reason", n);
    else if (++rig->outcomes[id] == 2)
        rig_defect(rig, "reported delivery %llu twice", n);
    else if (rig->outcomes[id] == 1)
        rig->reported++;
}

static void on_log(void *arg, uint32_t level, const char *text)
{
    (void)arg, (void)level, (void)text;
}

static void on_count(void *arg, const char *name, uint64_t delta)
{
    (void)delta;
    if (name[0] == '\0' || strspn(name, "abcdefghijklmnopqrstuvwxyz_") != strlen(name))
        rig_defect(arg, "counter \"%s\": expected a name of a to z and _", name);
}

static void flush_socket(struct rig *rig, uint32_t result)
{
    for (size_t i = 0; i < rig->sent_count; i++)
        rig->file.descriptor->socket_result(rig->instance, rig->sent[i], result);
    rig->sent_count = 0;
}

static void on_socket_timer(struct timer *timer)
{
    flush_socket(CONTAINER_OF(timer, struct rig, socket_timer), DP_SOCKET_ACKED);
}

static int32_t on_socket_send(void *arg, uint64_t id, uint32_t kind)
{
    struct rig *rig = arg;

    (void)kind;
    if (!rig->has_socket)
        return -1;
    if (id != rig->last_id || rig->sent_count == RIG_IDS_MAX) {
        rig_defect(rig, "called socket_send for delivery %llu outside of its deliver",
                   (unsigned long long)id);
        return -1;
    }
    rig->sent[rig->sent_count++] = id;
    if (!timer_armed(&rig->socket_timer))
        loop_timer_add(rig->loop, &rig->socket_timer, SOCKET_MS);
    return 0;
}

static const struct plugin_services_hooks hooks = {
    .complete = on_complete, .log = on_log, .count = on_count};
static const struct plugin_services_hooks socket_hooks = {
    .complete = on_complete, .log = on_log, .count = on_count, .socket_send = on_socket_send};

/* --- life cycle --- */

int rig_init(struct rig *rig, const char *path)
{
    struct err_text et = {""};

    *rig = (struct rig){.has_socket = true};
    timer_init(&rig->socket_timer, on_socket_timer);
    if (plugin_file_load(path, &rig->file, &et) < 0) {
        rig_defect(rig, "%s", et.text);
        return -1;
    }
    rig->loop = loop_create();
    if (rig->loop)
        rig->services = plugin_services_create(
            rig->loop, rig->file.descriptor->flags & DP_USES_SOCKET ? &socket_hooks : &hooks, rig);
    if (!rig->services) {
        rig_defect(rig, "out of memory");
        return -1;
    }
    return 0;
}

void rig_fini(struct rig *rig)
{
    if (rig->open)
        rig_close(rig);
    plugin_services_destroy(rig->services);
    if (rig->loop)
        loop_destroy(rig->loop);
    plugin_file_unload(&rig->file);
}

int rig_open(struct rig *rig, const struct rig_settings *settings)
{
    char error[384] = "no reason given";

    if (rig->file.descriptor->open(plugin_services_host(rig->services), settings->list,
                                   settings->count, &rig->instance, error, sizeof(error)) != 0) {
        error[sizeof(error) - 1] = '\0';
        rig_defect(rig, "open failed: %.200s", error);
        return -1;
    }
    rig->open = true;
    rig->closed = false;
    return 0;
}

void rig_close(struct rig *rig)
{
    loop_timer_cancel(rig->loop, &rig->socket_timer);
    if (rig->file.descriptor->socket_result)
        flush_socket(rig, DP_SOCKET_LOST);
    rig->file.descriptor->close(rig->instance);
    rig->open = false;
    rig->closed = true;
}

/* --- deliveries --- */

struct lent {
    struct dp_delivery delivery;
    struct dp_message message;
    struct dp_device device;
    size_t used;
    char text[];
};

static const char *lend(struct lent *lent, const char *text)
{
    size_t size = strlen(text) + 1;
    char *at = lent->text + lent->used;

    memcpy(at, text, size);
    lent->used += size;
    return at;
}

static void fill(struct lent *lent, uint64_t id, uint32_t flags)
{
    lent->message = (struct dp_message){.struct_size = sizeof(lent->message),
                                        .mid = {0x01, 0x89, 0x0a, 0x5d, 0xac, 0x96, 0x77, 0x4b},
                                        .from = lend(lent, "alice"),
                                        .conversation = lend(lent, "u/alice"),
                                        .sent_at_ms = 1767225600000,
                                        .payload = lend(lent, "{\"text\":\"hello\"}"),
                                        .payload_size = 16,
                                        .priority = 10};
    for (unsigned i = 0; i < 8; i++)
        lent->message.mid[15 - i] = (uint8_t)(id >> (8 * i));
    lent->device = (struct dp_device){.struct_size = sizeof(lent->device),
                                      .state = DP_BACKGROUND,
                                      .user = lend(lent, "bob"),
                                      .device = lend(lent, "phone"),
                                      .push_provider = lend(lent, "check"),
                                      .push_token = lend(lent, "00112233445566778899aabbccddeeff"),
                                      .push_topic = lend(lent, "org.example.check"),
                                      .push_environment = lend(lent, "development"),
                                      .push_registered_at_ms = 1767225600000};
    lent->delivery = (struct dp_delivery){.struct_size = sizeof(lent->delivery),
                                          .attempt = 1,
                                          .id = id,
                                          .message = &lent->message,
                                          .device = &lent->device};
    if ((flags & DP_USES_NOTIFICATION) && !(flags & DP_USES_SOCKET)) {
        lent->delivery.notification = lend(lent, document);
        lent->delivery.notification_size = sizeof(document) - 1;
    }
}

static uint64_t clock_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

bool rig_deliver(struct rig *rig)
{
    struct lent *lent =
        mmap(NULL, LENT_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t began_ms = clock_now_ms();
    int32_t r;

    if (lent == MAP_FAILED || rig->last_id + 1 >= RIG_IDS_MAX) {
        rig_defect(rig, "out of memory");
        return false;
    }
    fill(lent, ++rig->last_id, rig->file.descriptor->flags);
    r = rig->file.descriptor->deliver(rig->instance, &lent->delivery);
    munmap(lent, LENT_BYTES);
    if (clock_now_ms() - began_ms > RIG_SLOW_MS)
        rig->slow_calls++;
    if (r == 0)
        return true;
    if (r != -1)
        rig_defect(rig, "deliver returned %d, expected 0 or -1", r);
    if (rig->outcomes[rig->last_id] != 0)
        rig_defect(rig, "reported delivery %llu and did not take it",
                   (unsigned long long)rig->last_id);
    rig->last_id--; /* it will be given again */
    return false;
}

void rig_linger(struct rig *rig, uint64_t ms)
{
    uint64_t until_ms = clock_now_ms() + ms;

    while (rig_ok(rig) && clock_now_ms() < until_ms) {
        if (loop_turn(rig->loop, TURN_MS) < 0)
            rig_defect(rig, "the event loop failed");
    }
}

void rig_wait(struct rig *rig, uint64_t deadline_ms)
{
    uint64_t until_ms = clock_now_ms() + deadline_ms;

    while (rig_ok(rig) && rig->reported < rig->last_id) {
        if (clock_now_ms() > until_ms)
            rig_defect(rig, "%llu of %llu deliveries have no outcome after %llu ms",
                       (unsigned long long)(rig->last_id - rig->reported),
                       (unsigned long long)rig->last_id, (unsigned long long)deadline_ms);
        else if (loop_turn(rig->loop, TURN_MS) < 0)
            rig_defect(rig, "the event loop failed");
    }
}

void rig_deliver_all(struct rig *rig, unsigned count, uint64_t deadline_ms)
{
    uint64_t until_ms = clock_now_ms() + deadline_ms;
    unsigned taken = 0;

    while (rig_ok(rig) && taken < count) {
        if (rig_deliver(rig)) {
            taken++;
            continue;
        }
        if (clock_now_ms() > until_ms)
            rig_defect(rig, "took %u of %u deliveries within %llu ms", taken, count,
                       (unsigned long long)deadline_ms);
        else if (loop_turn(rig->loop, TURN_MS) < 0)
            rig_defect(rig, "the event loop failed");
    }
    rig_wait(rig, deadline_ms);
}

void rig_expect_all(struct rig *rig)
{
    for (uint64_t id = 1; id <= rig->last_id; id++) {
        if (rig->outcomes[id] == 0)
            rig_defect(rig, "delivery %llu has no outcome", (unsigned long long)id);
    }
}
