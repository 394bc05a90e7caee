/* Operators grep, and machines parse, what peers had a hand in: client ids, user names, error texts
 * of remote services. So every value that could be taken for something else is quoted, and inside
 * quotes everything that could end a value, a line or an operator's trust in their terminal is
 * escaped: quotes, backslashes, control characters (C1 too), the characters that change a line's
 * direction, and bytes that are not UTF-8. Readable text in any language stays as it is.
 *
 * A line is built on the stack and leaves with one write(2) of at most PIPE_BUF bytes, which a pipe
 * never mixes with the lines of other processes. What doesn't fit is cut, marked with "..." and
 * still closed by its quote. A line that can't be written is lost: there is nowhere to report it.
 */
#include "common/log.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/err.h"
#include "common/utf8.h"

#define LINE_SIZE PIPE_BUF
/* Of a line, for the subject: three names of 64 characters and an address fit even when each
 * character is escaped, and the message keeps most of the line. */
#define SUBJECT_SIZE 1536
/* Before escaping. All counters of a process are the longest, and the last of them count too. */
#define MESSAGE_SIZE 3072
#define UNIT_SIZE 16 /* a three-byte sequence as \xNN\xNN\xNN, and NUL */
#define WINDOW_MS 1000

static const char *const level_names[] = {
    [LOG_ERROR] = "error",
    [LOG_WARNING] = "warning",
    [LOG_INFO] = "info",
    [LOG_DEBUG] = "debug",
};
#define LEVEL_COUNT (sizeof(level_names) / sizeof(level_names[0]))

static struct {
    char process[32]; /* longer than any of our program names */
    unsigned index;
    enum log_level level;
} config = {.process = "beckon", .level = LOG_INFO};

void log_init(const char *process, unsigned index, enum log_level level)
{
    snprintf(config.process, sizeof(config.process), "%s", process);
    config.index = index;
    config.level = level;
}

void log_set_level(enum log_level level)
{
    config.level = level;
}

int log_level_parse(const char *text, enum log_level *ret_level)
{
    for (unsigned level = 0; level < LEVEL_COUNT; level++) {
        if (strcmp(text, level_names[level]) == 0) {
            *ret_level = (enum log_level)level;
            return 0;
        }
    }
    return ERR_INVALID;
}

/* Bytes of the UTF-8 character at text (NUL-terminated), 0 when it is none. */
static size_t character_len(const char *text)
{
    uint8_t lead = (uint8_t)text[0];
    size_t len = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;

    if (strnlen(text, len) < len || !utf8_valid(bytes_of(text, (uint32_t)len)))
        return 0;
    return len;
}

/* A character that is not shown as itself: control, line separator, direction mark. */
static bool deceptive(const char *text, size_t len)
{
    const uint8_t *byte = (const uint8_t *)text;

    if (len == 1)
        return byte[0] < 0x20 || byte[0] == 0x7F;
    if (len == 2) /* U+0080 to U+009F */
        return byte[0] == 0xC2 && byte[1] < 0xA0;
    if (len == 3 && byte[0] == 0xE2 && byte[1] == 0x80) /* U+200E, U+200F, U+2028 to U+202E */
        return byte[2] == 0x8E || byte[2] == 0x8F || (byte[2] >= 0xA8 && byte[2] <= 0xAE);
    if (len == 3 && byte[0] == 0xE2 && byte[1] == 0x81) /* U+2066 to U+2069 */
        return byte[2] >= 0xA6 && byte[2] <= 0xA9;
    return false;
}

/* Takes one character (or stray byte) off *text into unit, in the form it has between quotes. */
static size_t next_unit(const char **text, char unit[UNIT_SIZE])
{
    const char *from = *text;
    size_t len = character_len(from);

    if (len != 0 && !deceptive(from, len)) {
        size_t out = 0;
        if (*from == '"' || *from == '\\')
            unit[out++] = '\\';
        memcpy(unit + out, from, len);
        *text += len;
        return out + len;
    }
    if (len == 0)
        len = 1;
    *text += len;
    if (*from == '\n' || *from == '\r' || *from == '\t') {
        unit[0] = '\\';
        unit[1] = *from == '\n' ? 'n' : *from == '\r' ? 'r' : 't';
        return 2;
    }
    for (size_t i = 0; i < len; i++)
        snprintf(unit + 4 * i, 5, "\\x%02x", (unsigned)(uint8_t)from[i]);
    return 4 * len;
}

/* Writes `"value"` at buf; at most size bytes, no NUL. size is 5 at least: room for `"..."`. */
static size_t put_quoted(char *buf, size_t size, const char *value)
{
    char unit[UNIT_SIZE];
    size_t len = 0, cut_at = 1; /* where "..." still fits */

    buf[len++] = '"';
    while (*value != '\0') {
        size_t unit_len = next_unit(&value, unit);
        if (len + unit_len + 1 > size) {
            memcpy(buf + cut_at, "...", 3);
            len = cut_at + 3;
            break;
        }
        memcpy(buf + len, unit, unit_len);
        len += unit_len;
        if (len + 4 <= size)
            cut_at = len;
    }
    buf[len++] = '"';
    return len;
}

