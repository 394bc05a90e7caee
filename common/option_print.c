/* What --print-config shows has to be a file that --config takes again, to the same values. The
 * table is flat and libconfig's file a tree in which a group may stand only once, so the table is
 * walked level by level: each name of a level is written where it comes first, with all below it.
 * Lists are written from the parsed tree. Quadratic in the number of options, for people only. */
#include "common/option.h"

#include <limits.h>
#include <string.h>

#define INDENT 4

static void put_indent(unsigned depth, FILE *out)
{
    fprintf(out, "%*s", (int)(depth * INDENT), "");
}

/* As libconfig's scanner reads it: known escapes, \xNN for other control characters. */
static void put_string(const char *text, FILE *out)
{
    fputc('"', out);
    for (; *text != '\0'; text++) {
        unsigned char character = (unsigned char)*text;
        if (character == '"' || character == '\\')
            fprintf(out, "\\%c", character);
        else if (character < 0x20 || character == 0x7F)
            fprintf(out, "\\x%02x", character);
        else
            fputc(character, out);
    }
    fputc('"', out);
}

/* Without the suffix libconfig 1.5 reads 32 bits and drops the others. */
static void put_integer(long long value, FILE *out)
{
    fprintf(out, "%lld%s", value, value > INT_MAX || value < INT_MIN ? "L" : "");
}

static void put_float(double value, FILE *out)
{
    char text[40];

    snprintf(text, sizeof(text), "%.17g", value);
    fputs(text, out);
    if (strpbrk(text, ".e") == NULL) /* or it would be read as an integer */
        fputs(".0", out);
}

static void put_setting(const config_setting_t *setting, unsigned depth, FILE *out);

static void put_group(const config_setting_t *group, unsigned depth, FILE *out)
{
    fputs("{\n", out);
    for (int i = 0; i < config_setting_length(group); i++) {
        const config_setting_t *member = config_setting_get_elem(group, (unsigned)i);
        put_indent(depth + 1, out);
        fprintf(out, "%s = ", config_setting_name(member));
        put_setting(member, depth + 1, out);
        fputs(";\n", out);
    }
    put_indent(depth, out);
    fputc('}', out);
}

static void put_elements(const config_setting_t *list, unsigned depth, FILE *out)
{
    int count = config_setting_length(list);

    for (int i = 0; i < count; i++) {
        fputs(i != 0 ? ", " : "", out);
        put_setting(config_setting_get_elem(list, (unsigned)i), depth, out);
    }
}

/* Recursion is as deep as the file was nested, which its parser bounds. */
static void put_setting(const config_setting_t *setting, unsigned depth, FILE *out)
{
    switch (config_setting_type(setting)) {
    case CONFIG_TYPE_GROUP:
        put_group(setting, depth, out);
        break;
    case CONFIG_TYPE_LIST:
        fputc('(', out);
        put_elements(setting, depth, out);
        fputc(')', out);
        break;
    case CONFIG_TYPE_ARRAY:
        fputc('[', out);
        put_elements(setting, depth, out);
        fputc(']', out);
        break;
    case CONFIG_TYPE_STRING:
        put_string(config_setting_get_string(setting), out);
        break;
    case CONFIG_TYPE_BOOL:
        fputs(config_setting_get_bool(setting) != CONFIG_FALSE ? "true" : "false", out);
        break;
    case CONFIG_TYPE_FLOAT:
        put_float(config_setting_get_float(setting), out);
        break;
    case CONFIG_TYPE_INT64: /* an array's elements must have one type: keep the suffix */
        fprintf(out, "%lldL", config_setting_get_int64(setting));
        break;
    default:
        put_integer(config_setting_get_int64(setting), out);
        break;
    }
}

/* "help (1 to 65535, default 1883, reloadable)" */
static void put_help(const struct option *option, unsigned depth, FILE *out)
{
    bool number = option->type == OPTION_UINT || option->type == OPTION_UINT64;
    const char *between = " (";

    put_indent(depth, out);
    fprintf(out, "# %s", option->help);
    if (number) {
        uint64_t max = option->max < INT64_MAX ? option->max : INT64_MAX; /* libconfig's limit */
        fprintf(out, "%s%llu to %llu", between, (unsigned long long)option->min,
                (unsigned long long)max);
        between = ", ";
    }
    if (option->type != OPTION_LIST) {
        fprintf(out, "%sdefault ", between);
        if (option->type == OPTION_STRING)
            put_string(option->default_value, out);
        else
            fputs(option->default_value, out);
        between = ", ";
    }
    if (option->reloadable) {
        fprintf(out, "%sreloadable", between);
        between = ", ";
    }
    fputs(strcmp(between, ", ") == 0 ? ")\n" : "\n", out);
}

static void put_option(const struct option_set *set, const struct option *option, const char *name,
                       unsigned depth, FILE *out)
{
    const void *value = (const char *)set->values + option->offset;
    const config_setting_t *list = NULL;

    put_help(option, depth, out);
    put_indent(depth, out);
    if (option->type == OPTION_LIST) {
        list = config_lookup(&set->config, option->path);
        if (list == NULL) {
            fprintf(out, "# %s is not set\n", name);
            return;
        }
    }
    fprintf(out, "%s = ", name);
    switch (option->type) {
    case OPTION_BOOL:
        fputs(*(const bool *)value ? "true" : "false", out);
        break;
    case OPTION_UINT:
        put_integer(*(const uint32_t *)value, out);
        break;
    case OPTION_UINT64:
        put_integer((long long)*(const uint64_t *)value, out);
        break;
    case OPTION_STRING:
        put_string(*(const char *const *)value, out);
        break;
    case OPTION_LIST:
        put_setting(list, depth, out);
        break;
    }
    fputs(";\n", out);
}

/* Did an option before this one begin with the first len characters of its path, too? */
static bool seen(const struct option_set *set, size_t index, size_t len)
{
    for (size_t i = 0; i < index; i++) {
        if (strncmp(set->table[i].path, set->table[index].path, len) == 0)
            return true;
    }
    return false;
}

/* Everything whose path begins with the prefix_len characters of prefix, which end with a dot. */
static void put_level(const struct option_set *set, const char *prefix, size_t prefix_len,
                      unsigned depth, FILE *out)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct option *option = &set->table[i];
        if (strncmp(option->path, prefix, prefix_len) != 0)
            continue;
        const char *name = option->path + prefix_len;
        size_t name_len = strcspn(name, ".");
        if (name[name_len] == '\0') {
            put_option(set, option, name, depth, out);
        } else if (!seen(set, i, prefix_len + name_len + 1)) {
            put_indent(depth, out);
            fprintf(out, "%.*s = {\n", (int)name_len, name);
            put_level(set, option->path, prefix_len + name_len + 1, depth + 1, out);
            put_indent(depth, out);
            fputs("};\n", out);
        }
    }
}

void option_set_print(const struct option_set *set, FILE *out)
{
    put_level(set, "", 0, 0, out);
}
