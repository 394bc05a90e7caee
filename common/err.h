/* err - the error codes of all Beckon code.
 * A function returns 0 or a count on success and a negative ERR_* on failure. Functions whose
 * failure an operator reads also fill a caller-owned `struct err_text`. No state, any thread. */
#ifndef BECKON_COMMON_ERR_H
#define BECKON_COMMON_ERR_H

enum err_ordinal {
#define ERR(name, class, text) ERR_ORDINAL_##name,
#include "common/err.def"
#undef ERR
    ERR_ORDINAL_COUNT
};

/* ERR_AGAIN is -1, then downwards in the order of err.def. */
enum err {
#define ERR(name, class, text) ERR_##name = -1 - (int)ERR_ORDINAL_##name,
#include "common/err.def"
#undef ERR
};

enum err_class { ERR_CLASS_AGAIN, ERR_CLASS_MESSAGE, ERR_CLASS_CONN, ERR_CLASS_PROCESS };

/* The result must be looked at. To ignore one on purpose: IGNORE_RESULT(call) with the reason
 * in a comment beside it. */
#define MUST_CHECK __attribute__((warn_unused_result))
#define IGNORE_RESULT(expr)                                                                        \
    do {                                                                                           \
        if ((expr) != 0) {                                                                         \
        }                                                                                          \
    } while (0)

/* Text for an operator: what, where, what was expected. Always NUL-terminated. */
struct err_text {
    char text[512];
};

/* Name-independent text of an ERR_* code ("queue is full"). Never NULL. */
const char *err_string(int err);
enum err_class err_class(int err);

/* Formats into et, which may be NULL. Truncates, never fails. */
void err_format(struct err_text *et, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline int err_value(int err)
{
    return err;
}

/* The same, with err as its value, so that a failing function can say
 * `return err_set(et, ERR_CONFIG, "...", ...)`. A macro, so that analysers see what is returned. */
#define err_set(et, err, ...) (err_format(et, __VA_ARGS__), err_value(err))

#endif
