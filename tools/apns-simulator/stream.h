/* stream - one request on a connection, from its first header to the end of its answer.
 * Loop thread only. */
#ifndef BECKON_APNS_SIMULATOR_STREAM_H
#define BECKON_APNS_SIMULATOR_STREAM_H

#include "common/err.h"

#include <nghttp2/nghttp2.h>

struct stream;

/* The callbacks that make streams of a session whose user data is a struct connection. Returns
 * owned through ret_callbacks (nghttp2_session_callbacks_del). 0 or ERR_NO_MEMORY. */
MUST_CHECK int stream_callbacks(nghttp2_session_callbacks **ret_callbacks);
/* For connection_close: the connection is gone, and with it the answer if it has none yet. */
void stream_destroy(struct stream *stream);

#endif
