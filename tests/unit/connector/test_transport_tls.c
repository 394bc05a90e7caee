/* Tests of connector/transport_tls.c and tls_context.c: OpenSSL's client on one side, a transport
 * that the test blocks, cuts and doses on the other. */
#include "connector/transport_tls.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/auto.h"

#include "connector/connector.h"
#include "connector/tls_context.h"

#include "tests/support/pki.h"
#include "tests/support/run_suite.h"

static char folder[64];
static struct option_set set;
static struct options options;
static struct metrics metrics;
static uint32_t steps;
static struct tls_context *context;
static struct transport transport; /* of the server, TLS on top of `below` */
static SSL_CTX *client_context;
static SSL *client; /* over two memory BIOs */

/* What is below the server's TLS. */
static struct {
    size_t read_most;  /* bytes of one read */
    size_t write_room; /* bytes it takes before it blocks */
    int end;           /* what a read returns when nothing is there any more */
    bool finished, closed;
    const char *words; /* for explain */
    size_t reads;      /* bytes read since the test looked last */
} below;

static ssize_t below_read(struct transport *t, void *buf, size_t size)
{
    int n;

    (void)t;
    n = BIO_read(SSL_get_wbio(client), buf, (int)(size < below.read_most ? size : below.read_most));
    if (n <= 0)
        return below.end;
    below.reads += (size_t)n;
    return n;
}

static ssize_t below_write(struct transport *t, const void *data, size_t size)
{
    size_t n = size < below.write_room ? size : below.write_room;

    (void)t;
    if (n == 0)
        return ERR_AGAIN;
    below.write_room -= n;
    return BIO_write(SSL_get_rbio(client), data, (int)n);
}

static uint32_t below_want(const struct transport *t, bool reading, bool writing)
{
    (void)t;
    return (reading ? (uint32_t)EPOLLIN : 0) | (writing ? (uint32_t)EPOLLOUT : 0);
}

static uint32_t below_ready(const struct transport *t, uint32_t events)
{
    (void)t;
    return events;
}

static bool below_pending(const struct transport *t)
{
    (void)t;
    return false;
}

static int below_finish(struct transport *t)
{
    (void)t;
    below.finished = true;
    return 0;
}

static void below_explain(const struct transport *t, char *buf, size_t size)
{
    (void)t;
    snprintf(buf, size, "%s", below.words);
}

static void below_close(struct transport *t)
{
    (void)t;
    below.closed = true;
}

static const struct transport_ops below_ops = {
    .read = below_read,
    .write = below_write,
    .want = below_want,
    .ready = below_ready,
    .pending = below_pending,
    .finish = below_finish,
    .explain = below_explain,
    .close = below_close,
};

static void write_files(void)
{
    struct pki leaf;

    snprintf(folder, sizeof(folder), "/tmp/test_transport_tls.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    leaf = pki_make("DNS:a.test", NULL, 1);
    pki_write(&leaf, folder, "leaf");
    pki_fini(&leaf);
}

static void load_context(void)
{
    AUTO_FREE char *text = NULL;
    struct err_text et = {""};

    ck_assert_int_gt(asprintf(&text,
                              "tls.certificates=( { certificate = \"%s/leaf.pem\"; key = "
                              "\"%s/leaf.key\"; } )",
                              folder, folder),
                     0);
    option_set_init(&set, connector_options, connector_option_count, &options);
    ck_assert_msg(option_set_load(&set, NULL, (const char *const *)&text, 1, &et) == 0, "%s",
                  et.text);
    ck_assert_msg(tls_context_create(&options.tls, &set.config, &context, &et) == 0, "%s", et.text);
}

static void make_client(int version)
{
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());

    SSL_free(client);
    SSL_CTX_free(client_context);
    client_context = SSL_CTX_new(TLS_client_method());
    ck_assert_ptr_nonnull(client_context);
    ck_assert_int_eq(SSL_CTX_set_min_proto_version(client_context, version), 1);
    ck_assert_int_eq(SSL_CTX_set_max_proto_version(client_context, version), 1);
    client = SSL_new(client_context);
    ck_assert(client != NULL && in != NULL && out != NULL);
    BIO_set_mem_eof_return(in, -1);
    BIO_set_mem_eof_return(out, -1);
    SSL_set_bio(client, in, out);
    SSL_set_connect_state(client);
}

static void set_up(void)
{
    write_files();
    load_context();
    metrics = (struct metrics){0};
    steps = UINT32_MAX; /* no limit */
    memset(&below, 0, sizeof(below));
    below.read_most = below.write_room = SIZE_MAX;
    below.end = ERR_AGAIN;
    below.words = "";
    make_client(TLS1_3_VERSION);
    transport = (struct transport){.ops = &below_ops, .fd = 7};
    ck_assert_int_eq(transport_tls_stack(&transport, context, "mqtt", &metrics, &steps), 0);
}

