/* simulator - the parts of the process, tied together. One loop, one thread. */
#ifndef BECKON_APNS_SIMULATOR_SIMULATOR_H
#define BECKON_APNS_SIMULATOR_SIMULATOR_H

#include "common/loop.h"

#include "judge.h"
#include "options.h"
#include "pushes.h"

struct control;
struct door;

struct simulator {
    struct options options;
    struct loop *loop;
    struct behaviour behaviour;
    struct device_rules *rules;
    struct judge judge; /* judge.auth is owned, the rest borrowed */
    struct pushes *pushes;
    struct door *door;
    struct control *control;
};

#endif
