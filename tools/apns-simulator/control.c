/* control - libmicrohttpd inside the loop: its epoll descriptor is watched, its next deadline is a
 * timer, and MHD_run does what is due. No thread of its own, so handlers touch everything.
 *
 * A body is bounded by BODY_MAX, connections by control.max_connections, and a client that neither
 * sends nor reads by TIMEOUT_S. */
#include "control.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/auto.h"
#include "common/buf.h"

#include "control_feed.h"
#include "control_routes.h"
#include "listen_socket.h"
#include "simulator.h"

/* The largest body that means something has a few hundred bytes. */
#define BODY_MAX 65536
#define TIMEOUT_S 60
/* Proxies and browsers give up a silent stream after 30 s or more. */
#define KEEP_ALIVE_MS 15000

struct control {
    struct simulator *simulator;
    struct MHD_Daemon *daemon;
    loop_id io;
    struct loop_task run;
    struct timer deadline, keep_alive;
    struct feeds feeds;
};

/* One HTTP request while its body comes. */
struct upload {
    struct buf body;
    bool too_large;
};

static void run(struct control *control)
{
    struct loop *loop = control->simulator->loop;
    MHD_UNSIGNED_LONG_LONG wait_ms;

    IGNORE_RESULT(MHD_run(control->daemon) != MHD_YES); /* it fails only for a stopped daemon */
    if (MHD_get_timeout(control->daemon, &wait_ms) == MHD_YES)
        loop_timer_add(loop, &control->deadline, wait_ms);
    else
        loop_timer_cancel(loop, &control->deadline);
}

static void on_run(void *arg)
{
    run(arg);
}

static void on_ready(void *arg, uint32_t events)
{
    (void)events;
    run(arg);
}

static void on_deadline(struct timer *timer)
{
    run(CONTAINER_OF(timer, struct control, deadline));
}

static void on_push(void *arg)
{
    struct control *control = arg;

    feeds_wake(&control->feeds, false);
    loop_post(control->simulator->loop, &control->run);
}

static void on_keep_alive(struct timer *timer)
{
    struct control *control = CONTAINER_OF(timer, struct control, keep_alive);

    feeds_wake(&control->feeds, true);
    loop_post(control->simulator->loop, &control->run);
    loop_timer_add(control->simulator->loop, &control->keep_alive, KEEP_ALIVE_MS);
}

static void take_body(struct upload *upload, const char *data, size_t len)
{
    if (upload->body.len + len > BODY_MAX)
        upload->too_large = true;
    else
        buf_put(&upload->body, data, len);
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload_data,
                                  size_t *upload_size, void **state)
{
    struct control *control = arg;
    struct upload *upload = *state;
    const char *device;

    (void)version;
    if (upload == NULL) { /* the headers are there */
        *state = calloc(1, sizeof(*upload));
        return *state != NULL ? MHD_YES : MHD_NO;
    }
    if (*upload_size != 0) {
        take_body(upload, upload_data, *upload_size);
        *upload_size = 0;
        return MHD_YES;
    }
    if (!buf_ok(&upload->body))
        return MHD_NO;
    if (upload->too_large)
        return control_problem(connection, MHD_HTTP_CONTENT_TOO_LARGE, "",
                               "the body has more than 65,536 bytes");
    device = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "device");
    const struct control_request request = {
        .method = method,
        .path = url,
        .device = device != NULL ? device : "",
        .body = upload->body.len != 0 ? (const char *)upload->body.data : "",
        .body_len = upload->body.len,
    };
    return control_route(control->simulator, &control->feeds, connection, &request);
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    struct upload *upload = *state;

    (void)arg;
    (void)connection;
    (void)code;
    if (upload == NULL)
        return;
    buf_release(&upload->body);
    free(upload);
    *state = NULL;
}

static int start(struct control *control, struct err_text *et)
{
    const struct options *options = &control->simulator->options;
    const union MHD_DaemonInfo *info;
    int fd = -1;
    int r = listen_socket_open("control", options->control_address, options->control_port, &fd, et);

    if (r < 0)
        return r;
    control->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, control,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_COMPLETED, on_completed, control,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)options->control_max_connections,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)TIMEOUT_S, MHD_OPTION_END);
    if (control->daemon == NULL) {
        close(fd);
        return err_set(et, ERR_SYSTEM, "could not start the control door");
    }
    info = MHD_get_daemon_info(control->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (info == NULL)
        return err_set(et, ERR_SYSTEM, "could not start the control door: no epoll");
    r = loop_io_add(control->simulator->loop, info->epoll_fd, EPOLLIN, on_ready, control,
                    &control->io);
    if (r < 0)
        return err_set(et, r, "could not watch the control door: %s", err_string(r));
    return 0;
}

int control_create(struct simulator *simulator, struct err_text *et)
{
    struct control *control = calloc(1, sizeof(*control));
    int r;

    if (control == NULL)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    control->simulator = simulator;
    control->run = (struct loop_task){.fn = on_run, .arg = control};
    timer_init(&control->deadline, on_deadline);
    timer_init(&control->keep_alive, on_keep_alive);
    feeds_init(&control->feeds, simulator->pushes);
    r = start(control, et);
    if (r < 0) {
        control_destroy(control);
        return r;
    }
    loop_timer_add(simulator->loop, &control->keep_alive, KEEP_ALIVE_MS);
    pushes_on_add(simulator->pushes, on_push, control);
    simulator->control = control;
    return 0;
}

void control_destroy(struct control *control)
{
    struct loop *loop;

    if (control == NULL)
        return;
    loop = control->simulator->loop;
    pushes_on_add(control->simulator->pushes, NULL, NULL);
    loop_timer_cancel(loop, &control->deadline);
    loop_timer_cancel(loop, &control->keep_alive);
    loop_unpost(loop, &control->run);
    loop_io_remove(loop, control->io);
    if (control->daemon != NULL) {
        feeds_end(&control->feeds);
        IGNORE_RESULT(MHD_run(control->daemon) != MHD_YES); /* what was resumed ends here */
        MHD_stop_daemon(control->daemon);
    }
    free(control);
}