static void tear_down(void)
{
    static const char *const names[] = {"leaf.pem", "leaf.key"};

    transport.ops->close(&transport);
    ck_assert(below.closed && transport.ops == &below_ops);
    tls_context_unref(context);
    option_set_fini(&set);
    SSL_free(client);
    client = NULL;
    SSL_CTX_free(client_context);
    client_context = NULL;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char path[128];

        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        ck_assert_int_eq(unlink(path), 0);
    }
    ck_assert_int_eq(rmdir(folder), 0);
}

static uint8_t buf[READ_BYTES_PER_TURN];

static ssize_t server_read(void)
{
    return transport.ops->read(&transport, buf, sizeof(buf));
}

static void shake_hands(void)
{
    for (unsigned i = 0; i < 100000 && !(SSL_is_init_finished(client) && metrics.tls_handshakes);
         i++) {
        SSL_do_handshake(client);
        ck_assert_int_eq(server_read(), ERR_AGAIN);
    }
    ck_assert_uint_eq(metrics.tls_handshakes, 1);
    ck_assert_int_eq(SSL_is_init_finished(client), 1);
}

static void client_write(const void *data, size_t size)
{
    ck_assert_int_eq(SSL_write(client, data, (int)size), (int)size);
}

static const char *explain(void)
{
    static char text[192];

    transport.ops->explain(&transport, text, sizeof(text));
    return text;
}

START_TEST(test_handshake_and_data)
{
    char text[16] = "";

    make_client(_i == 0 ? TLS1_2_VERSION : TLS1_3_VERSION);
    ck_assert_int_eq(transport.fd, 7);
    ck_assert_str_eq(explain(), "TLS: no handshake has begun");
    below.read_most = 1; /* a byte at a time */
    shake_hands();
    ck_assert_str_eq(explain(), "");
    client_write("hello", 5);
    ck_assert_int_eq(server_read(), 5);
    ck_assert_int_eq(memcmp(buf, "hello", 5), 0);
    ck_assert_int_eq(server_read(), ERR_AGAIN);
    ck_assert_int_eq(transport.ops->write(&transport, "good day", 8), 8);
    ck_assert_int_eq(SSL_read(client, text, sizeof(text)), 8);
    ck_assert_str_eq(text, "good day");
    ck_assert_uint_eq(metrics.tls_failed + metrics.tls_resumed, 0);
}
END_TEST

/* What other connections used up of the turn. */
START_TEST(test_no_steps_left)
{
    const uint32_t in = EPOLLIN;

    steps = 0;
    SSL_do_handshake(client);
    ck_assert_int_eq(server_read(), ERR_AGAIN);
    ck_assert_uint_eq(below.reads, 0); /* it stays where it is */
    ck_assert(transport.ops->pending(&transport));
    ck_assert_uint_eq(transport.ops->want(&transport, true, false) & in, 0);
    ck_assert_uint_eq(metrics.tls_deferred, 1);
    steps = 3;
    ck_assert_int_eq(server_read(), ERR_AGAIN);
    ck_assert_uint_gt(below.reads, 0);
    ck_assert_uint_eq(steps, 2);
    ck_assert(!transport.ops->pending(&transport));
    ck_assert_uint_eq(transport.ops->want(&transport, true, false) & in, in);
    ck_assert_int_eq(server_read(), ERR_AGAIN); /* nothing came, nothing is used up */
    ck_assert_uint_eq(steps, 2);
    ck_assert_uint_eq(metrics.tls_deferred, 1);
    steps = UINT32_MAX;
    shake_hands();
    /* once it is done there is nothing to bound */
    steps = 0;
    client_write("hello", 5);
    ck_assert_int_eq(server_read(), 5);
    ck_assert_uint_eq(metrics.tls_deferred, 1);
}
END_TEST

START_TEST(test_records_in_one_read)
{
    shake_hands();
    client_write("one", 3);
    client_write("two", 3);
    client_write("three", 5);
    ck_assert_int_eq(server_read(), 11);
    ck_assert_int_eq(memcmp(buf, "onetwothree", 11), 0);
    /* A record that is taken in parts: epoll knows nothing of the rest. */
    client_write("one", 3);
    ck_assert_int_eq(transport.ops->read(&transport, buf, 2), 2);
    ck_assert(transport.ops->pending(&transport));
    ck_assert_int_eq(server_read(), 1);
    ck_assert(!transport.ops->pending(&transport));
    /* The beginning of a record is nothing to come back for. */
    client_write("whole", 5);
    below.read_most = 7;
    below.end = ERR_AGAIN;
    ck_assert_int_eq(transport.ops->read(&transport, buf, 5), 5);
    ck_assert(!transport.ops->pending(&transport));
}
END_TEST

