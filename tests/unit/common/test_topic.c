/* Tests of common/topic.c: the client contract's table of topics and filters, the grammar of names,
 * MQTT's of filters.
 */
#include "common/topic.h"

#include <check.h>
#include <stdlib.h>

#include "common/auto.h"

#include "tests/support/run_suite.h"

static struct bytes text(const char *string)
{
    return bytes_of_string(string);
}

/* count characters c behind prefix, as an exact-size heap copy. */
static struct bytes repeated(const char *prefix, char c, uint32_t count)
{
    uint32_t prefix_len = (uint32_t)strlen(prefix);
    uint8_t *data = malloc(prefix_len + count);

    ck_assert_ptr_nonnull(data);
    memcpy(data, prefix, prefix_len);
    memset(data + prefix_len, c, count);
    return bytes_of(data, prefix_len + count);
}

static void release(struct bytes bytes)
{
    free((void *)(uintptr_t)bytes.data);
}

START_TEST(test_every_character_of_names)
{
    for (unsigned c = 0; c < 256; c++) {
        const uint8_t name[] = {'a', (uint8_t)c, 'b'};
        struct bytes bytes = bytes_of(name, sizeof(name));
        bool device = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                      c == '.' || c == '_' || c == '~' || c == '-';
        bool user = device || c == '@' || c == ':';
        ck_assert_msg(name_is_user(bytes) == user, "user, character %u", c);
        ck_assert_msg(name_is_group(bytes) == user, "group, character %u", c);
        ck_assert_msg(name_is_device(bytes) == device, "device, character %u", c);
        ck_assert_msg(name_is_key(bytes) == device, "key, character %u", c);
    }
}
END_TEST

START_TEST(test_length_of_names)
{
    struct bytes longest = repeated("", 'x', NAME_MAX_LEN);
    struct bytes longer = repeated("", 'x', NAME_MAX_LEN + 1);

    ck_assert(name_is_user(longest) && name_is_device(longest) && name_is_key(longest));
    ck_assert(!name_is_user(longer) && !name_is_device(longer) && !name_is_group(longer));
    ck_assert(!name_is_user((struct bytes){0}) && !name_is_key((struct bytes){0}));
    release(longest);
    release(longer);
}
END_TEST

static const struct {
    const char *name;
    enum topic_kind kind;
    const char *to, *key;
} topics[] = {
    {"to/u/bob", TOPIC_TO_USER, "bob", ""},
    {"to/u/bob@example.org:1/k-1", TOPIC_TO_USER, "bob@example.org:1", "k-1"},
    {"to/g/team", TOPIC_TO_GROUP, "team", ""},
    {"to/g/team/key", TOPIC_TO_GROUP, "team", "key"},
    {"send", TOPIC_SEND, "", ""},
    {"me/state", TOPIC_ME_STATE, "", ""},
    {"me/push", TOPIC_ME_PUSH, "", ""},
    {"me/read", TOPIC_ME_READ, "", ""},
    {"me/shown", TOPIC_ME_SHOWN, "", ""},
    {"me/token", TOPIC_ME_TOKEN, "", ""},
    {"", TOPIC_UNKNOWN, "", ""},
    {"to", TOPIC_UNKNOWN, "", ""},
    {"to/", TOPIC_UNKNOWN, "", ""},
    {"to/u", TOPIC_UNKNOWN, "", ""},
    {"to/u/", TOPIC_UNKNOWN, "", ""},
    {"to/u//key", TOPIC_UNKNOWN, "", ""},
    {"to/u/bob/", TOPIC_UNKNOWN, "", ""},
    {"to/u/bob/key/", TOPIC_UNKNOWN, "", ""},
    {"to/u/bob/key/more", TOPIC_UNKNOWN, "", ""},
    {"to/u/bob/a@b", TOPIC_UNKNOWN, "", ""},
    {"to/u/b b", TOPIC_UNKNOWN, "", ""},
    {"to/u/+", TOPIC_UNKNOWN, "", ""},
    {"to/x/bob", TOPIC_UNKNOWN, "", ""},
    {"/to/u/bob", TOPIC_UNKNOWN, "", ""},
    {"To/u/bob", TOPIC_UNKNOWN, "", ""},
    {"send/", TOPIC_UNKNOWN, "", ""},
    {"sen", TOPIC_UNKNOWN, "", ""},
    {"me", TOPIC_UNKNOWN, "", ""},
    {"me/stat", TOPIC_UNKNOWN, "", ""},
    {"me/state/x", TOPIC_UNKNOWN, "", ""},
    {"inbox/u/bob/x", TOPIC_UNKNOWN, "", ""},
    {"receipt/x", TOPIC_UNKNOWN, "", ""},
    {"presence/u/bob", TOPIC_UNKNOWN, "", ""},
    {"$SYS/x", TOPIC_UNKNOWN, "", ""},
};

