/* plugin_load - see the header. */
#include "broker/plugin_load.h"

#include "broker/broker.h"
#include "broker/plugin.h"
#include "broker/plugin_inline.h"
#include "common/auto.h"
#include "common/log.h"

#include <ctype.h>
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_SIZE_MAX 32 /* [a-z][a-z0-9-]{0,31} */
/* Keys in one plugin's section at most: more is a mistake, not a configuration. */
#define SETTINGS_MAX 256

/* --- the file --- */

/* dlsym returns an object pointer; ISO C has no cast from it to a function. */
static dp_plugin_query_fn find_query(void *handle)
{
    void *symbol = dlsym(handle, DP_QUERY_SYMBOL);
    dp_plugin_query_fn query;

    memcpy(&query, &symbol, sizeof(query));
    return query;
}

static bool name_valid(const char *name)
{
    size_t len = name ? strlen(name) : 0;

    if (len == 0 || len > NAME_SIZE_MAX || !islower((unsigned char)name[0]))
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];

        if (!islower(c) && !isdigit(c) && c != '-')
            return false;
    }
    return true;
}

static int check_descriptor(const char *path, const struct dp_plugin *d, struct err_text *et)
{
    if (!d)
        return err_set(et, ERR_PLUGIN, "plugin \"%s\": " DP_QUERY_SYMBOL " returned nothing", path);
    /* the first two fields are the same in every ABI */
    if (d->abi != DP_ABI)
        return err_set(et, ERR_PLUGIN,
                       "plugin \"%s\": built for delivery plugin ABI %u, expected %u", path, d->abi,
                       DP_ABI);
    if (d->struct_size < sizeof(struct dp_plugin))
        return err_set(et, ERR_PLUGIN,
                       "plugin \"%s\": its descriptor has %u bytes, expected at least %zu", path,
                       d->struct_size, sizeof(struct dp_plugin));
    if (!name_valid(d->name))
        return err_set(et, ERR_PLUGIN,
                       "plugin \"%s\": its name is \"%s\", expected [a-z][a-z0-9-]{0,31}", path,
                       d->name ? d->name : "");
    if (!d->version || !d->open || !d->deliver || !d->close)
        return err_set(et, ERR_PLUGIN, "plugin \"%s\": lacks one of version, open, deliver, close",
                       path);
    if ((d->flags & DP_USES_SOCKET) && !d->socket_result)
        return err_set(et, ERR_PLUGIN, "plugin \"%s\": uses the socket but has no socket_result",
                       path);
    return 0;
}

int plugin_file_load(const char *path, struct plugin_file *ret_file, struct err_text *et)
{
    /* Now, so that a missing symbol is found here and not at the first delivery; local, so that two
     * plugins never see each other. */
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    dp_plugin_query_fn query;
    const struct dp_plugin *descriptor;
    int r;

    if (!handle)
        return err_set(et, ERR_PLUGIN, "could not load plugin: %s", dlerror());
    query = find_query(handle);
    if (!query) {
        r = err_set(et, ERR_PLUGIN, "plugin \"%s\": exports no " DP_QUERY_SYMBOL, path);
        goto fail;
    }
    descriptor = query(DP_ABI);
    r = check_descriptor(path, descriptor, et);
    if (r < 0)
        goto fail;
    *ret_file = (struct plugin_file){.handle = handle, .descriptor = descriptor};
    return 0;
fail:
    dlclose(handle);
    return r;
}

void plugin_file_unload(struct plugin_file *file)
{
#if !defined(__SANITIZE_ADDRESS__)
    /* under the address sanitizer the object stays, or leak reports lose its symbols */
    if (file->handle)
        dlclose(file->handle);
#endif
    file->handle = NULL;
}

static int resolve(char *path, size_t size, const char *file, const char *plugin_dir)
{
    const char *dir = plugin_dir[0] != '\0' ? plugin_dir : BECKON_PLUGIN_DIR;
    int len = strchr(file, '/') ? snprintf(path, size, "%s", file)
                                : snprintf(path, size, "%s/%s", dir, file);

    return len < 0 || (size_t)len >= size ? ERR_TOO_LARGE : 0;
}

