/* http_config - the HTTP door's part of the configuration: where it listens, its certificate and
 * key, and the keys of tokens. Read before anything is touched. Start-up and SIGHUP only. */
#ifndef BECKON_BROKER_HTTP_CONFIG_H
#define BECKON_BROKER_HTTP_CONFIG_H

#include "broker/options.h"
#include "common/token.h"

#include <sys/socket.h>

struct http_config {
    struct sockaddr_storage address;
    char *certificate, *key;   /* PEM texts; both NULL: plain HTTP */
    struct token_keys *tokens; /* NULL: none are configured */
};

/* Files are relative to the configuration file's folder. *ret_config is the caller's, to be given
 * to http_config_fini; it borrows options. ERR_CONFIG, ERR_NO_MEMORY with et: nothing is owned. */
MUST_CHECK int http_config_read(const struct options *options, const config_t *config,
                                struct http_config *ret_config, struct err_text *et);
void http_config_fini(struct http_config *config);
/* The keys of tokens alone: all that a reload changes. Owned; NULL when none are configured. At a
 * reload options are those in force, whose policy they borrow; config and key_dir are new. */
MUST_CHECK int http_config_read_tokens(const struct options *options, const char *key_dir,
                                       const config_t *config, struct token_keys **ret_tokens,
                                       struct err_text *et);

#endif
