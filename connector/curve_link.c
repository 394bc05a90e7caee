/* curve_link - see the header. */
#include "connector/curve_link.h"

#include "common/auto.h"
#include "common/option_group.h"

#define SERVER_KEY "broker.curve.server_key"
#define SECRET_KEY "broker.curve.secret_key"

static int load(const struct options *options, const config_t *config, struct link_keys *link,
                struct err_text *et)
{
    AUTO_FREE char *server = option_path(config_lookup(config, SERVER_KEY), options->server_key);
    AUTO_FREE char *own = option_path(config_lookup(config, SECRET_KEY), options->secret_key);
    int r;

    if (server == NULL || own == NULL)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    r = curve_key_load_public(SERVER_KEY, server, link->server_key, et);
    return r < 0 ? r : curve_key_load_secret(SECRET_KEY, own, &link->own, et);
}

int curve_link_load(const struct options *options, const struct endpoints *endpoints,
                    const config_t *config, struct link_keys *ret_link, struct err_text *et)
{
    bool server = options->server_key[0] != '\0', own = options->secret_key[0] != '\0';
    struct link_keys link = {.server_key = ""};
    int r = 0;

    if (server != own)
        return err_set(et, ERR_CONFIG,
                       "\"%s\" is set and \"%s\" is not, expected both (CURVE) or neither",
                       server ? SERVER_KEY : SECRET_KEY, server ? SECRET_KEY : SERVER_KEY);
    for (unsigned i = 0; r == 0 && i < endpoints->count; i++)
        r = curve_check_link("broker", endpoints->all[i], server, options->plain, et);
    if (r == 0 && server)
        r = load(options, config, &link, et);
    if (r == 0)
        *ret_link = link;
    link_keys_wipe(&link);
    return r;
}
