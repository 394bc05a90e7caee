/* plugin_load - see the header. */
#include "broker/plugin_load.h"

#include "broker/broker.h"
#include "broker/plugin_inline.h"
#include "broker/plugin_internal.h"
#include "broker/plugin_remote.h"
#include "broker/plugin_settings.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* Deliveries a hosted plugin may have unanswered when its entry does not say: what a push service
 * that answers in 100 ms needs for 10,000 a second. */
#define IN_FLIGHT_DEFAULT 1000
/* More would be memory of two processes without being faster. */
#define IN_FLIGHT_MAX 1000000

/* One plugin of the configuration, borrowed from it. */
struct entry {
    const char *name, *file;
    const config_setting_t *options; /* NULL: none */
    const config_setting_t *setting; /* NULL: not in the file */
    bool hosted;
    uint32_t in_flight;
};

static int at(struct err_text *et, const config_setting_t *s, const char *what)
{
    const char *file = config_setting_source_file(s);

    return err_set(et, ERR_CONFIG, "%s:%u: %s", file ? file : "--set",
                   config_setting_source_line(s), what);
}

static int check_key(const config_setting_t *s, struct err_text *et)
{
    const char *name = config_setting_name(s);

    if (strcmp(name, "name") == 0 || strcmp(name, "file") == 0)
        return 0;
    if (strcmp(name, "options") == 0)
        return config_setting_is_group(s) ? 0
                                          : at(et, s, "plugins: options: expected a group { ... }");
    if (strcmp(name, "hosted") == 0)
        return config_setting_type(s) == CONFIG_TYPE_BOOL
                   ? 0
                   : at(et, s, "plugins: hosted: expected true or false");
    if (strcmp(name, "in_flight") == 0)
        return config_setting_type(s) == CONFIG_TYPE_INT && config_setting_get_int(s) >= 1 &&
                       config_setting_get_int(s) <= IN_FLIGHT_MAX
                   ? 0
                   : at(et, s, "plugins: in_flight: expected 1 to 1000000");
    return at(et, s, "plugins: unknown key, expected name, file, options, hosted or in_flight");
}

static int check_entry(const config_setting_t *entry, struct err_text *et)
{
    const char *text;

    if (!config_setting_is_group(entry))
        return at(et, entry, "plugins: expected a list of { name; file; options; }");
    if (!config_setting_lookup_string(entry, "name", &text) || !plugin_name_valid(text))
        return at(et, entry, "plugins: a plugin needs a name, [a-z][a-z0-9-]{0,31}");
    if (!config_setting_lookup_string(entry, "file", &text) || text[0] == '\0')
        return at(et, entry, "plugins: a plugin needs a file");
    for (int i = 0; i < config_setting_length(entry); i++) {
        int r = check_key(config_setting_get_elem(entry, (unsigned)i), et);

        if (r < 0)
            return r;
    }
    return 0;
}

/* Routes find plugins by name. */
static int check_unique(const config_setting_t *list, int index, struct err_text *et)
{
    const config_setting_t *entry = config_setting_get_elem(list, (unsigned)index);
    const char *name = "", *other = "";
    char what[128];

    config_setting_lookup_string(entry, "name", &name);
    for (int i = 0; i < index; i++) {
        const config_setting_t *before = config_setting_get_elem(list, (unsigned)i);

        config_setting_lookup_string(before, "name", &other);
        if (strcmp(name, other) != 0)
            continue;
        snprintf(what, sizeof(what),
                 "plugins: \"%s\" is configured already, in line %u, expected each name once", name,
                 config_setting_source_line(before));
        return at(et, entry, what);
    }
    return 0;
}

int plugin_check_setting(const config_setting_t *setting, struct err_text *et)
{
    if (!config_setting_is_list(setting))
        return at(et, setting, "plugins: expected a list ( { ... }, ... )");
    for (int i = 0; i < config_setting_length(setting); i++) {
        int r = check_entry(config_setting_get_elem(setting, (unsigned)i), et);

        if (r == 0)
            r = check_unique(setting, i, et);
        if (r < 0)
            return r;
    }
    return 0;
}

/* --- which plugins --- */

/* Those that hand messages to the device's socket, which is here. */
static bool inline_by_default(const char *name)
{
    return strcmp(name, "live") == 0 || strcmp(name, "local-push") == 0;
}

static int read_entry(const config_setting_t *setting, struct entry *entry, struct err_text *et)
{
    int hosted, in_flight;

    *entry = (struct entry){.setting = setting, .in_flight = IN_FLIGHT_DEFAULT};
    if (!config_setting_lookup_string(setting, "name", &entry->name) ||
        !config_setting_lookup_string(setting, "file", &entry->file))
        return at(et, setting, "plugins: a plugin needs a name and a file");
    entry->options = config_setting_get_member(setting, "options");
    entry->hosted = !inline_by_default(entry->name);
    if (config_setting_lookup_bool(setting, "hosted", &hosted))
        entry->hosted = hosted;
    if (config_setting_lookup_int(setting, "in_flight", &in_flight))
        entry->in_flight = (uint32_t)in_flight;
    return 0;
}

