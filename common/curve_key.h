/* curve_key - the keys of the link between connectors and brokers (CURVE), as files, and the rule
 * of where there must be some.
 *
 * A key file is a certificate as ZeroMQ's own tools write it: lines of `name = "value"` under
 * `curve`, keys as 40 characters of Z85. That of a secret key has both halves. Start-up, SIGHUP and
 * tools only. No state. */
#ifndef BECKON_COMMON_CURVE_KEY_H
#define BECKON_COMMON_CURVE_KEY_H

#include "common/bytes.h"
#include "common/err.h"

#define CURVE_KEY_SIZE 41 /* 40 characters of Z85 and NUL: what libzmq takes and gives */

struct curve_key {
    char public_key[CURVE_KEY_SIZE];
    char secret_key[CURVE_KEY_SIZE]; /* "" when the file has only the public half */
};

/* Reads a certificate. name stands for it in errors. 0; ERR_CONFIG with et, which has no key in it:
 * `NAME:LINE: "public-key" is no key, expected 40 characters of Z85 in quotes`. */
MUST_CHECK int curve_key_parse(const char *name, struct bytes text, struct curve_key *ret_key,
                               struct err_text *et);
/* Reads a file that must have a secret key and must not be readable by everybody. ERR_CONFIG with
 * et naming option and file. The caller wipes the key. */
MUST_CHECK int curve_key_load_secret(const char *option, const char *file,
                                     struct curve_key *ret_key, struct err_text *et);
/* Reads a file of a public key. A secret one in it is an error: it has been carried to where it
 * does not belong. */
MUST_CHECK int curve_key_load_public(const char *option, const char *file,
                                     char ret_public_key[CURVE_KEY_SIZE], struct err_text *et);
void curve_key_wipe(struct curve_key *key);

/* True when only this machine reaches it: ipc, inproc, or tcp on 127.0.0.0/8, ::1 or localhost. */
bool curve_endpoint_is_local(const char *endpoint);
/* Whether a link may be as it is configured: with keys, or plain where it stays on the machine, or
 * plain because it was said so (GROUP.plain). group is "listen" or "broker", for errors. 0;
 * ERR_CONFIG with et, which says what to do. */
MUST_CHECK int curve_check_link(const char *group, const char *endpoint, bool with_keys, bool plain,
                                struct err_text *et);

#endif
