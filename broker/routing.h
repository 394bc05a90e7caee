/* routing - the routing table: for each state of a device, the steps a message takes.
 *
 * Read from the configuration at start and again at SIGHUP; checked against the plugins that are
 * loaded. A step that uses the socket comes first and only where the device has one; `push` stands
 * for the plugin of the device's own registration. */
#ifndef BECKON_BROKER_ROUTING_H
#define BECKON_BROKER_ROUTING_H

#include "common/err.h"

#include <libconfig.h>
#include <stdint.h>

struct broker;
struct plugin;

#define ROUTING_STEPS_MAX 8 /* each is a chance for one alert; more would be a mistake */

enum route_state { ROUTE_OFFLINE, ROUTE_FOREGROUND, ROUTE_BACKGROUND, ROUTE_STATES };

struct step {
    struct plugin *plugin; /* NULL: `push` */
    uint32_t ack_ms;       /* how long its answer may take; 0 = as long as it wants */
};

struct steps {
    struct step step[ROUTING_STEPS_MAX];
    uint32_t count;
};

struct routing {
    struct steps state[ROUTE_STATES];
};

/* The shape of the `routing` setting. For the option table. */
int routing_check_setting(const config_setting_t *setting, struct err_text *et);
/* That every plugin it names is configured. For --check-config. */
MUST_CHECK int routing_check_names(const config_t *config, struct err_text *et);
/* Fills ret_routing from the configuration, with defaults where it says nothing. ERR_CONFIG with
 * et: what is wrong, where, what was expected. */
MUST_CHECK int routing_read(struct broker *broker, const config_t *config,
                            struct routing *ret_routing, struct err_text *et);

#endif
