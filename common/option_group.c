#include "common/option_group.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/auto.h"

const char *option_source(const config_setting_t *setting)
{
    const char *file = config_setting_source_file(setting);

    return file != NULL ? file : "configuration";
}

/* "kid, algorithm and file" */
static void list_fields(const struct option_group *what, char *buf, size_t size)
{
    size_t used = 0;

    buf[0] = '\0';
    for (size_t i = 0; i < what->field_count && used < size; i++) {
        const char *before = i == 0 ? "" : i + 1 < what->field_count ? ", " : " and ";

        used += (size_t)snprintf(buf + used, size - used, "%s%s", before, what->fields[i]);
    }
}

static bool is_field(const struct option_group *what, const char *name)
{
    for (size_t i = 0; i < what->field_count; i++) {
        if (strcmp(name, what->fields[i]) == 0)
            return true;
    }
    return false;
}

int option_group_check(const config_setting_t *group, const struct option_group *what,
                       struct err_text *et)
{
    const char *text;
    char expected[128];

    if (config_setting_type(group) != CONFIG_TYPE_GROUP)
        return err_set(et, ERR_CONFIG, "%s:%d: an element of \"%s\" is not a group { ... }",
                       option_source(group), config_setting_source_line(group), what->option);
    for (size_t i = 0; i < what->field_count; i++) {
        if (config_setting_lookup_string(group, what->fields[i], &text) != CONFIG_TRUE)
            return err_set(et, ERR_CONFIG,
                           "%s:%d: an element of \"%s\" has no \"%s\", expected a string",
                           option_source(group), config_setting_source_line(group), what->option,
                           what->fields[i]);
    }
    for (int i = 0; i < config_setting_length(group); i++) {
        const config_setting_t *field = config_setting_get_elem(group, (unsigned)i);

        if (is_field(what, config_setting_name(field)))
            continue;
        list_fields(what, expected, sizeof(expected));
        return err_set(et, ERR_CONFIG,
                       "%s:%d: unknown option \"%s\" in an element of \"%s\", expected %s",
                       option_source(field), config_setting_source_line(field),
                       config_setting_name(field), what->option, expected);
    }
    return 0;
}

char *option_path(const config_setting_t *setting, const char *file)
{
    const char *source = setting != NULL ? config_setting_source_file(setting) : NULL;
    const char *slash = source != NULL ? strrchr(source, '/') : NULL;
    char *path;

    if (file[0] == '/' || slash == NULL)
        return strdup(file);
    if (asprintf(&path, "%.*s/%s", (int)(slash - source), source, file) < 0)
        return NULL;
    return path;
}