START_TEST(test_blocked_write)
{
    static uint8_t data[40000], back[40000];
    size_t sent = 0, got = 0;
    ssize_t n;

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7);
    shake_hands();
    below.write_room = 10;
    ck_assert_int_eq(transport.ops->write(&transport, data, sizeof(data)), ERR_AGAIN);
    ck_assert_uint_eq(transport.ops->want(&transport, true, true), EPOLLIN | EPOLLOUT);
    while (sent < sizeof(data)) {
        /* From another address, and with more behind it. */
        AUTO_FREE uint8_t *copy = malloc(sizeof(data) - sent);

        ck_assert_ptr_nonnull(copy);
        memcpy(copy, data + sent, sizeof(data) - sent);
        below.write_room = 5000;
        n = transport.ops->write(&transport, copy, sizeof(data) - sent);
        ck_assert(n > 0 || n == ERR_AGAIN);
        sent += n > 0 ? (size_t)n : 0;
    }
    while (got < sizeof(back)) {
        int r = SSL_read(client, back + got, (int)(sizeof(back) - got));

        ck_assert_int_gt(r, 0);
        got += (size_t)r;
    }
    ck_assert_int_eq(memcmp(data, back, sizeof(data)), 0);
}
END_TEST

START_TEST(test_read_that_waits_for_room)
{
    SSL_do_handshake(client);
    below.write_room = 100; /* less than what the server has to say */
    ck_assert_int_eq(server_read(), ERR_AGAIN);
    ck_assert_uint_eq(transport.ops->want(&transport, true, false), EPOLLOUT);
    ck_assert_uint_eq(transport.ops->want(&transport, false, false), 0);
    ck_assert_uint_eq(transport.ops->ready(&transport, EPOLLOUT), EPOLLIN | EPOLLOUT);
    below.write_room = SIZE_MAX;
    ck_assert_int_eq(server_read(), ERR_AGAIN);
    ck_assert_uint_eq(transport.ops->want(&transport, true, false), EPOLLIN);
    ck_assert_uint_eq(transport.ops->ready(&transport, EPOLLOUT), EPOLLOUT);
    shake_hands();
}
END_TEST

START_TEST(test_finish)
{
    shake_hands();
    below.write_room = 3;
    ck_assert_int_eq(transport.ops->finish(&transport), ERR_AGAIN);
    ck_assert(!below.finished);
    ck_assert_uint_eq(transport.ops->want(&transport, false, true), EPOLLOUT);
    below.write_room = SIZE_MAX;
    ck_assert_int_eq(transport.ops->finish(&transport), 0);
    ck_assert(below.finished);
    ck_assert_int_eq(SSL_read(client, buf, 1), 0);
    ck_assert_int_eq(SSL_get_shutdown(client), SSL_RECEIVED_SHUTDOWN);
    /* What the client still sends is read. */
    client_write("late", 4);
    ck_assert_int_eq(server_read(), 4);
}
END_TEST

START_TEST(test_close_says_goodbye)
{
    shake_hands();
    transport.ops->close(&transport);
    ck_assert_int_eq(SSL_read(client, buf, 1), 0);
    ck_assert_int_eq(SSL_get_shutdown(client), SSL_RECEIVED_SHUTDOWN);
    ck_assert_uint_eq(metrics.tls_failed, 0);
}
END_TEST

START_TEST(test_end_behind_data)
{
    shake_hands();
    client_write("last", 4);
    SSL_shutdown(client);
    ck_assert_int_eq(server_read(), 4);
    ck_assert(transport.ops->pending(&transport)); /* nothing below, and yet something to say */
    ck_assert_int_eq(server_read(), ERR_CLOSED);
}
END_TEST

START_TEST(test_end_without_close_notify)
{
    shake_hands();
    below.end = _i == 0 ? ERR_CLOSED : ERR_IO;
    ck_assert_int_eq(server_read(), below.end);
    ck_assert_int_eq(transport.ops->write(&transport, "x", 1), ERR_IO);
}
END_TEST

