/* Tests of common/utf8.c: MQTT-1.5.4-1, MQTT-1.5.4-2 and Unicode table 3-7. */
#include "common/utf8.h"

#include <check.h>

#include "common/auto.h"

#include "tests/support/run_suite.h"

/* The definition itself, slowly: decode the code point, then check that encoding it again gives
 * these bytes. */
static bool valid_by_definition(const uint8_t *text, size_t len)
{
    size_t i = 0;

    while (i < len) {
        uint8_t lead = text[i];
        size_t more = lead < 0x80 ? 0 : lead >> 5 == 6 ? 1 : lead >> 4 == 14 ? 2 : 3;
        uint32_t point = more == 0 ? lead : lead & (0x3Fu >> more);

        if (lead >> 6 == 2 || lead >= 0xF8 || i + more >= len)
            return false;
        for (size_t k = 1; k <= more; k++) {
            if (text[i + k] >> 6 != 2)
                return false;
            point = point << 6 | (text[i + k] & 0x3Fu);
        }
        size_t needed = point < 0x80 ? 0 : point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
        if (needed != more || point == 0 || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000))
            return false;
        i += more + 1;
    }
    return true;
}

START_TEST(test_well_formed)
{
    static const char *const texts[] = {
        "",
        "a",
        "inbox/u/alice/0190",
        "\x7F",
        "\xC2\x80",
        "\xDF\xBF",
        "\xE0\xA0\x80",
        "\xED\x9F\xBF",
        "\xEE\x80\x80",
        "\xEF\xBF\xBF",
        "\xEF\xBB\xBF",
        "\xF0\x90\x80\x80",
        "\xF4\x8F\xBF\xBF",
        "Grüße an alle, 你好 🙂",
    };

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        ck_assert_msg(utf8_valid(bytes_of_string(texts[i])), "text %zu", i);
    ck_assert(utf8_valid(bytes_of(NULL, 0)));
}
END_TEST

START_TEST(test_ill_formed)
{
    static const char *const texts[] = {
        "\x80",             /* continuation alone */
        "\xBF",             /* the same */
        "\xC0\x80",         /* overlong U+0000 */
        "\xC1\xBF",         /* overlong */
        "\xE0\x9F\xBF",     /* overlong */
        "\xF0\x8F\xBF\xBF", /* overlong */
        "\xED\xA0\x80",     /* U+D800 */
        "\xED\xBF\xBF",     /* U+DFFF */
        "\xF4\x90\x80\x80", /* above U+10FFFF */
        "\xF5\x80\x80\x80", /* the same */
        "\xFE",
        "\xFF",
        "\xC3",         /* cut off */
        "\xE2\x82",     /* cut off */
        "\xF0\x9F\x99", /* cut off */
        "\xC3(",
        "\xE2\x82(",
        "abcdefgh\xFF",
        "abcdefghabcdefg\xC3",
    };

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        ck_assert_msg(!utf8_valid(bytes_of_string(texts[i])), "text %zu", i);
}
END_TEST

START_TEST(test_nul_anywhere)
{
    char text[40];

    for (uint32_t len = 1; len <= sizeof(text); len++) {
        for (uint32_t at = 0; at < len; at++) {
            memset(text, 'a', sizeof(text));
            text[at] = '\0';
            ck_assert_msg(!utf8_valid(bytes_of(text, len)), "NUL at %u of %u", at, len);
        }
    }
}
END_TEST

START_TEST(test_stops_at_the_length)
{
    ck_assert(utf8_valid(bytes_of("ab\xFF", 2)));
    ck_assert(!utf8_valid(bytes_of("a\xC3\xA9", 2)));
}
END_TEST

START_TEST(test_every_sequence_agrees_with_the_definition)
{
    /* All lead bytes with the interesting values of the others. */
    static const uint8_t others[] = {0x00, 0x01, 0x7F, 0x80, 0x8F, 0x90,
                                     0x9F, 0xA0, 0xBF, 0xC0, 0xE0, 0xFF};
    uint8_t text[4];

    for (unsigned lead = 0; lead < 256; lead++) {
        for (size_t a = 0; a < ARRAY_LEN(others); a++) {
            for (size_t b = 0; b < ARRAY_LEN(others); b++) {
                for (size_t c = 0; c < ARRAY_LEN(others); c++) {
                    text[0] = (uint8_t)lead;
                    text[1] = others[a];
                    text[2] = others[b];
                    text[3] = others[c];
                    for (uint32_t len = 1; len <= 4; len++) {
                        /* Check's own macros cost a message each; these are 1.7 million. */
                        if (utf8_valid(bytes_of(text, len)) != valid_by_definition(text, len))
                            ck_abort_msg("%02x %02x %02x %02x, length %u", text[0], text[1],
                                         text[2], text[3], len);
                    }
                }
            }
        }
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("utf8");
    TCase *valid = tcase_create("valid");
    TCase *invalid = tcase_create("invalid");
    TCase *definition = tcase_create("definition");

    tcase_add_test(valid, test_well_formed);
    tcase_add_test(valid, test_stops_at_the_length);
    tcase_add_test(invalid, test_ill_formed);
    tcase_add_test(invalid, test_nul_anywhere);
    tcase_add_test(definition, test_every_sequence_agrees_with_the_definition);
    tcase_set_timeout(definition, 30);
    suite_add_tcase(suite, valid);
    suite_add_tcase(suite, invalid);
    suite_add_tcase(suite, definition);
    return suite;
}

int main(void)
{
    return run_suite(make_suite());
}
