#include "bench/load/stream.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int bind_source(int fd, const struct target *target, uint32_t number)
{
    struct sockaddr_in source = {.sin_family = AF_INET};
    const int on = 1;

    /* The port is chosen at connect, when the whole pair of addresses has to be unique, and not
     * the source's alone. */
    if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) < 0)
        return ERR_SYSTEM;
    source.sin_addr.s_addr = htonl(ntohl(target->first_source.s_addr) + number % target->sources);
    return bind(fd, (const struct sockaddr *)&source, sizeof(source)) < 0 ? ERR_SYSTEM : 0;
}

static int begin(int fd, const struct target *target, uint32_t number)
{
    const int on = 1;

    if (target->sources > 0 && bind_source(fd, target, number) < 0)
        return ERR_SYSTEM;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
        return ERR_SYSTEM;
    if (connect(fd, (const struct sockaddr *)&target->server, target->server_len) < 0 &&
        errno != EINPROGRESS)
        return ERR_SYSTEM;
    return 0;
}

int stream_open(struct stream *stream, const struct target *target, uint32_t number)
{
    int fd = socket(target->server.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return ERR_SYSTEM;
    *stream = (struct stream){.fd = fd};
    if (begin(fd, target, number) < 0) {
        int saved = errno;

        stream_close(stream);
        errno = saved;
        return ERR_SYSTEM;
    }
    return 0;
}

static int begin_tls(struct stream *stream, const struct target *target)
{
    SSL *ssl = SSL_new(target->tls);

    stream->ssl = ssl;
    if (ssl == NULL || SSL_set_fd(ssl, stream->fd) != 1 ||
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), target->host) != 1)
        return ERR_NO_MEMORY;
    SSL_set_connect_state(ssl);
    return 0;
}

/* ERR_AGAIN, or why nothing more comes. */
static int judge(struct stream *stream, int result)
{
    switch (SSL_get_error(stream->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return ERR_AGAIN;
    case SSL_ERROR_WANT_WRITE:
        stream->wants_write = true;
        return ERR_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return ERR_CLOSED;
    default:
        return ERR_IO;
    }
}

int stream_advance(struct stream *stream, const struct target *target)
{
    if (!stream->connected) {
        int error = 0;
        socklen_t len = sizeof(error);

        if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
            return ERR_IO;
        if (error != 0) {
            errno = error;
            return ERR_IO;
        }
        stream->connected = true;
        if (target->tls != NULL && begin_tls(stream, target) < 0)
            return ERR_IO;
    }
    if (stream->ssl == NULL || SSL_is_init_finished(stream->ssl))
        return 0;
    ERR_clear_error();
    stream->wants_write = false;
    int r = SSL_do_handshake(stream->ssl);
    return r == 1 ? 0 : judge(stream, r);
}

static int judge_errno(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK ? ERR_AGAIN : ERR_IO;
}

ssize_t stream_read(struct stream *stream, void *buf, size_t size)
{
    size_t used = 0;
    ssize_t n;

    if (stream->ssl == NULL) {
        n = recv(stream->fd, buf, size, MSG_DONTWAIT);
        if (n == 0)
            return ERR_CLOSED;
        return n > 0 ? n : judge_errno();
    }
    /* Whatever OpenSSL holds has to be taken: the socket will not report it again. */
    while (used < size) {
        size_t got = 0;
        int r;

        ERR_clear_error();
        r = SSL_read_ex(stream->ssl, (char *)buf + used, size - used, &got);
        if (r != 1) {
            r = judge(stream, r);
            return used > 0 ? (ssize_t)used : r; /* an end is told again */
        }
        used += got;
    }
    return (ssize_t)used;
}

ssize_t stream_write(struct stream *stream, const void *data, size_t size)
{
    size_t written = 0;
    ssize_t n;
    int r;

    if (stream->ssl == NULL) {
        n = send(stream->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        return n >= 0 ? n : judge_errno();
    }
    ERR_clear_error();
    r = SSL_write_ex(stream->ssl, data, size, &written);
    return r == 1 ? (ssize_t)written : judge(stream, r);
}

void stream_reset(struct stream *stream)
{
    const struct linger at_once = {.l_onoff = 1};

    /* Without it the peer sees an orderly end: a milder case of the same. */
    IGNORE_RESULT(setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)));
}

void stream_close(struct stream *stream)
{
    SSL_free(stream->ssl);
    if (stream->fd >= 0)
        close(stream->fd);
    *stream = (struct stream){.fd = -1};
}
