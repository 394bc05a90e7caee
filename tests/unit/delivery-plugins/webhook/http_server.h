/* http_server - a receiver of webhooks on the test's own loop: it keeps the last request and
 * answers each with the same scripted text. */
#ifndef BECKON_TESTS_HTTP_SERVER_H
#define BECKON_TESTS_HTTP_SERVER_H

#include "common/loop.h"

#include <sys/queue.h>

#define HTTP_REQUEST_MAX 16384

struct http_conn {
    LIST_ENTRY(http_conn) link;
    struct http_server *server;
    int fd;
    loop_id io;
    size_t len;
    char data[HTTP_REQUEST_MAX];
};

struct http_server {
    struct loop *loop;
    int fd;
    loop_id io;
    uint16_t port;
    const char *answer; /* NULL: none, ""; the connection is closed */
    unsigned requests, accepted;
    char head[HTTP_REQUEST_MAX], body[HTTP_REQUEST_MAX]; /* of the last request */
    LIST_HEAD(, http_conn) conns;
};

/* Listens on a free port of the loopback interface. */
void http_server_start(struct http_server *server, struct loop *loop);
void http_server_stop(struct http_server *server);

#endif
