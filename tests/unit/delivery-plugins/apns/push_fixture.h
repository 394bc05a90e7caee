/* push_fixture - host, server and keys of one test, for checked fixtures. */
#ifndef BECKON_TESTS_PUSH_FIXTURE_H
#define BECKON_TESTS_PUSH_FIXTURE_H

#include "push_server.h"

extern struct push_host host;
extern struct push_server server;
extern struct push_keys keys;

/* Host and server; the plugin is not open yet. */
void push_set_up(void);
void push_tear_down(void);

/* Opens the plugin for the server: pairs of path and value, ended by NULL, stand in for the
 * defaults of a test or beside them; a value of "" removes one. -1: host.error has why. */
int32_t push_try_open(const char *path, ...);
/* Must succeed. */
#define push_open(...) ck_assert_msg(push_try_open(__VA_ARGS__) == 0, "open: %s", host.error)

#endif
