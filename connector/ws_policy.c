#include "connector/ws_policy.h"

#include <stdlib.h>
#include <string.h>

#include "common/option_group.h"

#define ORIGINS "websocket.origins"

bool ws_origin_valid(const char *origin)
{
    const char *host = strstr(origin, "://");

    if (host == NULL || host == origin || host[3] == '\0')
        return false;
    return strcspn(host + 3, "/?#@*, \t") == strlen(host + 3);
}

static int refuse(const config_setting_t *setting, const char *what, struct err_text *et)
{
    return err_set(et, ERR_CONFIG,
                   "%s:%d: \"" ORIGINS "\": %s, expected a list of origins without paths, as "
                   "( \"https://chat.example.org\", \"http://localhost:8000\" )",
                   option_source(setting), config_setting_source_line(setting), what);
}

int ws_origins_check(const config_setting_t *setting, struct err_text *et)
{
    int type = config_setting_type(setting);

    if (type != CONFIG_TYPE_LIST && type != CONFIG_TYPE_ARRAY)
        return refuse(setting, "not a list", et);
    for (int i = 0; i < config_setting_length(setting); i++) {
        const char *origin = config_setting_get_string_elem(setting, i);
        char what[128];

        if (origin == NULL)
            return refuse(setting, "an element is not a string", et);
        if (!ws_origin_valid(origin)) {
            snprintf(what, sizeof(what), "\"%.100s\" is not an origin", origin);
            return refuse(setting, what, et);
        }
    }
    return 0;
}

static int copy_origins(const config_setting_t *list, struct ws_policy *policy)
{
    int count = config_setting_length(list);

    if (count == 0)
        return 0;
    policy->origins = calloc((size_t)count, sizeof(*policy->origins));
    if (policy->origins == NULL)
        return ERR_NO_MEMORY;
    for (int i = 0; i < count; i++) {
        policy->origins[i] = strdup(config_setting_get_string_elem(list, i));
        if (policy->origins[i] == NULL)
            return ERR_NO_MEMORY;
        policy->origin_count++;
    }
    return 0;
}

int ws_policy_read(const char *path, const config_t *config, struct ws_policy *ret_policy,
                   struct err_text *et)
{
    const config_setting_t *list = config_lookup(config, ORIGINS);
    struct ws_policy policy = {.path = path};

    if (path[0] != '/' || strpbrk(path, " ?#") != NULL)
        return err_set(et, ERR_CONFIG,
                       "\"websocket.path\" is \"%s\", expected a path as in an URL, as \"/mqtt\"",
                       path);
    if (list != NULL && copy_origins(list, &policy) < 0) {
        ws_policy_fini(&policy);
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    }
    *ret_policy = policy;
    return 0;
}

void ws_policy_fini(struct ws_policy *policy)
{
    for (uint32_t i = 0; i < policy->origin_count; i++)
        free(policy->origins[i]);
    free(policy->origins);
    *policy = (struct ws_policy){0};
}
