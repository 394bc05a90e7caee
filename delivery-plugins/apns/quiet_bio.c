/* quiet_bio - OpenSSL's socket BIO, except that a write to a connection which the peer has reset is
 * an error and not SIGPIPE: the host may be a process that does not ignore that signal. */
#include "apns.h"

#include <sys/socket.h>

static int write_quietly(BIO *bio, const char *data, int len)
{
    int fd = -1;
    int n;

    BIO_get_fd(bio, &fd);
    BIO_clear_retry_flags(bio);
    n = (int)send(fd, data, (size_t)len, MSG_NOSIGNAL);
    if (n <= 0 && BIO_sock_should_retry(n))
        BIO_set_retry_write(bio);
    return n;
}

BIO_METHOD *quiet_bio_create(void)
{
    const BIO_METHOD *socket_bio = BIO_s_socket();
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOCKET, "socket without SIGPIPE");

    if (method && BIO_meth_set_write(method, write_quietly) == 1 &&
        BIO_meth_set_read(method, BIO_meth_get_read(socket_bio)) == 1 &&
        BIO_meth_set_puts(method, BIO_meth_get_puts(socket_bio)) == 1 &&
        BIO_meth_set_ctrl(method, BIO_meth_get_ctrl(socket_bio)) == 1 &&
        BIO_meth_set_create(method, BIO_meth_get_create(socket_bio)) == 1 &&
        BIO_meth_set_destroy(method, BIO_meth_get_destroy(socket_bio)) == 1)
        return method;
    BIO_meth_free(method);
    return NULL;
}

bool quiet_bio_attach(const BIO_METHOD *method, SSL *ssl, int fd)
{
    BIO *bio = BIO_new(method);

    if (!bio)
        return false;
    BIO_set_fd(bio, fd, BIO_NOCLOSE);
    SSL_set_bio(ssl, bio, bio);
    return true;
}
