#include "connector/door.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "common/auto.h"
#include "common/log.h"

#include "connector/connector.h"
#include "connector/tls_certificates.h"
#include "connector/tls_context.h"
#include "connector/transport_proxy.h"
#include "connector/transport_tls.h"
#include "connector/transport_ws.h"

const struct door doors[DOOR_COUNT] = {
    [DOOR_TCP] = {.name = "listen.tcp", .options = offsetof(struct options, listen_tcp)},
    [DOOR_TLS] = {.name = "listen.tls",
                  .options = offsetof(struct options, listen_tls),
                  .tls = "mqtt"},
    [DOOR_WS] = {.name = "listen.ws",
                 .options = offsetof(struct options, listen_ws),
                 .websocket = true},
    [DOOR_WSS] = {.name = "listen.wss",
                  .options = offsetof(struct options, listen_wss),
                  .tls = "http/1.1",
                  .websocket = true},
};

int door_open(const struct door *door, struct connector *connector, int fd,
              struct peer_address *peer, struct transport *ret_transport)
{
    int r = 0;

    transport_tcp_init(ret_transport, fd);
    if (door_options(door, &connector->options)->proxy_protocol)
        r = transport_proxy_stack(ret_transport, peer);
    if (r == 0 && door->tls != NULL)
        r = transport_tls_stack(ret_transport, connector->tls, door->tls, &connector->metrics,
                                &connector->tls_steps);
    if (r == 0 && door->websocket)
        r = transport_ws_stack(ret_transport, &connector->ws_policy, &connector->metrics);
    if (r < 0)
        ret_transport->ops->close(ret_transport);
    return r;
}

int doors_read_tls(const struct options *in_force, const struct tls_options *tls,
                   const config_t *config, struct tls_context **ret_tls, struct err_text *et)
{
    const struct door *needy = NULL;

    for (size_t i = 0; i < ARRAY_LEN(doors) && needy == NULL; i++) {
        if (doors[i].tls != NULL && door_options(&doors[i], in_force)->enabled)
            needy = &doors[i];
    }
    if (tls_certificates_count(config) == 0) {
        *ret_tls = NULL;
        return needy == NULL ? 0
                             : err_set(et, ERR_CONFIG,
                                       "%s is enabled without a certificate, expected "
                                       "\"tls.certificates\"",
                                       needy->name);
    }
    if (needy == NULL)
        log_warning(NULL, "tls.certificates are of no use: no listener with TLS is enabled");
    return tls_context_create(tls, config, ret_tls, et);
}

int door_address(const struct door *door, const struct options *options,
                 struct sockaddr_storage *ret_address, socklen_t *ret_size, struct err_text *et)
{
    const struct listen_options *at = door_options(door, options);
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)at->port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)at->port)};

    if (inet_pton(AF_INET, at->address, &v4.sin_addr) == 1) {
        memcpy(ret_address, &v4, sizeof(v4));
        *ret_size = sizeof(v4);
        return 0;
    }
    if (inet_pton(AF_INET6, at->address, &v6.sin6_addr) == 1) {
        memcpy(ret_address, &v6, sizeof(v6));
        *ret_size = sizeof(v6);
        return 0;
    }
    return err_set(et, ERR_CONFIG, "\"%s.address\" is \"%s\", expected an IP address", door->name,
                   at->address);
}

int doors_check(const struct options *options, struct err_text *et)
{
    struct sockaddr_storage address;
    bool any = false;
    socklen_t size;
    int r = 0;

    for (size_t i = 0; i < ARRAY_LEN(doors) && r == 0; i++) {
        if (!door_options(&doors[i], options)->enabled)
            continue;
        any = true;
        r = door_address(&doors[i], options, &address, &size, et);
    }
    if (!any)
        return err_set(et, ERR_CONFIG,
                       "no listener is enabled, expected at least one, as "
                       "\"listen.tcp.enabled\"");
    return r;
}
