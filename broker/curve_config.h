/* curve_config - the broker's keys for its link to connectors: its own pair, and who may link.
 * Start-up and SIGHUP only. */
#ifndef BECKON_BROKER_CURVE_CONFIG_H
#define BECKON_BROKER_CURVE_CONFIG_H

#include "broker/options.h"
#include "common/curve_key.h"

/* Who may link: connectors, whose keys are the files *.pub of a folder, and other brokers, which
 * have the key pair of this one. */
struct curve_clients {
    char brokers_key[CURVE_KEY_SIZE]; /* public; "": no brokers */
    struct curve_client {
        char public_key[CURVE_KEY_SIZE];
        char *name; /* of the file, without .pub: for the log */
    } * list;
    size_t count;
};

struct curve_config {
    char secret_key[CURVE_KEY_SIZE]; /* "": the link is plain */
    struct curve_clients clients;
};

/* Relative paths are relative to the configuration file's folder. Refuses a link that others reach
 * without keys. 0; ERR_CONFIG, ERR_NO_MEMORY with et. */
MUST_CHECK int curve_config_read(const struct options *options, const config_t *config,
                                 struct curve_config *ret_config, struct err_text *et);
/* Wipes and frees. */
void curve_config_fini(struct curve_config *config);

/* The connectors alone, again. */
MUST_CHECK int curve_clients_read(const struct options *options, const config_t *config,
                                  struct curve_clients *ret_clients, struct err_text *et);
void curve_clients_fini(struct curve_clients *clients);
/* The name that goes with a key, NULL when it may not link. Borrowed from clients. */
const char *curve_clients_find(const struct curve_clients *clients, const char *public_key);

#endif
