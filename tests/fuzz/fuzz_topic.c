/* Any bytes as a topic and as a filter: what is recognised is valid MQTT, its parts are valid names
 * and put together again they are the input. */
#include <stdlib.h>

#include "common/buf.h"
#include "common/topic.h"
#include "tests/fuzz/fuzz.h"

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void try_topic(struct bytes name)
{
    struct topic topic = topic_parse(name);
    struct buf again = {0};

    if (topic.kind != TOPIC_UNKNOWN)
        check(topic_name_valid(name) && filter_syntax_valid(name));
    if (topic.kind != TOPIC_TO_USER && topic.kind != TOPIC_TO_GROUP) {
        check(topic.to.len == 0 && topic.key.len == 0);
        return;
    }
    check(topic.kind == TOPIC_TO_USER ? name_is_user(topic.to) : name_is_group(topic.to));
    check(topic.key.len == 0 || name_is_key(topic.key));
    buf_put(&again, topic.kind == TOPIC_TO_USER ? "to/u/" : "to/g/", 5);
    buf_put(&again, topic.to.data, topic.to.len);
    if (topic.key.len != 0)
        buf_put_u8(&again, '/');
    buf_put(&again, topic.key.data, topic.key.len);
    check(buf_ok(&again) && bytes_equal(bytes_of(again.data, (uint32_t)again.len), name));
    buf_release(&again);
}

static void try_filter(struct bytes text)
{
    struct filter filter = filter_parse(text);

    if (filter.kind != FILTER_UNKNOWN && filter.kind != FILTER_SHARED)
        check(filter_syntax_valid(text));
    check((filter.kind == FILTER_PRESENCE) == (filter.user.len != 0));
    if (filter.kind == FILTER_PRESENCE)
        check(name_is_user(filter.user) && filter.user.len + strlen("presence/u/") == text.len);
    /* A topic name is a filter that matches itself. */
    if (topic_name_valid(text))
        check(filter_syntax_valid(text));
    if (name_is_device(text))
        check(name_is_user(text) && name_is_key(text) && topic_name_valid(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > UINT32_MAX)
        return 0;
    try_topic(bytes_of(data, (uint32_t)size));
    try_filter(bytes_of(data, (uint32_t)size));
    return 0;
}
