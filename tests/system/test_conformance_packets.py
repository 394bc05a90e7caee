"""Conformance: fixed headers, integers, strings, properties, PINGREQ, DISCONNECT, AUTH.

docs/mqtt-conformance.md names the statements that each test shows. What a server may send is
watched by support/strict.py in every test of the suite; here is shown that it would notice."""
import json

import pytest

from support import packets as p
from support import strict
from support.raw_mqtt import Closed
from support.stack import ROOT

VECTORS = ROOT / "tests" / "packets"
BOM = "\ufeff"

# Not well-formed (RFC 3629), or with what MQTT forbids: each must be refused in any string.
BAD_TEXTS = {"surrogate": b"\xed\xa0\x80", "last-surrogate": b"\xed\xbf\xbf",
             "overlong": b"\xc0\xaf", "overlong-nul": b"\xc0\x80", "cut": b"\xe2\x82",
             "stray": b"\x80", "latin1": b"\xfc", "beyond-unicode": b"\xf4\x90\x80\x80",
             "five-bytes": b"\xf8\x88\x80\x80\x80", "nul": b"\0"}


def vectors(level, valid):
    """The byte vectors of tests/packets that a stream can carry: whole packets."""
    for path in sorted(VECTORS.glob("*.json")):
        for vector in json.loads(path.read_text(encoding="utf-8")):
            raw = bytes.fromhex(vector["hex"])
            if vector["level"] == level and ("expect" in vector) == valid and whole(raw):
                yield vector["name"], raw, int(vector.get("fault", "0"), 16)


def whole(raw):
    """One packet and nothing behind it, or a Remaining Length that no packet can have."""
    size = shift = 0
    for index, byte in enumerate(raw[1:5], 1):
        size |= (byte & 127) << shift
        shift += 7
        if not byte & 128:
            return len(raw) == index + 1 + size
    return True


def refused(clients, user, version, raw, reason):
    """Sent by a connected client: MQTT 5's DISCONNECT with the reason, 3.1.1's silence; closed."""
    peer = clients.peer(user, version=version)
    peer.send(raw)
    seen = [(packet.kind, packet.reason) for packet in peer.end()]
    return seen == ([(p.DISCONNECT, reason)] if version == p.V5 else [])


@pytest.mark.parametrize("start", range(4))
def test_every_bad_vector_over_the_wire(clients, who, version, start):
    """The decoder's vectors of bad packets, each with its clause, sent by a connected client."""
    sent = [row for row in vectors(version, False) if row[1][0] >> 4 != p.CONNECT]
    assert len(sent) > 60
    for name, raw, reason in sent[start::4]:
        assert refused(clients, who("mallory"), version, raw, reason), name


def test_every_good_vector_over_the_wire(clients, who, version):
    """The decoder's vectors of good packets are taken for what they are: whatever becomes of each,
    the connection is never ended for a malformed packet. A DISCONNECT ends it without a word."""
    sent = [row for row in vectors(version, True) if row[1][0] >> 4 not in (p.CONNECT, p.AUTH)]
    assert len(sent) > (10 if version == p.V311 else 40)
    for name, raw, _ in sent:
        peer = clients.persistent(who("mallory"), version=version)
        peer.send(raw + p.packet(p.PINGREQ, 0))
        if raw[0] >> 4 == p.DISCONNECT:
            assert peer.end() == [], name
            continue
        try:
            peer.take(p.PINGRESP)
        except Closed:
            # What Beckon has no use for: QoS 2, RETAIN, an alias; a topic it does not have (3.1.1).
            assert raw[0] >> 4 in (p.PUBLISH, p.PUBREC, p.PUBREL, p.PUBCOMP), name
            reasons = [packet.reason for packet in peer.pending if packet.kind == p.DISCONNECT]
            assert version == p.V311 or reasons[0] in (0x82, 0x94, 0x9A, 0x9B), name


