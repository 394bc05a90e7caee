/* listen_socket - IPv4 or IPv6 by what the address looks like; names are not resolved. */
#include "listen_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A burst of reconnecting providers fits; the kernel caps it at net.core.somaxconn. */
#define BACKLOG 1024

/* Returns its size, or 0 when it is no IP address. */
static socklen_t parse_address(const char *text, uint32_t port, struct sockaddr_storage *address)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};

    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        memcpy(address, &v4, sizeof(v4));
        return sizeof(v4);
    }
    if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
        memcpy(address, &v6, sizeof(v6));
        return sizeof(v6);
    }
    return 0;
}

int listen_socket_open(const char *group, const char *address, uint32_t port, int *ret_fd,
                       struct err_text *et)
{
    const int on = 1;
    struct sockaddr_storage parsed = {0};
    socklen_t size = parse_address(address, port, &parsed);
    int fd;

    if (size == 0)
        return err_set(et, ERR_CONFIG, "\"%s.address\" is \"%s\", expected an IP address", group,
                       address);
    fd = socket(parsed.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
        bind(fd, (struct sockaddr *)&parsed, size) < 0 || listen(fd, BACKLOG) < 0) {
        err_format(et, "could not listen on %s port %u (%s): %s", address, port, group,
                   strerror(errno));
        if (fd >= 0)
            close(fd);
        return ERR_SYSTEM;
    }
    *ret_fd = fd;
    return 0;
}
