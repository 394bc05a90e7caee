/* routing - see the header. */
#include "broker/routing.h"

#include "broker/broker.h"
#include "broker/plugin.h"
#include "broker/plugin_load.h"
#include "common/auto.h"

#include <string.h>

#define PUSH "push"
#define LIVE_ACK_MS 4000       /* a PUBACK over a bad mobile link */
#define LOCAL_PUSH_ACK_MS 2000 /* the app is awake and shows it at once, or it is suspended */
#define ACK_MS_MAX 3600000

static const char *const state_names[ROUTE_STATES] = {"offline", "foreground", "background"};

static const struct {
    enum route_state state;
    const char *socket;
    uint32_t ack_ms;
} defaults[] = {{ROUTE_OFFLINE, NULL, 0},
                {ROUTE_FOREGROUND, "live", LIVE_ACK_MS},
                {ROUTE_BACKGROUND, "local-push", LOCAL_PUSH_ACK_MS}};

static int default_missing(size_t i, struct err_text *et)
{
    return err_set(et, ERR_CONFIG,
                   "plugins: no plugin \"%s\" is configured, and the default routing table needs "
                   "it for the state %s",
                   defaults[i].socket, state_names[defaults[i].state]);
}

static int step_missing(const config_setting_t *s, const char *state, const char *name,
                        struct err_text *et)
{
    return err_set(et, ERR_CONFIG,
                   "%s:%u: routing.%s: no plugin \"%s\" is configured, expected \"push\" or one "
                   "of the names under plugins",
                   config_setting_source_file(s) ?: "--set", config_setting_source_line(s), state,
                   name);
}

static int at(struct err_text *et, const config_setting_t *s, const char *what)
{
    const char *file = config_setting_source_file(s);

    return err_set(et, ERR_CONFIG, "%s:%u: routing: %s", file ? file : "--set",
                   config_setting_source_line(s), what);
}

static int check_step(const config_setting_t *s, struct err_text *et)
{
    const char *plugin;

    if (!config_setting_is_group(s))
        return at(et, s, "expected a list of { plugin; ack_ms; }");
    if (!config_setting_lookup_string(s, "plugin", &plugin) || plugin[0] == '\0')
        return at(et, s, "a step needs a plugin");
    for (int i = 0; i < config_setting_length(s); i++) {
        const config_setting_t *key = config_setting_get_elem(s, (unsigned)i);

        if (strcmp(config_setting_name(key), "plugin") == 0)
            continue;
        if (strcmp(config_setting_name(key), "ack_ms") != 0)
            return at(et, key, "unknown key, expected plugin or ack_ms");
        if (config_setting_type(key) != CONFIG_TYPE_INT || config_setting_get_int(key) < 0 ||
            config_setting_get_int(key) > ACK_MS_MAX)
            return at(et, key, "ack_ms: expected a number of milliseconds from 0 to 3600000");
    }
    return 0;
}

static int state_of(const char *name)
{
    for (int i = 0; i < ROUTE_STATES; i++) {
        if (strcmp(state_names[i], name) == 0)
            return i;
    }
    return -1;
}

int routing_check_setting(const config_setting_t *setting, struct err_text *et)
{
    if (!config_setting_is_group(setting))
        return at(et, setting, "expected a group { foreground; background; offline; }");
    for (int i = 0; i < config_setting_length(setting); i++) {
        const config_setting_t *list = config_setting_get_elem(setting, (unsigned)i);

        if (state_of(config_setting_name(list)) < 0)
            return at(et, list, "unknown state, expected foreground, background or offline");
        if (!config_setting_is_list(list))
            return at(et, list, "expected a list ( { plugin; ack_ms; }, ... )");
        if (config_setting_length(list) > ROUTING_STEPS_MAX)
            return at(et, list, "more than 8 steps");
        for (int k = 0; k < config_setting_length(list); k++) {
            int r = check_step(config_setting_get_elem(list, (unsigned)k), et);

            if (r < 0)
                return r;
        }
    }
    return 0;
}

