/* checks - what is asked of a plugin. Each check runs in a process of its own (main.c). */
#ifndef BECKON_PLUGIN_CHECK_CHECKS_H
#define BECKON_PLUGIN_CHECK_CHECKS_H

#include "rig.h"

struct subject {
    const char *path; /* of the shared object */
    struct rig_settings settings;
    uint64_t deadline_ms; /* for an outcome */
};

enum check_result { CHECK_OK, CHECK_FAILED, CHECK_SKIPPED };

struct check {
    const char *name;
    /* rig is not initialised; rig->defect says why it failed or was skipped. */
    enum check_result (*run)(const struct subject *subject, struct rig *rig);
    bool vital; /* nothing that follows makes sense when it fails */
};

extern const struct check checks[];
extern const size_t check_count;

#endif
