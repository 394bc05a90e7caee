/* Properties against MQTT 5.0 table 2-4, written down here a second time: every identifier in every
 * packet, once and twice; the walk over user properties; what is forwarded. */
#include "connector/mqtt_codec.h"

#include "common/auto.h"

#include "tests/support/run_suite.h"

#include <check.h>
#include <stdlib.h>

enum place { CONNECT, WILL, PUBLISH, ACK, SUBSCRIBE, UNSUBSCRIBE, DISCONNECT, AUTH, PLACES };

/* A valid value of each property, and a letter for each place it may stand in:
 * Connect, Will, Publish, acKnowledgement, Subscribe, Unsubscribe, Disconnect, Auth. */
static const struct {
    uint8_t id;
    const char *places;
    uint8_t value[8];
    uint32_t len;
} table_2_4[] = {
    {1, "PW", {1}, 1},           /* Payload Format Indicator */
    {2, "PW", {0, 0, 0, 9}, 4},  /* Message Expiry Interval */
    {3, "PW", {0, 1, 'c'}, 3},   /* Content Type */
    {8, "PW", {0, 1, 'r'}, 3},   /* Response Topic */
    {9, "PW", {0, 1, 0xFF}, 3},  /* Correlation Data */
    {11, "S", {0x80, 0x01}, 2},  /* Subscription Identifier; not PUBLISH's: 3.3.4-6 */
    {17, "CD", {0, 0, 0, 1}, 4}, /* Session Expiry Interval */
    {18, "", {0, 1, 'i'}, 3},    /* Assigned Client Identifier */
    {19, "", {0, 1}, 2},         /* Server Keep Alive */
    {21, "CA", {0, 1, 'm'}, 3},  /* Authentication Method */
    {22, "CA", {0, 1, 'd'}, 3},  /* Authentication Data */
    {23, "C", {0}, 1},           /* Request Problem Information */
    {24, "W", {0, 0, 0, 5}, 4},  /* Will Delay Interval */
    {25, "C", {1}, 1},           /* Request Response Information */
    {26, "", {0, 1, 'i'}, 3},    /* Response Information */
    {28, "D", {0, 1, 's'}, 3},   /* Server Reference */
    {31, "KDA", {0, 1, 'r'}, 3}, /* Reason String */
    {33, "C", {0, 1}, 2},        /* Receive Maximum */
    {34, "C", {0, 0}, 2},        /* Topic Alias Maximum */
    {35, "P", {0, 1}, 2},        /* Topic Alias */
    {36, "", {1}, 1},            /* Maximum QoS */
    {37, "", {1}, 1},            /* Retain Available */
    {38, "CWPKSUDA", {0, 1, 'n', 0, 1, 'v'}, 6}, /* User Property */
    {39, "C", {0, 0, 1, 0}, 4},                  /* Maximum Packet Size */
    {40, "", {1}, 1},                            /* Wildcard Subscription Available */
    {41, "", {1}, 1},                            /* Subscription Identifier Available */
    {42, "", {1}, 1},                            /* Shared Subscription Available */
};
static const char place_letters[] = "CWPKSUDA";

static void put_text(struct buf *out, const char *text)
{
    buf_put_be16(out, (uint16_t)strlen(text));
    buf_put(out, text, strlen(text));
}

static void put_list(struct buf *out, struct bytes list)
{
    ck_assert_uint_lt(list.len, 128); /* a length of one byte */
    buf_put_u8(out, (uint8_t)list.len);
    buf_put(out, list.data, list.len);
}

/* A valid packet but for the property list, which stands at `place`. */
static void build(struct buf *out, enum place place, struct bytes list)
{
    static const uint8_t first[] = {
        [CONNECT] = 0x10,   [WILL] = 0x10,        [PUBLISH] = 0x30,    [ACK] = 0x40,
        [SUBSCRIBE] = 0x82, [UNSUBSCRIBE] = 0xA2, [DISCONNECT] = 0xE0, [AUTH] = 0xF0,
    };
    struct buf body = {0};

    if (place == CONNECT || place == WILL) {
        put_text(&body, "MQTT");
        buf_put(&body, place == WILL ? "\x05\x06\x00\x3C" : "\x05\x02\x00\x3C", 4);
        put_list(&body, place == WILL ? bytes_of(NULL, 0) : list);
        put_text(&body, "phone");
    }
    if (place == PUBLISH)
        put_text(&body, "t");
    if (place == ACK || place == SUBSCRIBE || place == UNSUBSCRIBE)
        buf_put_be16(&body, 1);
    if (place == ACK || place == DISCONNECT || place == AUTH)
        buf_put_u8(&body, place == AUTH ? 0x18 : 0);
    if (place != CONNECT)
        put_list(&body, list);
    if (place == WILL) {
        put_text(&body, "t");
        put_text(&body, "bye");
    }
    if (place == SUBSCRIBE || place == UNSUBSCRIBE)
        put_text(&body, "a");
    if (place == SUBSCRIBE)
        buf_put_u8(&body, 1);

    buf_put_u8(out, first[place]);
    put_list(out, bytes_of(body.data, (uint32_t)body.len));
    ck_assert(buf_ok(out));
    buf_release(&body);
}

