/* The decoder against the vectors of tests/packets/, against every rule it has, and against bytes
 * that nobody has thought of. */
#include "mqtt_vectors.h"
#include "tests/support/mqtt_invariants.h"

#include "common/auto.h"

#include <check.h>

#include "tests/support/run_suite.h"

#define MUTANTS 200000
/* Each mutant has at most this many changes: more, and hardly any gets past the fixed header. */
#define CHANGES_MAX 4
#define MUTANT_SIZE_MAX 1024

static struct mqtt_vectors vectors;

static void load(void)
{
    mqtt_vectors_load(&vectors);
}

static void release(void)
{
    mqtt_vectors_free(&vectors);
}

static struct bytes vector_bytes(const struct mqtt_vector *vector)
{
    return bytes_of(vector->data, vector->len);
}

static bool contains(const char *name, const char *part)
{
    return strstr(name, part) != NULL;
}

START_TEST(accepts_valid_vectors)
{
    size_t count = 0;

    for (size_t i = 0; i < vectors.count; i++) {
        const struct mqtt_vector *vector = &vectors.items[i];
        struct mqtt_packet packet;
        struct mqtt_fault fault = {0};

        if (vector->expect == NULL)
            continue;
        int err = mqtt_decode(vector_bytes(vector), vector->level, &packet, &fault);
        ck_assert_msg(err == 0, "%s: refused: %s", vector->name, fault.text);

        json_t *got = mqtt_packet_to_json(&packet);
        if (!json_equal(got, vector->expect)) {
            AUTO_FREE char *got_text = json_dumps(got, JSON_SORT_KEYS);
            AUTO_FREE char *expect_text = json_dumps(vector->expect, JSON_SORT_KEYS);
            ck_abort_msg("%s:\n got    %s\n expect %s", vector->name, got_text, expect_text);
        }
        json_decref(got);
        count++;
    }
    ck_assert_uint_gt(count, 50);
}
END_TEST

START_TEST(refuses_invalid_vectors)
{
    size_t count = 0;

    for (size_t i = 0; i < vectors.count; i++) {
        const struct mqtt_vector *vector = &vectors.items[i];
        struct mqtt_packet packet;
        struct mqtt_fault fault = {0};

        if (vector->expect != NULL)
            continue;
        int err = mqtt_decode(vector_bytes(vector), vector->level, &packet, &fault);
        ck_assert_msg(err != 0, "%s: accepted", vector->name);
        mqtt_check_fault(err, &fault);
        ck_assert_msg(fault.reason == vector->reason && strcmp(fault.clause, vector->clause) == 0,
                      "%s: 0x%02X %s (%s), expected 0x%02X %s", vector->name, fault.reason,
                      fault.clause, fault.text, vector->reason, vector->clause);
        count++;
    }
    ck_assert_uint_gt(count, 200);
}
END_TEST

/* A packet that is cut anywhere is never taken for a whole one. */
START_TEST(refuses_every_prefix)
{
    for (size_t i = 0; i < vectors.count; i++) {
        const struct mqtt_vector *vector = &vectors.items[i];

        if (vector->expect == NULL)
            continue;
        for (uint32_t len = 0; len < vector->len; len++) {
            AUTO_FREE uint8_t *cut = malloc(len + (len == 0));
            struct mqtt_packet packet;
            struct mqtt_fault fault;

            ck_assert_ptr_nonnull(cut);
            memcpy(cut, vector->data, len);
            int err = mqtt_decode(bytes_of(cut, len), vector->level, &packet, &fault);
            ck_assert_msg(err == ERR_MALFORMED, "%s: %u bytes: %d", vector->name, len, err);
        }
    }
}
END_TEST

START_TEST(sizes_every_valid_vector)
{
    for (size_t i = 0; i < vectors.count; i++) {
        const struct mqtt_vector *vector = &vectors.items[i];
        uint32_t size = 0;

        if (vector->expect == NULL)
            continue;
        ck_assert_int_eq(mqtt_packet_size(vector_bytes(vector), vector->len, &size), 1);
        ck_assert_msg(size == vector->len, "%s: %u of %u", vector->name, size, vector->len);
        ck_assert_int_eq(mqtt_packet_size(vector_bytes(vector), vector->len - 1, &size),
                         ERR_TOO_LARGE);
    }
}
END_TEST

