/* Each topic and string property of each packet passes here, nearly all of it ASCII. So eight
 * bytes at a time are looked at while they are ASCII and not NUL; the rest goes by the table of
 * well-formed sequences in the Unicode standard (table 3-7), whose only irregularity is the range
 * of the second byte. */
#include "common/utf8.h"

#include <stddef.h>

/* Of 8 bytes: is each in 0x01..0x7F? */
static bool ascii_word(const uint8_t *text)
{
    uint64_t word;

    memcpy(&word, text, sizeof(word));
    /* Subtracting 1 borrows into bit 7 of the lowest byte that is 0. */
    return ((word | (word - 0x0101010101010101u)) & 0x8080808080808080u) == 0;
}

/* Length of the well-formed sequence of two bytes or more at text, 0 when it is none. */
static size_t sequence_len(const uint8_t *text, size_t left)
{
    uint8_t lead = text[0], low = 0x80, high = 0xBF;
    size_t len;

    if (lead >= 0xC2 && lead <= 0xDF) {
        len = 2;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
        len = 3;
        if (lead == 0xE0)
            low = 0xA0; /* below: overlong */
        else if (lead == 0xED)
            high = 0x9F; /* above: surrogates */
    } else if (lead >= 0xF0 && lead <= 0xF4) {
        len = 4;
        if (lead == 0xF0)
            low = 0x90; /* below: overlong */
        else if (lead == 0xF4)
            high = 0x8F; /* above: beyond U+10FFFF */
    } else {
        return 0;
    }

    if (left < len || text[1] < low || text[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++) {
        if ((text[i] & 0xC0) != 0x80)
            return 0;
    }
    return len;
}

bool utf8_valid(struct bytes text)
{
    size_t i = 0;

    while (i < text.len) {
        if (text.len - i >= 8 && ascii_word(text.data + i)) {
            i += 8;
        } else if (text.data[i] < 0x80) {
            if (text.data[i] == 0)
                return false;
            i++;
        } else {
            size_t len = sequence_len(text.data + i, text.len - i);
            if (len == 0)
                return false;
            i += len;
        }
    }
    return true;
}
