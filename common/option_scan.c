/* Debian's libconfig 1.5 takes an integer literal without suffix through atoi: `port = 4294967298`
 * becomes port 2 without a word. It ends the process when asked to include a directory (its
 * scanner's fatal error), and a NUL byte silently ends the file. A configuration that means
 * something else than it says must be refused, and a reload must never end a process that serves.
 *
 * So before libconfig sees a file, this walks its tokens: strings, comments and names are passed
 * over, numbers are checked for their range, included files are read and walked the same way. What
 * is not a token of the grammar is left for libconfig to complain about. One pass over a few KiB,
 * at start and at reload. */
#include "common/option_scan.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/auto.h"
#include "common/buf.h"

/* A configuration is a few KiB; more is the wrong file, or one without end. */
#define FILE_MAX_BYTES (1u << 20)
/* libconfig's own limit; it also ends a file that includes itself. */
#define INCLUDE_DEPTH_MAX 10
#define PATH_SIZE 1024
#define READ_STEP 4096

struct scan {
    const char *file;
    const char *next;
    unsigned line, depth;
    struct err_text *et;
};

static int read_file(const char *file, struct buf *text, struct err_text *et)
{
    AUTO_CLOSE int fd = open(file, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return err_set(et, ERR_CONFIG, "%s: could not open: %s", file, strerror(errno));
    for (;;) {
        uint8_t *to = buf_reserve(text, READ_STEP);
        if (to == NULL)
            break;
        ssize_t got = read(fd, to, READ_STEP);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_set(et, ERR_CONFIG, "%s: could not read: %s", file, strerror(errno));
        if (got == 0)
            break;
        text->len += (size_t)got;
        if (text->len > FILE_MAX_BYTES)
            return err_set(et, ERR_CONFIG, "%s: is larger than %u bytes", file, FILE_MAX_BYTES);
    }
    if (!buf_ok(text))
        return err_set(et, ERR_NO_MEMORY, "%s: %s", file, err_string(ERR_NO_MEMORY));
    if (memchr(text->data, '\0', text->len) != NULL)
        return err_set(et, ERR_CONFIG, "%s: has a NUL byte, expected text", file);
    text->data[text->len++] = '\0'; /* the last reservation was not used */
    return 0;
}

/* Passes over what `end` ends, or the rest of the file. */
static void skip_past(struct scan *scan, const char *end)
{
    size_t end_len = strlen(end);

    while (*scan->next != '\0' && strncmp(scan->next, end, end_len) != 0) {
        if (*scan->next == '\\' && *end == '"' && scan->next[1] != '\0')
            scan->next++; /* an escaped character of a string, maybe its quote */
        if (*scan->next == '\n')
            scan->line++;
        scan->next++;
    }
    if (*scan->next != '\0')
        scan->next += end_len;
    if (*end == '\n')
        scan->line++;
}

static int check_number(struct scan *scan)
{
    const char *start = scan->next;
    char *end;
    bool hex = start[0] == '0' && (start[1] == 'x' || start[1] == 'X');

    errno = 0;
    unsigned long long value = strtoull(start, &end, hex ? 16 : 10);
    bool huge = errno == ERANGE || value > LLONG_MAX;
    if (!hex && (*end == '.' || *end == 'e' || *end == 'E')) {
        bool infinite = isinf(strtod(start, &end)) != 0;
        scan->next = end;
        return !infinite ? 0
                         : err_set(scan->et, ERR_CONFIG, "%s:%u: %.*s is too large", scan->file,
                                   scan->line, (int)(end - start), start);
    }
    scan->next = end;
    if (huge)
        return err_set(scan->et, ERR_CONFIG, "%s:%u: %.*s has more than 63 bits", scan->file,
                       scan->line, (int)(end - start), start);
    if (*end != 'L' && value > INT_MAX)
        return err_set(scan->et, ERR_CONFIG,
                       "%s:%u: %.*s needs the suffix L, as it has more than 31 bits", scan->file,
                       scan->line, (int)(end - start), start);
    return 0;
}

static int scan_text(struct scan *scan);

/* At `@include`. libconfig knows it only at the start of a line and with spaces before the name. */
static int check_include(struct scan *scan)
{
    char path[PATH_SIZE];
    size_t len = 0;
    const char *next = scan->next + strlen("@include");

    next += strspn(next, " \t");
    if (*next++ != '"') {
        scan->next++;
        return 0; /* libconfig's syntax error */
    }
    for (; *next != '"' && *next != '\0' && len < sizeof(path) - 1; next++) {
        if (*next == '\\' && (next[1] == '\\' || next[1] == '"'))
            next++;
        path[len++] = *next;
    }
    path[len] = '\0';
    if (*next != '"')
        return err_set(scan->et, ERR_CONFIG, "%s:%u: the name after @include has no end",
                       scan->file, scan->line);
    scan->next = next + 1;
    if (scan->depth == INCLUDE_DEPTH_MAX)
        return err_set(scan->et, ERR_CONFIG, "%s:%u: includes are more than %u deep", scan->file,
                       scan->line, INCLUDE_DEPTH_MAX);

    struct buf text = {0};
    struct scan inner = {.file = path, .line = 1, .depth = scan->depth + 1, .et = scan->et};
    int r = read_file(path, &text, scan->et);
    if (r == 0) {
        inner.next = (const char *)text.data;
        r = scan_text(&inner);
    }
    buf_release(&text);
    return r;
}

static bool name_character(char character)
{
    return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
           (character >= '0' && character <= '9') || character == '_' || character == '-' ||
           character == '*';
}

static int scan_text(struct scan *scan)
{
    int r = 0;

    assert(scan->next != NULL);
    while (*scan->next != '\0' && r == 0) {
        const char *next = scan->next;
        if (*next == '"') {
            scan->next++;
            skip_past(scan, "\"");
        } else if (*next == '#' || strncmp(next, "//", 2) == 0) {
            skip_past(scan, "\n");
        } else if (strncmp(next, "/*", 2) == 0) {
            scan->next += 2;
            skip_past(scan, "*/");
        } else if (strncmp(next, "@include", strlen("@include")) == 0) {
            r = check_include(scan);
        } else if (*next >= '0' && *next <= '9') {
            r = check_number(scan);
        } else if (name_character(*next) && *next != '-') {
            while (name_character(*scan->next))
                scan->next++;
        } else {
            if (*next == '\n')
                scan->line++;
            scan->next++;
        }
    }
    return r;
}

int option_scan_text(const char *name, const char *text, struct err_text *et)
{
    struct scan scan = {.file = name, .next = text, .line = 1, .depth = 0, .et = et};

    return scan_text(&scan);
}

int option_scan_read(const char *file, char **ret_text, struct err_text *et)
{
    struct buf text = {0};
    int r = read_file(file, &text, et);

    if (r == 0)
        r = option_scan_text(file, (const char *)text.data, et);
    if (r < 0)
        buf_release(&text);
    else
        *ret_text = (char *)text.data;
    return r;
}
