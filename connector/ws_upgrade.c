/* ws_upgrade - lines are collected in one buffer and read when they end. What the request line says
 * decides at once; headers are noted, and judged together at the end of the request, so that the
 * answer does not depend on their order. The parser is strict where HTTP lets a recipient be
 * lenient (bare LF, folded lines, spaces before a colon): browsers and libraries have no need of
 * it, and two readings of one request are what attacks are made of. */
#include "connector/ws_upgrade.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <strings.h>

#include "common/auto.h"

#define TEXT_OF(number) #number
#define NUMBER(macro) TEXT_OF(macro)

#define WS_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455 section 1.3 */
#define SHA1_BYTES 20
#define ACCEPT_SIZE 29 /* 20 bytes in base64, NUL */

enum seen {
    SEEN_HOST = 1,
    SEEN_UPGRADE = 2,    /* with websocket */
    SEEN_CONNECTION = 4, /* with upgrade */
    SEEN_KEY = 8,
    SEEN_GOOD_KEY = 16,
    SEEN_VERSION = 32,
    SEEN_VERSION_13 = 64,
    SEEN_ORIGIN = 128,
    SEEN_GOOD_ORIGIN = 256
};

struct ws_refusal {
    const char *status;
    const char *headers; /* besides those that every refusal has */
    const char *text;
    bool path; /* the policy's path follows the text */
};

#define OFFER_UPGRADE "Upgrade: websocket\r\nConnection: Upgrade, close\r\n"
#define CLOSE "Connection: close\r\n"
#define BAD_REQUEST "400 Bad Request", CLOSE

static const struct ws_refusal not_http = {
    BAD_REQUEST, "expected an HTTP/1.1 request that opens a WebSocket connection", false};
static const struct ws_refusal bad_method = {"405 Method Not Allowed", "Allow: GET\r\n" CLOSE,
                                             "expected the method GET", false};
static const struct ws_refusal bad_http_version = {"505 HTTP Version Not Supported", CLOSE,
                                                   "expected HTTP/1.1", false};
static const struct ws_refusal long_target = {
    "414 URI Too Long", CLOSE, "expected a request line of at most " NUMBER(WS_LINE_MAX) " bytes",
    false};
static const struct ws_refusal bad_path = {"404 Not Found", CLOSE, "expected the path ", true};
static const struct ws_refusal bad_header = {
    BAD_REQUEST, "expected header lines like \"Name: value\", ended with CR LF", false};
static const struct ws_refusal too_large = {
    "431 Request Header Fields Too Large", CLOSE,
    "expected at most " NUMBER(WS_HEADERS_MAX) " headers, " NUMBER(
        WS_REQUEST_MAX) " bytes in all and " NUMBER(WS_LINE_MAX) " in a header of WebSocket",
    false};
static const struct ws_refusal has_body = {BAD_REQUEST, "expected a request without a body", false};
static const struct ws_refusal bad_host = {BAD_REQUEST, "expected one Host header", false};
static const struct ws_refusal no_upgrade = {
    "426 Upgrade Required", OFFER_UPGRADE,
    "this is a door for MQTT over WebSocket: expected the headers \"Upgrade: websocket\" and "
    "\"Connection: Upgrade\"",
    false};
static const struct ws_refusal bad_version = {"426 Upgrade Required",
                                              "Sec-WebSocket-Version: 13\r\n" OFFER_UPGRADE,
                                              "expected \"Sec-WebSocket-Version: 13\"", false};
static const struct ws_refusal bad_key = {
    BAD_REQUEST, "expected one Sec-WebSocket-Key header: 16 bytes in base64", false};
static const struct ws_refusal bad_origin = {
    "403 Forbidden", CLOSE, "expected an Origin that option websocket.origins lists", false};
static const struct ws_refusal bad_protocol = {
    BAD_REQUEST, "expected the subprotocol mqtt: \"Sec-WebSocket-Protocol: mqtt\"", false};

void ws_upgrade_init(struct ws_upgrade *upgrade, const struct ws_policy *policy)
{
    /* the line needs no initial value, and is most of it */
    memset(upgrade, 0, offsetof(struct ws_upgrade, line));
    upgrade->policy = policy;
}

