/* transport_tls - TLS as a layer: OpenSSL between the transport below and whoever reads and writes
 * here.
 *
 * OpenSSL gets its bytes through a BIO over the table of the transport below, so that it needs
 * neither the socket nor SIGPIPE. Handshakes have no calls of their own: they happen inside the
 * first reads, and the time they may take is that of the first packet (mqtt.connect_timeout_ms).
 *
 * A read may have to wait for room to write and the other way round; `want` and `ready` translate
 * between that and epoll. What one read takes from below is bounded, since OpenSSL would otherwise
 * go on as long as the client sends records that carry nothing.
 *
 * Handshakes are the dearest thing that strangers can ask for, and a storm of them comes in one
 * turn. So a turn has a number of steps for all of them. A connection that finds none left is not
 * watched by epoll, says that it is `pending`, and so is among those that the owner serves first,
 * in the order of their coming, at the next turn. */
#include "connector/transport_tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "connector/connector.h"
#include "connector/tls_context.h"

struct tls {
    struct transport below;
    SSL *ssl;
    struct tls_context *context;
    struct metrics *metrics;
    uint32_t *steps;       /* of all handshakes, in this turn */
    size_t budget;         /* bytes that this read may still take from below */
    unsigned long error;   /* OpenSSL's, of what failed; 0: none */
    int below_error;       /* why nothing comes from below any more; 0: it does */
    int later;             /* what the next read returns: this one had bytes before it */
    bool heard;            /* bytes came: it is not just somebody who looks at the port */
    bool up;               /* the handshake is done */
    bool deferred;         /* its handshake waits for the next turn */
    bool said_goodbye;     /* close_notify is out */
    bool failed;           /* nothing more can be read or written */
    bool read_wants_write; /* a read can get on when there is room to write */
    bool write_wants_read; /* a write can get on when something comes */
};

/* --- the BIO: how OpenSSL reads and writes --- */

static int on_bio_read(BIO *bio, char *buf, int size)
{
    struct tls *tls = BIO_get_data(bio);
    size_t wanted = (size_t)size < tls->budget ? (size_t)size : tls->budget;
    ssize_t n = wanted > 0 ? tls->below.ops->read(&tls->below, buf, wanted) : ERR_AGAIN;

    BIO_clear_retry_flags(bio);
    if (n > 0) {
        tls->budget -= (size_t)n;
        tls->heard = true;
        return (int)n;
    }
    if (n == ERR_AGAIN)
        BIO_set_retry_read(bio);
    else
        tls->below_error = (int)n;
    return -1;
}

static int on_bio_write(BIO *bio, const char *data, int size)
{
    struct tls *tls = BIO_get_data(bio);
    ssize_t n = tls->below.ops->write(&tls->below, data, (size_t)size);

    BIO_clear_retry_flags(bio);
    if (n > 0)
        return (int)n;
    if (n == ERR_AGAIN)
        BIO_set_retry_write(bio);
    else
        tls->below_error = (int)n;
    return -1;
}

static long on_bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH; /* nothing is kept back */
}

/* Made once, lives as long as the process. NULL without memory. */
static BIO_METHOD *bio_method(void)
{
    static BIO_METHOD *method;
    BIO_METHOD *made;

    if (method != NULL)
        return method;
    made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "transport");
    if (made == NULL || BIO_meth_set_read(made, on_bio_read) != 1 ||
        BIO_meth_set_write(made, on_bio_write) != 1 || BIO_meth_set_ctrl(made, on_bio_ctrl) != 1) {
        BIO_meth_free(made);
        return NULL;
    }
    return method = made;
}

/* --- what OpenSSL says --- */

static void note_handshake(struct tls *tls)
{
    if (tls->up || SSL_is_init_finished(tls->ssl) != 1)
        return;
    tls->up = true;
    tls->metrics->tls_handshakes++;
    if (SSL_session_reused(tls->ssl) == 1)
        tls->metrics->tls_resumed++;
}

/* The result of a call that got nowhere: ERR_AGAIN, ERR_CLOSED, ERR_IO, or ERR_PROTOCOL. Sets what
 * has to be waited for. */
