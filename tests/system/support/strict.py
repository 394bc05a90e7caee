"""What MQTT lets a server send. Every packet that a raw peer reads passes here, so that each test
of the suite also watches flags, reason codes, properties and the order of packets.

Raises ValueError and names the statement that was broken (its number in MQTT 5.0, and that of 3.1.1
where there is one)."""
from . import packets as p

# MQTT 5.0 tables 3-1, 3-4, 3-8, 3-9 and 3-10; of the last one what a server may send.
REASONS = {
    p.CONNACK: {0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90,
                0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F},
    p.PUBACK: {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99},
    p.SUBACK: {0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2},
    p.UNSUBACK: {0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91},
    p.DISCONNECT: {0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93,
                   0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0,
                   0xA1, 0xA2},
}
REASONS_311 = {p.CONNACK: {0, 1, 2, 3, 4, 5}, p.SUBACK: {0, 1, 2, 0x80}}
CLAUSES = {p.CONNACK: "MQTT-3.2.2-8 (3.1.1: MQTT-3.2.2-6)", p.PUBACK: "MQTT-3.4.2-1",
           p.SUBACK: "MQTT-3.9.3-2", p.UNSUBACK: "MQTT-3.11.3-2", p.DISCONNECT: "MQTT-3.14.2-1"}

# MQTT 5.0 table 2-4, without what needs an Authentication Method, a Topic Alias Maximum or a
# request for Response Information: this suite never gives a server reason to send those.
PROPERTIES = {
    p.CONNACK: {p.SESSION_EXPIRY, p.ASSIGNED_CLIENT_ID, p.SERVER_KEEP_ALIVE, 28, p.REASON_STRING,
                p.RECEIVE_MAXIMUM, p.TOPIC_ALIAS_MAXIMUM, p.MAXIMUM_QOS, p.RETAIN_AVAILABLE,
                p.USER_PROPERTY, p.MAXIMUM_PACKET_SIZE, p.WILDCARD_AVAILABLE,
                p.SUBSCRIPTION_ID_AVAILABLE, p.SHARED_AVAILABLE},
    p.PUBLISH: {p.PAYLOAD_FORMAT, p.MESSAGE_EXPIRY, p.CONTENT_TYPE, p.RESPONSE_TOPIC,
                p.CORRELATION_DATA, p.SUBSCRIPTION_ID, p.USER_PROPERTY},
    p.PUBACK: {p.REASON_STRING, p.USER_PROPERTY},
    p.SUBACK: {p.REASON_STRING, p.USER_PROPERTY},
    p.UNSUBACK: {p.REASON_STRING, p.USER_PROPERTY},
    p.DISCONNECT: {28, p.REASON_STRING, p.USER_PROPERTY},   # no Session Expiry: MQTT-3.14.2-2
}
BOOLEANS = {p.PAYLOAD_FORMAT, p.MAXIMUM_QOS, p.RETAIN_AVAILABLE, p.WILDCARD_AVAILABLE,
            p.SUBSCRIPTION_ID_AVAILABLE, p.SHARED_AVAILABLE}
NOT_ZERO = {p.SUBSCRIPTION_ID, p.RECEIVE_MAXIMUM, p.MAXIMUM_PACKET_SIZE}
REPEATABLE = {p.USER_PROPERTY, p.SUBSCRIPTION_ID}


def demand(condition, clause, what):
    if not condition:
        raise ValueError(f"from the server: {what} ({clause})")


def check(packet, version):
    """One packet by itself."""
    if packet.kind == p.PUBLISH:
        _check_publish(packet)
    else:
        demand(packet.flags == 0, "MQTT-2.1.3-1, 3.1.1: MQTT-2.2.2-1",
               f"flags {packet.flags} on a packet of type {packet.kind}")
    if packet.kind in (p.PUBACK, p.SUBACK, p.UNSUBACK):
        demand(packet.pid, "MQTT-2.2.1-5, -6, 3.1.1: MQTT-2.3.1-6, -7", "packet identifier 0")
    if packet.kind == p.CONNACK and packet.session_present:
        demand(packet.reason == 0, "MQTT-3.2.2-6, 3.1.1: MQTT-3.2.2-4", "a refusal with a session")
    reasons = (REASONS if version == p.V5 else REASONS_311).get(packet.kind)
    for code in packet.codes or [packet.reason]:
        demand(reasons is None or code in reasons, CLAUSES.get(packet.kind),
               f"reason {code:#04x} in a packet of type {packet.kind}")
    _check_properties(packet)


def _check_publish(packet):
    demand(packet.qos != 3, "MQTT-3.3.1-4", "QoS 3")
    demand(packet.qos or not packet.dup, "MQTT-3.3.1-2", "DUP with QoS 0")
    demand(not packet.qos or packet.pid, "MQTT-2.2.1-4, 3.1.1: MQTT-2.3.1-1", "packet identifier 0")
    demand(packet.topic and not set("+#\0") & set(packet.topic), "MQTT-3.3.2-2, MQTT-4.7.3-1",
           f"topic {packet.topic!r}")


def _check_properties(packet):
    seen = set()
    for ident, value in packet.props:
        demand(ident in PROPERTIES.get(packet.kind, ()), "section 2.2.2.2",
               f"property {ident} in a packet of type {packet.kind}")
        demand(ident not in seen or ident in REPEATABLE, "section 2.2.2.2",
               f"property {ident} twice")
        demand(ident not in BOOLEANS or value in (0, 1), "section 2.2.2.2",
               f"property {ident} with value {value}")
        demand(ident not in NOT_ZERO or value, "section 2.2.2.2", f"property {ident} with value 0")
        for text in value if isinstance(value, tuple) else (value,):
            demand(not isinstance(text, str) or "\0" not in text, "MQTT-1.5.4-2",
                   f"U+0000 in property {ident}")
        seen.add(ident)


class Order:
    """What one connection was sent so far: which packets may follow, and how large they may be."""

    def __init__(self):
        self.first, self.last, self.limit = None, None, None

    def check(self, packet):
        if self.first is None:
            demand(packet.kind == p.CONNACK, "MQTT-3.2.0-1",
                   f"a packet of type {packet.kind} before CONNACK")
            self.first = packet
        else:
            demand(packet.kind != p.CONNACK, "MQTT-3.2.0-2", "a second CONNACK")
            demand(self.first.reason == 0, "MQTT-3.14.0-1, MQTT-3.2.2-7",
                   f"a packet of type {packet.kind} after a refusal")
            demand(self.last.kind != p.DISCONNECT, "MQTT-3.14.4-1",
                   f"a packet of type {packet.kind} after DISCONNECT")
        demand(self.limit is None or packet.size <= self.limit, "MQTT-3.1.2-24",
               f"{packet.size} bytes for a client that takes {self.limit}")
        self.last = packet
