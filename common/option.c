/* A daemon has some fifty settings; each needs a default, a range, an error that says where, and a
 * line in the manual. Written out by hand these drift apart, so all of it comes from one table.
 *
 * Method: libconfig parses the file to a tree, and the tree is walked against the table, not the
 * table against the tree: so what the table does not know is found, with its file and line. Lists
 * belong to the module that reads them and are only handed to its check. `--set` goes through the
 * same conversions as the table's own defaults. Cost: each setting is compared with each option,
 * once, at start-up. */
#include "common/option.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/auto.h"
#include "common/option_list.h"
#include "common/option_scan.h"

#define PATH_SIZE 256  /* dotted path of a setting; the table's are far shorter */
#define PLACE_SIZE 256 /* "FILE:LINE" in an error: half of an err_text */

/* Where a value was found: in a line of a file, or (file is NULL) on the command line. */
struct place {
    const char *file;
    unsigned line;
};

static const char *place_text(struct place place, char buf[PLACE_SIZE])
{
    if (place.file == NULL)
        snprintf(buf, PLACE_SIZE, "--set");
    else
        snprintf(buf, PLACE_SIZE, "%s:%u", place.file, place.line);
    return buf;
}

static struct place place_of(const config_setting_t *setting)
{
    return (struct place){.file = config_setting_source_file(setting),
                          .line = config_setting_source_line(setting)};
}

/* libconfig's integers are signed: what is beyond could be set but not written to a file. */
static uint64_t max_of(const struct option *option)
{
    uint64_t limit = option->type == OPTION_UINT ? UINT32_MAX : INT64_MAX;

    return option->max < limit ? option->max : limit;
}

/* `WHERE: "path" is WHAT, expected ...`, in the words that fit the option. */
static int wrong_value(const struct option *option, struct place place, const char *what,
                       struct err_text *et)
{
    char where[PLACE_SIZE], expected[64] = "a string";

    if (option->type == OPTION_BOOL)
        snprintf(expected, sizeof(expected), "true or false");
    else if (option->type == OPTION_UINT || option->type == OPTION_UINT64)
        snprintf(expected, sizeof(expected), "%llu to %llu", (unsigned long long)option->min,
                 (unsigned long long)max_of(option));
    else if (option->max != 0)
        snprintf(expected, sizeof(expected), "a string of at most %llu bytes",
                 (unsigned long long)option->max);
    return err_set(et, ERR_CONFIG, "%s: \"%s\" is %s, expected %s", place_text(place, where),
                   option->path, what, expected);
}

static void *value_at(const struct option_set *set, const struct option *option)
{
    return (char *)set->values + option->offset;
}

static int store_uint(struct option_set *set, const struct option *option, uint64_t value,
                      struct place place, struct err_text *et)
{
    if (value < option->min || value > max_of(option)) {
        char text[24];
        snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
        return wrong_value(option, place, text, et);
    }
    if (option->type == OPTION_UINT)
        *(uint32_t *)value_at(set, option) = (uint32_t)value;
    else
        *(uint64_t *)value_at(set, option) = value;
    return 0;
}

/* A copy of text that lives as long as the set; NULL when out of memory. */
static const char *keep_string(struct option_set *set, const char *text)
{
    char **strings = reallocarray(set->strings, set->string_count + 1, sizeof(char *));

    if (strings == NULL)
        return NULL;
    set->strings = strings;
    strings[set->string_count] = strdup(text);
    if (strings[set->string_count] == NULL)
        return NULL;
    return strings[set->string_count++];
}

static int store_string(struct option_set *set, const struct option *option, const char *text,
                        struct place place, struct err_text *et)
{
    size_t len = strlen(text);

    if (option->max != 0 && len > option->max) {
        char what[48];
        snprintf(what, sizeof(what), "%zu bytes long", len);
        return wrong_value(option, place, what, et);
    }
    const char *kept = keep_string(set, text);
    if (kept == NULL)
        return err_set(et, ERR_NO_MEMORY, "%s", err_string(ERR_NO_MEMORY));
    *(const char **)value_at(set, option) = kept;
    return 0;
}

/* Digits only: no sign, no space, no other base. False when it is not a number of 64 bits. */
static bool parse_uint(const char *text, uint64_t *ret_value)
{
    char *end;

    if (*text == '\0' || text[strspn(text, "0123456789")] != '\0')
        return false;
    errno = 0;
    *ret_value = strtoull(text, &end, 10);
    return errno == 0;
}

/* text: in the syntax of --set, which is that of default_value too. */
static int store_text(struct option_set *set, const struct option *option, const char *text,
                      struct place place, struct err_text *et)
{
    bool is_true = strcmp(text, "true") == 0;
    uint64_t number;
    char what[PATH_SIZE];

