/* link_requests - a ring of entries over chunks of record bytes.
 *
 * Tokens ascend by one, so an entry is found by subtraction; an answered one is marked, and the
 * ring's tail moves over marked ones. Record bytes lie in chunks that are filled one after the
 * other and go back to a free chunk when their last record is answered: no allocation a request,
 * and the memory counted is the memory used. The broker answers nearly in order (different people's
 * batches overtake each other), so few chunks are pinned by a late answer; the span limit bounds
 * what one that never comes could pin of the ring. */
#include "common/link/link_requests.h"

#include <assert.h>
#include <stdlib.h>

#include "common/auto.h"

/* Some 150 records of ordinary messages. Larger records get a chunk of their own. */
#define CHUNK_BYTES 65536
#define FIRST_ENTRIES 256
/* Entries between the oldest unanswered and the newest: 12 MB of ring at most. */
#define SPAN_MAX (1u << 18)

struct chunk {
    struct chunk *next; /* free list */
    uint32_t size, used;
    uint32_t live; /* records not answered */
    uint8_t data[];
};

struct entry {
    uint64_t conn, previous;
    struct chunk *chunk; /* NULL: answered */
    uint32_t offset, record_len;
    uint32_t reply;
    uint16_t codes_len;
    uint8_t type;
};

struct link_requests {
    struct entry *ring;    /* power of two */
    uint64_t oldest, next; /* tokens; ring holds [oldest, next) */
    size_t mask;
    struct chunk *filling;   /* NULL before the first */
    struct chunk *spare;     /* one empty chunk of CHUNK_BYTES, or NULL */
    size_t bytes, max_bytes; /* of chunks that hold records */
    uint32_t count, credit;
};

struct link_requests *link_requests_create(size_t max_bytes)
{
    struct link_requests *requests = calloc(1, sizeof(*requests));

    if (requests == NULL)
        return NULL;
    requests->ring = calloc(FIRST_ENTRIES, sizeof(struct entry));
    if (requests->ring == NULL) {
        free(requests);
        return NULL;
    }
    requests->mask = FIRST_ENTRIES - 1;
    requests->oldest = requests->next = 1;
    requests->max_bytes = max_bytes;
    return requests;
}

static struct entry *entry_of(const struct link_requests *requests, uint64_t token)
{
    return &requests->ring[token & requests->mask];
}

/* One of the chunk's records is answered. */
static void drop_record(struct link_requests *requests, struct chunk *chunk)
{
    if (--chunk->live > 0)
        return;
    if (chunk == requests->filling) {
        chunk->used = 0;
        if (chunk->size == CHUNK_BYTES)
            return;
        requests->filling = NULL;
    }
    requests->bytes -= chunk->size;
    if (chunk->size == CHUNK_BYTES && requests->spare == NULL) {
        chunk->used = 0;
        requests->spare = chunk;
        return;
    }
    free(chunk);
}

void link_requests_destroy(struct link_requests *requests)
{
    if (requests == NULL)
        return;
    while (requests->oldest < requests->next)
        link_requests_release(requests, requests->oldest);
    free(requests->filling);
    free(requests->spare);
    free(requests->ring);
    free(requests);
}

void link_requests_set_credit(struct link_requests *requests, uint32_t credit)
{
    requests->credit = credit;
}

bool link_requests_full(const struct link_requests *requests)
{
    return requests->count >= requests->credit || requests->bytes >= requests->max_bytes ||
           requests->next - requests->oldest >= SPAN_MAX;
}

bool link_requests_roomy(const struct link_requests *requests)
{
    /* With a credit of 1 the half is 0, which means: none unanswered. */
    return !link_requests_full(requests) && requests->count <= requests->credit / 2 &&
           requests->bytes <= requests->max_bytes / 2 + CHUNK_BYTES &&
           requests->next - requests->oldest <= SPAN_MAX / 2;
}

uint32_t link_requests_count(const struct link_requests *requests)
{
    return requests->count;
}

uint64_t link_requests_next_token(const struct link_requests *requests)
{
    return requests->next;
}

static int grow_ring(struct link_requests *requests)
{
    size_t capacity = (requests->mask + 1) * 2;
    struct entry *ring = calloc(capacity, sizeof(*ring));

    if (ring == NULL)
        return ERR_NO_MEMORY;
    for (uint64_t token = requests->oldest; token < requests->next; token++)
        ring[token & (capacity - 1)] = *entry_of(requests, token);
    free(requests->ring);
    requests->ring = ring;
    requests->mask = capacity - 1;
    return 0;
}

