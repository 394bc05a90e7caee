/* Fuzz target: a client's request to upgrade. The first byte chooses how the rest is cut into
 * chunks (0: not at all) and, by its lowest bit, whether origins are listed; the verdict, the bytes
 * used and the answer must be the same as without a cut, and the answer must be one of HTTP. */
#include <stdio.h>
#include <stdlib.h>

#include "common/buf.h"
#include "connector/ws_upgrade.h"
#include "tests/fuzz/fuzz.h"

static char origin[] = "https://chat.example.org", *origins[] = {origin};

struct result {
    struct ws_upgrade upgrade;
    uint32_t used;
    bool decided;
    struct buf answer;
};

static void check(bool holds)
{
    if (!holds)
        abort();
}

/* A chunk of its own, so that the sanitizer sees a byte too many. */
static void feed_chunk(struct result *result, const uint8_t *data, uint32_t len)
{
    uint8_t *chunk = malloc(len);
    uint32_t used = 0;

    check(chunk != NULL);
    memcpy(chunk, data, len);
    result->decided = ws_upgrade_feed(&result->upgrade, bytes_of(chunk, len), &used) == 1;
    check(used <= len && (result->decided || used == len));
    result->used += used;
    free(chunk);
}

static void check_answer(struct result *result)
{
    const char *text, *body, *length;
    bool refused = ws_upgrade_refused(&result->upgrade);

    ws_upgrade_answer(&result->upgrade, &result->answer);
    buf_put_u8(&result->answer, '\0');
    check(buf_ok(&result->answer));
    text = (const char *)result->answer.data;
    check(strlen(text) + 1 == result->answer.len);
    body = strstr(text, "\r\n\r\n");
    check(body != NULL);
    check((strncmp(text, "HTTP/1.1 101 ", 13) == 0) == !refused);
    length = strstr(text, "\r\nContent-Length: ");
    check((length != NULL) == refused);
    check(strlen(body + 4) == (refused ? strtoul(length + 18, NULL, 10) : 0));
}

static void upgrade(struct result *result, const struct ws_policy *policy, struct bytes data,
                    uint32_t chunk)
{
    ws_upgrade_init(&result->upgrade, policy);
    for (uint32_t at = 0; at < data.len && !result->decided; at += chunk) {
        if (chunk == 0 || chunk > data.len - at)
            chunk = data.len - at;
        feed_chunk(result, data.data + at, chunk);
    }
    if (result->decided)
        check_answer(result);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct result whole, cut; /* zeroed below, except for the line of a request */
    struct ws_policy policy = {.path = "/mqtt", .origins = origins};
    struct bytes request;

    if (size < 2 || size > INT32_MAX)
        return 0;
    policy.origin_count = data[0] & 1;
    request = bytes_of(data + 1, (uint32_t)size - 1);
    whole.used = cut.used = 0;
    whole.decided = cut.decided = false;
    upgrade(&whole, &policy, request, 0);
    upgrade(&cut, &policy, request, data[0]);
    check(whole.decided == cut.decided && whole.used == cut.used);
    check(whole.upgrade.refusal == cut.upgrade.refusal);
    check(bytes_equal(bytes_of(whole.answer.data, (uint32_t)whole.answer.len),
                      bytes_of(cut.answer.data, (uint32_t)cut.answer.len)));
    buf_release(&whole.answer);
    buf_release(&cut.answer);
    return 0;
}
