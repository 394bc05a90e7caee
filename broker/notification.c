/* notification - see the header. */
#include "broker/notification.h"

#include "broker/alert_properties.h"
#include "common/auto.h"
#include "common/utf8.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

/* Of what a sender may add, so that the document stays within its limit without the message. */
#define TEXT_BYTES 1024
#define NAME_BYTES 256
/* A document that is larger can't be made smaller than this by leaving the message out. */
#define DATA_MAX NOTIFICATION_MAX

/* Text of at most max bytes, cut between characters. NULL when it is not UTF-8. */
static json_t *text(struct bytes value, uint32_t max)
{
    if (value.len > max) {
        value.len = max;
        while (value.len > 0 && !utf8_valid(value))
            value.len--;
    }
    return json_stringn((const char *)value.data, value.len);
}

static json_t *text_or(struct bytes value, const char *otherwise, uint32_t max)
{
    return value.len > 0 ? text(value, max) : json_string(otherwise);
}

/* The template with {sender} replaced. */
static json_t *from_template(const char *template, const char *sender)
{
    static const char mark[] = "{sender}";
    const char *at = strstr(template, mark);
    json_t *made;
    char *joined;

    if (!at)
        return json_string(template);
    if (asprintf(&joined, "%.*s%s%s", (int)(at - template), template, sender,
                 at + sizeof(mark) - 1) < 0)
        return NULL;
    made = json_string(joined);
    free(joined);
    return made;
}

static json_t *make_alert(const struct notification *n, const struct alert_properties *p,
                          bool titled)
{
    json_t *alert = json_object();
    char many[64];

    if (titled && p->title.len > 0)
        json_object_set_new(alert, "title", text(p->title, NAME_BYTES));
    else
        json_object_set_new(alert, "title", from_template(n->title, n->message->from));
    if (n->summarized > 0) {
        snprintf(many, sizeof(many), "%u new messages", n->summarized + 1);
        json_object_set_new(alert, "body", json_string(many));
    } else if (p->body.len > 0) {
        json_object_set_new(alert, "body", text(p->body, TEXT_BYTES));
    } else {
        json_object_set_new(alert, "body", from_template(n->body, n->message->from));
    }
    return alert;
}

static const char *level(const struct alert_properties *p, bool titled)
{
    if (titled && bytes_equal_string(p->level, "passive"))
        return "passive";
    if (titled && bytes_equal_string(p->level, "time-sensitive"))
        return "time-sensitive";
    return "active";
}

static json_t *make_aps(const struct notification *n, const struct alert_properties *p)
{
    const struct message *m = n->message;
    bool titled = n->sender_may_title || m->service;
    json_t *aps = json_object();

    json_object_set_new(aps, "alert", make_alert(n, p, titled));
    json_object_set_new(aps, "badge", json_integer((json_int_t)n->badge));
    json_object_set_new(aps, "sound",
                        titled ? text_or(p->sound, n->sound, NAME_BYTES) : json_string(n->sound));
    json_object_set_new(aps, "thread-id", text_or(p->thread, m->conversation, NAME_BYTES));
    if (p->category.len > 0 || n->category[0] != '\0')
        json_object_set_new(aps, "category", text_or(p->category, n->category, NAME_BYTES));
    json_object_set_new(aps, "interruption-level", json_string(level(p, titled)));
    json_object_set_new(aps, "mutable-content", json_integer(1));
    return aps;
}

static bool is_json_type(struct bytes type)
{
    static const char json[] = "application/json", suffix[] = "+json";
    struct bytes end = bytes_of(type.data, type.len);
    const uint8_t *parameters = type.len > 0 ? memchr(type.data, ';', type.len) : NULL;

    if (parameters)
        end.len = (uint32_t)(parameters - type.data);
    if (bytes_equal_string(end, json))
        return true;
    return end.len > sizeof(suffix) - 1 &&
           memcmp(end.data + end.len - (sizeof(suffix) - 1), suffix, sizeof(suffix) - 1) == 0;
}

static json_t *base64(struct bytes payload)
{
    unsigned char *encoded = malloc((payload.len + 2u) / 3u * 4u + 1);
    json_t *made;

    if (!encoded)
        return NULL;
    EVP_EncodeBlock(encoded, payload.data, (int)payload.len);
    made = json_string((const char *)encoded);
    free(encoded);
    return made;
}

/* The message's content: a JSON value where it is one, text where it is said to be, else base64. */
static void add_data(json_t *beckon, const struct message *m, const struct alert_properties *p)
{
    const char *data = (const char *)m->payload.data;
    bool typed = p->content_type.len > 0;
    json_t *value = NULL;

    if (m->payload.len == 0) {
        json_object_set_new(beckon, "data", json_string(""));
        return;
    }
    if (is_json_type(p->content_type) || (!typed && (data[0] == '{' || data[0] == '[')))
        value = json_loadb(data, m->payload.len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    else if (p->utf8)
        value = json_stringn(data, m->payload.len);
    if (value)
        json_object_set_new(beckon, "data", value);
    else
        json_object_set_new(beckon, "data_base64", base64(m->payload));
}

static json_t *make_beckon(const struct notification *n, const struct alert_properties *p,
                           bool data)
{
    const struct message *m = n->message;
    json_t *beckon = json_object();
    char mid[MID_TEXT_SIZE];

    mid_format(&m->mid, mid);
    json_object_set_new(beckon, "mid", json_string(mid));
    json_object_set_new(beckon, "from", json_string(m->from));
    json_object_set_new(beckon, "conversation", json_string(m->conversation));
    json_object_set_new(beckon, "sent", json_integer((json_int_t)m->sent_at_ms));
    if (p->content_type.len > 0)
        json_object_set_new(beckon, "content_type", text(p->content_type, NAME_BYTES));
    if (data)
        add_data(beckon, m, p);
    else
        json_object_set_new(beckon, "truncated", json_true());
    return beckon;
}

/* The document as text, owned; NULL when out of memory. */
static char *render(const struct notification *n, const struct alert_properties *p, bool data)
{
    json_t *document = json_object();
    char *dumped;

    json_object_set_new(document, "aps", make_aps(n, p));
    json_object_set_new(document, "beckon", make_beckon(n, p, data));
    dumped = json_dumps(document, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(document);
    return dumped;
}

int notification_render(const struct notification *n, struct buf *out, bool *ret_whole)
{
    struct alert_properties p = alert_properties_read(n->message->properties);
    bool data = n->content && n->summarized == 0 && n->message->payload.len < DATA_MAX;
    char *dumped = data ? render(n, &p, true) : NULL;

    if (dumped && strlen(dumped) > NOTIFICATION_MAX) {
        free(dumped);
        dumped = NULL;
    }
    *ret_whole = dumped != NULL && !p.others;
    if (!dumped)
        dumped = render(n, &p, false);
    if (!dumped)
        return ERR_NO_MEMORY;
    if (n->ret_priority)
        *n->ret_priority = p.priority;
    buf_put(out, dumped, strlen(dumped));
    free(dumped);
    return buf_ok(out) ? 0 : ERR_NO_MEMORY;
}
