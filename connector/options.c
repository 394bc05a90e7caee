/* options - the connector's option table. Each default says why it is what it is. */
#include "connector/options.h"

#include "common/auth_keys.h"
#include "common/auto.h"
#include "common/log.h"

#include "connector/auth.h"
#include "connector/curve_link.h"
#include "connector/door.h"
#include "connector/endpoints.h"
#include "connector/proxy_trust.h"
#include "connector/tls_certificates.h"
#include "connector/tls_context.h"
#include "connector/ws_policy.h"

#define AT(field) offsetof(struct options, field)

const struct option connector_options[] = {
    {"index", OPTION_UINT, AT(index), "0", 0, 65535, false,
     "number of this connector in its installation, for logs and the broker", NULL},
    {"log.level", OPTION_STRING, AT(log_level), "info", 0, 16, true,
     "error, warning, info or debug", NULL},
    {"listen.tcp.enabled", OPTION_BOOL, AT(listen_tcp.enabled), "true", 0, 0, false,
     "MQTT over plain TCP", NULL},
    {"listen.tcp.address", OPTION_STRING, AT(listen_tcp.address), "0.0.0.0", 0, 63, false,
     "IP address that MQTT clients reach; \"::\" serves IPv6 and IPv4", NULL},
    {"listen.tcp.port", OPTION_UINT, AT(listen_tcp.port), "1883", 1, 65535, false,
     "TCP port of MQTT; several connectors of one machine may share it", NULL},
    {"listen.tcp.proxy_protocol", OPTION_BOOL, AT(listen_tcp.proxy_protocol), "false", 0, 0, false,
     "each connection begins with a PROXY header, version 2, which says where the client is", NULL},
    {"listen.tls.enabled", OPTION_BOOL, AT(listen_tls.enabled), "false", 0, 0, false,
     "MQTT over TLS; needs tls.certificates", NULL},
    {"listen.tls.address", OPTION_STRING, AT(listen_tls.address), "0.0.0.0", 0, 63, false,
     "as listen.tcp.address", NULL},
    {"listen.tls.port", OPTION_UINT, AT(listen_tls.port), "8883", 1, 65535, false,
     "TCP port of MQTT over TLS; several connectors of one machine may share it", NULL},
    {"listen.tls.proxy_protocol", OPTION_BOOL, AT(listen_tls.proxy_protocol), "false", 0, 0, false,
     "as listen.tcp.proxy_protocol, in front of TLS", NULL},
    {"listen.ws.enabled", OPTION_BOOL, AT(listen_ws.enabled), "true", 0, 0, false,
     "MQTT over WebSocket, without TLS", NULL},
    {"listen.ws.address", OPTION_STRING, AT(listen_ws.address), "0.0.0.0", 0, 63, false,
     "as listen.tcp.address", NULL},
    {"listen.ws.port", OPTION_UINT, AT(listen_ws.port), "8083", 1, 65535, false,
     "TCP port of MQTT over WebSocket; several connectors of one machine may share it", NULL},
    {"listen.ws.proxy_protocol", OPTION_BOOL, AT(listen_ws.proxy_protocol), "false", 0, 0, false,
     "as listen.tcp.proxy_protocol", NULL},
    {"listen.wss.enabled", OPTION_BOOL, AT(listen_wss.enabled), "false", 0, 0, false,
     "MQTT over WebSocket and TLS; needs tls.certificates", NULL},
    {"listen.wss.address", OPTION_STRING, AT(listen_wss.address), "0.0.0.0", 0, 63, false,
     "as listen.tcp.address", NULL},
    {"listen.wss.port", OPTION_UINT, AT(listen_wss.port), "8084", 1, 65535, false,
     "TCP port of MQTT over WebSocket and TLS; several connectors of one machine may share it",
     NULL},
    {"listen.wss.proxy_protocol", OPTION_BOOL, AT(listen_wss.proxy_protocol), "false", 0, 0, false,
     "as listen.tcp.proxy_protocol, in front of TLS", NULL},
    /* none, so everybody: which machines the load balancers are says nobody but the installation */
    {"proxy.trusted", OPTION_LIST, 0, NULL, 0, 0, true,
     "who may connect to listeners with proxy_protocol, addresses and networks: ( \"192.0.2.10\", "
     "\"2001:db8::/32\" ); none: everybody",
     proxy_trusted_check},
    /* a reconnect storm after an outage is taken up by the kernel; it cuts at net.core.somaxconn */
    {"listen.backlog", OPTION_UINT, AT(listen_backlog), "4096", 1, 65535, false,
     "connections the kernel may hold ready to be accepted", NULL},
    /* about what a processor can do when each of them costs a signature check and nothing else is
     * to be done; with TLS it is much less: see docs/operations.md */
    {"listen.accepts_per_s", OPTION_UINT, AT(accepts.per_s), "20000", 0, 1000000, true,
     "connections taken on a second; more wait in the kernel; 0: any number", NULL},
    {"listen.accepts_burst", OPTION_UINT, AT(accepts.burst), "20000", 1, 10000000, true,
     "connections taken on above that rate after a quiet time", NULL},
    /* about 100 MB when all are idle, socket memory of the kernel not counted */
    {"listen.max_connections", OPTION_UINT, AT(max_connections), "200000", 1, 10000000, true,
     "clients connected at once; more are closed when they come", NULL},
    {"tls.certificates", OPTION_LIST, 0, NULL, 0, 0, true,
     "certificates with their keys, PEM: ( { certificate = \"chain.pem\"; key = \"key.pem\"; } ); "
     "a "
     "client gets the one with the name it asks for, or the first",
     tls_certificates_check},
    {"tls.client_ca", OPTION_STRING, AT(tls.client_ca), "", 0, 4095, true,
     "PEM file of the authorities that sign clients' certificates; empty: clients need none", NULL},
    /* who names authorities wants them looked at */
    {"tls.client_required", OPTION_BOOL, AT(tls.client_required), "true", 0, 0, true,
     "with tls.client_ca: clients without a certificate are refused; false: only those with a bad "
     "one",
     NULL},
    /* 1.1 and older are deprecated (RFC 8996); 1.2 is what devices of 2014 speak */
    {"tls.min_version", OPTION_STRING, AT(tls.min_version), "1.2", 0, 3, true, "1.2 or 1.3", NULL},
    /* forward secrecy and authenticated encryption only, which every client of TLS 1.2 has */
    {"tls.ciphers", OPTION_STRING, AT(tls.ciphers), "ECDHE+AESGCM:ECDHE+CHACHA20", 0, 1023, true,
     "ciphers of TLS 1.2, in OpenSSL's names", NULL},
    {"tls.ciphersuites", OPTION_STRING, AT(tls.ciphersuites), "", 0, 1023, true,
     "ciphers of TLS 1.3, in OpenSSL's names; empty: OpenSSL's own choice", NULL},
    {"tls.ticket_keys", OPTION_STRING, AT(tls.ticket_keys), "", 0, 4095, true,
     "file of 1 to 8 keys of 80 random bytes, the first in force, for connectors that take up each "
     "other's sessions; empty: keys of its own, which a reload or restart changes",
     NULL},
    /* what MQTT clients put into their URL when nobody says otherwise */
    {"websocket.path", OPTION_STRING, AT(websocket_path), "/mqtt", 0, 255, false,
     "path of the URL that WebSocket clients connect to", NULL},
    /* none, so all: a browser adds nothing to a request that would open a session, the token is in
     * CONNECT; a list keeps other sites from using their visitors' browsers at all */
    {"websocket.origins", OPTION_LIST, 0, NULL, 0, 0, true,
     "origins whose pages may connect: ( \"https://chat.example.org\" ); none: all",
     ws_origins_check},
    /* one that answers names all others */
    {"broker.endpoints", OPTION_LIST, 0, NULL, 0, 0, false,
     "ZeroMQ endpoints of some brokers, of which one has to answer: ( \"tcp://10.0.0.1:7400\" ); "
     "none: tcp://127.0.0.1:7400",
     endpoints_check},
    /* a broker that is asked by name over a network must prove that it is the one */
    {"broker.plain", OPTION_BOOL, AT(plain), "false", 0, 0, true,
     "without keys to other machines too: only where the network encrypts and authenticates, as "
     "WireGuard does",
     NULL},
    /* no file has a name that fits everywhere: without keys only a broker on this machine is used
     */
    {"broker.curve.server_key", OPTION_STRING, AT(server_key), "", 0, 4096, true,
     "file with the brokers' public key, from beckonctl keygen; empty: no encryption", NULL},
    {"broker.curve.secret_key", OPTION_STRING, AT(secret_key), "", 0, 4096, true,
     "file with this connector's own key pair, from beckonctl keygen", NULL},
    {"auth.keys", OPTION_LIST, 0, NULL, 0, 0, true,
     "keys that tokens are checked with, at least one here or in auth.key_dir: "
     "( { kid = \"dev\"; algorithm = \"HS256\"; file = \"dev.hs256\"; } )",
     auth_keys_check},
    /* beside auth.keys; empty, because which folder it is says nobody but the installation */
    {"auth.key_dir", OPTION_STRING, AT(auth_key_dir), "", 0, 4096, true,
     "folder of further keys, a file each: KID.hs256 (a secret), KID.rs256.pem, KID.es256.pem "
     "(public keys); empty: none",
     NULL},
    {"auth.issuer", OPTION_STRING, AT(auth_issuer), "", 0, 255, false,
     "what a token's iss must be; empty: not checked", NULL},
    {"auth.audience", OPTION_STRING, AT(auth_audience), "", 0, 255, false,
     "what a token's aud must hold; empty: not checked", NULL},
    /* clocks kept by NTP differ by much less */
    {"auth.leeway_s", OPTION_UINT, AT(auth_leeway_s), "0", 0, 3600, false,
     "clock difference allowed at a token's exp, nbf and iat, seconds", NULL},
    /* time for an app to fetch a new token and publish it to me/token */
    {"auth.expiry_grace_s", OPTION_UINT, AT(auth_expiry_grace_s), "60", 0, 86400, true,
     "time a connection lives on after its token expired, seconds", NULL},
    {"session.open_ms", OPTION_UINT, AT(open_ms), "2000", 100, 60000, true,
     "time the broker has to open a session before CONNECT is refused, milliseconds", NULL},
    /* an inbox holds messages, not files */
    {"mqtt.max_packet_size", OPTION_UINT, AT(max_packet_bytes), "262144", 1024, 268435455, false,
     "largest packet accepted from a client, bytes", NULL},
    /* covers 100 ms of round trip at 1,000 messages a second and client */
    {"mqtt.receive_max", OPTION_UINT, AT(receive_max), "128", 1, 65535, true,
     "publishes a client may have unanswered", NULL},
    /* networks forget idle mappings after 5 to 30 minutes */
    {"mqtt.max_keep_alive_s", OPTION_UINT, AT(max_keep_alive_s), "1200", 1, 65535, true,
     "longest keep alive granted to MQTT 5 clients, and what they get that ask for none, seconds",
     NULL},
    /* an app marks a message with a handful; each receiver has to take what is let through here */
    {"mqtt.max_user_properties", OPTION_UINT, AT(max_user_properties), "256", 0, 65535, true,
     "user properties of one message; with more it is refused (0x97)", NULL},
    /* a content type, a response topic and short properties; what is long belongs into the payload
     */
    {"mqtt.max_properties_bytes", OPTION_UINT, AT(max_properties_bytes), "32768", 64, 268435455,
     true, "properties of one message, bytes; with more it is refused (0x97)", NULL},
    /* each connection keeps its own for as long as it lives: 200,000 of them are 1.6 GB */
    {"mqtt.max_will_bytes", OPTION_UINT, AT(max_will_bytes), "8192", 0, 268435455, true,
     "payload and properties of a Will, bytes; with a larger one CONNECT is refused (5 / 0x95)",
     NULL},
    {"mqtt.connect_timeout_ms", OPTION_UINT, AT(connect_timeout_ms), "10000", 100, 600000, true,
     "time a new connection has to send CONNECT, milliseconds", NULL},
    {"client.queue_bytes", OPTION_UINT, AT(queue_bytes), "1048576", 16384, 1073741824, true,
     "bytes that may wait for a client that does not read; above, it is disconnected", NULL},
    /* some 20 s of a full load of 256-byte messages at 10,000 a second while no broker is there */
    {"bus.pending_bytes", OPTION_UINT, AT(pending_bytes), "67108864", 1048576, 4294967295, false,
     "memory for requests that one broker has not answered; when full, clients are not read", NULL},
    /* a carrier puts thousands of phones behind one address, and all of them are back at once after
     * an outage; one that opens connections for their own sake comes faster */
    {"limit.address_connects_per_s", OPTION_UINT, AT(address_connects.per_s), "1000", 0, 1000000,
     true,
     "connections a second from one IPv4 address or IPv6 /64 network; more are closed when they "
     "come; 0: any number",
     NULL},
    {"limit.address_connects_burst", OPTION_UINT, AT(address_connects.burst), "50000", 1, 10000000,
     true, "connections of one address above that rate after a quiet time", NULL},
    /* a phone on a bad network connects once in seconds; two programs that share a device id by
     * mistake, and throw each other out, hundreds of times a second */
    {"limit.device_connects_per_s", OPTION_UINT, AT(device_connects.per_s), "20", 0, 1000000, true,
     "connections a second of one device; more are refused (3 / 0x9F); 0: any number", NULL},
    {"limit.device_connects_burst", OPTION_UINT, AT(device_connects.burst), "1000", 1, 10000000,
     true, "connections of one device above that rate after a quiet time", NULL},
    /* a person writes one message a second at most: this leaves room for a backend that sends for a
     * whole application from one connection */
    {"limit.publishes_per_s", OPTION_UINT, AT(device_publishes.per_s), "20000", 0, 1000000, true,
     "publishes a second of one device; more are refused (MQTT 5: 0x97), read later (3.1.1), or "
     "dropped (QoS 0); 0: any number",
     NULL},
    {"limit.publishes_burst", OPTION_UINT, AT(device_publishes.burst), "100000", 1, 10000000, true,
     "publishes of one device above that rate after a quiet time", NULL},
    /* long enough for a client that was away to get rid of what it has, and to be told */
    {"limit.abuse_s", OPTION_UINT, AT(abuse_s), "60", 0, 86400, true,
     "time a client may go on publishing too fast before it is disconnected, seconds; 0: for ever",
     NULL},
    {"drain.ms", OPTION_UINT, AT(drain_ms), "1000", 0, 600000, true,
     "time over which clients are disconnected when the process is told to stop, milliseconds",
     NULL},
    /* a broker commits in milliseconds, and is back within this when it is restarted; the whole
     * stop stays below the ten seconds that container runtimes give */
    {"drain.wait_ms", OPTION_UINT, AT(drain_wait_ms), "2000", 0, 600000, true,
     "time a client has for its last answers before it is disconnected, and then the broker to "
     "commit what clients acknowledged, milliseconds",
     NULL},
};

