/* http_server - see the header. */
#include "http_server.h"

#include <check.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void drop(struct http_conn *conn)
{
    loop_io_remove(conn->server->loop, conn->io);
    close(conn->fd);
    LIST_REMOVE(conn, link);
    free(conn);
}

/* Takes a whole request off the connection's data. */
static bool take_request(struct http_conn *conn)
{
    struct http_server *server = conn->server;
    char *end = memmem(conn->data, conn->len, "\r\n\r\n", 4);
    const char *length;
    size_t head, body;

    if (!end)
        return false;
    head = (size_t)(end - conn->data) + 4;
    memcpy(server->head, conn->data, head);
    server->head[head] = '\0';
    length = strstr(server->head, "Content-Length: ");
    ck_assert_ptr_nonnull(length);
    body = strtoul(length + 16, NULL, 10);
    if (conn->len < head + body)
        return false;
    memcpy(server->body, conn->data + head, body);
    server->body[body] = '\0';
    conn->len -= head + body;
    memmove(conn->data, conn->data + head + body, conn->len);
    server->requests++;
    return true;
}

static void on_data(void *arg, uint32_t events)
{
    struct http_conn *conn = arg;
    const char *answer = conn->server->answer;
    ssize_t n = read(conn->fd, conn->data + conn->len, sizeof(conn->data) - conn->len);

    (void)events;
    if (n <= 0) {
        drop(conn);
        return;
    }
    conn->len += (size_t)n;
    while (take_request(conn)) {
        if (answer && answer[0] == '\0') {
            drop(conn);
            return;
        }
        if (answer)
            ck_assert_int_eq(send(conn->fd, answer, strlen(answer), MSG_NOSIGNAL),
                             (ssize_t)strlen(answer));
    }
}

static void on_connect(void *arg, uint32_t events)
{
    struct http_server *server = arg;
    struct http_conn *conn = calloc(1, sizeof(*conn));

    (void)events;
    ck_assert_ptr_nonnull(conn);
    conn->server = server;
    conn->fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    ck_assert_int_ge(conn->fd, 0);
    LIST_INSERT_HEAD(&server->conns, conn, link);
    server->accepted++;
    ck_assert_int_eq(loop_io_add(server->loop, conn->fd, EPOLLIN, on_data, conn, &conn->io), 0);
}

void http_server_start(struct http_server *server, struct loop *loop)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(address);

    memset(server, 0, sizeof(*server));
    server->loop = loop;
    LIST_INIT(&server->conns);
    server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(server->fd, (struct sockaddr *)&address, size), 0);
    ck_assert_int_eq(listen(server->fd, 128), 0);
    ck_assert_int_eq(getsockname(server->fd, (struct sockaddr *)&address, &size), 0);
    server->port = ntohs(address.sin_port);
    ck_assert_int_eq(loop_io_add(loop, server->fd, EPOLLIN, on_connect, server, &server->io), 0);
}

void http_server_stop(struct http_server *server)
{
    struct http_conn *conn;

    while ((conn = LIST_FIRST(&server->conns)))
        drop(conn);
    if (server->fd >= 0) {
        loop_io_remove(server->loop, server->io);
        close(server->fd);
        server->fd = -1;
    }
}