START_TEST(test_end_in_the_handshake)
{
    if (_i == 0) { /* somebody who looks whether the port is open */
        below.end = ERR_CLOSED;
        ck_assert_int_eq(server_read(), ERR_CLOSED);
        transport.ops->close(&transport);
        ck_assert_uint_eq(metrics.tls_failed, 0);
        return;
    }
    SSL_do_handshake(client);
    ck_assert_int_eq(server_read(), ERR_AGAIN);
    below.end = ERR_CLOSED;
    ck_assert_int_eq(server_read(), ERR_PROTOCOL);
    ck_assert_str_eq(explain(), "TLS: the client closed in the middle of the handshake");
    transport.ops->close(&transport);
    ck_assert_uint_eq(metrics.tls_failed, 1);
}
END_TEST

START_TEST(test_no_tls)
{
    ck_assert_int_gt(BIO_write(SSL_get_wbio(client), "GET / HTTP/1.1\r\n\r\n", 18), 0);
    ck_assert_int_eq(server_read(), ERR_PROTOCOL);
    ck_assert_str_eq(explain(), "TLS: http request");
    /* Thrown away from now on, until it ends. */
    ck_assert_int_gt(BIO_write(SSL_get_wbio(client), "more", 4), 0);
    ck_assert_int_eq(server_read(), ERR_AGAIN);
    ck_assert_int_eq(transport.ops->write(&transport, "x", 1), ERR_IO);
    ck_assert_int_eq(transport.ops->finish(&transport), 0);
    ck_assert(below.finished);
    while (BIO_pending(SSL_get_wbio(client)) > 0)
        ck_assert_int_eq(server_read(), ERR_AGAIN);
    below.end = ERR_CLOSED;
    ck_assert_int_eq(server_read(), ERR_CLOSED);
}
END_TEST

START_TEST(test_forged_record)
{
    char *bytes;
    long len;

    shake_hands();
    client_write("hello", 5);
    len = BIO_get_mem_data(SSL_get_wbio(client), &bytes);
    bytes[len - 1] ^= 1;
    ck_assert_int_eq(server_read(), ERR_PROTOCOL);
    ck_assert_str_eq(explain(), "TLS: decryption failed or bad record mac");
}
END_TEST

START_TEST(test_below_refuses)
{
    below.end = ERR_PROTOCOL;
    below.words = "no PROXY header";
    ck_assert_int_eq(server_read(), ERR_PROTOCOL);
    ck_assert_str_eq(explain(), "no PROXY header");
}
END_TEST

START_TEST(test_records_that_carry_nothing)
{
    unsigned rounds = 0;

    shake_hands();
    /* More of them than one read may take from below. */
    while (BIO_pending(SSL_get_wbio(client)) < 3 * READ_BYTES_PER_TURN) {
        ck_assert_int_eq(SSL_key_update(client, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        ck_assert_int_eq(SSL_do_handshake(client), 1);
    }
    client_write("at last", 7);
    do {
        ssize_t n;

        below.reads = 0;
        n = server_read();
        ck_assert_uint_le(below.reads, READ_BYTES_PER_TURN);
        rounds++;
        if (n == 7)
            break;
        ck_assert_int_eq(n, ERR_AGAIN);
    } while (rounds < 100);
    ck_assert_uint_ge(rounds, 3);
}
END_TEST

START_TEST(test_context_outlives_its_owner)
{
    shake_hands();
    tls_context_unref(context); /* a reload */
    context = NULL;
    client_write("hello", 5);
    ck_assert_int_eq(server_read(), 5);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("transport_tls");
    TCase *data = tcase_create("data"), *end = tcase_create("end"), *bad = tcase_create("bad");

    tcase_add_checked_fixture(data, set_up, tear_down);
    tcase_add_checked_fixture(end, set_up, tear_down);
    tcase_add_checked_fixture(bad, set_up, tear_down);
    tcase_add_loop_test(data, test_handshake_and_data, 0, 2);
    tcase_add_test(data, test_no_steps_left);
    tcase_add_test(data, test_records_in_one_read);
    tcase_add_test(data, test_blocked_write);
    tcase_add_test(data, test_read_that_waits_for_room);
    tcase_add_test(data, test_context_outlives_its_owner);
    tcase_add_test(end, test_finish);
    tcase_add_test(end, test_close_says_goodbye);
    tcase_add_test(end, test_end_behind_data);
    tcase_add_loop_test(end, test_end_without_close_notify, 0, 2);
    tcase_add_loop_test(end, test_end_in_the_handshake, 0, 2);
    tcase_add_test(bad, test_no_tls);
    tcase_add_test(bad, test_forged_record);
    tcase_add_test(bad, test_below_refuses);
    tcase_add_test(bad, test_records_that_carry_nothing);
    suite_add_tcase(suite, data);
    suite_add_tcase(suite, end);
    suite_add_tcase(suite, bad);
    return run_suite(suite);
}