/* Decodes a packet with `list` at `place`. */
static int decode_list(enum place place, const struct buf *list, struct mqtt_fault *ret_fault)
{
    struct buf out = {0};
    struct mqtt_packet packet;

    build(&out, place, bytes_of(list->data, (uint32_t)list->len));
    int err = mqtt_decode(bytes_of(out.data, (uint32_t)out.len), MQTT_5, &packet, ret_fault);
    buf_release(&out);
    return err;
}

static void put_property(struct buf *list, size_t row)
{
    buf_put_u8(list, table_2_4[row].id);
    buf_put(list, table_2_4[row].value, table_2_4[row].len);
}

/* What an AUTH, and Authentication Data anywhere, can't do without. */
static void put_method(struct buf *list, enum place place, uint8_t id)
{
    if (id != 21 && (place == AUTH || (place == CONNECT && id == 22)))
        buf_put(list, "\x15\x00\x01m", 4);
}

static void for_each_row_and_place(void (*check)(size_t row, enum place place))
{
    for (size_t row = 0; row < ARRAY_LEN(table_2_4); row++) {
        for (unsigned place = 0; place < PLACES; place++)
            check(row, (enum place)place);
    }
}

static void check_stands_where_table_2_4_says(size_t row, enum place place)
{
    bool allowed = strchr(table_2_4[row].places, place_letters[place]) != NULL;
    struct buf list = {0};
    struct mqtt_fault fault = {0};

    put_method(&list, place, table_2_4[row].id);
    put_property(&list, row);
    int err = decode_list(place, &list, &fault);
    if (allowed) {
        ck_assert_msg(err == 0, "property %u: %s", table_2_4[row].id, fault.text);
    } else if (table_2_4[row].id == 11 && place == PUBLISH) {
        ck_assert_int_eq(err, ERR_PROTOCOL);
        ck_assert_str_eq(fault.clause, "MQTT-3.3.4-6");
    } else {
        ck_assert_msg(err == ERR_MALFORMED, "property %u: %d", table_2_4[row].id, err);
        ck_assert_uint_eq(fault.reason, MQTT_MALFORMED_PACKET);
        ck_assert_str_eq(fault.clause, "2.2.2.2");
    }
    buf_release(&list);
}

START_TEST(stands_where_table_2_4_says)
{
    for_each_row_and_place(check_stands_where_table_2_4_says);
}
END_TEST

static void check_stands_once(size_t row, enum place place)
{
    struct buf list = {0};
    struct mqtt_fault fault = {0};

    if (strchr(table_2_4[row].places, place_letters[place]) != NULL) {
        put_method(&list, place, table_2_4[row].id);
        put_property(&list, row);
        put_property(&list, row);
        int err = decode_list(place, &list, &fault);
        if (table_2_4[row].id == 38) {
            ck_assert_int_eq(err, 0);
        } else {
            ck_assert_msg(err == ERR_PROTOCOL, "property %u: %d", table_2_4[row].id, err);
            ck_assert_uint_eq(fault.reason, MQTT_PROTOCOL_ERROR);
            ck_assert_msg(fault.clause[0] == '3', "property %u: %s", table_2_4[row].id,
                          fault.clause);
        }
    }
    buf_release(&list);
}

START_TEST(stands_once)
{
    for_each_row_and_place(check_stands_once);
}
END_TEST

START_TEST(refuses_unknown_identifiers)
{
    bool known[128] = {false};
    uint8_t unknown = 0;

    for (size_t i = 0; i < ARRAY_LEN(table_2_4); i++)
        known[table_2_4[i].id] = true;
    for (uint8_t id = 0; id < 128; id++) {
        struct buf list = {0};
        struct mqtt_fault fault = {0};

        if (known[id])
            continue;
        buf_put_u8(&list, id);
        buf_put(&list, "\x00\x00\x00\x00", 4);
        for (unsigned place = 0; place < PLACES; place++) {
            ck_assert_int_eq(decode_list((enum place)place, &list, &fault), ERR_MALFORMED);
            ck_assert_str_eq(fault.text, "unknown property");
        }
        buf_release(&list);
        unknown++;
    }
    ck_assert_uint_eq(unknown, 128 - ARRAY_LEN(table_2_4));
}
END_TEST