const size_t connector_option_count = ARRAY_LEN(connector_options);

int options_check(struct option_set *set, struct err_text *et)
{
    const struct options *options = set->values;
    struct tls_context *tls;
    enum log_level level;
    struct endpoints endpoints;
    struct link_keys link;
    struct ws_policy policy;
    struct auth *auth;
    int r;

    if (log_level_parse(options->log_level, &level) < 0)
        return err_set(et, ERR_CONFIG,
                       "\"log.level\" is \"%s\", expected error, warning, info or debug",
                       options->log_level);
    r = doors_check(options, et);
    if (r == 0)
        r = auth_create(options, options->auth_key_dir, &set->config, &auth, et);
    if (r < 0)
        return r;
    auth_destroy(auth);
    r = doors_read_tls(options, &options->tls, &set->config, &tls, et);
    if (r < 0)
        return r;
    tls_context_unref(tls);
    r = ws_policy_read(options->websocket_path, &set->config, &policy, et);
    if (r < 0)
        return r;
    ws_policy_fini(&policy);
    r = endpoints_read(&set->config, &endpoints, et);
    if (r < 0)
        return r;
    r = curve_link_load(options, &endpoints, &set->config, &link, et);
    endpoints_fini(&endpoints);
    if (r == 0)
        link_keys_wipe(&link);
    return r;
}