/* --- the configuration --- */

static int at(struct err_text *et, const config_setting_t *s, const char *what)
{
    const char *file = config_setting_source_file(s);

    return err_set(et, ERR_CONFIG, "%s:%u: %s", file ? file : "--set",
                   config_setting_source_line(s), what);
}

static int check_entry(const config_setting_t *entry, struct err_text *et)
{
    const char *text;

    if (!config_setting_is_group(entry))
        return at(et, entry, "plugins: expected a list of { name; file; options; }");
    if (!config_setting_lookup_string(entry, "name", &text) || !name_valid(text))
        return at(et, entry, "plugins: a plugin needs a name, [a-z][a-z0-9-]{0,31}");
    if (!config_setting_lookup_string(entry, "file", &text) || text[0] == '\0')
        return at(et, entry, "plugins: a plugin needs a file");
    for (int i = 0; i < config_setting_length(entry); i++) {
        const config_setting_t *s = config_setting_get_elem(entry, (unsigned)i);
        const char *name = config_setting_name(s);

        if (strcmp(name, "options") == 0 && !config_setting_is_group(s))
            return at(et, s, "plugins: options: expected a group { ... }");
        if (strcmp(name, "name") != 0 && strcmp(name, "file") != 0 && strcmp(name, "options") != 0)
            return at(et, s, "plugins: unknown key, expected name, file or options");
    }
    return 0;
}

int plugin_check_setting(const config_setting_t *setting, struct err_text *et)
{
    if (!config_setting_is_list(setting))
        return at(et, setting, "plugins: expected a list ( { ... }, ... )");
    for (int i = 0; i < config_setting_length(setting); i++) {
        int r = check_entry(config_setting_get_elem(setting, (unsigned)i), et);

        if (r < 0)
            return r;
    }
    return 0;
}

/* What to load: the configured entries, or `live` alone. Calls fn for each. */
typedef int (*entry_fn)(void *arg, const char *name, const char *file,
                        const config_setting_t *options, struct err_text *et);

static int each_entry(const config_t *config, entry_fn fn, void *arg, struct err_text *et)
{
    const config_setting_t *list = config_lookup(config, "plugins");

    if (!list) {
        int r = fn(arg, "live", "live.so", NULL, et);

        return r < 0 ? r : fn(arg, "local-push", "local-push.so", NULL, et);
    }
    for (int i = 0; i < config_setting_length(list); i++) {
        const config_setting_t *entry = config_setting_get_elem(list, (unsigned)i);
        const char *name = NULL, *file = NULL;
        int r;

        if (!config_setting_lookup_string(entry, "name", &name) ||
            !config_setting_lookup_string(entry, "file", &file))
            return at(et, entry, "plugins: a plugin needs a name and a file");
        r = fn(arg, name, file, config_setting_get_member(entry, "options"), et);
        if (r < 0)
            return r;
    }
    return 0;
}

static int compare_name(void *arg, const char *name, const char *file,
                        const config_setting_t *options, struct err_text *et)
{
    (void)file, (void)options, (void)et;
    return strcmp(arg, name) == 0 ? ERR_EXISTS : 0;
}

bool plugin_configured(const config_t *config, const char *name)
{
    struct err_text et;

    return each_entry(config, compare_name, (void *)name, &et) == ERR_EXISTS;
}

static int load_named(const char *name, const char *file, const char *plugin_dir,
                      struct plugin_file *ret_file, struct err_text *et)
{
    char path[PATH_MAX];
    int r = resolve(path, sizeof(path), file, plugin_dir);

    if (r < 0)
        return err_set(et, r, "plugin \"%s\": the file name is too long", name);
    r = plugin_file_load(path, ret_file, et);
    if (r < 0)
        return r;
    if (strcmp(ret_file->descriptor->name, name) == 0)
        return 0;
    r = err_set(et, ERR_PLUGIN, "plugin \"%s\" calls itself \"%s\", expected \"%s\"", path,
                ret_file->descriptor->name, name);
    plugin_file_unload(ret_file);
    return r;
}

