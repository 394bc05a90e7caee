/* test_plugin - one source, several plugins for the loader's tests: VARIANT_* says what is wrong.
 */
#include "beckon/delivery_plugin.h"

#include <stdio.h>

static int32_t test_open(const struct dp_host *host, const struct dp_setting *settings,
                         size_t count, void **ret_instance, char *error, size_t error_size)
{
    static int instance;

    (void)host;
    *ret_instance = &instance;
#ifdef VARIANT_OPEN_FAILS
    snprintf(error, error_size, "%s: no such key \"%s\"=%s, expected none",
             count > 0 ? settings[0].where : "", count > 0 ? settings[0].path : "",
             count > 0 ? settings[0].value : "");
    return -1;
#else
    (void)settings, (void)count, (void)error, (void)error_size;
    return 0;
#endif
}

static int32_t test_deliver(void *instance, const struct dp_delivery *delivery)
{
    (void)instance, (void)delivery;
    return -1;
}

#ifdef VARIANT_EXPORTS
DP_EXPORT void test_extra(void);
DP_EXPORT void test_extra(void)
{
}
#endif

static void test_close(void *instance)
{
    (void)instance;
}

DP_EXPORT const struct dp_plugin *dp_plugin_query(uint32_t host_abi)
{
    static const struct dp_plugin plugin = {
        .struct_size = sizeof(plugin),
#ifdef VARIANT_OTHER_ABI
        .abi = DP_ABI + 1,
#else
        .abi = DP_ABI,
#endif
#ifdef VARIANT_NO_NAME
        .name = "No Name",
#else
        .name = "test",
#endif
        .version = "1",
        .open = test_open,
#ifndef VARIANT_NO_DELIVER
        .deliver = test_deliver,
#endif
        .close = test_close,
    };

    (void)host_abi;
    (void)test_deliver;
    return &plugin;
}
