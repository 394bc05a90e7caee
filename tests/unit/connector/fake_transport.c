#include "fake_transport.h"

#include <check.h>
#include <sys/epoll.h>

struct fake_transport fake;

static ssize_t fake_read(struct transport *t, void *buf, size_t size)
{
    size_t n = fake.input.len - fake.read_at;

    (void)t;
    if (n > size)
        n = size;
    if (n > fake.read_limit)
        n = fake.read_limit;
    if (n == 0)
        return fake.ended ? ERR_CLOSED : ERR_AGAIN;
    memcpy(buf, fake.input.data + fake.read_at, n);
    fake.read_at += n;
    return (ssize_t)n;
}

static ssize_t fake_write(struct transport *t, const void *data, size_t size)
{
    size_t n = size < fake.allowed ? size : fake.allowed;

    (void)t;
    fake.writes++;
    ck_assert_uint_gt(size, 0);
    ck_assert_uint_ge(size, fake.refused.len);
    ck_assert(fake.refused.len == 0 || memcmp(data, fake.refused.data, fake.refused.len) == 0);
    buf_clear(&fake.refused);
    if (n == 0) {
        buf_put(&fake.refused, data, size);
        return ERR_AGAIN;
    }
    buf_put(&fake.output, data, n);
    fake.allowed -= n;
    return (ssize_t)n;
}

static uint32_t fake_want(const struct transport *t, bool reading, bool writing)
{
    (void)t;
    return (reading ? (uint32_t)EPOLLIN : 0) | (writing ? (uint32_t)EPOLLOUT : 0);
}

static uint32_t fake_ready(const struct transport *t, uint32_t events)
{
    (void)t;
    return events;
}

static bool fake_pending(const struct transport *t)
{
    (void)t;
    return false;
}

static int fake_finish(struct transport *t)
{
    (void)t;
    fake.finishes++;
    return 0;
}

static void fake_probe_idle(struct transport *t)
{
    (void)t;
}

static void fake_explain(const struct transport *t, char *buf, size_t size)
{
    (void)t;
    if (size > 0)
        buf[0] = '\0';
}

static void fake_close(struct transport *t)
{
    (void)t;
    fake.closes++;
}

static const struct transport_ops fake_ops = {
    .read = fake_read,
    .write = fake_write,
    .want = fake_want,
    .ready = fake_ready,
    .pending = fake_pending,
    .finish = fake_finish,
    .probe_idle = fake_probe_idle,
    .explain = fake_explain,
    .close = fake_close,
};

void fake_transport_init(struct transport *t)
{
    *t = (struct transport){.ops = &fake_ops, .fd = FAKE_FD};
    fake = (struct fake_transport){.read_limit = SIZE_MAX, .allowed = SIZE_MAX};
}

void fake_transport_fini(void)
{
    buf_release(&fake.input);
    buf_release(&fake.output);
    buf_release(&fake.refused);
}
