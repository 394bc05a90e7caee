/* options - see the header. */
#include "plugin-host/options.h"

#include "common/auto.h"
#include "common/log.h"
#include "plugin-host/plugin_file.h"

#include <string.h>

#define AT(field) offsetof(struct host_options, field)

const struct option host_options_table[] = {
    {"index", OPTION_UINT, AT(index), "0", 0, 65535, false, "number of the broker, for logs", NULL},
    {"log.level", OPTION_STRING, AT(log_level), "info", 0, 16, false,
     "error, warning, info or debug", NULL},
    {"endpoint", OPTION_STRING, AT(endpoint), "", 0, 255, false,
     "ZeroMQ endpoint of the broker that started this host", NULL},
    {"plugin.file", OPTION_STRING, AT(plugin_file), "", 0, 4096, false,
     "path of the plugin's shared object", NULL},
    {"plugin.name", OPTION_STRING, AT(plugin_name), "", 0, 32, false,
     "name the plugin must have; empty: any", NULL},
    {"memory_mb", OPTION_UINT, AT(memory_mb), "0", 0, 1048576, false,
     "allocations fail when the process has so much data, megabytes; 0: no limit", NULL},
    /* far above any pause of a living broker, which asks every second: a last resort, because the
     * kernel ends the host together with its broker */
    {"silence_ms", OPTION_UINT, AT(silence_ms), "600000", 1000, UINT32_MAX, false,
     "the host ends when it has not heard of its broker for so long, milliseconds", NULL},
};

const size_t host_options_count = ARRAY_LEN(host_options_table);

int host_options_load(const struct host_options *options, struct plugin_file *ret_file,
                      struct err_text *et)
{
    struct plugin_file file = {0};
    int r = plugin_file_load(options->plugin_file, &file, et);

    if (r < 0)
        return r;
    if (options->plugin_name[0] != '\0' && strcmp(options->plugin_name, file.descriptor->name) != 0)
        r = err_set(et, ERR_PLUGIN, "plugin \"%s\" calls itself \"%s\", expected \"%s\"",
                    options->plugin_file, file.descriptor->name, options->plugin_name);
    else if (file.descriptor->flags & DP_USES_SOCKET)
        r = err_set(et, ERR_PLUGIN,
                    "plugin \"%s\" uses the device's socket, which only the broker has: expected "
                    "hosted = false",
                    options->plugin_file);
    if (r < 0)
        plugin_file_unload(&file);
    else
        *ret_file = file;
    return r;
}

int host_options_check(struct option_set *set, struct err_text *et)
{
    const struct host_options *options = set->values;
    struct plugin_file file = {0};
    enum log_level level;
    int r;

    if (log_level_parse(options->log_level, &level) < 0)
        return err_set(et, ERR_CONFIG,
                       "log.level is \"%s\", expected error, warning, info or debug",
                       options->log_level);
    if (options->plugin_file[0] == '\0')
        return err_set(et, ERR_CONFIG, "plugin.file is empty, expected the path of a plugin");
    r = host_options_load(options, &file, et);
    if (r == 0)
        plugin_file_unload(&file);
    return r;
}