def test_every_bad_connect_vector_over_the_wire(clients, who, version):
    """The same for CONNECT: closed without an answer in 3.1.1 (MQTT-3.1.4-1), except that another
    protocol level is told so; at most one CONNACK with the reason in MQTT 5."""
    sent = [row for row in vectors(version, False) if row[1][0] >> 4 == p.CONNECT]
    assert len(sent) > 20
    for name, raw, reason in sent:
        peer = clients.raw(who("mallory"), version=version)
        if reason == 0x84:   # answered in the form that its sender may understand
            peer.version = p.V5 if raw[raw.index(b"MQ") + raw[3]] > p.V5 else p.V311
        peer.send(raw)
        seen = [(packet.kind, packet.reason) for packet in peer.end()]
        if reason == 0x84:
            assert seen == [(p.CONNACK, 0x84 if peer.version == p.V5 else 1)], name
        else:
            assert not seen or version == p.V5 and seen == [(p.CONNACK, reason)], name


def test_flags(clients, who, version):
    """Each single wrong bit in the header of a packet whose flags are fixed: 0x81."""
    peer_id = who("mallory")
    rest = {p.PUBACK: b"\0\1", p.PUBREC: b"\0\1", p.PUBREL: b"\0\1", p.PUBCOMP: b"\0\1",
            p.PINGREQ: b"", p.DISCONNECT: b""}
    rest[p.SUBSCRIBE] = p.subscribe(version, [("inbox/#", 1)])[2:]
    rest[p.UNSUBSCRIBE] = p.unsubscribe(version, ["inbox/#"])[2:]
    if version == p.V5:
        rest[p.AUTH] = b"\x18" + p.properties([(p.AUTH_METHOD, "x")])
    for kind, body in rest.items():
        right = 2 if kind in (p.PUBREL, p.SUBSCRIBE, p.UNSUBSCRIBE) else 0
        for bit in (1, 2, 4, 8):
            raw = p.packet(kind, right ^ bit, body)
            assert refused(clients, peer_id, version, raw, 0x81), f"type {kind} flags {right ^ bit}"


def test_server_packets_and_reserved_types(clients, who, version):
    """Types that only a server sends are a protocol error, those that do not exist malformed."""
    bodies = {p.CONNACK: b"\0\0", p.SUBACK: b"\0\1\0", p.UNSUBACK: b"\0\1", p.PINGRESP: b"", 0: b""}
    if version == p.V311:
        bodies[p.AUTH] = b""
    for kind, body in bodies.items():
        reason = 0x81 if kind in (0, p.AUTH) else 0x82
        assert refused(clients, who("mallory"), version, p.packet(kind, 0, body), reason), kind


def padded(raw):
    """The same packet with a Remaining Length one byte longer than necessary."""
    return raw[:1] + bytes([raw[1] | 0x80, 0]) + raw[2:]


def test_padded_integers(clients, who, version):
    """MQTT 5: an integer of more bytes than it needs is malformed, wherever it stands. 3.1.1 has no
    such rule: the packet is taken."""
    raw = padded(p.publish(version, f"to/u/{who('bob')}", b"x"))
    if version == p.V311:
        peer = clients.peer(who("alice"), version=version)
        peer.send(raw)
        assert peer.take(p.PUBACK).pid == 1
        return
    props = b"\x83\0" + p.encode_property(p.PAYLOAD_FORMAT, 1)
    subscription = b"\3" + bytes([p.SUBSCRIPTION_ID, 0x81, 0])
    for name, bad in (
            ("Remaining Length", raw),
            ("Property Length", p.packet(p.PUBLISH, 2, p.data("to/u/x") + b"\0\1" + props)),
            ("Subscription Identifier",
             p.packet(p.SUBSCRIBE, 2, b"\0\1" + subscription + p.data("inbox/#") + b"\1"))):
        assert refused(clients, who("mallory"), version, bad, 0x81), name


def bad_strings(version, text):
    """Packets of a connected client with `text` in each place where a string may stand."""
    yield "Topic Name", p.publish(version, b"to/u/" + text)
    yield "Topic Filter", p.subscribe(version, [(b"inbox/" + text, 1)])
    yield "Topic Filter of UNSUBSCRIBE", p.unsubscribe(version, [b"inbox/" + text])
    if version == p.V5:
        for name, prop in (("Content Type", (p.CONTENT_TYPE, text)),
                           ("Response Topic", (p.RESPONSE_TOPIC, b"a" + text)),
                           ("user property's name", (p.USER_PROPERTY, (text, "x"))),
                           ("user property's value", (p.USER_PROPERTY, ("x", text)))):
            yield name, p.publish(version, "to/u/x", b"", props=[prop])
        yield "Reason String", p.disconnect(version, 0x80, [(p.REASON_STRING, text)])


