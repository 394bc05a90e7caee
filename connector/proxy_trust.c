#include "connector/proxy_trust.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/option_group.h"

#include "connector/peer_address.h"

#define TRUSTED "proxy.trusted"

/* "/128" */
#define BITS_CHARS 4

static bool parse_bits(const char *text, unsigned most, uint8_t *ret_bits)
{
    unsigned bits = 0;

    if (text[0] == '\0' || strlen(text) >= BITS_CHARS || strspn(text, "0123456789") != strlen(text))
        return false;
    for (; *text != '\0'; text++)
        bits = bits * 10 + (unsigned)(*text - '0');
    if (bits > most)
        return false;
    *ret_bits = (uint8_t)bits;
    return true;
}

/* Whether the first bits of both are the same. */
static bool same_network(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned bytes = bits / 8, rest = bits % 8;

    return memcmp(a, b, bytes) == 0 && (rest == 0 || (a[bytes] ^ b[bytes]) >> (8 - rest) == 0);
}

/* NULL, or what is wrong with it. */
static const char *parse_network(const char *text, struct proxy_network *ret_network)
{
    static const uint8_t mapped[12] = {[10] = 0xFF, 0xFF};
    char address[INET6_ADDRSTRLEN];
    struct proxy_network network = {.family = AF_INET, .bits = 32};
    size_t len = strcspn(text, "/");

    if (len >= sizeof(address))
        return "is no IP address";
    memcpy(address, text, len);
    address[len] = '\0';
    if (inet_pton(AF_INET, address, network.octets) != 1) {
        if (inet_pton(AF_INET6, address, network.octets) != 1)
            return "is no IP address";
        network.family = AF_INET6;
        network.bits = 128;
        /* a listener on "::" sees such a peer as IPv4 */
        if (memcmp(network.octets, mapped, sizeof(mapped)) == 0)
            return "is an IPv4 address in IPv6's form";
    }
    if (text[len] == '/' && !parse_bits(text + len + 1, network.bits, &network.bits))
        return "has no good number of bits";
    for (unsigned bit = network.bits; bit < (network.family == AF_INET ? 32u : 128u); bit++) {
        if ((network.octets[bit / 8] >> (7 - bit % 8) & 1) != 0)
            return "has bits of an address behind those of its network";
    }
    *ret_network = network;
    return NULL;
}

static int refuse(const config_setting_t *setting, const char *what, struct err_text *et)
{
    return err_set(et, ERR_CONFIG,
                   "%s:%d: \"" TRUSTED "\": %s, expected a list of IP addresses and networks, as "
                   "( \"192.0.2.10\", \"2001:db8::/32\" )",
                   option_source(setting), config_setting_source_line(setting), what);
}

int proxy_trusted_check(const config_setting_t *setting, struct err_text *et)
{
    int type = config_setting_type(setting);

    if (type != CONFIG_TYPE_LIST && type != CONFIG_TYPE_ARRAY)
        return refuse(setting, "not a list", et);
    for (int i = 0; i < config_setting_length(setting); i++) {
        const char *text = config_setting_get_string_elem(setting, i), *why;
        struct proxy_network network;
        char what[128];

        if (text == NULL)
            return refuse(setting, "an element is not a string", et);
        why = parse_network(text, &network);
        if (why != NULL) {
            snprintf(what, sizeof(what), "\"%.64s\" %s", text, why);
            return refuse(setting, what, et);
        }
    }
    return 0;
}

int proxy_trust_read(const config_t *config, struct proxy_trust *ret_trust, struct err_text *et)
{
    const config_setting_t *list = config_lookup(config, TRUSTED);
    uint32_t count = list != NULL ? (uint32_t)config_setting_length(list) : 0;
    struct proxy_trust trust = {0};
    int r = 0;

    if (count > 0) {
        r = proxy_trusted_check(list, et);
        trust.networks = calloc(count, sizeof(*trust.networks));
        if (r == 0 && trust.networks == NULL)
            r = err_set(et, ERR_NO_MEMORY, "out of memory");
    }
    for (; r == 0 && trust.count < count; trust.count++)
        /* checked above */
        IGNORE_RESULT(parse_network(config_setting_get_string_elem(list, (int)trust.count),
                                    &trust.networks[trust.count]));
    if (r == 0)
        *ret_trust = trust;
    else
        proxy_trust_fini(&trust);
    return r;
}

void proxy_trust_fini(struct proxy_trust *trust)
{
    free(trust->networks);
    *trust = (struct proxy_trust){0};
}

bool proxy_trusts(const struct proxy_trust *trust, const struct peer_address *peer)
{
    for (uint32_t i = 0; i < trust->count; i++) {
        const struct proxy_network *network = &trust->networks[i];

        if (network->family == peer->family &&
            same_network(network->octets, peer->octets, network->bits))
            return true;
    }
    return trust->count == 0;
}
