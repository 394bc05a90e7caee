/* plugin_file - see the header. */
#include "plugin-host/plugin_file.h"

#include <ctype.h>
#include <dlfcn.h>
#include <string.h>

#define NAME_MAX_LEN 32 /* [a-z][a-z0-9-]{0,31} */

/* dlsym returns an object pointer; ISO C has no cast from it to a function. */
static dp_plugin_query_fn find_query(void *handle)
{
    void *symbol = dlsym(handle, DP_QUERY_SYMBOL);
    dp_plugin_query_fn query;

    memcpy(&query, &symbol, sizeof(query));
    return query;
}

bool plugin_name_valid(const char *name)
{
    size_t len = name ? strnlen(name, NAME_MAX_LEN + 1) : 0;

    if (len == 0 || len > NAME_MAX_LEN || !islower((unsigned char)name[0]))
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];

        if (!islower(c) && !isdigit(c) && c != '-')
            return false;
    }
    return true;
}

static int check_descriptor(const char *path, const struct dp_plugin *d, struct err_text *et)
{
    if (!d)
        return err_set(et, ERR_PLUGIN, "plugin \"%s\": " DP_QUERY_SYMBOL " returned nothing", path);
    /* the first two fields are the same in every ABI */
    if (d->abi != DP_ABI)
        return err_set(et, ERR_PLUGIN,
                       "plugin \"%s\": built for delivery plugin ABI %u, expected %u", path, d->abi,
                       DP_ABI);
    if (d->struct_size < sizeof(struct dp_plugin))
        return err_set(et, ERR_PLUGIN,
                       "plugin \"%s\": its descriptor has %u bytes, expected at least %zu", path,
                       d->struct_size, sizeof(struct dp_plugin));
    if (!plugin_name_valid(d->name))
        return err_set(et, ERR_PLUGIN,
                       "plugin \"%s\": its name is \"%s\", expected [a-z][a-z0-9-]{0,31}", path,
                       d->name ? d->name : "");
    if (!d->version || !d->open || !d->deliver || !d->close)
        return err_set(et, ERR_PLUGIN, "plugin \"%s\": lacks one of version, open, deliver, close",
                       path);
    if ((d->flags & DP_USES_SOCKET) && !d->socket_result)
        return err_set(et, ERR_PLUGIN, "plugin \"%s\": uses the socket but has no socket_result",
                       path);
    return 0;
}

int plugin_file_load(const char *path, struct plugin_file *ret_file, struct err_text *et)
{
    /* Now, so that a missing symbol is found here and not at the first delivery; local, so that two
     * plugins never see each other. */
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    dp_plugin_query_fn query;
    const struct dp_plugin *descriptor;
    int r;

    if (!handle)
        return err_set(et, ERR_PLUGIN, "could not load plugin: %s", dlerror());
    query = find_query(handle);
    if (!query) {
        r = err_set(et, ERR_PLUGIN, "plugin \"%s\": exports no " DP_QUERY_SYMBOL, path);
        goto fail;
    }
    descriptor = query(DP_ABI);
    r = check_descriptor(path, descriptor, et);
    if (r < 0)
        goto fail;
    *ret_file = (struct plugin_file){.handle = handle, .descriptor = descriptor};
    return 0;
fail:
    dlclose(handle);
    return r;
}

void plugin_file_unload(struct plugin_file *file)
{
#if !defined(__SANITIZE_ADDRESS__)
    /* under the address sanitizer the object stays, or leak reports lose its symbols */
    if (file->handle)
        dlclose(file->handle);
#endif
    file->handle = NULL;
}