START_TEST(test_topic_table)
{
    struct topic topic = topic_parse(text(topics[_i].name));

    ck_assert_msg(topic.kind == topics[_i].kind, "\"%s\": %d, expected %d", topics[_i].name,
                  topic.kind, topics[_i].kind);
    ck_assert(bytes_equal_string(topic.to, topics[_i].to));
    ck_assert(bytes_equal_string(topic.key, topics[_i].key));
}
END_TEST

START_TEST(test_longest_names_in_topics)
{
    struct bytes fits = repeated("to/u/", 'x', NAME_MAX_LEN);
    struct bytes longer = repeated("to/u/", 'x', NAME_MAX_LEN + 1);
    struct bytes key = repeated("to/g/x/", 'k', NAME_MAX_LEN);
    struct bytes longer_key = repeated("to/g/x/", 'k', NAME_MAX_LEN + 1);

    ck_assert_int_eq(topic_parse(fits).kind, TOPIC_TO_USER);
    ck_assert_uint_eq(topic_parse(fits).to.len, NAME_MAX_LEN);
    ck_assert_int_eq(topic_parse(longer).kind, TOPIC_UNKNOWN);
    ck_assert_uint_eq(topic_parse(key).key.len, NAME_MAX_LEN);
    ck_assert_int_eq(topic_parse(longer_key).kind, TOPIC_UNKNOWN);
    release(fits);
    release(longer);
    release(key);
    release(longer_key);
}
END_TEST

START_TEST(test_topics_with_nul)
{
    ck_assert_int_eq(topic_parse(bytes_of("send\0", 5)).kind, TOPIC_UNKNOWN);
    ck_assert_int_eq(topic_parse(bytes_of("to/u/a\0b", 8)).kind, TOPIC_UNKNOWN);
    ck_assert_int_eq(topic_parse(bytes_of("to/u/a/k\0", 9)).kind, TOPIC_UNKNOWN);
    ck_assert_int_eq(filter_parse(bytes_of("inbox/#\0", 8)).kind, FILTER_UNKNOWN);
    ck_assert_int_eq(topic_parse((struct bytes){0}).kind, TOPIC_UNKNOWN);
    ck_assert_int_eq(filter_parse((struct bytes){0}).kind, FILTER_UNKNOWN);
}
END_TEST

