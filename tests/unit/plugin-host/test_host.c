/* Tests of the program beckon-plugin-host without a broker that behaves: what it refuses to start
 * with, and that it never outlives its broker, however that ended. */
#include "plugin-host/plugin_wire.h"

#include "tests/support/run_suite.h"

#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

/* Longer than a busy machine takes for anything here. */
#define DEADLINE_MS 30000
#define ARGS_MAX 12

#define FAULTY "plugin.file=" TEST_PLUGIN_DIR "/faulty.so"

/* The read end of the host's standard error: its end of file says that every holder is gone. */
static int output;
static char text[8192];

/* In a child: becomes the host. */
static void become_host(const char *const *args, int fd)
{
    const char *argv[ARGS_MAX * 2 + 2] = {TEST_HOST};
    size_t n = 1;

    for (; *args; args++) {
        if (strchr(*args, '=')) /* an option's value */
            argv[n++] = "--set";
        argv[n++] = *args;
    }
    dup2(fd, STDERR_FILENO);
    execv(TEST_HOST, (char *const *)argv);
    _exit(99);
}

/* Starts the host, in a child of a child when there is a middle. Returns our child. */
static pid_t start(const char *const *args, bool middle)
{
    int fds[2];
    pid_t pid;

    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        if (middle && fork() != 0) {
            close(fds[1]);
            pause(); /* until the test kills it */
        }
        become_host(args, fds[1]);
    }
    close(fds[1]);
    output = fds[0];
    return pid;
}

/* Reads into text until the end of the output; the host is gone then. */
static void read_all(void)
{
    size_t len = 0;
    ssize_t n = 1;

    while (n > 0) {
        struct pollfd fd = {.fd = output, .events = POLLIN};

        ck_assert_msg(poll(&fd, 1, DEADLINE_MS) == 1, "the host still runs: %s", text);
        n = read(output, text + len, sizeof(text) - 1 - len);
        len += n > 0 ? (size_t)n : 0;
        text[len] = '\0';
    }
    close(output);
}

/* Its exit status, with what it said in text. */
static int run(const char *const *args)
{
    pid_t pid = start(args, false);
    int status;

    read_all();
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status), "status %x: %s", (unsigned)status, text);
    return WEXITSTATUS(status);
}

#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL})
#define ck_assert_said(part) ck_assert_msg(strstr(text, part) != NULL, "%s", text)

/* --- starts --- */

START_TEST(check_config)
{
    ck_assert_msg(RUN("--check-config", FAULTY, "plugin.name=faulty") == 0, "%s", text);
    ck_assert_int_eq(RUN("--check-config"), 2);
    ck_assert_said("plugin.file is empty, expected the path of a plugin");
    ck_assert_int_eq(RUN("--check-config", FAULTY, "plugin.name=other"), 2);
    ck_assert_said("calls itself \"faulty\", expected \"other\"");
    ck_assert_int_eq(RUN("--check-config", "plugin.file=" LIVE_PLUGIN), 2);
    ck_assert_said("expected hosted = false");
    ck_assert_int_eq(RUN("--check-config", FAULTY, "log.level=loud"), 2);
    ck_assert_said("log.level is \"loud\"");
}
END_TEST

START_TEST(endpoint_is_needed)
{
    ck_assert_int_eq(RUN(FAULTY), 2);
    ck_assert_said("endpoint is empty");
    ck_assert_int_eq(RUN(FAULTY, "endpoint=nonsense"), 2);
    ck_assert_said("could not connect to endpoint \"nonsense\"");
}
END_TEST

/* --- the end of a broker --- */

START_TEST(silence_ends_it)
{
    ck_assert_int_eq(RUN(FAULTY, "endpoint=ipc:///tmp/beckon-test-nobody", "silence_ms=1000"), 1);
    ck_assert_said("the broker has been silent for 1000 ms");
}
END_TEST

static char endpoint[64];
static char option[80];
static void *context, *socket_;

static void listen_for_host(void)
{
    int timeout_ms = DEADLINE_MS, linger = 0;

    snprintf(endpoint, sizeof(endpoint), "ipc:///tmp/beckon-test-host-%d", (int)getpid());
    snprintf(option, sizeof(option), "endpoint=%s", endpoint);
    context = zmq_ctx_new();
    socket_ = zmq_socket(context, ZMQ_DEALER);
    ck_assert_ptr_nonnull(socket_);
    zmq_setsockopt(socket_, ZMQ_RCVTIMEO, &timeout_ms, sizeof(timeout_ms));
    zmq_setsockopt(socket_, ZMQ_SNDTIMEO, &timeout_ms, sizeof(timeout_ms));
    zmq_setsockopt(socket_, ZMQ_LINGER, &linger, sizeof(linger));
    ck_assert_int_eq(zmq_bind(socket_, endpoint), 0);
}

