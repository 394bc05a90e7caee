/* plugin_services - struct dp_host on the project's event loop: what a plugin is offered, the same
 * wherever it runs. Clocks, watches and timers are done here; what differs between the processes
 * that run plugins (where an outcome goes, a line, a count, the socket) is a hook.
 * Owned by whoever runs the plugin; loop thread. */
#ifndef BECKON_PLUGIN_HOST_PLUGIN_SERVICES_H
#define BECKON_PLUGIN_HOST_PLUGIN_SERVICES_H

#include "beckon/delivery_plugin.h"
#include "common/err.h"

struct loop;
struct plugin_services;

/* As the functions of struct dp_host of the same names; arg is the owner's. */
struct plugin_services_hooks {
    void (*complete)(void *arg, uint64_t id, const struct dp_outcome *outcome);
    void (*log)(void *arg, uint32_t level, const char *text);
    void (*count)(void *arg, const char *name, uint64_t delta);
    int32_t (*socket_send)(void *arg, uint64_t id, uint32_t kind); /* NULL: none is offered */
};

/* loop and hooks are borrowed until plugin_services_destroy. NULL when out of memory. */
struct plugin_services *plugin_services_create(struct loop *loop,
                                               const struct plugin_services_hooks *hooks,
                                               void *arg);
/* Ends the watches and timers that the plugin left. NULL is allowed. */
void plugin_services_destroy(struct plugin_services *services);

/* For the plugin's open; valid until plugin_services_destroy. */
const struct dp_host *plugin_services_host(const struct plugin_services *services);
/* How many of each the plugin holds now. */
void plugin_services_held(const struct plugin_services *services, size_t *ret_watches,
                          size_t *ret_timers);

#endif