START_TEST(sizes_by_the_header_alone)
{
    static const struct {
        uint8_t bytes[6];
        uint32_t len;
        int result;
        uint32_t size;
    } cases[] = {
        {{0}, 0, 0, 0},
        {{0x30}, 1, 0, 0},
        {{0x30, 0x00}, 2, 1, 2},
        {{0x30, 0x7F}, 2, 1, 129},
        {{0x30, 0x80}, 2, 0, 0},
        {{0x30, 0x80, 0x01}, 3, 1, 131},
        {{0x30, 0xFF, 0x7F}, 3, 1, 16386},
        {{0x30, 0x80, 0x80}, 3, 0, 0},
        {{0x30, 0x80, 0x80, 0x01}, 4, 1, 16388},
        {{0x30, 0xFF, 0xFF, 0x7F}, 4, 1, 2097155},
        {{0x30, 0xFF, 0xFF, 0xFF}, 4, 0, 0},
        {{0x30, 0x80, 0x80, 0x80, 0x01}, 5, 1, 2097157},
        {{0x30, 0xFF, 0xFF, 0xFF, 0x7F}, 5, 1, 268435460},
        {{0x30, 0xFF, 0xFF, 0xFF, 0x80}, 5, ERR_MALFORMED, 0},
        {{0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x01}, 6, ERR_MALFORMED, 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint32_t size = 0;
        struct bytes bytes = bytes_of(cases[i].bytes, cases[i].len);

        ck_assert_int_eq(mqtt_packet_size(bytes, UINT32_MAX, &size), cases[i].result);
        ck_assert_uint_eq(size, cases[i].size);
    }
}
END_TEST

START_TEST(limits_size_before_the_body)
{
    static const uint8_t header[] = {0x30, 0x80, 0x01}; /* 131 bytes in all */
    uint32_t size = 0;

    ck_assert_int_eq(mqtt_packet_size(bytes_of(header, 3), 131, &size), 1);
    ck_assert_int_eq(mqtt_packet_size(bytes_of(header, 3), 130, &size), ERR_TOO_LARGE);
}
END_TEST

/* The caller chooses the form of CONNACK by the level, also when the CONNECT was refused. */
START_TEST(tells_the_level_of_a_refused_connect)
{
    size_t named = 0, numbered = 0, read = 0;

    for (size_t i = 0; i < vectors.count; i++) {
        const struct mqtt_vector *vector = &vectors.items[i];
        struct mqtt_packet packet;
        struct mqtt_fault fault = {0};

        if (vector->expect != NULL || (vector->len > 0 && vector->data[0] != 0x10))
            continue;
        /* The connection's level must not matter. */
        ck_assert_int_ne(mqtt_decode(vector_bytes(vector), 0, &packet, &fault), 0);
        ck_assert_int_eq(packet.type, MQTT_CONNECT);
        if (strcmp(fault.clause, "MQTT-3.1.2-1") == 0) {
            ck_assert_uint_eq(packet.connect.level, 0);
            named++;
        } else if (fault.reason == MQTT_UNSUPPORTED_VERSION) {
            uint32_t at = contains(vector->name, "MQTT 3.1") ? 10 : 8;
            ck_assert_uint_eq(packet.connect.level, vector->data[at]);
            numbered++;
        } else if (contains(vector->name, ": 3.1.1, ") || contains(vector->name, ": 5.0, ")) {
            ck_assert_uint_eq(packet.connect.level, contains(vector->name, ": 5.0") ? 5 : 4);
            read++;
        }
    }
    ck_assert_uint_ge(named, 3);
    ck_assert_uint_ge(numbered, 5);
    ck_assert_uint_ge(read, 20);
}
END_TEST

/* A SUBSCRIBE to `count` times "a". The caller frees. */
static uint8_t *long_subscribe(uint32_t count, uint32_t *ret_len)
{
    static const uint8_t head[] = {0x00, 0x01, 0x00}, filter[] = {0x00, 0x01, 'a', 0x00};
    uint32_t remaining = (uint32_t)sizeof(head) + count * (uint32_t)sizeof(filter), at = 0;
    uint8_t *data = malloc(remaining + 5);

    ck_assert_ptr_nonnull(data);
    data[at++] = 0x82;
    for (uint32_t left = remaining; left != 0; left >>= 7)
        data[at++] = (uint8_t)((left & 0x7F) | (left > 0x7F ? 0x80 : 0));
    memcpy(data + at, head, sizeof(head));
    at += (uint32_t)sizeof(head);
    for (uint32_t i = 0; i < count; i++, at += (uint32_t)sizeof(filter))
        memcpy(data + at, filter, sizeof(filter));
    *ret_len = at;
    return data;
}

START_TEST(counts_up_to_65535_filters)
{
    struct mqtt_packet packet;
    struct mqtt_fault fault = {0};
    uint32_t len;
    AUTO_FREE uint8_t *most = long_subscribe(65535, &len);

    ck_assert_int_eq(mqtt_decode(bytes_of(most, len), MQTT_5, &packet, &fault), 0);
    ck_assert_uint_eq(packet.subscribe.count, 65535);
    ck_assert_int_eq(mqtt_check_packet(bytes_of(most, len), MQTT_5), 0);

    AUTO_FREE uint8_t *more = long_subscribe(65536, &len);
    ck_assert_int_eq(mqtt_decode(bytes_of(more, len), MQTT_5, &packet, &fault), ERR_PROTOCOL);
    ck_assert_uint_eq(fault.reason, MQTT_QUOTA_EXCEEDED);
    ck_assert_str_eq(fault.clause, "3.8.3");
}
END_TEST

/* A rule that no vector breaks is a rule that nobody has seen at work. */
START_TEST(every_rule_has_a_vector)
{
    static const struct {
        const char *name, *text;
    } rules[] = {
#define RULE(name, reason, clause_311, clause_5, text) {#name, text},
#include "connector/mqtt_rule.def"

#undef RULE
    };
    bool seen[ARRAY_LEN(rules)] = {false};

    for (size_t i = 0; i < vectors.count; i++) {
        struct mqtt_packet packet;
        struct mqtt_fault fault = {0};

        if (mqtt_decode(vector_bytes(&vectors.items[i]), vectors.items[i].level, &packet, &fault) ==
            0)
            continue;
        for (size_t r = 0; r < ARRAY_LEN(rules); r++)
            seen[r] = seen[r] || strcmp(rules[r].text, fault.text) == 0;
    }
    for (size_t r = 0; r < ARRAY_LEN(rules); r++) {
        /* Too long for a vector: counts_up_to_65535_filters. */
        if (strcmp(rules[r].name, "TOO_MANY_FILTERS") != 0)
            ck_assert_msg(seen[r], "no vector breaks %s", rules[r].name);
    }
}
END_TEST

/* xorshift64*: the same mutants in every run and on every machine. */
static uint64_t random_state;

static uint32_t random_below(uint32_t limit)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)((random_state * UINT64_C(2685821657736338717)) >> 33) % limit;
}