/* Makes `filling` a chunk with room for size bytes. */
static int make_room(struct link_requests *requests, size_t size)
{
    struct chunk *chunk = requests->filling;
    size_t chunk_size = size > CHUNK_BYTES ? size : CHUNK_BYTES;

    if (chunk != NULL && size <= chunk->size - chunk->used)
        return 0;
    if (chunk_size == CHUNK_BYTES && requests->spare != NULL) {
        chunk = requests->spare;
        requests->spare = NULL;
    } else {
        chunk = malloc(sizeof(*chunk) + chunk_size);
        if (chunk == NULL)
            return ERR_NO_MEMORY;
        chunk->size = (uint32_t)chunk_size;
    }
    chunk->used = chunk->live = 0;
    requests->bytes += chunk->size;
    /* A chunk that is full belongs to its records; an empty one that is too small, to nobody. */
    if (requests->filling != NULL && requests->filling->live == 0) {
        requests->bytes -= requests->filling->size;
        free(requests->filling);
    }
    requests->filling = chunk;
    return 0;
}

int link_requests_add(struct link_requests *requests, const struct link_request *request)
{
    size_t size = (size_t)request->record.len + request->codes.len;
    struct chunk *chunk;
    int r;

    assert(request->codes.len <= UINT16_MAX);
    if (requests->next - requests->oldest > requests->mask) {
        r = grow_ring(requests);
        if (r < 0)
            return r;
    }
    r = make_room(requests, size);
    if (r < 0)
        return r;
    chunk = requests->filling;
    *entry_of(requests, requests->next) = (struct entry){
        .conn = request->conn,
        .previous = request->previous,
        .chunk = chunk,
        .offset = chunk->used,
        .record_len = request->record.len,
        .reply = request->reply,
        .codes_len = (uint16_t)request->codes.len,
        .type = request->type,
    };
    memcpy(chunk->data + chunk->used, request->record.data, request->record.len);
    if (request->codes.len > 0)
        memcpy(chunk->data + chunk->used + request->record.len, request->codes.data,
               request->codes.len);
    chunk->used += (uint32_t)size;
    chunk->live++;
    requests->next++;
    requests->count++;
    return 0;
}

bool link_requests_find(const struct link_requests *requests, uint64_t token,
                        struct link_request *ret_request)
{
    const struct entry *entry;
    const uint8_t *data;

    if (token < requests->oldest || token >= requests->next)
        return false;
    entry = entry_of(requests, token);
    if (entry->chunk == NULL)
        return false;
    data = entry->chunk->data + entry->offset;
    *ret_request = (struct link_request){
        .conn = entry->conn,
        .previous = entry->previous,
        .reply = entry->reply,
        .type = entry->type,
        .record = bytes_of(data, entry->record_len),
        .codes = bytes_of(data + entry->record_len, entry->codes_len),
    };
    return true;
}

uint64_t link_requests_before(const struct link_requests *requests, uint64_t token)
{
    if (token < requests->oldest || token >= requests->next)
        return 0;
    return entry_of(requests, token)->previous;
}

void link_requests_release(struct link_requests *requests, uint64_t token)
{
    struct chunk *chunk;

    if (token < requests->oldest || token >= requests->next)
        return;
    chunk = entry_of(requests, token)->chunk;
    if (chunk == NULL)
        return;
    entry_of(requests, token)->chunk = NULL;
    drop_record(requests, chunk);
    requests->count--;
    while (requests->oldest < requests->next && entry_of(requests, requests->oldest)->chunk == NULL)
        requests->oldest++;
}

bool link_requests_after(const struct link_requests *requests, uint64_t token, uint64_t *ret_token,
                         struct link_request *ret_request)
{
    uint64_t at = token + 1 > requests->oldest ? token + 1 : requests->oldest;

    for (; at < requests->next; at++) {
        if (link_requests_find(requests, at, ret_request)) {
            *ret_token = at;
            return true;
        }
    }
    return false;
}

void link_requests_each(struct link_requests *requests,
                        void (*fn)(uint8_t type, uint8_t *record, size_t len, void *arg), void *arg)
{
    for (uint64_t token = requests->oldest; token < requests->next; token++) {
        struct entry *entry = entry_of(requests, token);

        if (entry->chunk != NULL)
            fn(entry->type, entry->chunk->data + entry->offset, entry->record_len, arg);
    }
}
