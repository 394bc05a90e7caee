/* option_list - see the header. */
#include "common/option_list.h"

#include "common/auto.h"
#include "common/option_scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool copy_scalar(config_setting_t *to, const config_setting_t *from)
{
    switch (config_setting_type(from)) {
    case CONFIG_TYPE_INT:
        return config_setting_set_int(to, config_setting_get_int(from)) == CONFIG_TRUE;
    case CONFIG_TYPE_INT64:
        return config_setting_set_int64(to, config_setting_get_int64(from)) == CONFIG_TRUE;
    case CONFIG_TYPE_FLOAT:
        return config_setting_set_float(to, config_setting_get_float(from)) == CONFIG_TRUE;
    case CONFIG_TYPE_BOOL:
        return config_setting_set_bool(to, config_setting_get_bool(from)) == CONFIG_TRUE;
    default:
        return config_setting_set_string(to, config_setting_get_string(from)) == CONFIG_TRUE;
    }
}

/* libconfig has no copy. As deep as the text was. */
static bool copy(config_setting_t *parent, const char *name, const config_setting_t *from)
{
    config_setting_t *to = config_setting_add(parent, name, config_setting_type(from));

    if (!to)
        return false;
    to->file = from->file;
    to->line = from->line;
    if (!config_setting_is_aggregate(from))
        return copy_scalar(to, from);
    for (int i = 0; i < config_setting_length(from); i++) {
        const config_setting_t *child = config_setting_get_elem(from, (unsigned)i);

        if (!copy(to, config_setting_name(child), child))
            return false;
    }
    return true;
}

/* Without a file libconfig names none, and the name of an included one lives in the parsed text
 * only. */
static void set_source(config_setting_t *setting)
{
    setting->file = "--set";
    for (int i = 0; config_setting_is_aggregate(setting) && i < config_setting_length(setting); i++)
        set_source(config_setting_get_elem(setting, (unsigned)i));
}

/* The group that the last name of path is in, made where it is missing. */
static int parent_of(config_t *config, const char *path, config_setting_t **ret_parent,
                     const char **ret_name, struct err_text *et)
{
    config_setting_t *group = config_root_setting(config);
    const char *name = path, *dot;

    while ((dot = strchr(name, '.'))) {
        char part[64];
        config_setting_t *next;

        snprintf(part, sizeof(part), "%.*s", (int)(dot - name), name);
        next = config_setting_get_member(group, part);
        if (next && !config_setting_is_group(next))
            return err_set(et, ERR_CONFIG, "--set: \"%s\": \"%.*s\" is not a group, expected one",
                           path, (int)(dot - path), path);
        group = next ? next : config_setting_add(group, part, CONFIG_TYPE_GROUP);
        if (!group)
            return err_set(et, ERR_NO_MEMORY, "out of memory");
        name = dot + 1;
    }
    *ret_parent = group;
    *ret_name = name;
    return 0;
}

static int put(config_t *config, const struct option *option, const config_t *parsed,
               struct err_text *et)
{
    config_setting_t *from = config_lookup(parsed, "value"), *parent = NULL;
    const char *name = NULL;
    int r;

    if (config_setting_length(config_root_setting(parsed)) != 1)
        return err_set(et, ERR_CONFIG, "--set: \"%s\" has more than one value, expected one",
                       option->path);
    if (!config_setting_is_aggregate(from))
        return err_set(et, ERR_CONFIG, "--set: \"%s\" is not a list or a group, expected one",
                       option->path);
    set_source(from);
    r = option->check ? option->check(from, et) : 0;
    if (r == 0)
        r = parent_of(config, option->path, &parent, &name, et);
    if (r < 0)
        return r;
    if (config_setting_get_member(parent, name))
        config_setting_remove(parent, name);
    if (!copy(parent, name, from))
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    return 0;
}

int option_list_set(config_t *config, const struct option *option, const char *text,
                    struct err_text *et)
{
    AUTO_FREE char *whole = NULL;
    config_t parsed;
    int r = option_scan_text("--set", text, et);

    if (r < 0)
        return r;
    if (asprintf(&whole, "value = %s;", text) < 0) {
        whole = NULL;
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    }
    config_init(&parsed);
    if (config_read_string(&parsed, whole) != CONFIG_TRUE)
        r = err_set(et, ERR_CONFIG,
                    "--set: \"%s\": %s, expected the syntax of a configuration file", option->path,
                    config_error_text(&parsed));
    else
        r = put(config, option, &parsed, et);
    config_destroy(&parsed);
    return r;
}
