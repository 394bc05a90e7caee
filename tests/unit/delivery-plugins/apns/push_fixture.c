/* push_fixture - see the header. */
#include "push_fixture.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/auto.h"

struct push_host host;
struct push_server server;
struct push_keys keys;

void push_set_up(void)
{
    push_keys_make(&keys);
    push_host_init(&host);
    push_server_init(&server, &host, &keys);
}

void push_tear_down(void)
{
    push_host_close(&host);
    push_server_fini(&server);
    push_host_fini(&host);
    push_keys_remove(&keys);
}

static void set(struct dp_setting *settings, size_t *count, const char *path, const char *value)
{
    static char where[32][32];
    size_t i = 0;

    while (i < *count && strcmp(settings[i].path, path) != 0)
        i++;
    if (i == *count)
        (*count)++;
    snprintf(where[i], sizeof(where[i]), "t.conf:%zu", i + 1);
    settings[i] = (struct dp_setting){.path = path, .value = value, .where = where[i]};
}

int32_t push_try_open(const char *path, ...)
{
    struct dp_setting settings[32] = {{0}};
    size_t count = 0, kept = 0;
    char port[8];
    va_list args;

    snprintf(port, sizeof(port), "%u", server.port);
    set(settings, &count, "keys[0].team", "TEAM567890");
    set(settings, &count, "keys[0].kid", "KID4567890");
    set(settings, &count, "keys[0].file", keys.p8);
    set(settings, &count, "keys[0].topics[0]", "com.example.app");
    set(settings, &count, "production.host", "127.0.0.1");
    set(settings, &count, "production.port", port);
    set(settings, &count, "development.host", "127.0.0.1");
    set(settings, &count, "development.port", port);
    set(settings, &count, "tls.ca_file", keys.certificate);
    va_start(args, path);
    for (; path; path = va_arg(args, const char *))
        set(settings, &count, path, va_arg(args, const char *));
    va_end(args);
    for (size_t i = 0; i < count; i++) {
        if (settings[i].value[0] != '\0')
            settings[kept++] = settings[i];
    }
    return push_host_open_with(&host, settings, kept);
}