    if (option->type == OPTION_STRING)
        return store_string(set, option, text, place, et);
    if (option->type == OPTION_BOOL && (is_true || strcmp(text, "false") == 0)) {
        *(bool *)value_at(set, option) = is_true;
        return 0;
    }
    if (option->type != OPTION_BOOL && parse_uint(text, &number))
        return store_uint(set, option, number, place, et);
    snprintf(what, sizeof(what), "\"%s\"", text);
    return wrong_value(option, place, what, et);
}

static const char *type_name(const config_setting_t *setting)
{
    switch (config_setting_type(setting)) {
    case CONFIG_TYPE_GROUP:
        return "a group";
    case CONFIG_TYPE_LIST:
        return "a list";
    case CONFIG_TYPE_ARRAY:
        return "an array";
    case CONFIG_TYPE_STRING:
        return "a string";
    case CONFIG_TYPE_BOOL:
        return "true or false";
    case CONFIG_TYPE_FLOAT:
        return "a fraction";
    default:
        return "a number";
    }
}

static int store_setting(struct option_set *set, const struct option *option,
                         const config_setting_t *setting, struct err_text *et)
{
    struct place place = place_of(setting);
    int type = config_setting_type(setting);
    bool integer = type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64;

    if (option->type == OPTION_LIST) {
        int r = option->check != NULL ? option->check(setting, et) : 0;
        return r < 0 ? r : 0;
    }
    if (option->type == OPTION_STRING && type == CONFIG_TYPE_STRING)
        return store_string(set, option, config_setting_get_string(setting), place, et);
    if (option->type == OPTION_BOOL && type == CONFIG_TYPE_BOOL) {
        *(bool *)value_at(set, option) = config_setting_get_bool(setting) != CONFIG_FALSE;
        return 0;
    }
    if ((option->type == OPTION_UINT || option->type == OPTION_UINT64) && integer) {
        long long value = config_setting_get_int64(setting);
        char text[24];
        if (value >= 0)
            return store_uint(set, option, (uint64_t)value, place, et);
        snprintf(text, sizeof(text), "%lld", value);
        return wrong_value(option, place, text, et);
    }
    return wrong_value(option, place, type_name(setting), et);
}

static const struct option *find_option(const struct option_set *set, const char *path)
{
    for (size_t i = 0; i < set->count; i++) {
        if (strcmp(set->table[i].path, path) == 0)
            return &set->table[i];
    }
    return NULL;
}

/* Is path what some options' paths begin with? */
static bool is_group(const struct option_set *set, const char *path)
{
    size_t len = strlen(path);

    for (size_t i = 0; i < set->count; i++) {
        if (strncmp(set->table[i].path, path, len) == 0 && set->table[i].path[len] == '.')
            return true;
    }
    return false;
}

/* Levenshtein's distance between a and the first b_len characters of b. */
static size_t distance(const char *a, const char *b, size_t b_len)
{
    size_t row[PATH_SIZE];

    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t diagonal = row[0]; /* of the row above */
        row[0] = i + 1;
        for (size_t j = 0; j < b_len; j++) {
            size_t best = diagonal + (a[i] != b[j] ? 1 : 0);
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j + 1] + 1 < best)
                best = row[j + 1] + 1;
            diagonal = row[j + 1];
            row[j + 1] = best;
        }
    }
    return row[b_len];
}

static int unknown_option(const struct option_set *set, const char *path, struct place place,
                          struct err_text *et)
{
    /* More than a third of the letters wrong is another word, not a slip. */
    size_t nearest = strlen(path) / 3 + 2;
    const char *known = NULL;
    int known_len = 0;
    char where[PLACE_SIZE];

    for (size_t i = 0; i < set->count; i++) {
        const char *candidate = set->table[i].path;
        for (size_t len = 1; len <= strlen(candidate); len++) {
            if (candidate[len] != '.' && candidate[len] != '\0')
                continue; /* groups and whole paths only */
            size_t far = distance(path, candidate, len);
            if (far < nearest) {
                nearest = far;
                known = candidate;
                known_len = (int)len;
            }
        }
    }
    place_text(place, where);
    if (known == NULL)
        return err_set(et, ERR_CONFIG, "%s: unknown option \"%s\"", where, path);
    return err_set(et, ERR_CONFIG, "%s: unknown option \"%s\", did you mean \"%.*s\"?", where, path,
                   known_len, known);
}

/* Recursion goes no deeper than the table's paths do. */
static int read_group(struct option_set *set, const config_setting_t *group, const char *prefix,
                      struct err_text *et)
{
    int count = config_setting_length(group);

