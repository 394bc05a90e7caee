"""Bad input is refused with the protocol's own reason code and harms nobody else (I10)."""
import struct

import pytest

from support import packets as p
from support.waiting import wait_until

MALFORMED, PROTOCOL = {0x81}, {0x82}
EITHER = {0x81, 0x82}   # where the specification leaves the choice

TOPIC = "to/u/nobody"


def raw_publish(flags, body):
    return p.packet(p.PUBLISH, flags, body)


def raw_subscribe(filters, version, flags=2):
    props = b"\0" if version == p.V5 else b""
    return p.packet(p.SUBSCRIBE, flags, b"\0\1" + props + filters)


def with_props(version, props, topic=TOPIC):
    return p.publish(p.V5, topic, b"x", props=props)


# name -> (version -> bytes, reasons in MQTT 5)
BOTH_VERSIONS = {
    "reserved-type-0": (lambda v: p.packet(0, 0), MALFORMED),
    "pingreq-with-flags": (lambda v: p.packet(p.PINGREQ, 1), MALFORMED),
    "pingreq-with-body": (lambda v: p.packet(p.PINGREQ, 0, b"x"), MALFORMED),
    "remaining-length-5-bytes": (lambda v: b"\x30\xff\xff\xff\xff\x01", MALFORMED),
    "qos-3": (lambda v: raw_publish(6, p.data(TOPIC) + b"\0\1\0x"), MALFORMED),
    "packet-id-0": (lambda v: p.publish(v, TOPIC, pid=0), EITHER),
    "publish-too-short": (lambda v: raw_publish(2, b"\0"), MALFORMED),
    "topic-longer-than-packet": (lambda v: raw_publish(2, b"\xff\xffto/u/x"), MALFORMED),
    "topic-not-utf8": (lambda v: p.publish(v, b"to/u/\xff\xfe", b"x"), MALFORMED),
    "topic-with-surrogate": (lambda v: p.publish(v, b"to/u/\xed\xa0\x80", b"x"), MALFORMED),
    "topic-overlong-utf8": (lambda v: p.publish(v, b"to/u/\xc0\xaf", b"x"), MALFORMED),
    "topic-with-nul": (lambda v: p.publish(v, b"to/u/a\0b", b"x"), MALFORMED),
    "topic-wildcard-plus": (lambda v: p.publish(v, "to/u/+", b"x"), {0x81, 0x82, 0x90}),
    "topic-wildcard-hash": (lambda v: p.publish(v, "to/#", b"x"), {0x81, 0x82, 0x90}),
    "empty-topic": (lambda v: p.publish(v, "", b"x"), {0x81, 0x82, 0x90}),
    "dup-on-qos-0": (lambda v: p.publish(v, TOPIC, b"x", qos=0, dup=True), EITHER),
    "qos-2": (lambda v: p.publish(v, TOPIC, b"x", qos=2), {0x9B}),
    "puback-with-flags": (lambda v: p.packet(p.PUBACK, 2, b"\0\1"), MALFORMED),
    "puback-too-short": (lambda v: p.packet(p.PUBACK, 0, b"\0"), MALFORMED),
    "subscribe-wrong-flags": (lambda v: raw_subscribe(p.data("inbox/#") + b"\1", v, 0), MALFORMED),
    "subscribe-nothing": (lambda v: raw_subscribe(b"", v), EITHER),
    "subscribe-qos-3": (lambda v: raw_subscribe(p.data("inbox/#") + b"\3", v), EITHER),
    "subscribe-reserved-bits": (lambda v: raw_subscribe(p.data("inbox/#") + b"\xc1", v), EITHER),
    "subscribe-not-utf8": (lambda v: raw_subscribe(p.data(b"inbox/\xff") + b"\1", v), MALFORMED),
    "subscribe-no-options": (lambda v: raw_subscribe(p.data("inbox/#"), v), MALFORMED),
    "subscribe-empty-filter": (lambda v: p.subscribe(v, [("", 1)]), EITHER),
    "subscribe-hash-inside": (lambda v: p.subscribe(v, [("inbox/#/x", 1)]), EITHER),
    "subscribe-plus-inside": (lambda v: p.subscribe(v, [("inbox+/x", 1)]), EITHER),
    "unsubscribe-hash-inside": (lambda v: p.unsubscribe(v, ["inbox/#/x"]), EITHER),
    "subscribe-packet-id-0": (lambda v: p.subscribe(v, [("inbox/#", 1)], 0), EITHER),
    "unsubscribe-nothing": (lambda v: p.unsubscribe(v, []), EITHER),
    "server-packet-connack": (lambda v: p.packet(p.CONNACK, 0, b"\0\0" + b"\0" * (v - 4)), EITHER),
    "server-packet-suback": (lambda v: p.packet(p.SUBACK, 0, b"\0\1" + b"\0" * (v - 3)), EITHER),
    "server-packet-pingresp": (lambda v: p.packet(p.PINGRESP, 0), EITHER),
    "second-connect": (lambda v: p.connect(v, "phone", "user", "token"), PROTOCOL),
    "disconnect-with-flags": (lambda v: p.packet(p.DISCONNECT, 1), MALFORMED),
}