/* --- pieces of text --- */

static bool equal_nocase(struct bytes a, const char *text)
{
    return a.len == strlen(text) && strncasecmp((const char *)a.data, text, a.len) == 0;
}

static struct bytes trim(struct bytes text)
{
    while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = bytes_of(text.data + 1, text.len - 1);
    while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
        text.len--;
    return text;
}

/* Takes text up to the first `end`, or all of it, off the front; the `end` is dropped. */
static struct bytes take_until(struct bytes *text, char end)
{
    const uint8_t *at = text->len > 0 ? memchr(text->data, end, text->len) : NULL;
    struct bytes front = *text;

    if (at == NULL) {
        *text = bytes_of(NULL, 0);
        return front;
    }
    front.len = (uint32_t)(at - text->data);
    *text = bytes_of(at + 1, text->len - front.len - 1);
    return front;
}

static bool list_has(struct bytes list, const char *token)
{
    while (list.len > 0) {
        if (equal_nocase(trim(take_until(&list, ',')), token))
            return true;
    }
    return false;
}

/* --- the request line --- */

/* The path of a target in origin form, or in absolute form, which a server has to accept (RFC 9112
 * section 3.2.2). target is not empty. */
static struct bytes path_of(struct bytes target)
{
    const uint8_t *at = target.data, *end = target.data + target.len;

    if (*at != '/') {
        at = memmem(at, target.len, "://", 3);
        if (at == NULL)
            return bytes_of(NULL, 0);
        at = memchr(at + 3, '/', (size_t)(end - at) - 3);
        if (at == NULL)
            return bytes_of("/", 1);
    }
    target = bytes_of(at, (uint32_t)(end - at));
    return take_until(&target, '?');
}

static const struct ws_refusal *take_request_line(struct ws_upgrade *upgrade, struct bytes line)
{
    struct bytes method = take_until(&line, ' ');
    struct bytes target = take_until(&line, ' ');

    if (method.len == 0 || target.len == 0 || line.len < 6 || memcmp(line.data, "HTTP/", 5) != 0)
        return &not_http;
    if (line.len != 8 || memcmp(line.data, "HTTP/1.", 7) != 0 || line.data[7] < '1' ||
        line.data[7] > '9')
        return &bad_http_version;
    if (!bytes_equal_string(method, "GET"))
        return &bad_method;
    if (!bytes_equal_string(path_of(target), upgrade->policy->path))
        return &bad_path;
    return NULL;
}

/* --- headers --- */

static const struct ws_refusal *see_once(struct ws_upgrade *upgrade, enum seen what,
                                         const struct ws_refusal *twice)
{
    if ((upgrade->seen & what) != 0)
        return twice;
    upgrade->seen |= (uint16_t)what;
    return NULL;
}

static const struct ws_refusal *take_host(struct ws_upgrade *upgrade, struct bytes value)
{
    return value.len == 0 ? &bad_host : see_once(upgrade, SEEN_HOST, &bad_host);
}

static const struct ws_refusal *take_upgrade(struct ws_upgrade *upgrade, struct bytes value)
{
    if (list_has(value, "websocket"))
        upgrade->seen |= SEEN_UPGRADE;
    return NULL;
}

static const struct ws_refusal *take_connection(struct ws_upgrade *upgrade, struct bytes value)
{
    if (list_has(value, "upgrade"))
        upgrade->seen |= SEEN_CONNECTION;
    return NULL;
}

static const struct ws_refusal *take_key(struct ws_upgrade *upgrade, struct bytes value)
{
    unsigned char decoded[WS_KEY_LEN];

    /* 16 bytes are 22 characters and two of padding, which count as decoded bytes here. */
    if (value.len == WS_KEY_LEN && value.data[21] != '=' && value.data[22] == '=' &&
        value.data[23] == '=' && EVP_DecodeBlock(decoded, value.data, WS_KEY_LEN) == 18) {
        memcpy(upgrade->key, value.data, WS_KEY_LEN);
        upgrade->seen |= SEEN_GOOD_KEY;
    }
    return see_once(upgrade, SEEN_KEY, &bad_key);
}

