/* rig - a host that watches a plugin closely: it counts outcomes by delivery, measures calls, takes
 * away memory that was only lent, and remembers the first defect. One per instance; one thread. */
#ifndef BECKON_PLUGIN_CHECK_RIG_H
#define BECKON_PLUGIN_CHECK_RIG_H

#include "common/loop.h"
#include "plugin-host/plugin_file.h"
#include "plugin-host/plugin_services.h"

#include <stdbool.h>

/* Deliveries of one rig at most: more find nothing that these do not. */
#define RIG_IDS_MAX 2048
/* A call that takes longer blocks the host: every other delivery of the process waits. */
#define RIG_SLOW_MS 100

struct rig_settings {
    const struct dp_setting *list;
    size_t count;
};

struct rig {
    struct loop *loop;
    struct plugin_file file;
    struct plugin_services *services;
    void *instance; /* NULL: not open */
    bool open, closed;
    bool has_socket; /* what socket_send says */
    unsigned outcomes[RIG_IDS_MAX];
    uint64_t last_id;           /* of the last delivery that was taken */
    unsigned reported;          /* deliveries with an outcome */
    unsigned slow_calls;        /* of deliver */
    uint64_t sent[RIG_IDS_MAX]; /* taken by socket_send, no result yet */
    size_t sent_count;
    struct timer socket_timer;
    char defect[256]; /* the first one, "" for none */
};

/* Loads path. 0, or -1 with rig->defect. */
int rig_init(struct rig *rig, const char *path);
void rig_fini(struct rig *rig);
/* 0, or -1 with the plugin's own words in rig->defect. */
int rig_open(struct rig *rig, const struct rig_settings *settings);
/* Ends what is on the fake socket first, as a broker does. */
void rig_close(struct rig *rig);

/* Gives it the next delivery. True when it was taken. */
bool rig_deliver(struct rig *rig);
/* Gives it `count` deliveries, asking again when it refuses, and waits for all outcomes. */
void rig_deliver_all(struct rig *rig, unsigned count, uint64_t deadline_ms);
/* Waits until every delivery has an outcome; what is missing at the deadline is a defect. */
void rig_wait(struct rig *rig, uint64_t deadline_ms);
/* Lets the loop run, for what should not come. */
void rig_linger(struct rig *rig, uint64_t ms);
/* Each delivery has exactly one outcome: else a defect. */
void rig_expect_all(struct rig *rig);

/* Remembers the first. */
void rig_defect(struct rig *rig, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool rig_ok(const struct rig *rig);

#endif
