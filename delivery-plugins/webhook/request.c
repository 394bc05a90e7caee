/* request - see the header.
 *
 * The signature is over "TIME.BODY", so that a recorded request can't be sent again later: the
 * receiver refuses old times. Names go into headers percent-encoded (RFC 3986): a user id is UTF-8
 * and a header is not. */
#include "request.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A receiver that asks for more is asked again after this: it would hold up the device's alerts. */
#define RETRY_AFTER_MAX_MS (3600u * 1000)
#define HEADER_SIZE 1024
#define MID_TEXT_SIZE 37

static size_t discard(char *data, size_t size, size_t count, void *arg)
{
    (void)data, (void)arg;
    return size * count;
}

static void format_mid(const uint8_t mid[16], char text[MID_TEXT_SIZE])
{
    snprintf(text, MID_TEXT_SIZE,
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", mid[0], mid[1],
             mid[2], mid[3], mid[4], mid[5], mid[6], mid[7], mid[8], mid[9], mid[10], mid[11],
             mid[12], mid[13], mid[14], mid[15]);
}

/* False when out of memory. */
static int add_header(struct request *request, const char *line)
{
    struct curl_slist *longer = curl_slist_append(request->headers, line);

    if (longer)
        request->headers = longer;
    return longer != NULL;
}

static int add_encoded(struct request *request, const char *name, const char *prefix,
                       const char *value)
{
    /* curl_easy_escape takes 0 for "strlen", so "" needs no case of its own */
    char *encoded = curl_easy_escape(request->easy, value, 0);
    char line[HEADER_SIZE];
    int len = -1, ok = 0;

    if (encoded)
        len = snprintf(line, sizeof(line), "%s: %s%s", name, prefix, encoded);
    if (len >= 0 && (size_t)len < sizeof(line))
        ok = add_header(request, line);
    curl_free(encoded);
    return ok;
}

static int add_signature(struct request *request, const struct settings *settings, size_t body_size,
                         uint64_t wall_s)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned mac_size = 0;
    char line[HEADER_SIZE];
    int len = snprintf(line, sizeof(line), "%llu.", (unsigned long long)wall_s);
    size_t signed_size = (size_t)len + body_size;
    unsigned char *text = malloc(signed_size + 1);
    unsigned char *ok;

    if (!text)
        return 0;
    memcpy(text, line, (size_t)len);
    memcpy(text + len, request->body, body_size);
    ok = HMAC(EVP_sha256(), settings->secret, (int)settings->secret_size, text, signed_size, mac,
              &mac_size);
    free(text);
    if (!ok)
        return 0;
    len =
        snprintf(line, sizeof(line), "X-Beckon-Signature: t=%llu,v1=", (unsigned long long)wall_s);
    for (unsigned i = 0; i < mac_size; i++)
        len += snprintf(line + len, sizeof(line) - (size_t)len, "%02x", mac[i]);
    return add_header(request, line);
}

static int add_headers(struct request *request, const struct settings *settings,
                       const struct dp_delivery *delivery, size_t body_size, uint64_t wall_s)
{
    char mid[MID_TEXT_SIZE], prefix[MID_TEXT_SIZE + 1];

    format_mid(delivery->message->mid, mid);
    snprintf(prefix, sizeof(prefix), "%s.", mid);
    return add_header(request, "Content-Type: application/json") &&
           add_header(request, "Expect:") && /* a round trip for nothing */
           add_encoded(request, "X-Beckon-MID", "", mid) &&
           add_encoded(request, "X-Beckon-User", "", delivery->device->user) &&
           add_encoded(request, "X-Beckon-Device", "", delivery->device->device) &&
           add_encoded(request, "Idempotency-Key", prefix, delivery->device->device) &&
           add_signature(request, settings, body_size, wall_s);
}

static void set_options(struct request *request, const struct settings *settings, size_t body_size,
                        uint32_t timeout_ms)
{
    CURL *easy = request->easy;
    const char *body = request->body;

    curl_easy_setopt(easy, CURLOPT_URL, settings->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body_size);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->headers);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "beckon-webhook/" BECKON_VERSION);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, discard);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* never wait for a resolver's thread */
    curl_easy_setopt(easy, CURLOPT_PROXY, "");      /* the configuration says where to, alone */
    curl_easy_setopt(easy, CURLOPT_PRIVATE, request);
    /* Share a connection that speaks HTTP/2. Without TLS there is none, and one would wait for it
     * until the first answer. */
    if (strncmp(settings->url, "https:", 6) == 0)
        curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
    if (settings->ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, settings->ca_file);
}

struct request *request_create(const struct settings *settings, const struct dp_delivery *delivery,
                               uint64_t wall_s, uint32_t timeout_ms)
{
    size_t body_size = delivery->notification ? delivery->notification_size : 0;
    struct request *request = calloc(1, sizeof(*request) + body_size + 1);

    if (!request)
        return NULL;
    request->id = delivery->id;
    if (body_size > 0)
        memcpy(request->body, delivery->notification, body_size);
    request->easy = curl_easy_init();
    if (!request->easy || !add_headers(request, settings, delivery, body_size, wall_s)) {
        request_destroy(request);
        return NULL;
    }
    set_options(request, settings, body_size, timeout_ms);
    return request;
}

void request_destroy(struct request *request)
{
    if (request->easy)
        curl_easy_cleanup(request->easy);
    curl_slist_free_all(request->headers);
    free(request);
}

/* --- answers --- */

/* The request may or may not have arrived. */
static const char *failure_reason(CURLcode result)
{
    switch (result) {
    case CURLE_OPERATION_TIMEDOUT:
        return "timeout";
    case CURLE_COULDNT_RESOLVE_HOST:
        return "resolve-failed";
    case CURLE_COULDNT_CONNECT:
        return "connect-failed";
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
        return "tls-failed";
    default:
        return "connection-lost";
    }
}

static uint32_t kind_of(long status)
{
    if (status >= 200 && status < 300)
        return DP_ACCEPTED;
    /* 408 and 429 are about this moment, 5xx about the receiver: both pass */
    if (status == 408 || status == 429 || status >= 500)
        return DP_RETRY;
    return DP_FAILED;
}

void request_outcome(CURL *easy, CURLcode result, struct dp_outcome *ret_outcome,
                     char reason[REASON_SIZE])
{
    long status = 0;
    curl_off_t retry_after_s = 0;

    *ret_outcome = (struct dp_outcome){.struct_size = sizeof(*ret_outcome), .reason = reason};
    if (result != CURLE_OK) {
        ret_outcome->kind = DP_RETRY;
        snprintf(reason, REASON_SIZE, "%s", failure_reason(result));
        return;
    }
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_after_s);
    ret_outcome->kind = kind_of(status);
    snprintf(reason, REASON_SIZE, "http-%ld", status);
    if (ret_outcome->kind == DP_RETRY && retry_after_s > 0)
        ret_outcome->retry_after_ms = retry_after_s < RETRY_AFTER_MAX_MS / 1000
                                          ? (uint64_t)retry_after_s * 1000
                                          : RETRY_AFTER_MAX_MS;
}