static uint8_t random_byte(void)
{
    /* Where lengths, signs and UTF-8 sequences turn over. */
    static const uint8_t edges[] = {0x00, 0x01, 0x02, 0x04, 0x7F, 0x80, 0x81, 0xC0,
                                    0xE0, 0xED, 0xF4, 0xFF, '#',  '+',  '/',  '$'};

    return random_below(2) == 0 ? edges[random_below(ARRAY_LEN(edges))]
                                : (uint8_t)random_below(256);
}

struct mutant {
    uint8_t data[MUTANT_SIZE_MAX];
    uint32_t len;
};

static void insert(struct mutant *mutant, uint32_t at, const uint8_t *data, uint32_t len)
{
    if (len > MUTANT_SIZE_MAX - mutant->len)
        return;
    memmove(mutant->data + at + len, mutant->data + at, mutant->len - at);
    memcpy(mutant->data + at, data, len);
    mutant->len += len;
}

static void erase(struct mutant *mutant, uint32_t at, uint32_t len)
{
    memmove(mutant->data + at, mutant->data + at + len, mutant->len - at - len);
    mutant->len -= len;
}

static void change(struct mutant *mutant)
{
    uint32_t at = random_below(mutant->len + 1), left = mutant->len - at;
    const struct mqtt_vector *other = &vectors.items[random_below((uint32_t)vectors.count)];
    uint32_t from = random_below(other->len + 1);
    uint8_t byte = random_byte();

    switch (random_below(6)) {
    case 0:
        insert(mutant, at, &byte, 1);
        break;
    case 1:
        insert(mutant, at, other->data + from, random_below(other->len - from + 1));
        break;
    case 2:
        erase(mutant, at, random_below(left < 4 ? left + 1 : 5));
        break;
    case 3:
        if (left != 0)
            mutant->data[at] ^= (uint8_t)(1U << random_below(8));
        break;
    case 4: /* the rest of another packet */
        erase(mutant, at, left);
        insert(mutant, at, other->data + from, other->len - from);
        break;
    default:
        if (left != 0)
            mutant->data[at] = byte;
        break;
    }
}

