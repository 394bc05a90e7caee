/* log - one line per event, key=value fields, to standard error.
 *
 * A line: `2026-05-01T12:00:00.123Z warning connector/0 id=17 peer=127.0.0.1:5511 client=bob-phone
 * user=bob while="reading CONNECT" msg="could not verify token" error="expired"`.
 * The subject (which connection, which peer) is an argument: a struct log_subject whose `describe`
 * writes the key=value fields that name it, so no call site forgets them. Values that need it are
 * quoted, control characters escaped: a peer can't forge a line or a field.
 *
 * Loop thread only. Lines that a peer can trigger go through log_limited: each call site owns a
 * token bucket (`struct log_limit`, static), and the first line after suppression carries
 * suppressed=N. Never log payloads, tokens or passwords. */
#ifndef BECKON_COMMON_LOG_H
#define BECKON_COMMON_LOG_H

#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

struct log_subject {
    /* Writes "key=value key=value" (no trailing space) into buf, returns its length.
     * Use log_kv to append one field with quoting. */
    size_t (*describe)(const void *object, char *buf, size_t size);
    const void *object;
};

struct log_limit {
    uint64_t window_start_ms;
    uint32_t in_window;
    uint32_t suppressed;
};
/* Lines one call site may write a second when a peer can trigger them: enough to see what goes
 * on, too few to fill a disk. */
#define LOG_LIMIT_PER_SECOND 10

/* process: "broker", "connector"...; index distinguishes several of one stack. */
void log_init(const char *process, unsigned index, enum log_level level);
void log_set_level(enum log_level level);
/* Parses "error", "warning", "info", "debug". 0, or ERR_INVALID. */
int log_level_parse(const char *text, enum log_level *ret_level);

/* Appends `key=value` (quoted if needed, preceded by a space when offset > 0) at buf+offset.
 * Returns the new offset; never writes past size and always terminates. */
size_t log_kv(char *buf, size_t size, size_t offset, const char *key, const char *value);

/* subject may be NULL. The formatted text becomes the quoted `msg` field. */
void log_line(enum log_level level, const struct log_subject *subject, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* As log_line, at most LOG_LIMIT_PER_SECOND lines a second for this limit. now_ms: monotonic. */
void log_line_limited(struct log_limit *limit, uint64_t now_ms, enum log_level level,
                      const struct log_subject *subject, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

#define log_error(subject, ...) log_line(LOG_ERROR, subject, __VA_ARGS__)
#define log_warning(subject, ...) log_line(LOG_WARNING, subject, __VA_ARGS__)
#define log_info(subject, ...) log_line(LOG_INFO, subject, __VA_ARGS__)
#define log_debug(subject, ...) log_line(LOG_DEBUG, subject, __VA_ARGS__)

/* One bucket per call site. */
#define log_limited(now_ms, level, subject, ...)                                                   \
    do {                                                                                           \
        static struct log_limit limit_;                                                            \
        log_line_limited(&limit_, now_ms, level, subject, __VA_ARGS__);                            \
    } while (0)

#endif
