/* curve_config - see the header. A folder of files instead of a list in the configuration: to let a
 * connector in or out is to put a file there or take one away, which every tool that installs
 * machines can do. Only *.pub counts, so that what an editor or a person leaves beside it does not
 * let anybody in. */
#include "broker/curve_config.h"

#include "common/auto.h"
#include "common/log.h"
#include "common/option_group.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define SECRET_KEY "listen.curve.secret_key"
#define CLIENTS "listen.curve.clients"
#define SUFFIX ".pub"

void curve_clients_fini(struct curve_clients *clients)
{
    for (size_t i = 0; i < clients->count; i++)
        free(clients->list[i].name);
    free(clients->list);
    *clients = (struct curve_clients){0};
}

/* Some hundred connectors, asked about when one links: a walk. */
const char *curve_clients_find(const struct curve_clients *clients, const char *public_key)
{
    for (size_t i = 0; i < clients->count; i++) {
        if (strcmp(clients->list[i].public_key, public_key) == 0)
            return clients->list[i].name;
    }
    if (clients->brokers_key[0] != '\0' && strcmp(clients->brokers_key, public_key) == 0)
        return "broker";
    return NULL;
}

/* Takes name. */
static int add(struct curve_clients *clients, char *name, const char *public_key,
               struct err_text *et)
{
    struct curve_client *list =
        name ? reallocarray(clients->list, clients->count + 1, sizeof(*list)) : NULL;

    if (!list) {
        free(name);
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    }
    clients->list = list;
    list[clients->count].name = name;
    memcpy(list[clients->count++].public_key, public_key, CURVE_KEY_SIZE);
    return 0;
}

static int add_file(struct curve_clients *clients, const char *folder, const char *file,
                    struct err_text *et)
{
    size_t len = strlen(file);
    char public_key[CURVE_KEY_SIZE];
    AUTO_FREE char *path = NULL;
    int r;

    /* a name that begins with a dot is nobody's: a temporary file, a volume's own link */
    if (file[0] == '.' || len < sizeof(SUFFIX) || strcmp(file + len - strlen(SUFFIX), SUFFIX) != 0)
        return 0;
    if (asprintf(&path, "%s/%s", folder, file) < 0) {
        path = NULL;
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    }
    r = curve_key_load_public(CLIENTS, path, public_key, et);
    return r < 0 ? r : add(clients, strndup(file, len - strlen(SUFFIX)), public_key, et);
}

static int read_folder(struct curve_clients *clients, const char *folder, struct err_text *et)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    int r = 0;

    if (!dir)
        return err_set(et, ERR_CONFIG, "%s: could not open folder \"%s\": %m", CLIENTS, folder);
    while (r == 0 && (entry = readdir(dir)))
        r = add_file(clients, folder, entry->d_name, et);
    closedir(dir);
    if (r == 0 && clients->count == 0)
        log_warning(NULL, "no connector can link: there is no *.pub in \"%s\" (%s)", folder,
                    CLIENTS);
    return r;
}

int curve_clients_read(const struct options *options, const config_t *config,
                       struct curve_clients *ret_clients, struct err_text *et)
{
    AUTO_FREE char *folder = NULL;
    struct curve_clients clients = {0};
    int r;

    if (options->curve_clients[0] == '\0')
        return err_set(et, ERR_CONFIG,
                       "\"%s\" is not set and \"%s\" is, expected the folder with the public keys "
                       "of connectors",
                       CLIENTS, SECRET_KEY);
    folder = option_path(config_lookup(config, CLIENTS), options->curve_clients);
    if (!folder)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    r = read_folder(&clients, folder, et);
    if (r < 0)
        curve_clients_fini(&clients);
    else
        *ret_clients = clients;
    return r;
}

int curve_config_read(const struct options *options, const config_t *config,
                      struct curve_config *ret_config, struct err_text *et)
{
    AUTO_FREE char *file = NULL;
    struct curve_config read = {.secret_key = ""};
    struct curve_key key;
    bool keys = options->curve_secret_key[0] != '\0';
    int r;

    if (!keys && options->curve_clients[0] != '\0')
        return err_set(et, ERR_CONFIG, "\"%s\" is set and \"%s\" is not, expected both or neither",
                       CLIENTS, SECRET_KEY);
    r = curve_check_link("listen", options->listen_endpoint, keys, options->listen_plain, et);
    if (r < 0)
        return r;
    if (keys) {
        file = option_path(config_lookup(config, SECRET_KEY), options->curve_secret_key);
        if (!file)
            return err_set(et, ERR_NO_MEMORY, "out of memory");
        r = curve_key_load_secret(SECRET_KEY, file, &key, et);
        if (r < 0)
            return r;
        memcpy(read.secret_key, key.secret_key, sizeof(read.secret_key));
        curve_key_wipe(&key);
        r = curve_clients_read(options, config, &read.clients, et);
        if (r == 0 && zmq_curve_public(read.clients.brokers_key, read.secret_key) < 0)
            r = err_set(et, ERR_SYSTEM, "could not derive the public key of \"%s\": %s", SECRET_KEY,
                        zmq_strerror(errno));
    }
    if (r == 0)
        *ret_config = read;
    explicit_bzero(read.secret_key, sizeof(read.secret_key));
    return r;
}

void curve_config_fini(struct curve_config *config)
{
    explicit_bzero(config->secret_key, sizeof(config->secret_key));
    curve_clients_fini(&config->clients);
}