static int check_file(void *arg, const char *name, const char *file,
                      const config_setting_t *options, struct err_text *et)
{
    struct plugin_file loaded = {0};
    int r = load_named(name, file, arg, &loaded, et);

    (void)options;
    if (r == 0)
        plugin_file_unload(&loaded);
    return r;
}

int plugin_check_files(const config_t *config, const char *plugin_dir, struct err_text *et)
{
    return each_entry(config, check_file, (void *)plugin_dir, et);
}

/* --- settings, flattened --- */

struct flat {
    struct dp_setting settings[SETTINGS_MAX];
    size_t count;
};

static void flat_fini(struct flat *flat)
{
    for (size_t i = 0; i < flat->count; i++) {
        free((char *)flat->settings[i].path);
        free((char *)flat->settings[i].value);
        free((char *)flat->settings[i].where);
    }
    flat->count = 0;
}

static char *scalar_text(const config_setting_t *s)
{
    char *text = NULL;
    int len = -1;

    switch (config_setting_type(s)) {
    case CONFIG_TYPE_INT:
        len = asprintf(&text, "%d", config_setting_get_int(s));
        break;
    case CONFIG_TYPE_INT64:
        len = asprintf(&text, "%lld", config_setting_get_int64(s));
        break;
    case CONFIG_TYPE_FLOAT:
        len = asprintf(&text, "%.17g", config_setting_get_float(s));
        break;
    case CONFIG_TYPE_BOOL:
        len = asprintf(&text, "%s", config_setting_get_bool(s) ? "true" : "false");
        break;
    default:
        len = asprintf(&text, "%s", config_setting_get_string(s));
        break;
    }
    return len < 0 ? NULL : text;
}

static int add_scalar(struct flat *flat, const config_setting_t *s, const char *path,
                      struct err_text *et)
{
    struct dp_setting *out = &flat->settings[flat->count];
    const char *file = config_setting_source_file(s);
    char *where = NULL;

    if (flat->count == SETTINGS_MAX)
        return at(et, s, "too many plugin settings");
    if (asprintf(&where, "%s:%u", file ? file : "--set", config_setting_source_line(s)) < 0)
        where = NULL;
    *out = (struct dp_setting){.path = strdup(path), .value = scalar_text(s), .where = where};
    flat->count++;
    return out->path && out->value && out->where ? 0 : err_set(et, ERR_NO_MEMORY, "out of memory");
}

static int flatten(struct flat *flat, const config_setting_t *s, const char *path,
                   struct err_text *et)
{
    bool named = config_setting_is_group(s);

    if (!config_setting_is_aggregate(s))
        return add_scalar(flat, s, path, et);
    for (int i = 0; i < config_setting_length(s); i++) {
        const config_setting_t *child = config_setting_get_elem(s, (unsigned)i);
        char child_path[512];
        int len = named ? snprintf(child_path, sizeof(child_path), "%s%s%s", path,
                                   path[0] ? "." : "", config_setting_name(child))
                        : snprintf(child_path, sizeof(child_path), "%s[%d]", path, i);
        int r;

        if (len < 0 || (size_t)len >= sizeof(child_path))
            return at(et, child, "a plugin setting's path is too long");
        r = flatten(flat, child, child_path, et);
        if (r < 0)
            return r;
    }
    return 0;
}

/* --- all of them --- */

static int open_entry(void *arg, const char *name, const char *file,
                      const config_setting_t *options, struct err_text *et)
{
    struct broker *broker = arg;
    struct plugin_file loaded = {0};
    struct flat *flat = calloc(1, sizeof(*flat));
    int r;

    if (!flat)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    r = options ? flatten(flat, options, "", et) : 0;
    if (r == 0)
        r = load_named(name, file, broker->options.plugin_dir, &loaded, et);
    if (r == 0)
        r = plugin_inline_open(broker, &loaded, flat->settings, flat->count, et);
    flat_fini(flat);
    free(flat);
    return r;
}

int plugins_create(struct broker *broker, const config_t *config, struct err_text *et)
{
    int r = plugins_inline_create(broker);

    if (r < 0)
        return err_set(et, r, "out of memory");
    return each_entry(config, open_entry, broker, et);
}

void plugins_destroy(struct broker *broker)
{
    plugins_inline_destroy(broker);
}