    for (int i = 0; i < count; i++) {
        const config_setting_t *setting = config_setting_get_elem(group, (unsigned)i);
        char path[PATH_SIZE], where[PLACE_SIZE];
        int r;

        /* A path that is cut off is unknown in any case. */
        snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix != '\0' ? "." : "",
                 config_setting_name(setting));
        const struct option *option = find_option(set, path);
        if (option != NULL)
            r = store_setting(set, option, setting, et);
        else if (!is_group(set, path))
            r = unknown_option(set, path, place_of(setting), et);
        else if (!config_setting_is_group(setting))
            r = err_set(et, ERR_CONFIG, "%s: \"%s\" is %s, expected a group",
                        place_text(place_of(setting), where), path, type_name(setting));
        else
            r = read_group(set, setting, path, et);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Text that was not read through a FILE has no file name; checks and modules want to say one. */
static void name_source(config_setting_t *setting, const char *file)
{
    if (setting->file == NULL)
        setting->file = file;
    if (!config_setting_is_aggregate(setting))
        return;
    for (int i = 0; i < config_setting_length(setting); i++)
        name_source(config_setting_get_elem(setting, (unsigned)i), file);
}

static int read_file(struct option_set *set, const char *file, struct err_text *et)
{
    AUTO_FREE char *text = NULL;
    const char *kept = keep_string(set, file);

    if (kept == NULL)
        return err_set(et, ERR_NO_MEMORY, "%s", err_string(ERR_NO_MEMORY));
    int r = option_scan_read(file, &text, et);
    if (r < 0)
        return r;
    if (config_read_string(&set->config, text) != CONFIG_TRUE) {
        const char *wrong = config_error_file(&set->config);
        return err_set(et, ERR_CONFIG, "%s:%d: %s", wrong != NULL ? wrong : file,
                       config_error_line(&set->config), config_error_text(&set->config));
    }
    name_source(config_root_setting(&set->config), kept);
    return read_group(set, config_root_setting(&set->config), "", et);
}

/* The list that path is, or leads into; NULL when there is none. */
static const struct option *find_list(const struct option_set *set, const char *path)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct option *option = &set->table[i];
        size_t len = strlen(option->path);
        if (option->type == OPTION_LIST && strncmp(path, option->path, len) == 0 &&
            (path[len] == '\0' || path[len] == '.' || path[len] == '['))
            return option;
    }
    return NULL;
}

static int apply_override(struct option_set *set, const char *override, struct err_text *et)
{
    const struct place place = {.file = NULL};
    const char *value = strchr(override, '=');
    char path[PATH_SIZE];

    if (value == NULL)
        return err_set(et, ERR_CONFIG, "--set: \"%s\" has no value, expected path=value", override);
    snprintf(path, sizeof(path), "%.*s", (int)(value - override), override);
    const struct option *list = find_list(set, path);
    if (list != NULL && strcmp(list->path, path) == 0)
        return option_list_set(&set->config, list, value + 1, et);
    if (list != NULL)
        return err_set(et, ERR_CONFIG,
                       "--set: \"%s\" is in the list \"%s\", which can only be set as a whole",
                       path, list->path);
    const struct option *option = find_option(set, path);
    if (option != NULL)
        return store_text(set, option, value + 1, place, et);
    if (is_group(set, path))
        return err_set(et, ERR_CONFIG, "--set: \"%s\" is a group, expected one of its options",
                       path);
    return unknown_option(set, path, place, et);
}

void option_set_init(struct option_set *set, const struct option *table, size_t count, void *values)
{
    *set = (struct option_set){.table = table, .count = count, .values = values};
    config_init(&set->config);
    for (size_t i = 0; i < count; i++) {
        const struct option *option = &table[i];
        assert(strlen(option->path) < PATH_SIZE);
        if (option->type == OPTION_LIST)
            continue;
        assert(option->default_value != NULL);
        if (option->type == OPTION_STRING) { /* without a copy, so that it can't fail */
            *(const char **)value_at(set, option) = option->default_value;
            continue;
        }
        int r = store_text(set, option, option->default_value, (struct place){0}, NULL);
        assert(r == 0); /* else the table contradicts itself */
        (void)r;        /* without asserts */
    }
}

void option_set_fini(struct option_set *set)
{
    config_destroy(&set->config);
    for (size_t i = 0; i < set->string_count; i++)
        free(set->strings[i]);
    free(set->strings);
    *set = (struct option_set){0};
}

int option_set_load(struct option_set *set, const char *file, const char *const *overrides,
                    size_t override_count, struct err_text *et)
{
    assert(!set->loaded);

    set->loaded = true;
    int r = file != NULL ? read_file(set, file, et) : 0;
    for (size_t i = 0; i < override_count && r == 0; i++)
        r = apply_override(set, overrides[i], et);
    return r;
}