/* Every value cut by one byte, at the end of the list, with more packet behind it. */
static void check_never_reads_a_value_past_the_list(size_t row, enum place place)
{
    struct buf list = {0};
    struct mqtt_fault fault = {0};

    if (strchr(table_2_4[row].places, place_letters[place]) != NULL) {
        put_method(&list, place, table_2_4[row].id);
        put_property(&list, row);
        list.len--;
        ck_assert_int_eq(decode_list(place, &list, &fault), ERR_MALFORMED);
    }
    buf_release(&list);
}

START_TEST(never_reads_a_value_past_the_list)
{
    for_each_row_and_place(check_never_reads_a_value_past_the_list);
}
END_TEST

static const uint8_t mixed[] = {
    2,  0, 0, 0,    60,                /* Message Expiry Interval: replaced on the way */
    38, 0, 1, 'a',  0,    1, '1',      /* User Property */
    35, 0, 7,                          /* Topic Alias: of this connection */
    9,  0, 2, 0xFF, 0x00,              /* Correlation Data */
    38, 0, 0, 0,    0,                 /* User Property, empty */
    8,  0, 1, 'r',                     /* Response Topic */
    38, 0, 1, 'a',  0,    2, '2', '2', /* User Property */
    1,  1,                             /* Payload Format Indicator */
    3,  0, 1, 'c',                     /* Content Type */
};

START_TEST(walks_user_properties_in_order)
{
    struct bytes rest = bytes_of(mixed, sizeof(mixed)), name, value;

    ck_assert_int_eq(mqtt_user_property_next(&rest, &name, &value), 1);
    ck_assert(bytes_equal_string(name, "a") && bytes_equal_string(value, "1"));
    ck_assert_int_eq(mqtt_user_property_next(&rest, &name, &value), 1);
    ck_assert(name.len == 0 && value.len == 0);
    ck_assert_int_eq(mqtt_user_property_next(&rest, &name, &value), 1);
    ck_assert(bytes_equal_string(name, "a") && bytes_equal_string(value, "22"));
    ck_assert_int_eq(mqtt_user_property_next(&rest, &name, &value), 0);
    ck_assert_uint_eq(rest.len, 0);
    ck_assert_int_eq(mqtt_user_property_next(&rest, &name, &value), 0);
}
END_TEST

START_TEST(walks_nothing)
{
    struct bytes rest = bytes_of(NULL, 0), name, value;
    struct buf out = {0};

    ck_assert_int_eq(mqtt_user_property_next(&rest, &name, &value), 0);
    mqtt_forward_properties(rest, &out);
    ck_assert_uint_eq(out.len, 0);
}
END_TEST

/* Bytes that mqtt_decode never accepted, such as a damaged database row: ends, stays inside. */
START_TEST(walk_stops_at_garbage)
{
    for (uint32_t len = 1; len < sizeof(mixed); len++) {
        AUTO_FREE uint8_t *cut = malloc(len);
        struct bytes name, value;
        struct buf out = {0};
        int count = 0;

        ck_assert_ptr_nonnull(cut);
        memcpy(cut, mixed, len);
        struct bytes rest = bytes_of(cut, len);
        while (mqtt_user_property_next(&rest, &name, &value) == 1)
            count++;
        ck_assert_int_le(count, 3);
        mqtt_forward_properties(bytes_of(cut, len), &out);
        ck_assert_uint_le(out.len, len);
        buf_release(&out);
    }
}
END_TEST

START_TEST(forwards_the_message_unchanged_and_in_order)
{
    static const uint8_t expect[] = {
        38, 0, 1,   'a', 0, 1, '1', 9, 0, 2,   0xFF, 0x00, 38, 0, 0, 0, 0,   8,
        0,  1, 'r', 38,  0, 1, 'a', 0, 2, '2', '2',  1,    1,  3, 0, 1, 'c',
    };
    struct buf out = {0};

    buf_put_u8(&out, 0xEE); /* appends */
    mqtt_forward_properties(bytes_of(mixed, sizeof(mixed)), &out);
    ck_assert_uint_eq(out.len, sizeof(expect) + 1);
    ck_assert_uint_eq(out.data[0], 0xEE);
    ck_assert_mem_eq(out.data + 1, expect, sizeof(expect));
    buf_release(&out);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("mqtt_props");
    TCase *t = tcase_create("table");

    tcase_add_test(t, stands_where_table_2_4_says);
    tcase_add_test(t, stands_once);
    tcase_add_test(t, never_reads_a_value_past_the_list);
    tcase_add_test(t, refuses_unknown_identifiers);
    suite_add_tcase(s, t);

    t = tcase_create("walk");
    tcase_add_test(t, walks_user_properties_in_order);
    tcase_add_test(t, walks_nothing);
    tcase_add_test(t, walk_stops_at_garbage);
    suite_add_tcase(s, t);

    t = tcase_create("forward");
    tcase_add_test(t, forwards_the_message_unchanged_and_in_order);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return run_suite(suite());
}
