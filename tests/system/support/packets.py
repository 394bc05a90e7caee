"""MQTT 3.1.1 and 5 packets as bytes, both ways, without a library's opinion on what is legal.

Encoders take what they are given, so a test can also build what no client would send. Decoders
know what a server sends and raise ValueError on anything else: a server that answers with a
malformed packet fails the test that reads it.
"""
import struct
from dataclasses import dataclass, field

(CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE,
 UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH) = range(1, 16)

V311, V5 = 4, 5

# MQTT 5.0 section 2.4: what a client that is told to go elsewhere is told.
SERVER_SHUTTING_DOWN = 0x8B

# MQTT 5.0 section 2.2.2.2
PAYLOAD_FORMAT, MESSAGE_EXPIRY, CONTENT_TYPE, RESPONSE_TOPIC, CORRELATION_DATA = 1, 2, 3, 8, 9
SUBSCRIPTION_ID, SESSION_EXPIRY, ASSIGNED_CLIENT_ID, SERVER_KEEP_ALIVE = 11, 17, 18, 19
AUTH_METHOD, AUTH_DATA, WILL_DELAY, REASON_STRING, RECEIVE_MAXIMUM = 21, 22, 24, 31, 33
TOPIC_ALIAS_MAXIMUM, TOPIC_ALIAS, MAXIMUM_QOS, RETAIN_AVAILABLE, USER_PROPERTY = 34, 35, 36, 37, 38
MAXIMUM_PACKET_SIZE, WILDCARD_AVAILABLE, SUBSCRIPTION_ID_AVAILABLE = 39, 40, 41
SHARED_AVAILABLE = 42

_KINDS = {
    1: "byte", 2: "u32", 3: "text", 8: "text", 9: "data", 11: "varint", 17: "u32", 18: "text",
    19: "u16", 21: "text", 22: "data", 23: "byte", 24: "u32", 25: "byte", 26: "text", 28: "text",
    31: "text", 33: "u16", 34: "u16", 35: "u16", 36: "byte", 37: "byte", 38: "pair", 39: "u32",
    40: "byte", 41: "byte", 42: "byte",
}


def varint(number):
    out = bytearray()
    while True:
        number, low = divmod(number, 128)
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)


def data(value):
    """A length and bytes; text is encoded as UTF-8, bytes go as they are (also bad UTF-8)."""
    raw = value.encode() if isinstance(value, str) else bytes(value)
    return struct.pack("!H", len(raw)) + raw


def encode_property(ident, value):
    kind = _KINDS[ident]
    if kind == "byte":
        body = bytes([value])
    elif kind == "u16":
        body = struct.pack("!H", value)
    elif kind == "u32":
        body = struct.pack("!I", value)
    elif kind == "varint":
        body = varint(value)
    elif kind == "pair":
        body = data(value[0]) + data(value[1])
    else:
        body = data(value)
    return varint(ident) + body


def properties(pairs=()):
    body = b"".join(encode_property(ident, value) for ident, value in pairs)
    return varint(len(body)) + body


def packet(kind, flags, body=b""):
    return bytes([kind << 4 | flags]) + varint(len(body)) + body


@dataclass
class Will:
    topic: str
    payload: bytes = b"gone"
    qos: int = 1
    retain: bool = False
    props: tuple = ()


def connect(version, client_id, username=None, password=None, clean=True, keepalive=60, props=(),
            will=None, level=None, name="MQTT", flags=None):
    """`level`, `name` and `flags` replace what the version and the arguments imply."""
    bits = (0x02 if clean else 0) | (0x80 if username is not None else 0)
    bits |= 0x40 if password is not None else 0
    if will:
        bits |= 0x04 | will.qos << 3 | (0x20 if will.retain else 0)
    body = data(name) + bytes([version if level is None else level])
    body += bytes([bits if flags is None else flags]) + struct.pack("!H", keepalive)
    if version == V5:
        body += properties(props)
    body += data(client_id)
    if will:
        body += properties(will.props) if version == V5 else b""
        body += data(will.topic) + data(will.payload)
    if username is not None:
        body += data(username)
    if password is not None:
        body += data(password)
    return packet(CONNECT, 0, body)


def publish(version, topic, payload=b"", qos=1, pid=1, dup=False, retain=False, props=()):
    body = data(topic)
    if qos:
        body += struct.pack("!H", pid)
    if version == V5:
        body += properties(props)
    flags = (8 if dup else 0) | qos << 1 | (1 if retain else 0)
    return packet(PUBLISH, flags, body + payload)


def puback(pid):
    return packet(PUBACK, 0, struct.pack("!H", pid))


