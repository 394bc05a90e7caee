/* request_fixture - a right request, to be spoiled in one place by each test. */
#ifndef BECKON_TESTS_APNS_SIMULATOR_REQUEST_FIXTURE_H
#define BECKON_TESTS_APNS_SIMULATOR_REQUEST_FIXTURE_H

#include "tools/apns-simulator/request.h"

#include <check.h>

#define GOOD_DEVICE "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0"
#define GOOD_TOPIC "com.example.app"
#define GOOD_ALERT "{\"aps\":{\"alert\":\"hi\"}}"

static inline void put_header(struct request *request, const char *name, const char *value)
{
    ck_assert_int_eq(request_header(request, bytes_of_string(name), bytes_of_string(value)), 0);
}

static inline void put_body(struct request *request, const char *body)
{
    ck_assert_int_eq(request_body(request, body, strlen(body)), 0);
}

/* Method, path and topic; no body yet. */
static inline void start_request(struct request *request)
{
    ck_assert_int_eq(request_init(request), 0);
    put_header(request, ":method", "POST");
    put_header(request, ":path", "/3/device/" GOOD_DEVICE);
}

#endif