/* Can it stand without quotes? Printable ASCII, nothing that separates or quotes. */
static bool plain(const char *value)
{
    if (*value == '\0')
        return false;
    for (; *value != '\0'; value++) {
        if (*value <= ' ' || *value > '~' || *value == '"' || *value == '=' || *value == '\\')
            return false;
    }
    return true;
}

static size_t put_field(char *buf, size_t size, size_t offset, const char *key, const char *value,
                        bool quote)
{
    size_t key_len = strlen(key), value_len = strlen(value);
    size_t start = offset + (offset > 0 ? 1 : 0) + key_len + 1;

    if (offset >= size)
        return offset;
    /* A field that has no room for even `"..."` and NUL is left out as a whole. */
    if (start + 5 >= size) {
        buf[offset] = '\0';
        return offset;
    }
    if (offset > 0)
        buf[offset++] = ' ';
    memcpy(buf + offset, key, key_len);
    buf[start - 1] = '=';
    if (!quote && value_len < size - start && plain(value)) {
        memcpy(buf + start, value, value_len);
        offset = start + value_len;
    } else {
        offset = start + put_quoted(buf + start, size - start - 1, value);
    }
    buf[offset] = '\0';
    return offset;
}

size_t log_kv(char *buf, size_t size, size_t offset, const char *key, const char *value)
{
    return put_field(buf, size, offset, key, value, false);
}

static size_t put_prefix(char *line, size_t size, enum log_level level)
{
    struct timespec now;
    struct tm utc;
    char second[32];

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(second, sizeof(second), "%Y-%m-%dT%H:%M:%S", &utc);
    /* Always fits: every part has a bound far below the line's. */
    return (size_t)snprintf(line, size, "%s.%03ldZ %s %s/%u", second, now.tv_nsec / 1000000,
                            level_names[level], config.process, config.index);
}

static void write_line(const char *line, size_t len)
{
    ssize_t done;

    do
        done = write(STDERR_FILENO, line, len);
    while (done < 0 && errno == EINTR);
}

static void log_args(enum log_level level, const struct log_subject *subject, uint32_t suppressed,
                     const char *fmt, va_list args) __attribute__((format(printf, 4, 0)));

static void log_args(enum log_level level, const struct log_subject *subject, uint32_t suppressed,
                     const char *fmt, va_list args)
{
    char line[LINE_SIZE], message[MESSAGE_SIZE];
    int saved = errno; /* callers log first and return errno's meaning afterwards */
    size_t len = put_prefix(line, sizeof(line), level);

    if (subject != NULL) {
        line[len] = ' ';
        size_t named = subject->describe(subject->object, line + len + 1, SUBJECT_SIZE);
        if (named >= SUBJECT_SIZE) /* what it wanted to write, not what it wrote */
            named = SUBJECT_SIZE - 1;
        len += named != 0 ? named + 1 : 0;
    }
    if (suppressed != 0) {
        char number[16];
        snprintf(number, sizeof(number), "%u", suppressed);
        len = put_field(line, sizeof(line), len, "suppressed", number, false);
    }
    int wanted = vsnprintf(message, sizeof(message), fmt, args);
    if (wanted <
        0) /* a wide character that can't be encoded; the format is worth more than nothing */
        snprintf(message, sizeof(message), "%s", fmt);
    else if ((size_t)wanted >= sizeof(message))
        memcpy(message + sizeof(message) - 4, "...", 4);
    len = put_field(line, sizeof(line) - 1, len, "msg", message, true);
    line[len++] = '\n';
    write_line(line, len);
    errno = saved;
}

void log_line(enum log_level level, const struct log_subject *subject, const char *fmt, ...)
{
    va_list args;

    if (level > config.level)
        return;
    va_start(args, fmt);
    log_args(level, subject, 0, fmt, args);
    va_end(args);
}

void log_line_limited(struct log_limit *limit, uint64_t now_ms, enum log_level level,
                      const struct log_subject *subject, const char *fmt, ...)
{
    va_list args;

    if (level > config.level)
        return;
    if (now_ms - limit->window_start_ms >= WINDOW_MS) {
        limit->window_start_ms = now_ms;
        limit->in_window = 0;
    }
    if (limit->in_window == LOG_LIMIT_PER_SECOND) {
        if (limit->suppressed != UINT32_MAX)
            limit->suppressed++;
        return;
    }
    limit->in_window++;
    va_start(args, fmt);
    log_args(level, subject, limit->suppressed, fmt, args);
    va_end(args);
    limit->suppressed = 0;
}