@pytest.mark.parametrize("case", BAD_TEXTS)
def test_bad_strings(clients, who, version, case):
    """MQTT-1.5.4-1, -2 (3.1.1: MQTT-1.5.3-1, -2): what is not UTF-8, or has a U+0000, is malformed
    in every string; a user property is two of them (MQTT-1.5.7-1)."""
    for name, raw in bad_strings(version, BAD_TEXTS[case]):
        assert refused(clients, who("mallory"), version, raw, 0x81), name


def test_byte_order_mark_is_kept(clients, who):
    """MQTT-1.5.4-3: U+FEFF is a character like another, wherever it stands."""
    bob = who("bob")
    receiver = clients.subscriber(bob)
    props = [(p.CONTENT_TYPE, BOM + "a"), (p.RESPONSE_TOPIC, BOM),
             (p.USER_PROPERTY, (BOM, BOM + BOM))]
    sender = clients.peer(who("alice"))
    assert sender.publish(f"to/u/{bob}", BOM.encode(), props=props) == 0
    message, = receiver.receive()
    assert message.payload == BOM.encode()
    assert [pair for pair in message.props if pair in props] == props
    assert sender.publish(f"to/u/{BOM}bob", b"") == 0x90   # and is not skipped in a topic


def test_byte_order_mark_in_3_1_1(clients, who):
    """MQTT-1.5.3-3: a name with a U+FEFF is another name, here one that does not exist."""
    peer = clients.peer(who("alice"), version=p.V311)
    assert peer.subscribe([(BOM + "inbox/#", 1), ("inbox/#", 1)]) == [0x80, 1]


def test_longest_topic(clients, who, version):
    """MQTT-4.7.3-3: a topic of 65,535 bytes is a topic, though nobody is called so."""
    name = "to/u/" + "x" * 65_530
    peer = clients.peer(who("alice"), version=version)
    if version == p.V5:
        assert peer.publish(name, b"") == 0x90
    peer.post(name, b"", qos=0)
    assert peer.subscribe([(name, 1)]) == [0x8F if version == p.V5 else 0x80]


def test_pings(clients, who, version):
    """MQTT-3.12.4-1: a PINGRESP for each PINGREQ, also for several in one segment."""
    peer = clients.peer(who("alice"), version=version)
    peer.send(p.packet(p.PINGREQ, 0) * 50)
    for _ in range(50):
        peer.take(p.PINGRESP)


def test_reasons_of_disconnect(clients, who):
    """MQTT-3.14.2-1: a client's DISCONNECT with a reason that table 3-10 gives to clients ends the
    connection without a word; any other is a protocol error."""
    good = {0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99}
    props = [(p.REASON_STRING, "so"), (p.USER_PROPERTY, ("a", "b")), (p.SESSION_EXPIRY, 0)]
    for reason in (*good, 0x01, 0x05, 0x87, 0x8B, 0x8E, 0x9D, 0xA2, 0xFF):
        peer = clients.peer(who("alice"))
        peer.send(p.packet(p.DISCONNECT, 0, bytes([reason]) + p.properties(props)))
        seen = [(packet.kind, packet.reason) for packet in peer.end()]
        assert seen == ([] if reason in good else [(p.DISCONNECT, 0x82)]), f"{reason:#x}"


def test_auth_without_an_agreed_method(clients, who):
    """MQTT-4.12.0-7: well-formed as it may be, AUTH has no place on a connection whose CONNECT
    named no Authentication Method; the server never sends one (MQTT-4.12.0-6)."""
    for reason in (0x18, 0x19):
        raw = p.packet(p.AUTH, 0, bytes([reason]) + p.properties([(p.AUTH_METHOD, "SCRAM-SHA-1")]))
        assert refused(clients, who("mallory"), p.V5, raw, 0x82)


