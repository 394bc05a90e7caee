/* settings - see the header. */
#include "settings.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Below 128 bits a signature can be forged by trying. */
#define SECRET_MIN_BYTES 16
/* Enough for a receiver that stores what it gets; the message waits meanwhile. */
#define TIMEOUT_DEFAULT_MS 10000
#define TIMEOUT_MIN_MS 100
#define TIMEOUT_MAX_MS 600000
/* Each may be a connection: what a small receiver serves at once. */
#define IN_FLIGHT_DEFAULT 100
#define IN_FLIGHT_MAX 10000

struct reader {
    struct settings *settings;
    const struct dp_setting *at;
    char *error;
    size_t error_size;
};

static int refuse(struct reader *reader, const char *expected)
{
    snprintf(reader->error, reader->error_size, "%s: %s is \"%s\", expected %s", reader->at->where,
             reader->at->path, reader->at->value, expected);
    return -1;
}

static int copy(struct reader *reader, char **ret_text)
{
    free(*ret_text); /* set twice: the later one counts */
    *ret_text = strdup(reader->at->value);
    if (*ret_text)
        return 0;
    snprintf(reader->error, reader->error_size, "out of memory");
    return -1;
}

static int read_url(struct reader *reader)
{
    const char *value = reader->at->value;

    if (strncmp(value, "https://", 8) != 0 && strncmp(value, "http://", 7) != 0)
        return refuse(reader, "a URL that begins with https:// or http://");
    return copy(reader, &reader->settings->url);
}

static int read_ca_file(struct reader *reader)
{
    if (access(reader->at->value, R_OK) < 0)
        return refuse(reader, "a readable file with certificates in PEM");
    return copy(reader, &reader->settings->ca_file);
}

/* Without the line ends that an editor adds. */
static int read_secret(struct reader *reader)
{
    struct settings *s = reader->settings;
    FILE *file = fopen(reader->at->value, "re");
    size_t size;
    int whole;

    if (!file) {
        snprintf(reader->error, reader->error_size, "%s: could not open secret_file \"%s\": %s",
                 reader->at->where, reader->at->value, strerror(errno));
        return -1;
    }
    size = fread(s->secret, 1, sizeof(s->secret), file);
    whole = fgetc(file) == EOF && !ferror(file);
    fclose(file);
    while (size > 0 && (s->secret[size - 1] == '\n' || s->secret[size - 1] == '\r'))
        size--;
    if (!whole || size < SECRET_MIN_BYTES)
        return refuse(reader, "a file of 16 to 4096 bytes");
    s->secret_size = size;
    return 0;
}

static int read_number(struct reader *reader, unsigned long min, unsigned long max,
                       uint32_t *ret_number)
{
    const char *value = reader->at->value;
    unsigned long number;
    char expected[64], *end;

    errno = 0;
    number = strtoul(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end != '\0' || errno != 0 || number < min ||
        number > max) {
        snprintf(expected, sizeof(expected), "%lu to %lu", min, max);
        return refuse(reader, expected);
    }
    *ret_number = (uint32_t)number;
    return 0;
}

static int read_one(struct reader *reader)
{
    const char *path = reader->at->path;

    if (strcmp(path, "url") == 0)
        return read_url(reader);
    if (strcmp(path, "secret_file") == 0)
        return read_secret(reader);
    if (strcmp(path, "timeout_ms") == 0)
        return read_number(reader, TIMEOUT_MIN_MS, TIMEOUT_MAX_MS, &reader->settings->timeout_ms);
    if (strcmp(path, "max_in_flight") == 0)
        return read_number(reader, 1, IN_FLIGHT_MAX, &reader->settings->max_in_flight);
    if (strcmp(path, "tls.ca_file") == 0)
        return read_ca_file(reader);
    snprintf(reader->error, reader->error_size,
             "%s: unknown setting \"%s\", expected url, secret_file, timeout_ms, max_in_flight or "
             "tls.ca_file",
             reader->at->where, path);
    return -1;
}

int settings_read(const struct dp_setting *list, size_t count, struct settings *ret_settings,
                  char *error, size_t error_size)
{
    struct settings settings = {.timeout_ms = TIMEOUT_DEFAULT_MS,
                                .max_in_flight = IN_FLIGHT_DEFAULT};
    struct reader reader = {.settings = &settings, .error = error, .error_size = error_size};
    int r = 0;

    for (size_t i = 0; r == 0 && i < count; i++) {
        reader.at = &list[i];
        r = read_one(&reader);
    }
    if (r == 0 && (!settings.url || settings.secret_size == 0)) {
        snprintf(error, error_size, "%s is not set, expected %s",
                 settings.url ? "secret_file" : "url",
                 settings.url ? "a file with the secret that signs requests" : "where to POST to");
        r = -1;
    }
    if (r < 0)
        settings_fini(&settings);
    else
        *ret_settings = settings;
    return r;
}

void settings_fini(struct settings *settings)
{
    free(settings->url);
    free(settings->ca_file);
    settings->url = settings->ca_file = NULL;
    OPENSSL_cleanse(settings->secret, sizeof(settings->secret));
}
