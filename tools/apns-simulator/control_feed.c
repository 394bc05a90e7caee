/* control_feed - a reader's position is the number of a push, so that neither a slow reader nor a
 * hundred thousand pushes cost memory. An event stream that has nothing to say suspends its
 * connection: microhttpd would ask again and again otherwise. */
#include "control_feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/auto.h"

/* What microhttpd asks for at once; a push has about a kilobyte. */
#define BLOCK_BYTES 16384

struct feed {
    TAILQ_ENTRY(feed) link; /* of event streams only */
    struct feeds *feeds;
    struct MHD_Connection *connection; /* NULL: an array */
    uint64_t next;                     /* the number of the push to write next */
    uint64_t end;                      /* of an array: where it stops */
    bool suspended, keep_alive, begun, ended;
    char *piece; /* owned: what is being written, from piece_sent on */
    size_t piece_len, piece_sent;
    char device[];
};

static void set_piece(struct feed *feed, char *text)
{
    free(feed->piece);
    feed->piece = text;
    feed->piece_len = text != NULL ? strlen(text) : 0;
    feed->piece_sent = 0;
}

/* Takes json. NULL when out of memory. */
static char *wrap(const char *before, char *json, const char *after)
{
    char *text = NULL;

    if (json == NULL || asprintf(&text, "%s%s%s", before, json, after) < 0)
        text = NULL;
    free(json);
    return text;
}

/* 1 with a piece, 0 when there is none now, ERR_NO_MEMORY. */
static int next_event(struct feed *feed)
{
    const struct push *push = pushes_next(feed->feeds->pushes, feed->next, feed->device);
    char *text;

    if (push != NULL) {
        feed->next = push->number + 1;
        text = wrap("data: ", push_json(push), "\n\n");
    } else {
        feed->next = pushes_end(feed->feeds->pushes);
        if (feed->begun && !feed->keep_alive)
            return 0;
        /* At once, too: so a client knows that it misses nothing from now on. */
        text = strdup(": waiting for pushes\n\n");
    }
    feed->begun = true;
    feed->keep_alive = false;
    set_piece(feed, text);
    return text != NULL ? 1 : ERR_NO_MEMORY;
}

static int next_element(struct feed *feed)
{
    const struct push *push = pushes_next(feed->feeds->pushes, feed->next, feed->device);
    char *text;

    if (feed->ended)
        return 0;
    if (push != NULL && push->number < feed->end) {
        feed->next = push->number + 1;
        text = wrap(feed->begun ? ",\n" : "[", push_json(push), "");
    } else {
        feed->ended = true;
        text = strdup(feed->begun ? "]\n" : "[]\n");
    }
    feed->begun = true;
    set_piece(feed, text);
    return text != NULL ? 1 : ERR_NO_MEMORY;
}

static ssize_t give(struct feed *feed, char *out, size_t max)
{
    size_t left = feed->piece_len - feed->piece_sent, n = left < max ? left : max;

    memcpy(out, feed->piece + feed->piece_sent, n);
    feed->piece_sent += n;
    return (ssize_t)n;
}

static ssize_t on_read(void *arg, uint64_t position, char *out, size_t max)
{
    struct feed *feed = arg;
    int r = 1;

    (void)position;
    if (feed->piece_sent == feed->piece_len)
        r = feed->connection != NULL ? next_event(feed) : next_element(feed);
    if (r > 0)
        return give(feed, out, max);
    if (r < 0)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (feed->connection == NULL || feed->feeds->ending)
        return MHD_CONTENT_READER_END_OF_STREAM;
    feed->suspended = true;
    MHD_suspend_connection(feed->connection);
    return 0;
}

static void on_free(void *arg)
{
    struct feed *feed = arg;

    if (feed->connection != NULL)
        TAILQ_REMOVE(&feed->feeds->all, feed, link);
    free(feed->piece);
    free(feed);
}

static struct MHD_Response *make(struct feeds *feeds, struct MHD_Connection *connection,
                                 const char *device)
{
    size_t size = strlen(device) + 1;
    struct feed *feed = calloc(1, sizeof(*feed) + size);
    struct MHD_Response *response;

    if (feed == NULL)
        return NULL;
    feed->feeds = feeds;
    feed->connection = connection;
    feed->next = connection != NULL ? pushes_end(feeds->pushes) : 0;
    feed->end = pushes_end(feeds->pushes);
    memcpy(feed->device, device, size);
    response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, on_read, feed, on_free);
    if (response == NULL)
        free(feed);
    else if (connection != NULL)
        TAILQ_INSERT_TAIL(&feeds->all, feed, link);
    return response;
}

struct MHD_Response *feed_array(struct feeds *feeds, const char *device)
{
    return make(feeds, NULL, device);
}

struct MHD_Response *feed_events(struct feeds *feeds, struct MHD_Connection *connection,
                                 const char *device)
{
    return make(feeds, connection, device);
}

void feeds_init(struct feeds *feeds, struct pushes *pushes)
{
    TAILQ_INIT(&feeds->all);
    feeds->pushes = pushes;
    feeds->ending = false;
}

void feeds_wake(struct feeds *feeds, bool keep_alive)
{
    struct feed *feed;

    TAILQ_FOREACH(feed, &feeds->all, link)
    {
        feed->keep_alive |= keep_alive;
        if (!feed->suspended)
            continue;
        feed->suspended = false;
        MHD_resume_connection(feed->connection);
    }
}

void feeds_end(struct feeds *feeds)
{
    feeds->ending = true;
    feeds_wake(feeds, false);
}