static int judge(struct tls *tls, int result, bool *ret_wants_read, bool *ret_wants_write)
{
    switch (SSL_get_error(tls->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        *ret_wants_read = true;
        return ERR_AGAIN;
    case SSL_ERROR_WANT_WRITE:
        *ret_wants_write = true;
        return ERR_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return ERR_CLOSED;
    default:
        break;
    }
    tls->failed = true;
    tls->error = ERR_peek_error();
    ERR_clear_error();
    if (tls->error != 0)
        return ERR_PROTOCOL;
    /* The stream ended below. Between two records that is how phones leave; in the middle of a
     * handshake it says that the client does not like us. */
    if (tls->below_error == ERR_PROTOCOL || (tls->heard && !tls->up))
        return ERR_PROTOCOL;
    return tls->below_error != 0 ? tls->below_error : ERR_IO;
}

/* --- the table --- */

/* After a failure what comes is thrown away, so that closing does not destroy the alert, which is
 * on its way to the client. */
static ssize_t swallow(struct tls *tls, void *buf, size_t size)
{
    ssize_t n = tls->below.ops->read(&tls->below, buf, size);

    return n > 0 ? ERR_AGAIN : n;
}

/* True: not in this turn. */
static bool defer_handshake(struct tls *tls)
{
    tls->deferred = !tls->up && *tls->steps == 0;
    if (tls->deferred)
        tls->metrics->tls_deferred++;
    return tls->deferred;
}

/* Where nothing had come, nothing was computed. */
static void count_step(struct tls *tls)
{
    if (!tls->up && tls->budget<READ_BYTES_PER_TURN && * tls->steps> 0)
        --*tls->steps;
}

static ssize_t read_record(struct tls *tls, void *buf, size_t size)
{
    size_t n = 0;
    bool ignored = false; /* WANT_READ is what a read waits for anyhow */
    int result;

    ERR_clear_error();
    tls->read_wants_write = false;
    result = SSL_read_ex(tls->ssl, buf, size, &n);
    count_step(tls);
    note_handshake(tls);
    return result == 1 ? (ssize_t)n : judge(tls, result, &ignored, &tls->read_wants_write);
}

static ssize_t tls_read(struct transport *t, void *buf, size_t size)
{
    struct tls *tls = t->state;
    size_t used = 0;
    ssize_t n = 0;

    if (tls->later != 0) {
        n = tls->later;
        tls->later = 0;
        return n;
    }
    if (tls->failed)
        return swallow(tls, buf, size);
    if (defer_handshake(tls))
        return ERR_AGAIN;
    tls->budget = READ_BYTES_PER_TURN;
    /* Record after record: clients send small ones, and callers take a short read for the last. */
    while (used < size) {
        n = read_record(tls, (char *)buf + used, size - used);
        if (n < 0)
            break;
        used += (size_t)n;
    }
    if (used == 0)
        return n;
    if (n < 0 && n != ERR_AGAIN)
        tls->later = (int)n;
    return (ssize_t)used;
}

static ssize_t tls_write(struct transport *t, const void *data, size_t size)
{
    struct tls *tls = t->state;
    size_t n = 0;
    int result, r;

    if (tls->failed)
        return ERR_IO;
    ERR_clear_error();
    tls->write_wants_read = false;
    tls->budget = READ_BYTES_PER_TURN;
    result = SSL_write_ex(tls->ssl, data, size, &n);
    note_handshake(tls);
    if (result == 1)
        return (ssize_t)n;
    bool ignored = false; /* WANT_WRITE is what a write waits for anyhow */
    r = judge(tls, result, &tls->write_wants_read, &ignored);
    return r == ERR_AGAIN ? ERR_AGAIN : ERR_IO;
}

static uint32_t tls_want(const struct transport *t, bool reading, bool writing)
{
    const struct tls *tls = t->state;
    bool in =
        (reading && !tls->read_wants_write && !tls->deferred) || (writing && tls->write_wants_read);
    bool out = (writing && !tls->write_wants_read) || (reading && tls->read_wants_write);

    return tls->below.ops->want(&tls->below, in, out);
}

static uint32_t tls_ready(const struct transport *t, uint32_t events)
{
    const struct tls *tls = t->state;
    uint32_t below = tls->below.ops->ready(&tls->below, events), here = below;

    if ((below & EPOLLOUT) != 0 && tls->read_wants_write)
        here |= EPOLLIN;
    if ((below & EPOLLIN) != 0 && tls->write_wants_read)
        here |= EPOLLOUT;
    return here;
}

static bool tls_pending(const struct transport *t)
{
    const struct tls *tls = t->state;

    /* Not SSL_has_pending: it counts the beginning of a record whose rest is still to come. */
    return tls->deferred || tls->later != 0 || (!tls->failed && SSL_pending(tls->ssl) > 0) ||
           tls->below.ops->pending(&tls->below);
}

/* close_notify. 0, or ERR_AGAIN when there is no room for it. */
static int say_goodbye(struct tls *tls)
{
    int r;

    if (!tls->up || tls->failed || tls->below_error != 0 || tls->said_goodbye)
        return 0;
    ERR_clear_error();
    r = SSL_shutdown(tls->ssl);
    if (r < 0 && SSL_get_error(tls->ssl, r) == SSL_ERROR_WANT_WRITE)
        return ERR_AGAIN;
    tls->said_goodbye = true; /* another call would read, and wait for the client's */
    return 0;
}

static int tls_finish(struct transport *t)
{
    struct tls *tls = t->state;

    tls->write_wants_read = false;
    if (say_goodbye(tls) == ERR_AGAIN)
        return ERR_AGAIN;
    return tls->below.ops->finish(&tls->below);
}

static void tls_probe_idle(struct transport *t)
{
    struct tls *tls = t->state;

    tls->below.ops->probe_idle(&tls->below);
}

static void tls_explain(const struct transport *t, char *buf, size_t size)
{
    const struct tls *tls = t->state;
    const char *reason = tls->error != 0 ? ERR_reason_error_string(tls->error) : NULL;

    tls->below.ops->explain(&tls->below, buf, size);
    if (buf[0] != '\0' || (tls->up && !tls->failed))
        return;
    if (tls->error != 0 && ERR_GET_REASON(tls->error) == SSL_R_CERTIFICATE_VERIFY_FAILED)
        snprintf(buf, size, "TLS: the client's certificate is refused: %s",
                 X509_verify_cert_error_string(SSL_get_verify_result(tls->ssl)));
    else if (tls->error != 0)
        snprintf(buf, size, "TLS: %s", reason != NULL ? reason : "unknown error");
    else if (tls->failed)
        snprintf(buf, size, "TLS: the client closed in the middle of the handshake");
    else
        snprintf(buf, size, "TLS: %s",
                 tls->heard ? "the handshake is not finished" : "no handshake has begun");
}

static void tls_close(struct transport *t)
{
    struct tls *tls = t->state;
    struct transport below;

    /* To a client that said goodbye first. One try: who does not read it has closed already. */
    IGNORE_RESULT(say_goodbye(tls));
    if (tls->heard && !tls->up)
        tls->metrics->tls_failed++;
    SSL_free(tls->ssl);
    tls_context_unref(tls->context);
    ERR_clear_error();
    below = tls->below;
    below.ops->close(&below);
    free(tls);
    *t = below;
}

static const struct transport_ops tls_ops = {
    .read = tls_read,
    .write = tls_write,
    .want = tls_want,
    .ready = tls_ready,
    .pending = tls_pending,
    .finish = tls_finish,
    .probe_idle = tls_probe_idle,
    .explain = tls_explain,
    .close = tls_close,
};

int transport_tls_stack(struct transport *t, struct tls_context *context, const char *protocol,
                        struct metrics *metrics, uint32_t *steps)
{
    BIO_METHOD *method = bio_method();
    struct tls *tls = calloc(1, sizeof(*tls));
    SSL *ssl = tls_context_open(context, protocol);
    BIO *bio = method != NULL ? BIO_new(method) : NULL;

    if (tls == NULL || ssl == NULL || bio == NULL) {
        free(tls);
        SSL_free(ssl);
        BIO_free(bio);
        ERR_clear_error();
        return ERR_NO_MEMORY;
    }
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    tls_context_ref(context);
    *tls = (struct tls){
        .below = *t, .ssl = ssl, .context = context, .metrics = metrics, .steps = steps};
    *t = (struct transport){.ops = &tls_ops, .state = tls, .fd = tls->below.fd};
    return 0;
}
