/* Key files, as an operator may write or cut them. What is taken must be keys that libzmq takes. */
#include <stdlib.h>
#include <zmq.h>

#include "common/curve_key.h"
#include "tests/fuzz/fuzz.h"

static void expect_key(const char *text)
{
    uint8_t binary[32];

    if (strlen(text) != CURVE_KEY_SIZE - 1 || zmq_z85_decode(binary, text) == NULL)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct curve_key key;
    struct err_text et = {""};
    char computed[CURVE_KEY_SIZE];

    if (size > UINT16_MAX)
        return 0;
    if (curve_key_parse("key", bytes_of(data, (uint32_t)size), &key, &et) < 0) {
        if (et.text[0] == '\0')
            abort();
        return 0;
    }
    expect_key(key.public_key);
    if (key.secret_key[0] == '\0')
        return 0;
    expect_key(key.secret_key);
    if (zmq_curve_public(computed, key.secret_key) < 0 || strcmp(computed, key.public_key) != 0)
        abort();
    return 0;
}
