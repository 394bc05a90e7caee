/* The format is that of ZeroMQ's certificates (ZPL, rfc.zeromq.org/spec/4), so that keys made by
 * its own tools can be used as they are. Of the format this takes what such a file needs: sections
 * at the beginning of a line, properties indented under them, comments. What is under other
 * sections than `curve` describes the owner and is not read. */
#include "common/curve_key.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>
#include <zmq.h>

#include "common/auto.h"

/* With comments and metadata a certificate has a few hundred bytes. */
#define FILE_MAX 4096
#define KEY_LEN (CURVE_KEY_SIZE - 1)

static const char z85[] =
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

struct parser {
    const char *name;
    unsigned line;
    bool in_curve;
    struct curve_key key;
    struct err_text *et;
};

void curve_key_wipe(struct curve_key *key)
{
    OPENSSL_cleanse(key, sizeof(*key));
}

/* --- text --- */

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct bytes skip(struct bytes text, uint32_t count)
{
    return bytes_of(text.data + count, text.len - count);
}

static struct bytes skip_spaces(struct bytes text)
{
    while (text.len > 0 && is_space(text.data[0]))
        text = skip(text, 1);
    return text;
}

/* Nothing more, or a comment. */
static bool ends(struct bytes text)
{
    text = skip_spaces(text);
    return text.len == 0 || text.data[0] == '#';
}

static uint32_t name_len(struct bytes text)
{
    uint32_t len = 0;

    while (len < text.len && !is_space(text.data[len]) && text.data[len] != '=' &&
           text.data[len] != '#')
        len++;
    return len;
}

/* 40 characters of Z85 that are 32 bytes, not all of them zero, which stands for "none". */
static bool is_key(struct bytes text)
{
    uint8_t binary[32];
    char copy[CURVE_KEY_SIZE];
    bool good;

    if (text.len != KEY_LEN)
        return false;
    for (uint32_t i = 0; i < text.len; i++) {
        if (memchr(z85, text.data[i], sizeof(z85) - 1) == NULL)
            return false;
    }
    memcpy(copy, text.data, KEY_LEN);
    copy[KEY_LEN] = '\0';
    good = strspn(copy, "0") != KEY_LEN && zmq_z85_decode(binary, copy) != NULL;
    OPENSSL_cleanse(binary, sizeof(binary));
    OPENSSL_cleanse(copy, sizeof(copy));
    return good;
}

/* `= "..."`, to the end of the line. */
static bool get_quoted(struct bytes text, struct bytes *ret_value)
{
    uint8_t quote;
    const uint8_t *end;

    text = skip_spaces(text);
    if (text.len == 0 || text.data[0] != '=')
        return false;
    text = skip_spaces(skip(text, 1));
    if (text.len == 0 || (text.data[0] != '"' && text.data[0] != '\''))
        return false;
    quote = text.data[0];
    text = skip(text, 1);
    end = memchr(text.data, quote, text.len);
    if (end == NULL)
        return false;
    *ret_value = bytes_of(text.data, (uint32_t)(end - text.data));
    return ends(skip(text, ret_value->len + 1));
}

static int take_property(struct parser *p, struct bytes property, struct bytes rest)
{
    bool is_public = bytes_equal_string(property, "public-key");
    char *into = is_public ? p->key.public_key : p->key.secret_key;
    const char *what = is_public ? "public-key" : "secret-key";
    struct bytes value;

    if (!is_public && !bytes_equal_string(property, "secret-key"))
        return err_set(p->et, ERR_CONFIG,
                       "%s:%u: unknown property under \"curve\", expected public-key or secret-key",
                       p->name, p->line);
    if (into[0] != '\0')
        return err_set(p->et, ERR_CONFIG, "%s:%u: \"%s\" is there twice", p->name, p->line, what);
    if (!get_quoted(rest, &value) || !is_key(value))
        return err_set(p->et, ERR_CONFIG,
                       "%s:%u: \"%s\" is no key, expected 40 characters of Z85 in quotes", p->name,
                       p->line, what);
    memcpy(into, value.data, KEY_LEN);
    return 0;
}

static int take_line(struct parser *p, struct bytes line)
{
    bool indented = line.len > 0 && is_space(line.data[0]);
    struct bytes name;

    line = skip_spaces(line);
    if (ends(line))
        return 0;
    name = bytes_of(line.data, name_len(line));
    if (indented)
        return p->in_curve ? take_property(p, name, skip(line, name.len)) : 0;
    if (name.len == 0 || !ends(skip(line, name.len)))
        return err_set(p->et, ERR_CONFIG,
                       "%s:%u: expected a section, as \"curve\", with its keys indented below",
                       p->name, p->line);
    p->in_curve = bytes_equal_string(name, "curve");
    return 0;
}

/* The halves are one pair; a missing public one is computed. */
static int check_pair(struct parser *p)
{
    struct curve_key *key = &p->key;
    char computed[CURVE_KEY_SIZE];

    if (key->public_key[0] == '\0' && key->secret_key[0] == '\0')
        return err_set(p->et, ERR_CONFIG,
                       "%s has no key, expected a file that \"beckonctl keygen\" made", p->name);
    if (key->secret_key[0] == '\0')
        return 0;
    if (zmq_curve_public(computed, key->secret_key) < 0)
        return err_set(p->et, ERR_CONFIG, "%s: could not compute the public key: %s", p->name,
                       zmq_strerror(errno));
    if (key->public_key[0] != '\0' && strcmp(key->public_key, computed) != 0)
        return err_set(p->et, ERR_CONFIG,
                       "%s: \"public-key\" and \"secret-key\" are not of one pair", p->name);
    memcpy(key->public_key, computed, sizeof(computed));
    return 0;
}