def test_acknowledgements_of_qos_2(clients, who, version):
    """QoS 2 is never in use, so what belongs to it is a protocol error."""
    for kind, flags in ((p.PUBREC, 0), (p.PUBREL, 2), (p.PUBCOMP, 0)):
        assert refused(clients, who("mallory"), version, p.packet(kind, flags, b"\0\1"), 0x82), kind


def decode(raw, version=p.V5):
    packet = p.decode(raw[0], raw[2:], len(raw), version)
    strict.check(packet, version)
    return packet


WRONG_ANSWERS = {
    "connack-flags": p.packet(p.CONNACK, 0, b"\2\0\0"),
    "connack-header": p.packet(p.CONNACK, 1, b"\0\0\0"),
    "connack-reason": p.packet(p.CONNACK, 0, b"\0\x9e\0"),
    "connack-session-of-a-refusal": p.packet(p.CONNACK, 0, b"\1\x87\0"),
    "connack-auth-method": p.packet(p.CONNACK, 0, b"\0\0" + p.properties([(p.AUTH_METHOD, "x")])),
    "connack-response-information": p.packet(p.CONNACK, 0, b"\0\0" + p.properties([(26, "x")])),
    "connack-twice": p.packet(p.CONNACK, 0, b"\0\0" + p.properties([(p.MAXIMUM_QOS, 1)] * 2)),
    "connack-qos-2": p.packet(p.CONNACK, 0, b"\0\0" + p.properties([(p.MAXIMUM_QOS, 2)])),
    "padded": p.packet(p.CONNACK, 0, b"\0\0\x80\0"),
    "publish-qos-3": p.packet(p.PUBLISH, 6, p.data("a") + b"\0\1\0"),
    "publish-dup": p.publish(p.V5, "a", qos=0, dup=True),
    "publish-pid-0": p.publish(p.V5, "a", pid=0),
    "publish-wildcard": p.publish(p.V5, "a/#"),
    "publish-empty": p.publish(p.V5, ""),
    "publish-not-utf8": p.publish(p.V5, b"\xff"),
    "publish-alias": p.publish(p.V5, "a", props=[(p.TOPIC_ALIAS, 1)]),
    "publish-nul": p.publish(p.V5, "a", props=[(p.USER_PROPERTY, ("a", "\0"))]),
    "puback-reason": p.packet(p.PUBACK, 0, b"\0\1\x9b"),
    "puback-pid-0": p.packet(p.PUBACK, 0, b"\0\0"),
    "suback-reason": p.packet(p.SUBACK, 0, b"\0\1\0\x82"),
    "unsuback-reason": p.packet(p.UNSUBACK, 0, b"\0\1\0\x97"),
    "disconnect-reason": p.packet(p.DISCONNECT, 0, b"\x04\0"),
    "disconnect-expiry": p.packet(p.DISCONNECT, 0, b"\x81" + p.properties([(p.SESSION_EXPIRY, 1)])),
    "auth": p.packet(p.AUTH, 0, b"\x18\0"),
}


@pytest.mark.parametrize("case", WRONG_ANSWERS)
def test_the_suite_would_notice(case):
    """What a server must not send raises in the reader of all raw peers."""
    with pytest.raises(ValueError):
        decode(WRONG_ANSWERS[case])


def test_the_suite_would_notice_in_3_1_1():
    """The same for the codes and packets of 3.1.1."""
    for raw in (p.packet(p.CONNACK, 0, b"\0\6"), p.packet(p.SUBACK, 0, b"\0\1\x8f"),
                p.packet(p.DISCONNECT, 0, b"")):
        with pytest.raises(ValueError):
            decode(raw, p.V311)


def test_the_suite_would_notice_a_wrong_order():
    """CONNACK first and once, nothing after a refusal or DISCONNECT, nothing over the limit."""
    accepted, refusal = decode(b"\x20\3\0\0\0"), decode(b"\x20\3\0\x87\0")
    ping, goodbye = decode(b"\xd0\0"), decode(b"\xe0\1\x8b")
    for bad in ((ping,), (accepted, accepted), (refusal, goodbye), (accepted, goodbye, ping)):
        order = strict.Order()
        with pytest.raises(ValueError):
            for packet in bad:
                order.check(packet)
    order = strict.Order()
    order.limit = 4
    with pytest.raises(ValueError):
        order.check(accepted)
