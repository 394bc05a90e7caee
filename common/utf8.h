/* utf8 - validation as MQTT demands it (MQTT 5.0 section 1.5.4, MQTT-1.5.4-1, -2; 3.1.1 1.5.3). */
#ifndef BECKON_COMMON_UTF8_H
#define BECKON_COMMON_UTF8_H

#include "common/bytes.h"

/* Well-formed UTF-8 (no overlong forms, no surrogates, nothing above U+10FFFF) without U+0000. */
bool utf8_valid(struct bytes text);

#endif