static bool uses_socket(const struct step *step)
{
    return step->plugin && (plugin_flags(step->plugin) & DP_USES_SOCKET);
}

static int read_step(struct broker *broker, const config_setting_t *s, struct steps *steps,
                     enum route_state state, struct err_text *et)
{
    struct step *step = &steps->step[steps->count];
    const char *name = "";
    int ack_ms = 0;

    config_setting_lookup_string(s, "plugin", &name);
    config_setting_lookup_int(s, "ack_ms", &ack_ms);
    step->ack_ms = (uint32_t)ack_ms;
    step->plugin = strcmp(name, PUSH) == 0 ? NULL : plugin_find(broker, name);
    if (!step->plugin && strcmp(name, PUSH) != 0)
        return step_missing(s, state_names[state], name, et);
    if (uses_socket(step) && (state == ROUTE_OFFLINE || steps->count > 0))
        return at(et, s,
                  "a plugin that uses the socket can only be the first step of foreground or "
                  "background");
    steps->count++;
    return 0;
}

static int read_state(struct broker *broker, const config_setting_t *list, struct steps *steps,
                      enum route_state state, struct err_text *et)
{
    steps->count = 0;
    for (int i = 0; i < config_setting_length(list); i++) {
        int r = read_step(broker, config_setting_get_elem(list, (unsigned)i), steps, state, et);

        if (r < 0)
            return r;
    }
    return 0;
}

static bool says(const config_setting_t *setting, enum route_state state)
{
    return setting && config_setting_get_member(setting, state_names[state]);
}

static int default_steps(struct broker *broker, const config_setting_t *setting,
                         struct routing *routing, struct err_text *et)
{
    for (size_t i = 0; i < ARRAY_LEN(defaults); i++) {
        struct steps *steps = &routing->state[defaults[i].state];

        if (says(setting, defaults[i].state))
            continue;
        if (defaults[i].socket) {
            struct plugin *plugin = plugin_find(broker, defaults[i].socket);

            if (!plugin)
                return default_missing(i, et);
            steps->step[steps->count++] =
                (struct step){.plugin = plugin, .ack_ms = defaults[i].ack_ms};
        }
        steps->step[steps->count++] = (struct step){.plugin = NULL};
    }
    return 0;
}

int routing_check_names(const config_t *config, struct err_text *et)
{
    const config_setting_t *setting = config_lookup(config, "routing");

    for (size_t i = 0; i < ARRAY_LEN(defaults); i++) {
        const char *name = state_names[defaults[i].state], *plugin = "";
        const config_setting_t *list = setting ? config_setting_get_member(setting, name) : NULL;

        if (!list && defaults[i].socket && !plugin_configured(config, defaults[i].socket))
            return default_missing(i, et);
        for (int k = 0; list && k < config_setting_length(list); k++) {
            const config_setting_t *s = config_setting_get_elem(list, (unsigned)k);

            config_setting_lookup_string(s, "plugin", &plugin);
            if (strcmp(plugin, PUSH) != 0 && !plugin_configured(config, plugin))
                return step_missing(s, name, plugin, et);
        }
    }
    return 0;
}

int routing_read(struct broker *broker, const config_t *config, struct routing *ret_routing,
                 struct err_text *et)
{
    const config_setting_t *setting = config_lookup(config, "routing");
    struct routing routing = {0};
    int r = default_steps(broker, setting, &routing, et);

    for (int i = 0; r == 0 && setting && i < config_setting_length(setting); i++) {
        const config_setting_t *list = config_setting_get_elem(setting, (unsigned)i);
        int state = state_of(config_setting_name(list));

        r = read_state(broker, list, &routing.state[state], (enum route_state)state, et);
    }
    if (r == 0)
        *ret_routing = routing;
    return r;
}
