/* message - see the header. */
#include "broker/message.h"

#include <openssl/evp.h>
#include <stdlib.h>

/* Copies text with prefix and NUL to *cursor and moves it. */
static const char *put_string(uint8_t **cursor, const char *prefix, struct bytes text)
{
    char *start = (char *)*cursor;
    size_t prefix_len = strlen(prefix);

    memcpy(start, prefix, prefix_len);
    if (text.len > 0)
        memcpy(start + prefix_len, text.data, text.len);
    start[prefix_len + text.len] = '\0';
    *cursor += prefix_len + text.len + 1;
    return start;
}

struct message *message_create(const struct wire_body *body, struct bytes from,
                               struct bytes conversation, struct bytes key)
{
    size_t body_size = wire_body_size(body);
    size_t size = sizeof(struct message) + body_size + from.len + conversation.len + key.len + 8;
    struct message *m = malloc(size);
    struct wire_body view;
    uint8_t *cursor;
    bool group = body->kind == WIRE_BODY_GROUP || body->kind == WIRE_BODY_SENT_GROUP;

    if (!m)
        return NULL;
    memset(m, 0, sizeof(*m));
    /* a buf over our own memory: exactly large enough, so it never grows */
    struct buf out = {.data = m->data, .cap = body_size};

    wire_put_body(&out, body);
    if (!buf_ok(&out) || out.data != m->data ||
        wire_get_body(bytes_of(m->data, (uint32_t)out.len), &view) < 0) {
        free(m);
        return NULL;
    }
    m->refs = 1;
    m->body_len = (uint32_t)out.len;
    m->mid = body->mid;
    m->sent_at_ms = body->sent_at_ms;
    m->expires_at_ms = body->expires_at_ms;
    m->kind = body->kind;
    m->properties = view.properties;
    m->payload = view.payload;
    cursor = m->data + m->body_len;
    m->from = put_string(&cursor, "", from);
    m->conversation = put_string(&cursor, group ? "g/" : "u/", conversation);
    m->key = bytes_of(put_string(&cursor, "", key), key.len);
    return m;
}

struct message *message_ref(struct message *message)
{
    message->refs++;
    return message;
}

void message_unref(struct message *message)
{
    if (message && --message->refs == 0)
        free(message);
}

uint64_t message_content_hash(const struct message *message)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    uint64_t hash = 0;
    uint32_t split = message->properties.len;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    /* The length between the two parts keeps one from passing for the other. */
    if (ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
        EVP_DigestUpdate(ctx, &split, sizeof(split)) == 1 &&
        EVP_DigestUpdate(ctx, message->properties.data, message->properties.len) == 1 &&
        EVP_DigestUpdate(ctx, message->payload.data, message->payload.len) == 1 &&
        EVP_DigestFinal_ex(ctx, digest, NULL) == 1)
        memcpy(&hash, digest, sizeof(hash));
    EVP_MD_CTX_free(ctx);
    return hash;
}
