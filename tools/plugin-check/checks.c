/* checks - see the header. In the order of a plugin's life: what fails first is what to look at. */
#include "checks.h"

#include "common/auto.h"
#include "elf_exports.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How long to wait for what should not come. */
#define LINGER_MS 200
#define MANY 500
#define SOME 20
/* Slow calls out of SOME: fewer may be the scheduler's. */
#define SLOW_LIMIT 3
#define UNKNOWN_ID 1000000

static enum check_result result(const struct rig *rig)
{
    return rig_ok(rig) ? CHECK_OK : CHECK_FAILED;
}

static bool begin(const struct subject *subject, struct rig *rig)
{
    return rig_init(rig, subject->path) == 0 && rig_open(rig, &subject->settings) == 0;
}

static enum check_result end(struct rig *rig)
{
    if (rig->open)
        rig_close(rig);
    return result(rig);
}

static enum check_result descriptor(const struct subject *subject, struct rig *rig)
{
    const struct dp_plugin *d;

    if (rig_init(rig, subject->path) < 0)
        return CHECK_FAILED;
    d = rig->file.descriptor;
    if (d->flags & ~(uint32_t)(DP_USES_SOCKET | DP_USES_NOTIFICATION))
        rig_defect(rig, "flags are 0x%x, which ABI %u does not know", d->flags, DP_ABI);
    if (d->version[0] == '\0')
        rig_defect(rig, "version is empty");
    return result(rig);
}

static enum check_result exports(const struct subject *subject, struct rig *rig)
{
    char other[128] = "";

    if (elf_exports_other(subject->path, DP_QUERY_SYMBOL, other, sizeof(other)) < 0)
        rig_defect(rig, "could not read its symbols, expected an ELF shared object");
    else if (other[0] != '\0')
        rig_defect(rig,
                   "it exports \"%s\", expected " DP_QUERY_SYMBOL
                   " alone: compile with -fvisibility=hidden or make functions static",
                   other);
    return result(rig);
}

static enum check_result opens(const struct subject *subject, struct rig *rig)
{
    if (!begin(subject, rig))
        return CHECK_FAILED;
    if (rig->last_id == 0 && rig->reported != 0)
        rig_defect(rig, "reported a delivery in open");
    return end(rig);
}

/* A key with a typing error must not be read as its default. */
static enum check_result unknown_key(const struct subject *subject, struct rig *rig)
{
    const char *key = "plugin-check-unknown-key";
    size_t count = subject->settings.count;
    struct dp_setting *list = calloc(count + 1, sizeof(*list));

    if (rig_init(rig, subject->path) < 0 || !list) {
        free(list);
        return CHECK_FAILED;
    }
    if (count > 0)
        memcpy(list, subject->settings.list, count * sizeof(*list));
    list[count] = (struct dp_setting){.path = key, .value = "1", .where = "plugin-check:1"};
    if (rig_open(rig, &(struct rig_settings){.list = list, .count = count + 1}) == 0) {
        rig_defect(rig, "it opened with the unknown setting \"%s\", expected an error", key);
    } else if (!strstr(rig->defect, key) || !strstr(rig->defect, "plugin-check:1")) {
        char words[160];

        snprintf(words, sizeof(words), "%.150s", rig->defect);
        rig->defect[0] = '\0';
        rig_defect(rig, "its error does not name the setting and where it is: %s", words);
    } else {
        rig->defect[0] = '\0';
    }
    free(list);
    return end(rig);
}

static enum check_result one_outcome(const struct subject *subject, struct rig *rig)
{
    if (!begin(subject, rig))
        return CHECK_FAILED;
    rig_deliver_all(rig, 1, subject->deadline_ms);
    rig_linger(rig, LINGER_MS);
    return end(rig);
}

static enum check_result many(const struct subject *subject, struct rig *rig)
{
    if (!begin(subject, rig))
        return CHECK_FAILED;
    rig_deliver_all(rig, MANY, subject->deadline_ms);
    rig_linger(rig, LINGER_MS);
    return end(rig);
}

static enum check_result no_blocking(const struct subject *subject, struct rig *rig)
{
    if (!begin(subject, rig))
        return CHECK_FAILED;
    for (unsigned i = 0; i < SOME && rig->slow_calls < SLOW_LIMIT && rig_deliver(rig); i++)
        ;
    if (rig->slow_calls >= SLOW_LIMIT)
        rig_defect(rig, "%u of %llu calls of deliver took more than %u ms: it must not block",
                   rig->slow_calls, (unsigned long long)rig->last_id, RIG_SLOW_MS);
    rig_wait(rig, subject->deadline_ms);
    return end(rig);
}

