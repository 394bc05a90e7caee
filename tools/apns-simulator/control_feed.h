/* control_feed - the answers of the control door that are made from pushes, piece by piece: a JSON
 * array of what there is, or server-sent events without end. Loop thread only. */
#ifndef BECKON_APNS_SIMULATOR_CONTROL_FEED_H
#define BECKON_APNS_SIMULATOR_CONTROL_FEED_H

#include "pushes.h"

#include <microhttpd.h>
#include <stdbool.h>
#include <sys/queue.h>

struct feed;

/* All streams of events, which wait for pushes together. Embedded in the control door. */
struct feeds {
    TAILQ_HEAD(, feed) all;
    struct pushes *pushes;
    bool ending; /* streams end instead of waiting */
};

void feeds_init(struct feeds *feeds, struct pushes *pushes);
/* Streams that wait look again: for a push, or, with keep_alive, to write a comment, by which a
 * client that is gone is noticed. MHD_run must follow. */
void feeds_wake(struct feeds *feeds, bool keep_alive);
/* Before MHD_stop_daemon, which can't end what waits. */
void feeds_end(struct feeds *feeds);

/* device: "" for all; borrowed. Returns owned (MHD_destroy_response), NULL when out of memory. */
struct MHD_Response *feed_array(struct feeds *feeds, const char *device);
/* Pushes from now on. connection is the one that the response is queued on. */
struct MHD_Response *feed_events(struct feeds *feeds, struct MHD_Connection *connection,
                                 const char *device);

#endif
