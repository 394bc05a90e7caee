/* engine - clients one by one in an array, connected `concurrency` at a time or by a timetable.
 *
 * A client in the making or open has at most one record in epoll and one in the timer wheel; its
 * buffers exist while something is in them. */
#include "bench/load/engine.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/load/client_io.h"
#include "common/auto.h"
#include "common/token.h"

/* Above every run, so that no token expires in it. */
#define TOKEN_LIFE_S 86400

uint64_t engine_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now); /* can't fail with this clock */
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void on_turn_end(void *arg)
{
    struct engine *engine = arg;
    struct client *client;

    while ((client = engine->dirty) != NULL) {
        engine->dirty = client->next_dirty;
        client->dirty = false;
        client_flush(client);
    }
}

/* All before the first connects, so that signing is no part of what is measured. */
static int sign_tokens(struct engine *engine, struct err_text *et)
{
    const struct load_options *options = engine->options;
    uint64_t now_s = (uint64_t)time(NULL);

    engine->tokens = calloc(engine->count, sizeof(*engine->tokens));
    if (engine->tokens == NULL)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    for (uint32_t i = 0; i < engine->count; i++) {
        struct token_claims claims = {.issued_s = now_s, .expires_s = now_s + TOKEN_LIFE_S};
        struct client_setup setup = {0};

        engine->setup(engine->arg, i, &setup);
        claims.service = setup.service;
        snprintf(claims.user, sizeof(claims.user), "%s", setup.user);
        engine->tokens[i] = token_sign_hs256(&claims, options->kid, options->token_key, et);
        if (engine->tokens[i] == NULL)
            return ERR_CONFIG;
    }
    return 0;
}

int engine_init(struct engine *engine, uint32_t count, struct err_text *et)
{
    int r;

    engine->count = count;
    engine->clients = calloc(count, sizeof(*engine->clients));
    engine->scratch = malloc(CLIENT_SCRATCH_BYTES);
    for (uint32_t i = 0; engine->clients != NULL && i < count; i++)
        engine->clients[i] = (struct client){.engine = engine, .number = i, .stream.fd = -1};
    if (engine->clients == NULL || engine->scratch == NULL)
        return err_set(et, ERR_NO_MEMORY, "out of memory");
    r = target_init(&engine->target, engine->options, et);
    if (r == 0 && engine->options->token_key != NULL)
        r = sign_tokens(engine, et);
    if (r == 0 && loop_hook_add(engine->loop, on_turn_end, engine) < 0)
        r = err_set(et, ERR_SYSTEM, "could not set up the loop");
    return r;
}

void engine_fini(struct engine *engine)
{
    for (uint32_t i = 0; engine->clients != NULL && i < engine->count; i++)
        client_close(&engine->clients[i]);
    pace_stop(&engine->connect_pace);
    for (uint32_t i = 0; engine->tokens != NULL && i < engine->count; i++)
        free(engine->tokens[i]);
    free(engine->tokens);
    free(engine->clients);
    free(engine->scratch);
    target_fini(&engine->target);
}

static void begin_next(struct engine *engine, uint64_t due_ns)
{
    struct client *client = &engine->clients[engine->next++];

    client->due_ns = due_ns;
    engine->connecting++;
    client_begin(client);
}

static void on_due(void *arg, uint64_t number, uint64_t due_ns)
{
    struct engine *engine = arg;

    (void)number;
    begin_next(engine, due_ns);
    if (engine->next == engine->end)
        pace_stop(&engine->connect_pace);
}

/* A client may fail at once, and so call this from within. */
static void fill_up(struct engine *engine)
{
    if (engine->filling)
        return;
    engine->filling = true;
    while (engine->options->connect_rate == 0 && !engine->closing && engine->next < engine->end &&
           engine->connecting < engine->options->concurrency)
        begin_next(engine, engine_now_ns());
    engine->filling = false;
}

/* Once a batch. */
static void look_whether_all_are_begun(struct engine *engine)
{
    if (engine->filling || engine->closing || engine->connect_until_ns != 0 ||
        engine->next < engine->end || engine->connecting > 0)
        return;
    engine->connect_until_ns = engine_now_ns();
    engine->events->all_begun(engine->arg);
}

int engine_connect(struct engine *engine, uint32_t first, uint32_t count)
{
    assert(engine->connecting == 0 && first + count <= engine->count);
    engine->batch = count;
    engine->batch_failed = 0;
    engine->next = first;
    engine->end = first + count;
    engine->connect_from_ns = engine_now_ns();
    engine->connect_until_ns = 0;
    if (engine->options->connect_rate > 0)
        return pace_start(&engine->connect_pace, engine->loop, engine->options->connect_rate,
                          on_due, engine);
    fill_up(engine);
    look_whether_all_are_begun(engine);
    return 0;
}

void engine_on_begun(struct engine *engine, bool opened)
{
    engine->connecting--;
    if (opened) {
        engine->open++;
    } else {
        engine->failed++;
        engine->batch_failed++;
    }
    fill_up(engine);
    look_whether_all_are_begun(engine);
}

void client_leave(struct client *client)
{
    if (client->state != CLIENT_OPEN)
        return;
    packet_put_disconnect(&client->out);
    client_flush(client);
    if (client->state == CLIENT_OPEN) /* it may have failed to send */
        client->engine->open--;
    client_close(client);
}

void client_cut(struct client *client)
{
    if (client->state != CLIENT_OPEN)
        return;
    stream_reset(&client->stream);
    client->engine->open--;
    client_close(client);
}

void engine_close(struct engine *engine)
{
    engine->closing = true;
    pace_stop(&engine->connect_pace);
    for (uint32_t i = 0; i < engine->count; i++) {
        client_leave(&engine->clients[i]);
        client_close(&engine->clients[i]);
    }
    engine->dirty = NULL;
}
