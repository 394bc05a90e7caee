/* rules - what Apple asks of a request, but for its provider token (provider_auth.h).
 *
 * Each function looks at one part and returns the first reason to refuse it, REASON_NONE when it
 * is right. judge.h calls them in the order that decides which of several mistakes is told.
 * Pure: no clock, no state, no I/O. */
#ifndef BECKON_APNS_SIMULATOR_RULES_H
#define BECKON_APNS_SIMULATOR_RULES_H

#include "reason.h"
#include "request.h"

#include <libconfig.h>
#include <stdbool.h>

/* Method, path, repeated headers. Sets ret_device to what follows /3/device/ ("" when nothing
 * does) inside request->path, also when it refuses; NULL when the path is another one. */
enum reason rules_check_target(const struct request *request, const char **ret_device);
/* Hexadecimal digits, an even number of them. Apple may change the length, so any will do. */
enum reason rules_check_device(const char *device);
/* Every apns-* header, alone and against the others. topics: the setting of that name, a list of
 * strings; NULL or empty: any topic is allowed. */
enum reason rules_check_headers(const struct request *request, const config_setting_t *topics);
/* Size, JSON, and whether it is what apns-push-type says. payload: the parsed body, NULL when it is
 * no JSON object (rules_parse_payload). */
enum reason rules_check_payload(const struct request *request, const json_t *payload);

/* Returns owned (json_decref), or NULL when the body is not a JSON object. */
json_t *rules_parse_payload(const struct request *request);
/* Letters, digits, '-' and '.', as a bundle identifier has them, 255 at most. */
bool rules_topic_valid(const char *topic);
/* A UUID in lower case. */
bool rules_message_id_valid(const char *text);

#endif
