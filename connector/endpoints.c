#include "connector/endpoints.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/members.h"
#include "common/option_group.h"

#define ENDPOINTS "broker.endpoints"
/* A broker of this machine, on its own default. */
#define DEFAULT_ENDPOINT "tcp://127.0.0.1:7400"

static int refuse(const config_setting_t *setting, const char *what, struct err_text *et)
{
    return err_set(et, ERR_CONFIG,
                   "%s:%d: \"" ENDPOINTS "\": %s, expected a list of 1 to %d endpoints, as "
                   "( \"tcp://10.0.0.1:7400\", \"tcp://10.0.0.2:7400\" )",
                   option_source(setting), config_setting_source_line(setting), what,
                   ENDPOINTS_MAX);
}

int endpoints_check(const config_setting_t *setting, struct err_text *et)
{
    int type = config_setting_type(setting), count = config_setting_length(setting);

    if (type != CONFIG_TYPE_LIST && type != CONFIG_TYPE_ARRAY)
        return refuse(setting, "not a list", et);
    if (count == 0)
        return refuse(setting, "it is empty", et);
    if (count > ENDPOINTS_MAX)
        return refuse(setting, "too many of them", et);
    for (int i = 0; i < count; i++) {
        const char *endpoint = config_setting_get_string_elem(setting, i);
        char what[128];

        if (endpoint == NULL)
            return refuse(setting, "an element is not a string", et);
        if (strlen(endpoint) > MEMBER_ENDPOINT_MAX)
            return refuse(setting, "an element is too long for an endpoint", et);
        if (strstr(endpoint, "://") == NULL) {
            snprintf(what, sizeof(what), "\"%.80s\" is not an endpoint", endpoint);
            return refuse(setting, what, et);
        }
    }
    return 0;
}

static int add(struct endpoints *endpoints, const char *text, struct err_text *et)
{
    char *copy = strdup(text);

    if (copy == NULL)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    endpoints->all[endpoints->count++] = copy;
    return 0;
}

int endpoints_read(const config_t *config, struct endpoints *ret_endpoints, struct err_text *et)
{
    const config_setting_t *list = config_lookup(config, ENDPOINTS);
    struct endpoints endpoints = {.count = 0};
    int r = 0;

    if (list == NULL)
        r = add(&endpoints, DEFAULT_ENDPOINT, et);
    for (int i = 0; list != NULL && r == 0 && i < config_setting_length(list); i++)
        r = add(&endpoints, config_setting_get_string_elem(list, i), et);
    if (r < 0)
        endpoints_fini(&endpoints);
    else
        *ret_endpoints = endpoints;
    return r;
}

void endpoints_fini(struct endpoints *endpoints)
{
    for (unsigned i = 0; i < endpoints->count; i++)
        free(endpoints->all[i]);
    endpoints->count = 0;
}