VERSION_5_ONLY = {
    "retain": (lambda v: p.publish(v, TOPIC, b"x", retain=True), {0x9A}),
    "topic-alias": (lambda v: with_props(v, [(p.TOPIC_ALIAS, 1)]), {0x94}),
    "topic-alias-alone": (lambda v: with_props(v, [(p.TOPIC_ALIAS, 1)], topic=""), {0x94}),
    "topic-alias-0": (lambda v: with_props(v, [(p.TOPIC_ALIAS, 0)]), {0x82, 0x94}),
    "subscription-id-in-publish": (lambda v: with_props(v, [(p.SUBSCRIPTION_ID, 1)]), PROTOCOL),
    "property-of-another-packet": (lambda v: with_props(v, [(p.RECEIVE_MAXIMUM, 1)]), EITHER),
    "property-unknown": (lambda v: raw_publish(2, p.data(TOPIC) + b"\0\1\2\x7f\0"), MALFORMED),
    "property-twice": (lambda v: with_props(v, [(p.CONTENT_TYPE, "a"), (p.CONTENT_TYPE, "a")]),
                       PROTOCOL),
    "payload-format-2": (lambda v: with_props(v, [(p.PAYLOAD_FORMAT, 2)]), EITHER),
    "user-property-not-utf8": (lambda v: with_props(v, [(p.USER_PROPERTY, (b"\xff", b"x"))]),
                               MALFORMED),
    "response-topic-wildcard": (lambda v: with_props(v, [(p.RESPONSE_TOPIC, "a/#")]), EITHER),
    "properties-longer-than-packet": (lambda v: raw_publish(2, p.data(TOPIC) + b"\0\1\x7f"),
                                      MALFORMED),
    "subscription-id-0": (lambda v: p.subscribe(v, [("inbox/#", 1)], 1, [(p.SUBSCRIPTION_ID, 0)]),
                          EITHER),
    "retain-handling-3": (lambda v: raw_subscribe(p.data("inbox/#") + b"\x31", v), EITHER),
    "no-local-on-shared": (lambda v: raw_subscribe(p.data("$share/g/inbox/#") + b"\5", v), EITHER),
    "auth-without-method": (lambda v: p.packet(p.AUTH, 0, b"\x18\0"), EITHER),
    "session-expiry-raised-from-0": (lambda v: p.disconnect(v, 0, [(p.SESSION_EXPIRY, 60)]),
                                     PROTOCOL),
}

CASES = [(name, 4) for name in BOTH_VERSIONS] + \
        [(name, 5) for name in (*BOTH_VERSIONS, *VERSION_5_ONLY)]


@pytest.fixture(scope="module")
def bystander(stack):
    """Someone who is connected through all of this module's bad packets, on each connector."""
    from support.clients import Clients
    made = Clients(stack)
    yield [made.subscriber(f"bystander-{index}", connector=index) for index in range(2)]
    made.close()


@pytest.mark.parametrize("name,version", CASES, ids=[f"{name}-v{ver}" for name, ver in CASES])
def test_bad_packet(clients, who, bystander, name, version):
    """MQTT 5: DISCONNECT with the reason, then the connection is closed. 3.1.1: closed. Others
    notice nothing."""
    make, reasons = {**BOTH_VERSIONS, **VERSION_5_ONLY}[name]
    peer = clients.subscriber(who("mallory"), version=version)
    peer.send(make(version))
    seen = peer.end()
    if version == p.V5:
        assert len(seen) == 1 and seen[0].kind == p.DISCONNECT
        assert seen[0].reason in reasons, f"{seen[0].reason:#x}"
    else:
        assert seen == []
    for other in bystander:
        assert other.alive()


def test_bystanders_are_still_served(clients, who, bystander):
    """The same connections that were there all along still get their messages."""
    for other in bystander:
        assert clients.peer(who("alice")).publish(f"to/u/{other.user}", b"unharmed") == 0
        assert other.payloads() == [b"unharmed"]


def bad_connects(version):
    good = {"client_id": "phone", "username": "u", "password": "t"}
    yield "reserved flag", p.connect(version, **good, flags=0xC3)
    yield "will QoS without will", p.connect(version, **good, flags=0xCA)
    yield "will retain without will", p.connect(version, **good, flags=0xE2)
    yield "will QoS 3", p.connect(version, **good, will=p.Will(TOPIC), flags=0xDE)
    yield "wrong protocol name", p.connect(version, **good, name="HTTP")
    yield "wrong flags", p.packet(p.CONNECT, 1, p.connect(version, **good)[2:])
    yield "ends early", p.packet(p.CONNECT, 0, p.connect(version, **good)[2:20])
    yield "bytes left over", p.packet(p.CONNECT, 0, p.connect(version, **good)[2:] + b"x")
    yield "client id not UTF-8", p.connect(version, b"\xff", "u", "t")
    if version == p.V311:
        yield "password without username", p.connect(version, "phone", None, "t")
    else:
        yield "receive maximum 0", p.connect(version, **good, props=[(p.RECEIVE_MAXIMUM, 0)])
        yield "packet size 0", p.connect(version, **good, props=[(p.MAXIMUM_PACKET_SIZE, 0)])
        yield "auth data alone", p.connect(version, **good, props=[(p.AUTH_DATA, b"x")])
        yield "expiry twice", p.connect(version, **good, props=[(p.SESSION_EXPIRY, 1)] * 2)