static const struct ws_refusal *take_version(struct ws_upgrade *upgrade, struct bytes value)
{
    if (bytes_equal_string(value, "13"))
        upgrade->seen |= SEEN_VERSION_13;
    return see_once(upgrade, SEEN_VERSION, &bad_version);
}

static const struct ws_refusal *take_origin(struct ws_upgrade *upgrade, struct bytes value)
{
    const struct ws_policy *policy = upgrade->policy;

    for (uint32_t i = 0; i < policy->origin_count; i++) {
        if (equal_nocase(value, policy->origins[i]))
            upgrade->seen |= SEEN_GOOD_ORIGIN;
    }
    return see_once(upgrade, SEEN_ORIGIN, &bad_origin);
}

/* MQTT-6.0.0-3 knows `mqtt` alone. Clients of 3.1.1 exist that offer `mqttv3.1`, a name of the time
 * before; which MQTT is spoken CONNECT says in any case. */
static const struct ws_refusal *take_protocol(struct ws_upgrade *upgrade, struct bytes value)
{
    while (value.len > 0) {
        struct bytes protocol = trim(take_until(&value, ','));

        if (bytes_equal_string(protocol, "mqtt"))
            upgrade->protocol = "mqtt";
        else if (bytes_equal_string(protocol, "mqttv3.1") && upgrade->protocol == NULL)
            upgrade->protocol = "mqttv3.1";
    }
    return NULL;
}

static const struct ws_refusal *take_length(struct ws_upgrade *upgrade, struct bytes value)
{
    (void)upgrade;
    return bytes_equal_string(value, "0") ? NULL : &has_body;
}

static const struct ws_refusal *take_encoding(struct ws_upgrade *upgrade, struct bytes value)
{
    (void)upgrade, (void)value;
    return &has_body;
}

static const struct header {
    const char *name;
    const struct ws_refusal *(*take)(struct ws_upgrade *upgrade, struct bytes value);
} headers[] = {
    {"Host", take_host},
    {"Upgrade", take_upgrade},
    {"Connection", take_connection},
    {"Sec-WebSocket-Key", take_key},
    {"Sec-WebSocket-Version", take_version},
    {"Sec-WebSocket-Protocol", take_protocol},
    {"Origin", take_origin},
    {"Content-Length", take_length},
    {"Transfer-Encoding", take_encoding},
};

/* RFC 9110 section 5.6.2. */
static bool is_token(struct bytes text)
{
    for (uint32_t i = 0; i < text.len; i++) {
        char c = (char)text.data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL)))
            return false;
    }
    return text.len > 0;
}

static const struct ws_refusal *take_header(struct ws_upgrade *upgrade, struct bytes line)
{
    struct bytes value = line, name = take_until(&value, ':');

    if (++upgrade->header_count > WS_HEADERS_MAX)
        return &too_large;
    if (name.len == line.len) /* no colon */
        return upgrade->cut ? &too_large : &bad_header;
    if (!is_token(name))
        return &bad_header;
    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        if (equal_nocase(name, headers[i].name))
            return upgrade->cut ? &too_large : headers[i].take(upgrade, trim(value));
    }
    return NULL;
}

/* --- the verdict --- */

static const struct ws_refusal *judge(const struct ws_upgrade *upgrade)
{
    uint16_t seen = upgrade->seen;

    if ((seen & SEEN_HOST) == 0)
        return &bad_host;
    if ((seen & SEEN_UPGRADE) == 0 || (seen & SEEN_CONNECTION) == 0)
        return &no_upgrade;
    if ((seen & SEEN_VERSION_13) == 0)
        return &bad_version;
    if ((seen & SEEN_GOOD_KEY) == 0)
        return &bad_key;
    if (upgrade->policy->origin_count > 0 && (seen & SEEN_ORIGIN) != 0 &&
        (seen & SEEN_GOOD_ORIGIN) == 0)
        return &bad_origin;
    return upgrade->protocol == NULL ? &bad_protocol : NULL;
}

static const struct ws_refusal *take_line(struct ws_upgrade *upgrade)
{
    struct bytes line = bytes_of(upgrade->line, upgrade->line_len);
    const struct ws_refusal *refusal;

    if (!upgrade->in_headers) {
        refusal = take_request_line(upgrade, line);
        upgrade->in_headers = true;
    } else if (line.len > 0) {
        refusal = take_header(upgrade, line);
    } else {
        refusal = judge(upgrade);
        upgrade->decided = true;
    }
    upgrade->line_len = 0;
    upgrade->cut = false;
    return refusal;
}

