/* json_fields - one pass over the object's keys, a linear search in the table for each: tables have
 * ten rows. */
#include "json_fields.h"

#include <stdarg.h>
#include <string.h>

int json_problem_set(struct json_problem *problem, const char *key, const char *fmt, ...)
{
    va_list args;

    snprintf(problem->key, sizeof(problem->key), "%s", key);
    va_start(args, fmt);
    vsnprintf(problem->text.text, sizeof(problem->text.text), fmt, args);
    va_end(args);
    return ERR_INVALID;
}

static int read_uint(const struct json_field *field, const json_t *value,
                     struct json_problem *problem)
{
    json_int_t number = json_integer_value(value);

    if (!json_is_integer(value) || number < 0 || (uint64_t)number < field->min ||
        (uint64_t)number > field->max)
        return json_problem_set(problem, field->name, "\"%s\" must be an integer from %llu to %llu",
                                field->name, (unsigned long long)field->min,
                                (unsigned long long)field->max);
    *(uint64_t *)field->value = (uint64_t)number;
    return 0;
}

static int read_text(const struct json_field *field, const json_t *value,
                     struct json_problem *problem)
{
    size_t len = json_string_length(value);

    if (!json_is_string(value) || len == 0 || len > field->max)
        return json_problem_set(problem, field->name, "\"%s\" must be a string of 1 to %llu bytes",
                                field->name, (unsigned long long)field->max);
    memcpy(field->value, json_string_value(value), len + 1);
    return 0;
}

static int read_field(const struct json_field *field, const json_t *value,
                      struct json_problem *problem)
{
    if (field->set != NULL)
        *field->set = true;
    switch (field->type) {
    case FIELD_UINT:
        return read_uint(field, value, problem);
    case FIELD_TEXT:
        return read_text(field, value, problem);
    case FIELD_BOOL:
        break;
    }
    if (!json_is_boolean(value))
        return json_problem_set(problem, field->name, "\"%s\" must be true or false", field->name);
    *(bool *)field->value = json_is_true(value);
    return 0;
}

static int unknown_key(const char *key, const struct json_field *fields, size_t count,
                       struct json_problem *problem)
{
    char names[256] = "";
    size_t len = 0;

    for (size_t i = 0; i < count && len < sizeof(names); i++)
        len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s", i > 0 ? ", " : "",
                                fields[i].name);
    return json_problem_set(problem, key, "unknown key \"%.63s\", expected any of %s", key, names);
}

int json_fields_read(const char *text, size_t len, const struct json_field *fields, size_t count,
                     struct json_problem *ret_problem)
{
    json_error_t error;
    json_t *object = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error), *value;
    const char *key;
    int r = 0;

    if (object == NULL)
        return json_problem_set(ret_problem, "", "not JSON: %s, line %d", error.text, error.line);
    if (!json_is_object(object)) {
        json_decref(object);
        return json_problem_set(ret_problem, "", "not a JSON object");
    }
    json_object_foreach(object, key, value)
    {
        size_t i = 0;

        while (i < count && strcmp(fields[i].name, key) != 0)
            i++;
        r = i < count ? read_field(&fields[i], value, ret_problem)
                      : unknown_key(key, fields, count, ret_problem);
        if (r < 0)
            break;
    }
    json_decref(object);
    return r;
}