/* Gives the mutant a Remaining Length that fits, so that the change is found behind the header. */
static void fix_length(struct mutant *mutant)
{
    uint8_t length[4];
    uint32_t len = 0, skip = 1;

    if (mutant->len == 0)
        return;
    while (skip < mutant->len && skip < 4 && (mutant->data[skip] & 0x80) != 0)
        skip++;
    if (skip < mutant->len)
        skip++;
    uint32_t remaining = mutant->len - skip;
    do {
        length[len++] = (uint8_t)((remaining & 0x7F) | (remaining > 0x7F ? 0x80 : 0));
        remaining >>= 7;
    } while (remaining != 0);
    erase(mutant, 1, skip - 1);
    insert(mutant, 1, length, len);
}

START_TEST(survives_mutants)
{
    size_t accepted = 0, refused = 0;

    random_state = UINT64_C(0x5EED0FBEC);
    for (size_t i = 0; i < MUTANTS; i++) {
        const struct mqtt_vector *vector = &vectors.items[i % vectors.count];
        struct mutant mutant = {.len = vector->len};

        memcpy(mutant.data, vector->data, vector->len);
        for (uint32_t changes = 1 + random_below(CHANGES_MAX); changes != 0; changes--)
            change(&mutant);
        if (random_below(4) != 0)
            fix_length(&mutant);

        uint8_t *exact = malloc(mutant.len + (mutant.len == 0));
        uint32_t size;
        ck_assert_ptr_nonnull(exact);
        memcpy(exact, mutant.data, mutant.len);
        struct bytes bytes = bytes_of(exact, mutant.len);
        int r = mqtt_packet_size(bytes, UINT32_MAX, &size);
        ck_assert(r == 0 || r == 1 || r == ERR_MALFORMED);
        if (mqtt_check_packet(bytes, random_below(8) != 0 ? vector->level : 9 - vector->level) == 0)
            accepted++;
        else
            refused++;
        free(exact);
    }
    /* Both ways are taken often, or this tests nothing. */
    ck_assert_uint_gt(accepted, MUTANTS / 20);
    ck_assert_uint_gt(refused, MUTANTS / 20);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("mqtt_codec");
    TCase *t = tcase_create("vectors");

    tcase_add_checked_fixture(t, load, release);
    tcase_add_test(t, accepts_valid_vectors);
    tcase_add_test(t, refuses_invalid_vectors);
    tcase_add_test(t, refuses_every_prefix);
    tcase_add_test(t, tells_the_level_of_a_refused_connect);
    tcase_add_test(t, every_rule_has_a_vector);
    suite_add_tcase(s, t);

    t = tcase_create("size");
    tcase_add_checked_fixture(t, load, release);
    tcase_add_test(t, sizes_every_valid_vector);
    tcase_add_test(t, sizes_by_the_header_alone);
    tcase_add_test(t, limits_size_before_the_body);
    tcase_add_test(t, counts_up_to_65535_filters);
    suite_add_tcase(s, t);

    t = tcase_create("mutants");
    tcase_set_timeout(t, 50); /* seconds; takes one, sanitizers on a busy machine many */
    tcase_add_checked_fixture(t, load, release);
    tcase_add_test(t, survives_mutants);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return run_suite(suite());
}