typedef int (*entry_fn)(void *arg, const struct entry *entry, struct err_text *et);

/* What to load: the configured entries, or those that need no configuration. Calls fn for each. */
static int each_entry(const config_t *config, entry_fn fn, void *arg, struct err_text *et)
{
    const config_setting_t *list = config_lookup(config, "plugins");
    int r = 0;

    if (!list) {
        r = fn(arg, &(struct entry){.name = "live", .file = "live.so"}, et);
        if (r == 0)
            r = fn(arg, &(struct entry){.name = "local-push", .file = "local-push.so"}, et);
        return r;
    }
    for (int i = 0; r == 0 && i < config_setting_length(list); i++) {
        struct entry entry;

        r = read_entry(config_setting_get_elem(list, (unsigned)i), &entry, et);
        if (r == 0)
            r = fn(arg, &entry, et);
    }
    return r;
}

static int compare_name(void *arg, const struct entry *entry, struct err_text *et)
{
    (void)et;
    return strcmp(arg, entry->name) == 0 ? ERR_EXISTS : 0;
}

bool plugin_configured(const config_t *config, const char *name)
{
    struct err_text et;

    return each_entry(config, compare_name, (void *)name, &et) == ERR_EXISTS;
}

/* --- their files --- */

static int resolve(const struct entry *entry, const char *plugin_dir, char *path,
                   struct err_text *et)
{
    const char *dir = plugin_dir[0] != '\0' ? plugin_dir : BECKON_PLUGIN_DIR;
    int len = strchr(entry->file, '/') ? snprintf(path, PATH_MAX, "%s", entry->file)
                                       : snprintf(path, PATH_MAX, "%s/%s", dir, entry->file);

    if (len < 0 || len >= PATH_MAX)
        return err_set(et, ERR_CONFIG, "plugin \"%s\": the file name is too long", entry->name);
    return 0;
}

static int load_named(const struct entry *entry, const char *plugin_dir,
                      struct plugin_file *ret_file, struct err_text *et)
{
    struct plugin_file file = {0};
    char path[PATH_MAX];
    int r = resolve(entry, plugin_dir, path, et);

    if (r == 0)
        r = plugin_file_load(path, &file, et);
    if (r < 0)
        return r;
    if (strcmp(file.descriptor->name, entry->name) != 0)
        r = err_set(et, ERR_PLUGIN, "plugin \"%s\" calls itself \"%s\", expected \"%s\"", path,
                    file.descriptor->name, entry->name);
    else if (entry->hosted && (file.descriptor->flags & DP_USES_SOCKET))
        r = err_set(et, ERR_PLUGIN,
                    "plugin \"%s\" uses the device's socket, which only the broker has: expected "
                    "hosted = false",
                    path);
    if (r < 0)
        plugin_file_unload(&file);
    else
        *ret_file = file;
    return r;
}

static int check_file(void *arg, const struct entry *entry, struct err_text *et)
{
    struct plugin_file file = {0};
    int r = load_named(entry, arg, &file, et);

    if (r == 0)
        plugin_file_unload(&file);
    return r;
}

int plugin_check_files(const config_t *config, const char *plugin_dir, struct err_text *et)
{
    return each_entry(config, check_file, (void *)plugin_dir, et);
}

/* --- running them --- */

static int open_inline(struct broker *broker, const struct entry *entry, struct err_text *et)
{
    struct plugin_settings settings = {0};
    struct plugin_file file = {0};
    int r = plugin_settings_read(entry->options, &settings, et);

    if (r == 0)
        r = load_named(entry, broker->options.plugin_dir, &file, et);
    if (r == 0)
        r = plugin_inline_open(broker, &file, settings.list, settings.count, et);
    plugin_settings_fini(&settings);
    return r;
}

/* The file is loaded over there: nothing of it ever runs in the broker. */
static int open_hosted(struct broker *broker, const struct entry *entry, struct err_text *et)
{
    struct plugin_settings settings = {0};
    char path[PATH_MAX];
    int r = resolve(entry, broker->options.plugin_dir, path, et);

    if (r == 0)
        r = plugin_settings_read(entry->options, &settings, et);
    if (r == 0)
        r = plugin_remote_start(broker, entry->name, path, &settings, entry->in_flight, et);
    return r;
}

static int open_entry(void *arg, const struct entry *entry, struct err_text *et)
{
    return entry->hosted ? open_hosted(arg, entry, et) : open_inline(arg, entry, et);
}

int plugins_create(struct broker *broker, const config_t *config, struct err_text *et)
{
    int r = plugins_init(broker);

    if (r < 0)
        return err_set(et, r, "out of memory");
    r = each_entry(config, open_entry, broker, et);
    if (r == 0)
        r = plugin_hosts_wait(broker, et);
    return r;
}