def test_bad_connect(clients, who, version):
    """A CONNECT that breaks the format is never accepted: the connection is closed, at most after a
    CONNACK (MQTT 5) that says malformed, protocol error or unsupported version."""
    for name, raw in bad_connects(version):
        peer = clients.raw(who("mallory"), version=version)
        peer.send(raw)
        seen = peer.end()
        assert all(packet.kind == p.CONNACK and packet.reason in (0x81, 0x82, 0x84)
                   for packet in seen), name
        assert version == p.V5 or not seen, name


@pytest.mark.parametrize("first", [
    p.packet(p.PINGREQ, 0), p.publish(4, TOPIC, b"x"), p.disconnect(4), b"GET / HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\0" * 64, b"\xff" * 64],
    ids=["pingreq", "publish", "disconnect", "http", "tls", "zeros", "ones"])
def test_first_packet_is_not_connect(clients, who, first):
    """MQTT-3.1.0-1: closed without a word."""
    peer = clients.raw(who("mallory"))
    peer.send(first)
    assert peer.end() == []


def test_no_connect_at_all(clients, who):
    """A connection that says nothing, or half a CONNECT, is closed in mqtt.connect_timeout_ms."""
    door = clients.connector("mqtt.connect_timeout_ms=500")
    silent = clients.raw(who("mallory"), sock=door.dial())
    half = clients.raw(who("mallory"), sock=door.dial())
    half.send(p.connect(5, "phone", "u", "t")[:9])
    assert silent.end() == [] and half.end() == []


def test_oversized_packet(clients, who, version):
    """A packet over Maximum Packet Size is refused by its header, before its body came: 0x95."""
    peer = clients.subscriber(who("mallory"), version=version)
    peer.send(b"\x32" + p.varint(100_000_000) + struct.pack("!H", 5) + b"to/u/")
    seen = peer.end()
    assert [packet.reason for packet in seen] == ([0x95] if version == p.V5 else [])


def test_retain_in_3_1_1(clients, who):
    """3.1.1: the RETAIN flag is ignored, the message is delivered, not retained."""
    bob = who("bob")
    receiver = clients.subscriber(bob, version=4)
    assert clients.peer(who("alice"), version=4).publish(f"to/u/{bob}", b"x", retain=True) == 0
    message, = receiver.receive()
    assert (message.payload, message.retain) == (b"x", False)


def test_receive_maximum_exceeded(clients, who):
    """MQTT 5.0 section 3.3.4: more unacknowledged publishes than the server's Receive Maximum:
    0x93. One write holds far more than any that can be answered while it is read."""
    peer = clients.peer(who("mallory"))
    count = peer.connack.prop(p.RECEIVE_MAXIMUM) * 8
    peer.send(b"".join(p.publish(5, TOPIC, b"x", pid=pid + 1) for pid in range(count)))
    last = peer.end()[-1]
    assert (last.kind, last.reason) == (p.DISCONNECT, 0x93)


def test_many_unacknowledged_in_3_1_1(clients, who):
    """3.1.1 knows no Receive Maximum: the same burst is served, in order, however slowly."""
    bob = who("bob")
    peer = clients.peer(who("alice"), version=4)
    peer.send(b"".join(p.publish(4, f"to/u/{bob}", b"%d" % n, pid=n + 1) for n in range(1000)))
    assert [peer.take(p.PUBACK).pid for _ in range(1000)] == list(range(1, 1001))
    assert clients.subscriber(bob).payloads(1000) == [b"%d" % n for n in range(1000)]


def test_log_names_the_culprit(clients, who):
    """Each connection closed for cause leaves one line that names device, user and address; what
    the peer sent can't forge a line."""
    door = clients.connector()
    culprits = []
    for index, (name, (make, _)) in enumerate(list(BOTH_VERSIONS.items())[:8]):
        user, device = who(f"mallory{index}"), f"device-{index}-{who('d')}"
        peer = clients.subscriber(user, device, sock=door.dial())
        address = "{}:{}".format(*peer.sock.getsockname())
        peer.send(make(5))
        peer.end()
        culprits.append((name, user, device, address))
    for name, user, device, address in culprits:
        lines = wait_until(lambda: [line for line in door.log().splitlines() if device in line],
                           f"a log line about {name}")
        assert len(lines) == 1, lines
        assert user in lines[0] and address in lines[0] and " warning " in lines[0], lines[0]
    peer = clients.raw("x\nerror forged", "phone", sock=door.dial(), token="t")
    peer.connect()
    assert not [line for line in door.log().splitlines() if line.startswith("error forged")]