static const struct ws_refusal *take_byte(struct ws_upgrade *upgrade, uint8_t byte)
{
    if (upgrade->bytes == WS_REQUEST_MAX)
        return &too_large;
    upgrade->bytes++;
    if (upgrade->after_cr) {
        upgrade->after_cr = false;
        return byte == '\n' ? take_line(upgrade) : &bad_header;
    }
    if (byte == '\r') {
        upgrade->after_cr = true;
        return NULL;
    }
    /* A client of MQTT or TLS at the wrong port is told with its first byte. */
    if ((byte < ' ' && byte != '\t') || byte == 0x7F)
        return upgrade->in_headers ? &bad_header : &not_http;
    if (upgrade->line_len < WS_LINE_MAX) {
        upgrade->line[upgrade->line_len++] = (char)byte;
        return NULL;
    }
    upgrade->cut = true;
    return upgrade->in_headers ? NULL : &long_target;
}

int ws_upgrade_feed(struct ws_upgrade *upgrade, struct bytes data, uint32_t *ret_used)
{
    uint32_t used = 0;

    while (used < data.len && !upgrade->decided) {
        upgrade->refusal = take_byte(upgrade, data.data[used++]);
        if (upgrade->refusal != NULL)
            upgrade->decided = true;
    }
    *ret_used = used;
    return upgrade->decided;
}

bool ws_upgrade_refused(const struct ws_upgrade *upgrade)
{
    assert(upgrade->decided);
    return upgrade->refusal != NULL;
}

static const char *path_to_name(const struct ws_upgrade *upgrade)
{
    return upgrade->refusal->path ? upgrade->policy->path : "";
}

void ws_upgrade_explain(const struct ws_upgrade *upgrade, char *buf, size_t size)
{
    snprintf(buf, size, "%s%s", upgrade->refusal->text, path_to_name(upgrade));
}

/* RFC 6455 section 4.2.2. Returns false when OpenSSL has no SHA-1 to offer. */
static bool accept_of(const char *key, char *ret_accept)
{
    char text[WS_KEY_LEN + sizeof(WS_GUID)];
    unsigned char digest[SHA1_BYTES];

    memcpy(text, key, WS_KEY_LEN);
    memcpy(text + WS_KEY_LEN, WS_GUID, sizeof(WS_GUID));
    if (EVP_Digest(text, sizeof(text) - 1, digest, NULL, EVP_sha1(), NULL) != 1)
        return false;
    EVP_EncodeBlock((unsigned char *)ret_accept, digest, sizeof(digest));
    return true;
}

static void put_text(struct buf *out, const char *text)
{
    buf_put(out, text, strlen(text));
}

static void put_refusal(const struct ws_upgrade *upgrade, struct buf *out)
{
    const struct ws_refusal *refusal = upgrade->refusal;
    const char *path = path_to_name(upgrade);
    char length[64];

    snprintf(length, sizeof(length), "Content-Length: %zu\r\n\r\n",
             strlen(refusal->text) + strlen(path) + 1);
    put_text(out, "HTTP/1.1 ");
    put_text(out, refusal->status);
    put_text(out, "\r\nContent-Type: text/plain\r\n");
    put_text(out, refusal->headers);
    put_text(out, length);
    put_text(out, refusal->text);
    put_text(out, path);
    put_text(out, "\n");
}

void ws_upgrade_answer(const struct ws_upgrade *upgrade, struct buf *out)
{
    char accept[ACCEPT_SIZE];

    assert(upgrade->decided);
    if (upgrade->refusal != NULL) {
        put_refusal(upgrade, out);
        return;
    }
    if (!accept_of(upgrade->key, accept)) {
        out->failed = true;
        return;
    }
    put_text(out,
             "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Accept: ");
    put_text(out, accept);
    put_text(out, "\r\nSec-WebSocket-Protocol: ");
    put_text(out, upgrade->protocol);
    put_text(out, "\r\n\r\n");
}
