/* plugin_settings - see the header. */
#include "broker/plugin_settings.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Keys in one plugin's section at most: more is a mistake, not a configuration. */
#define SETTINGS_MAX 256

static int at(struct err_text *et, const config_setting_t *s, const char *what)
{
    const char *file = config_setting_source_file(s);

    return err_set(et, ERR_CONFIG, "%s:%u: %s", file ? file : "--set",
                   config_setting_source_line(s), what);
}

void plugin_settings_fini(struct plugin_settings *settings)
{
    for (size_t i = 0; i < settings->count; i++) {
        free((char *)settings->list[i].path);
        free((char *)settings->list[i].value);
        free((char *)settings->list[i].where);
    }
    free(settings->list);
    *settings = (struct plugin_settings){0};
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

static int add_scalar(struct plugin_settings *settings, const config_setting_t *s, const char *path,
                      struct err_text *et)
{
    struct dp_setting *out = &settings->list[settings->count];
    const char *file = config_setting_source_file(s);
    char *where = NULL;

    if (settings->count == SETTINGS_MAX)
        return at(et, s, "too many plugin settings");
    if (asprintf(&where, "%s:%u", file ? file : "--set", config_setting_source_line(s)) < 0)
        where = NULL;
    *out = (struct dp_setting){.path = strdup(path), .value = scalar_text(s), .where = where};
    settings->count++;
    return out->path && out->value && out->where ? 0 : err_set(et, ERR_NO_MEMORY, "out of memory");
}

static int flatten(struct plugin_settings *settings, const config_setting_t *s, const char *path,
                   struct err_text *et)
{
    bool named = config_setting_is_group(s);

    if (!config_setting_is_aggregate(s))
        return add_scalar(settings, s, path, et);
    for (int i = 0; i < config_setting_length(s); i++) {
        const config_setting_t *child = config_setting_get_elem(s, (unsigned)i);
        char child_path[512];
        int len = named ? snprintf(child_path, sizeof(child_path), "%s%s%s", path,
                                   path[0] ? "." : "", config_setting_name(child))
                        : snprintf(child_path, sizeof(child_path), "%s[%d]", path, i);
        int r;

        if (len < 0 || (size_t)len >= sizeof(child_path))
            return at(et, child, "a plugin setting's path is too long");
        r = flatten(settings, child, child_path, et);
        if (r < 0)
            return r;
    }
    return 0;
}

int plugin_settings_read(const config_setting_t *options, struct plugin_settings *ret_settings,
                         struct err_text *et)
{
    struct plugin_settings settings = {.list = calloc(SETTINGS_MAX, sizeof(*settings.list))};
    int r = settings.list ? 0 : err_set(et, ERR_NO_MEMORY, "out of memory");

    if (r == 0 && options)
        r = flatten(&settings, options, "", et);
    if (r < 0)
        plugin_settings_fini(&settings);
    else
        *ret_settings = settings;
    return r;
}