static enum check_result no_socket(const struct subject *subject, struct rig *rig)
{
    if (!begin(subject, rig))
        return CHECK_FAILED;
    if (!(rig->file.descriptor->flags & DP_USES_SOCKET)) {
        end(rig);
        rig_defect(rig, "it does not use the socket");
        return CHECK_SKIPPED;
    }
    rig->has_socket = false;
    rig_deliver_all(rig, SOME, subject->deadline_ms);
    return end(rig);
}

static enum check_result cancelled(const struct subject *subject, struct rig *rig)
{
    const struct dp_plugin *d;

    if (!begin(subject, rig))
        return CHECK_FAILED;
    d = rig->file.descriptor;
    if (!d->cancel) {
        end(rig);
        rig_defect(rig, "it has no cancel");
        return CHECK_SKIPPED;
    }
    d->cancel(rig->instance, UNKNOWN_ID);
    for (unsigned i = 0; i < SOME; i++) {
        if (rig_deliver(rig))
            d->cancel(rig->instance, rig->last_id);
    }
    rig_wait(rig, subject->deadline_ms);
    for (uint64_t id = 1; id <= rig->last_id; id++)
        d->cancel(rig->instance, id); /* they have their outcomes */
    rig_linger(rig, LINGER_MS);
    return end(rig);
}

static enum check_result close_reports(const struct subject *subject, struct rig *rig)
{
    if (!begin(subject, rig))
        return CHECK_FAILED;
    for (unsigned i = 0; i < SOME && rig_deliver(rig); i++)
        ;
    rig_close(rig);
    if (rig_ok(rig) && rig->reported < rig->last_id)
        rig_defect(rig, "close reported %u of %llu deliveries, expected all", rig->reported,
                   (unsigned long long)rig->last_id);
    return result(rig);
}

static enum check_result nothing_held(const struct subject *subject, struct rig *rig)
{
    size_t watches, timers;

    if (!begin(subject, rig))
        return CHECK_FAILED;
    for (unsigned i = 0; i < SOME && rig_deliver(rig); i++)
        ;
    rig_linger(rig, LINGER_MS);
    rig_close(rig);
    plugin_services_held(rig->services, &watches, &timers);
    if (watches > 0 || timers > 0)
        rig_defect(rig, "%zu watches and %zu timers are left after close, expected none", watches,
                   timers);
    return result(rig);
}

static enum check_result silent_after_close(const struct subject *subject, struct rig *rig)
{
    if (!begin(subject, rig))
        return CHECK_FAILED;
    for (unsigned i = 0; i < SOME && rig_deliver(rig); i++)
        ;
    rig_close(rig);
    plugin_services_destroy(rig->services); /* what it left is found by another check */
    rig->services = NULL;
    rig_linger(rig, LINGER_MS);
    return result(rig);
}

static enum check_result opens_again(const struct subject *subject, struct rig *rig)
{
    if (!begin(subject, rig))
        return CHECK_FAILED;
    rig_deliver_all(rig, 1, subject->deadline_ms);
    rig_close(rig);
    if (rig_ok(rig) && rig_open(rig, &subject->settings) == 0)
        rig_deliver_all(rig, 1, subject->deadline_ms);
    return end(rig);
}

static enum check_result two_instances(const struct subject *subject, struct rig *rig)
{
    struct rig *other = calloc(1, sizeof(*other));

    if (!other || !begin(subject, rig)) {
        free(other);
        return CHECK_FAILED;
    }
    if (begin(subject, other)) {
        rig_deliver_all(rig, SOME, subject->deadline_ms);
        rig_deliver_all(other, SOME, subject->deadline_ms);
        rig_close(rig);
        rig_deliver_all(other, 1, subject->deadline_ms); /* the first is gone */
    }
    if (!rig_ok(other))
        rig_defect(rig, "with two instances: %s", other->defect);
    rig_fini(other);
    free(other);
    return end(rig);
}

const struct check checks[] = {
    {"loads, and its descriptor is complete", descriptor, true},
    {"exports " DP_QUERY_SYMBOL " alone", exports, false},
    {"opens with the given settings and closes", opens, true},
    {"refuses a setting that it does not know", unknown_key, false},
    {"reports one delivery once", one_outcome, false},
    {"reports many deliveries once each", many, false},
    {"does not block in deliver", no_blocking, false},
    {"reports deliveries to a device without a socket", no_socket, false},
    {"survives cancel, of what it has and of what it has not", cancelled, false},
    {"reports what is in flight when it is closed", close_reports, false},
    {"leaves no watch and no timer when it is closed", nothing_held, false},
    {"is silent after it was closed", silent_after_close, false},
    {"opens again", opens_again, false},
    {"runs twice at once", two_instances, false},
};

const size_t check_count = ARRAY_LEN(checks);