def subscribe(version, filters, pid=1, props=()):
    """filters: (filter, options byte) pairs."""
    body = struct.pack("!H", pid) + (properties(props) if version == V5 else b"")
    body += b"".join(data(text) + bytes([options]) for text, options in filters)
    return packet(SUBSCRIBE, 2, body)


def unsubscribe(version, filters, pid=1):
    body = struct.pack("!H", pid) + (properties() if version == V5 else b"")
    return packet(UNSUBSCRIBE, 2, body + b"".join(data(text) for text in filters))


def disconnect(version, reason=0, props=()):
    if version == V311 or (reason == 0 and not props):
        return packet(DISCONNECT, 0)
    return packet(DISCONNECT, 0, bytes([reason]) + properties(props))


@dataclass
class Packet:
    """What the server sent. `at` is the monotonic time of its arrival."""
    kind: int
    flags: int
    size: int
    at: float = 0.0
    pid: int = 0
    reason: int = 0
    session_present: bool = False
    codes: list = field(default_factory=list)
    topic: str = ""
    payload: bytes = b""
    props: list = field(default_factory=list)

    qos = property(lambda self: self.flags >> 1 & 3)
    dup = property(lambda self: bool(self.flags & 8))
    retain = property(lambda self: bool(self.flags & 1))
    mid = property(lambda self: self.topic.rsplit("/", 1)[-1])

    def prop(self, ident, default=None):
        return next((value for key, value in self.props if key == ident), default)

    def user_properties(self):
        return [value for key, value in self.props if key == USER_PROPERTY]


class Reader:
    def __init__(self, raw):
        self.raw, self.pos = raw, 0

    def take(self, count):
        if self.pos + count > len(self.raw):
            raise ValueError("packet from the server ends early")
        part = self.raw[self.pos:self.pos + count]
        self.pos += count
        return part

    def number(self, count):
        return int.from_bytes(self.take(count), "big")

    def text(self):
        return self.take(self.number(2)).decode()

    def varint(self):
        value = shift = 0
        while True:
            byte = self.number(1)
            value |= (byte & 127) << shift
            if not byte & 128:
                if shift and not byte:
                    raise ValueError("padded integer from the server (MQTT-1.5.5-1)")
                return value
            shift += 7
            if shift > 21:
                raise ValueError("integer from the server is over four bytes")

    def rest(self):
        return self.take(len(self.raw) - self.pos)

    def more(self):
        return self.pos < len(self.raw)

    def properties(self):
        end, pairs = self.varint(), []
        end += self.pos
        while self.pos < end:
            ident = self.varint()
            kind = _KINDS[ident]
            if kind in ("byte", "u16", "u32"):
                value = self.number({"byte": 1, "u16": 2, "u32": 4}[kind])
            elif kind == "varint":
                value = self.varint()
            elif kind == "pair":
                value = (self.text(), self.text())
            else:
                value = self.text() if kind == "text" else self.take(self.number(2))
            pairs.append((ident, value))
        if self.pos != end:
            raise ValueError("property length from the server is wrong")
        return pairs


def decode(first, body, size, version):
    """The Packet of a fixed header's first byte and what follows its Remaining Length."""
    out, reader = Packet(first >> 4, first & 15, size), Reader(body)
    if out.kind == CONNACK:
        flags, out.reason = reader.number(1), reader.number(1)
        if flags > 1:
            raise ValueError(f"CONNACK flags {flags} from the server (MQTT-3.2.2-1)")
        out.session_present = bool(flags)
        # A refusal of an unknown protocol level comes in the form the contract names, not in ours.
        out.props = reader.properties() if version == V5 and reader.more() else []
    elif out.kind == PUBLISH:
        out.topic = reader.text()
        out.pid = reader.number(2) if out.qos else 0
        out.props = reader.properties() if version == V5 else []
        out.payload = reader.rest()
    elif out.kind == PUBACK:
        out.pid = reader.number(2)
        out.reason = reader.number(1) if reader.more() else 0
        out.props = reader.properties() if reader.more() else []
    elif out.kind in (SUBACK, UNSUBACK):
        out.pid = reader.number(2)
        out.props = reader.properties() if version == V5 else []
        out.codes = list(reader.rest())
    elif out.kind == DISCONNECT:
        if version == V311:
            raise ValueError("a 3.1.1 server never sends DISCONNECT")
        out.reason = reader.number(1) if reader.more() else 0
        out.props = reader.properties() if reader.more() else []
    elif out.kind != PINGRESP:
        raise ValueError(f"packet type {out.kind} from the server")
    if reader.more():
        raise ValueError(f"bytes left over in a packet of type {out.kind} from the server")
    return out