int curve_key_parse(const char *name, struct bytes text, struct curve_key *ret_key,
                    struct err_text *et)
{
    struct parser p = {.name = name, .et = et};
    int r = 0;

    while (r == 0 && text.len > 0) {
        const uint8_t *newline = memchr(text.data, '\n', text.len);
        uint32_t len = newline != NULL ? (uint32_t)(newline - text.data) : text.len;

        p.line++;
        r = take_line(&p, bytes_of(text.data, len));
        text = skip(text, newline != NULL ? len + 1 : len);
    }
    if (r == 0)
        r = check_pair(&p);
    if (r == 0)
        *ret_key = p.key;
    curve_key_wipe(&p.key);
    return r;
}

/* --- files --- */

/* Reads all of a regular file into data. The length or ERR_CONFIG. */
static int read_file(const char *option, const char *file, uint8_t data[FILE_MAX + 1],
                     struct stat *ret_stat, struct err_text *et)
{
    /* O_NONBLOCK: a pipe would be waited for before it is found to be none of ours. */
    AUTO_CLOSE int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t len;

    if (fd < 0 || fstat(fd, ret_stat) < 0)
        return err_set(et, ERR_CONFIG, "%s: could not open key file \"%s\": %m", option, file);
    if (!S_ISREG(ret_stat->st_mode))
        return err_set(et, ERR_CONFIG, "%s: \"%s\" is no file, expected a key file", option, file);
    len = read(fd, data, FILE_MAX + 1);
    if (len < 0)
        return err_set(et, ERR_CONFIG, "%s: could not read key file \"%s\": %m", option, file);
    if (len > FILE_MAX)
        return err_set(et, ERR_CONFIG, "%s: \"%s\" is larger than %d bytes, expected a key file",
                       option, file, FILE_MAX);
    return (int)len;
}

static int load(const char *option, const char *file, struct curve_key *ret_key,
                struct stat *ret_stat, struct err_text *et)
{
    uint8_t data[FILE_MAX + 1];
    struct err_text why = {""};
    int r = read_file(option, file, data, ret_stat, et);

    if (r < 0)
        return r;
    r = curve_key_parse(file, bytes_of(data, (uint32_t)r), ret_key, &why);
    OPENSSL_cleanse(data, sizeof(data));
    return r < 0 ? err_set(et, r, "%s: %s", option, why.text) : 0;
}

int curve_key_load_secret(const char *option, const char *file, struct curve_key *ret_key,
                          struct err_text *et)
{
    struct curve_key key;
    struct stat st;
    int r = load(option, file, &key, &st, et);

    if (r < 0)
        return r;
    if (key.secret_key[0] == '\0')
        r = err_set(et, ERR_CONFIG, "%s: key file \"%s\" has no secret key", option, file);
    else if ((st.st_mode & S_IRWXO) != 0)
        r = err_set(et, ERR_CONFIG,
                    "%s: key file \"%s\" has mode %04o, so everybody on this machine gets at it, "
                    "expected 0600 or 0640",
                    option, file, (unsigned)st.st_mode & 07777);
    else
        *ret_key = key;
    curve_key_wipe(&key);
    return r;
}

int curve_key_load_public(const char *option, const char *file, char ret_public_key[CURVE_KEY_SIZE],
                          struct err_text *et)
{
    struct curve_key key;
    struct stat st;
    int r = load(option, file, &key, &st, et);

    if (r < 0)
        return r;
    if (key.secret_key[0] != '\0')
        r = err_set(et, ERR_CONFIG,
                    "%s: key file \"%s\" has a secret key, which belongs to its owner alone, "
                    "expected the file with the public one",
                    option, file);
    else
        memcpy(ret_public_key, key.public_key, CURVE_KEY_SIZE);
    curve_key_wipe(&key);
    return r;
}

/* --- where keys are needed --- */

static bool host_is_local(const char *host)
{
    struct in_addr in;
    struct in6_addr in6;

    if (inet_pton(AF_INET, host, &in) == 1)
        return ntohl(in.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, host, &in6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&in6);
    return strcasecmp(host, "localhost") == 0;
}

bool curve_endpoint_is_local(const char *endpoint)
{
    const char *host, *colon;
    char copy[256];
    size_t len;

    if (strncmp(endpoint, "ipc://", 6) == 0 || strncmp(endpoint, "inproc://", 9) == 0)
        return true;
    if (strncmp(endpoint, "tcp://", 6) != 0)
        return false;
    host = strrchr(endpoint, ';'); /* tcp://SOURCE;HOST:PORT */
    host = host != NULL ? host + 1 : endpoint + 6;
    colon = strrchr(host, ':');
    len = colon != NULL ? (size_t)(colon - host) : strlen(host);
    if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
        host++;
        len -= 2;
    }
    if (len >= sizeof(copy))
        return false;
    memcpy(copy, host, len);
    copy[len] = '\0';
    return host_is_local(copy);
}

int curve_check_link(const char *group, const char *endpoint, bool with_keys, bool plain,
                     struct err_text *et)
{
    if (with_keys && plain)
        return err_set(et, ERR_CONFIG,
                       "\"%s.plain\" is true and \"%s.curve\" has keys, expected one of them",
                       group, group);
    if (with_keys || plain || curve_endpoint_is_local(endpoint))
        return 0;
    return err_set(et, ERR_CONFIG,
                   "\"%s.endpoint\" is \"%s\", which is not on this machine alone, and "
                   "\"%s.curve\" has no keys: make some with \"beckonctl keygen --dir DIR\", or "
                   "set %s.plain = true where the network itself encrypts and authenticates",
                   group, endpoint, group, group);
}
