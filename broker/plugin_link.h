/* plugin_link - the broker's end of the link to one plugin host: a ZeroMQ socket that lives as long
 * as that process, so that nothing of one process is ever taken for the next one's. Records of a
 * turn leave as one frame. Owned by its plugin_remote; loop thread. */
#ifndef BECKON_BROKER_PLUGIN_LINK_H
#define BECKON_BROKER_PLUGIN_LINK_H

#include "common/buf.h"
#include "common/err.h"
#include "common/loop.h"
#include "plugin-host/plugin_wire.h"

#include <stdbool.h>

struct zwatch;

/* May close the link. */
typedef void (*plugin_link_record_fn)(void *arg, struct plugin_wire_record *record);
/* What arrived or was to be sent is wrong: ERR_*. The link is of no use any more. */
typedef void (*plugin_link_broken_fn)(void *arg, int err);

/* Embedded. Zeroed is closed. */
struct plugin_link {
    struct loop *loop;
    void *socket; /* NULL: closed */
    struct zwatch *watch;
    struct buf out;
    struct loop_task flush;
    struct timer retry;
    plugin_link_record_fn on_record;
    plugin_link_broken_fn on_broken;
    void *arg;
};

/* Listens on endpoint in a ZeroMQ context. ERR_SYSTEM with et. */
MUST_CHECK int plugin_link_open(struct plugin_link *link, struct loop *loop, void *context,
                                const char *endpoint, plugin_link_record_fn on_record,
                                plugin_link_broken_fn on_broken, void *arg, struct err_text *et);
/* No callback afterwards. No effect when it is closed. */
void plugin_link_close(struct plugin_link *link);

/* The frame of this turn, to append a record to. A record that could not be encoded must be taken
 * back (plugin_link_rollback). */
struct buf *plugin_link_out(struct plugin_link *link);
void plugin_link_rollback(struct plugin_link *link, size_t len);
/* Sends now what the turn would send at its end. */
void plugin_link_flush(struct plugin_link *link);
/* For the end of a broker, while the loop stands: reads until *done, which a record sets, or
 * until_ms (plugin_clock_ms). When fd (-1: none, a pidfd) says that the process has ended, what is
 * still under way may take settle_ms. */
void plugin_link_finish(struct plugin_link *link, int fd, uint64_t until_ms, uint64_t settle_ms,
                        const bool *done);

#endif