static void stop_listening(void)
{
    zmq_close(socket_);
    zmq_ctx_term(context);
    unlink(endpoint + strlen("ipc://")); /* ZeroMQ leaves it behind */
}

/* The first record of the next frame is of this type. */
static void expect(enum plugin_wire_type type)
{
    struct plugin_wire_reader reader;
    struct plugin_wire_record record;
    zmq_msg_t frame;

    zmq_msg_init(&frame);
    ck_assert_msg(zmq_msg_recv(&frame, socket_, 0) >= 0, "%s", zmq_strerror(zmq_errno()));
    ck_assert_int_eq(plugin_wire_open_frame(
                         bytes_of(zmq_msg_data(&frame), (uint32_t)zmq_msg_size(&frame)), &reader),
                     0);
    ck_assert_int_eq(plugin_wire_next(&reader, &record), 1);
    ck_assert_int_eq(record.type, type);
    zmq_msg_close(&frame);
}

static void send_frame(struct buf *frame)
{
    ck_assert(buf_ok(frame));
    ck_assert_int_eq(zmq_send(socket_, frame->data, frame->len, 0), (int)frame->len);
    buf_release(frame);
}

static void open_plugin(void)
{
    struct buf frame = {0};

    expect(PLUGIN_WIRE_HELLO);
    plugin_wire_begin(&frame);
    plugin_wire_put_open(&frame, NULL, 0);
    send_frame(&frame);
    expect(PLUGIN_WIRE_OPENED);
}

/* kill -9 of the broker. The link stays up here and silence takes minutes, so it was the kernel or
 * a look at the parent that told. */
START_TEST(dies_with_its_broker)
{
    pid_t broker;

    listen_for_host();
    broker = start((const char *const[]){FAULTY, option, NULL}, true);
    open_plugin();
    ck_assert_int_eq(kill(broker, SIGKILL), 0);
    read_all();
    ck_assert_int_eq(waitpid(broker, NULL, 0), broker);
    stop_listening();
}
END_TEST

/* What a service manager sends to all processes of the broker is the broker's business. */
START_TEST(only_close_ends_it)
{
    struct buf frame = {0};
    int status;
    pid_t pid;

    listen_for_host();
    pid = start((const char *const[]){FAULTY, option, NULL}, false);
    open_plugin();
    ck_assert_int_eq(kill(pid, SIGTERM), 0);
    ck_assert_int_eq(kill(pid, SIGINT), 0);
    ck_assert_int_eq(kill(pid, SIGHUP), 0);
    plugin_wire_begin(&frame);
    plugin_wire_put_stamp(&frame, PLUGIN_WIRE_PING, 1);
    send_frame(&frame);
    expect(PLUGIN_WIRE_COUNT); /* of open; PONG is behind it */
    plugin_wire_begin(&frame);
    plugin_wire_put_empty(&frame, PLUGIN_WIRE_CLOSE);
    send_frame(&frame);
    expect(PLUGIN_WIRE_CLOSED);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    close(output);
    stop_listening();
}
END_TEST

START_TEST(nonsense_ends_it)
{
    static const char *const frames[] = {"nonsense", "BH\001\000\001\000\000\000\012"};
    static const size_t sizes[] = {8, 9};
    int status;
    pid_t pid;

    listen_for_host();
    pid = start((const char *const[]){FAULTY, option, NULL}, false);
    expect(PLUGIN_WIRE_HELLO);
    ck_assert_int_eq(zmq_send(socket_, frames[_i], sizes[_i], 0), (int)sizes[_i]);
    read_all();
    ck_assert_said("could not read what the broker sent: malformed data");
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(WEXITSTATUS(status), 1);
    stop_listening();
}
END_TEST

/* A delivery before there is an instance to take it. */
START_TEST(order_is_checked)
{
    struct buf frame = {0};
    int status;
    pid_t pid;

    listen_for_host();
    pid = start((const char *const[]){FAULTY, option, NULL}, false);
    expect(PLUGIN_WIRE_HELLO);
    plugin_wire_begin(&frame);
    plugin_wire_put_cancel(&frame, 1);
    send_frame(&frame);
    read_all();
    ck_assert_said("could not read what the broker sent: protocol violation");
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(WEXITSTATUS(status), 1);
    stop_listening();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("host");
    TCase *starts = tcase_create("starts"), *ends = tcase_create("ends");

    tcase_add_test(starts, check_config);
    tcase_add_test(starts, endpoint_is_needed);
    tcase_add_test(ends, silence_ends_it);
    tcase_add_test(ends, dies_with_its_broker);
    tcase_add_test(ends, only_close_ends_it);
    tcase_add_loop_test(ends, nonsense_ends_it, 0, 2);
    tcase_add_test(ends, order_is_checked);
    suite_add_tcase(suite, starts);
    suite_add_tcase(suite, ends);
    return run_suite(suite);
}