static const struct {
    const char *text;
    enum filter_kind kind;
    const char *user;
} filters[] = {
    {"inbox/#", FILTER_INBOX, ""},
    {"receipt/#", FILTER_RECEIPT, ""},
    {"presence/u/bob@x", FILTER_PRESENCE, "bob@x"},
    {"$share/g/inbox/#", FILTER_SHARED, ""},
    {"$share/g/anything", FILTER_SHARED, ""},
    {"$share", FILTER_UNKNOWN, ""},
    {"$shared/g/x", FILTER_UNKNOWN, ""},
    {"#", FILTER_UNKNOWN, ""},
    {"+/#", FILTER_UNKNOWN, ""},
    {"inbox", FILTER_UNKNOWN, ""},
    {"inbox/", FILTER_UNKNOWN, ""},
    {"inbox/+", FILTER_UNKNOWN, ""},
    {"inbox/u/#", FILTER_UNKNOWN, ""},
    {"inbox/#/x", FILTER_UNKNOWN, ""},
    {"receipt/018f0000-0000-7000-8000-000000000000", FILTER_UNKNOWN, ""},
    {"presence/u/", FILTER_UNKNOWN, ""},
    {"presence/u/+", FILTER_UNKNOWN, ""},
    {"presence/u/bob/x", FILTER_UNKNOWN, ""},
    {"presence/g/team", FILTER_UNKNOWN, ""},
    {"", FILTER_UNKNOWN, ""},
};

START_TEST(test_filter_table)
{
    struct filter filter = filter_parse(text(filters[_i].text));

    ck_assert_msg(filter.kind == filters[_i].kind, "\"%s\": %d, expected %d", filters[_i].text,
                  filter.kind, filters[_i].kind);
    ck_assert(bytes_equal_string(filter.user, filters[_i].user));
}
END_TEST

static const struct {
    const char *text;
    bool filter, topic;
} syntax[] = {
    {"a", true, true},        {"/", true, true},        {"a/b/c", true, true},
    {"//", true, true},       {"$SYS/x", true, true},   {"a b", true, true},
    {"#", true, false},       {"/#", true, false},      {"a/#", true, false},
    {"+", true, false},       {"+/+", true, false},     {"a/+/b", true, false},
    {"/+", true, false},      {"+/#", true, false},     {"", false, false},
    {"a#", false, false},     {"#/", false, false},     {"#/a", false, false},
    {"a/#/b", false, false},  {"##", false, false},     {"a+", false, false},
    {"+a", false, false},     {"a/b+/c", false, false}, {"a/+b/c", false, false},
    {"sport+", false, false}, {"++", false, false},     {"a/#b", false, false},
};

START_TEST(test_syntax_of_filters_and_topics)
{
    ck_assert_msg(filter_syntax_valid(text(syntax[_i].text)) == syntax[_i].filter, "filter \"%s\"",
                  syntax[_i].text);
    ck_assert_msg(topic_name_valid(text(syntax[_i].text)) == syntax[_i].topic, "topic \"%s\"",
                  syntax[_i].text);
}
END_TEST

START_TEST(test_syntax_limits)
{
    struct bytes longest = repeated("", 'x', 65535), longer = repeated("", 'x', 65536);

    ck_assert(filter_syntax_valid(longest) && topic_name_valid(longest));
    ck_assert(!filter_syntax_valid(longer) && !topic_name_valid(longer));
    ck_assert(!filter_syntax_valid(bytes_of("a\0b", 3)) && !topic_name_valid(bytes_of("a\0b", 3)));
    ck_assert(!filter_syntax_valid((struct bytes){0}) && !topic_name_valid((struct bytes){0}));
    release(longest);
    release(longer);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("topic");
    TCase *names = tcase_create("names"), *parsing = tcase_create("parsing"),
          *mqtt = tcase_create("mqtt syntax");

    tcase_add_test(names, test_every_character_of_names);
    tcase_add_test(names, test_length_of_names);
    suite_add_tcase(suite, names);
    tcase_add_loop_test(parsing, test_topic_table, 0, (int)ARRAY_LEN(topics));
    tcase_add_test(parsing, test_longest_names_in_topics);
    tcase_add_test(parsing, test_topics_with_nul);
    tcase_add_loop_test(parsing, test_filter_table, 0, (int)ARRAY_LEN(filters));
    suite_add_tcase(suite, parsing);
    tcase_add_loop_test(mqtt, test_syntax_of_filters_and_topics, 0, (int)ARRAY_LEN(syntax));
    tcase_add_test(mqtt, test_syntax_limits);
    suite_add_tcase(suite, mqtt);
    return run_suite(suite);
}
