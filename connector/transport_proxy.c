/* transport_proxy - see the header. Reads exactly the header's bytes and never one more, so nothing
 * has to be kept for the layer above, and nothing is left of this one once the header is through.
 */
#include "connector/transport_proxy.h"

#include <stdio.h>
#include <stdlib.h>

#include "connector/proxy_header.h"

/* Thrown away at once; most headers have less behind their addresses. */
#define SKIP_BYTES 512

struct proxy {
    struct transport below;
    struct peer_address *peer;
    const char *why; /* the header is refused; NULL: it is not */
    uint32_t have;   /* bytes of `look` */
    uint32_t skip;   /* once it is understood: bytes of it that are still to be thrown away */
    bool understood;
    uint8_t look[PROXY_LOOK_BYTES];
};

/* 0 when the header is understood, else what the read or the parser said. */
static int read_look(struct proxy *proxy)
{
    struct proxy_header header;

    for (;;) {
        struct bytes data = bytes_of(proxy->look, proxy->have);
        int r = proxy_header_parse(data, &header, &proxy->why);
        ssize_t n;

        if (r < 0)
            return r;
        if (r == 1)
            break;
        n = proxy->below.ops->read(&proxy->below, proxy->look + proxy->have,
                                   proxy_header_needs(data) - proxy->have);
        if (n < 0)
            return (int)n;
        proxy->have += (uint32_t)n;
    }
    proxy->understood = true;
    proxy->skip = header.size - proxy->have;
    if (header.peer.family != 0)
        *proxy->peer = header.peer;
    proxy->peer->proxied = header.peer.family != 0;
    return 0;
}

/* 0 when all of it is through, else what the read said. */
static int read_rest(struct proxy *proxy)
{
    uint8_t bytes[SKIP_BYTES];

    while (proxy->skip > 0) {
        ssize_t n = proxy->below.ops->read(&proxy->below, bytes,
                                           proxy->skip < SKIP_BYTES ? proxy->skip : SKIP_BYTES);

        if (n < 0)
            return (int)n;
        proxy->skip -= (uint32_t)n;
    }
    return 0;
}

static void step_aside(struct transport *t)
{
    struct proxy *proxy = t->state;

    *t = proxy->below;
    free(proxy);
}

static ssize_t proxy_read(struct transport *t, void *buf, size_t size)
{
    struct proxy *proxy = t->state;
    int r;

    if (proxy->why != NULL) {
        ssize_t n = proxy->below.ops->read(&proxy->below, buf, size);

        return n > 0 ? ERR_AGAIN : n; /* thrown away */
    }
    r = proxy->understood ? 0 : read_look(proxy);
    if (r == 0)
        r = read_rest(proxy);
    if (r < 0)
        return r;
    step_aside(t);
    return t->ops->read(t, buf, size);
}

static ssize_t proxy_write(struct transport *t, const void *data, size_t size)
{
    struct proxy *proxy = t->state;

    return proxy->below.ops->write(&proxy->below, data, size);
}

static uint32_t proxy_want(const struct transport *t, bool reading, bool writing)
{
    const struct proxy *proxy = t->state;

    return proxy->below.ops->want(&proxy->below, reading, writing);
}

static uint32_t proxy_ready(const struct transport *t, uint32_t events)
{
    const struct proxy *proxy = t->state;

    return proxy->below.ops->ready(&proxy->below, events);
}

static bool proxy_pending(const struct transport *t)
{
    const struct proxy *proxy = t->state;

    return proxy->below.ops->pending(&proxy->below);
}

static int proxy_finish(struct transport *t)
{
    struct proxy *proxy = t->state;

    return proxy->below.ops->finish(&proxy->below);
}

static void proxy_probe_idle(struct transport *t)
{
    struct proxy *proxy = t->state;

    proxy->below.ops->probe_idle(&proxy->below);
}

static void proxy_explain(const struct transport *t, char *buf, size_t size)
{
    const struct proxy *proxy = t->state;

    snprintf(buf, size, "PROXY header: %s", proxy->why != NULL ? proxy->why : "it is not complete");
}

static void proxy_close(struct transport *t)
{
    step_aside(t);
    t->ops->close(t);
}

static const struct transport_ops proxy_ops = {
    .read = proxy_read,
    .write = proxy_write,
    .want = proxy_want,
    .ready = proxy_ready,
    .pending = proxy_pending,
    .finish = proxy_finish,
    .probe_idle = proxy_probe_idle,
    .explain = proxy_explain,
    .close = proxy_close,
};

int transport_proxy_stack(struct transport *t, struct peer_address *peer)
{
    struct proxy *proxy = calloc(1, sizeof(*proxy));

    if (proxy == NULL)
        return ERR_NO_MEMORY;
    proxy->below = *t;
    proxy->peer = peer;
    *t = (struct transport){.ops = &proxy_ops, .state = proxy, .fd = proxy->below.fd};
    return 0;
}
