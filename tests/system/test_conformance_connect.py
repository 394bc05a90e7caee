"""Conformance: CONNECT and CONNACK. docs/mqtt-conformance.md names the statements."""
import string
import struct

import pytest

from support import packets as p
from support import tokens

CLEAN, WILL, PASSWORD, USERNAME = 0x02, 0x04, 0x40, 0x80
SENTINEL = b"sentinel"
ALNUM = string.digits + string.ascii_letters


def raw_connect(version, flags, *fields):
    """A CONNECT with exactly these flags and payload fields, whatever they mean together."""
    body = p.data("MQTT") + bytes([version, flags]) + struct.pack("!H", 60)
    return p.packet(p.CONNECT, 0, body + (b"\0" if version == p.V5 else b"") + b"".join(fields))


def refused_as_malformed(peer, raw):
    """3.1.1: closed without CONNACK (MQTT-3.1.4-1). MQTT 5: after a CONNACK 0x81 or 0x82."""
    peer.send(raw)
    seen = peer.end()
    if peer.version == p.V311:
        return seen == []
    return [packet.kind for packet in seen] == [p.CONNACK] and seen[0].reason in (0x81, 0x82)


def flags_and_payload(version):
    """Connect Flags that promise other fields than there are."""
    name, text = p.data("phone"), p.data("x")
    will = (b"\0" if version == p.V5 else b"") + text + text
    yield "no user name", CLEAN | USERNAME, (name,)
    yield "no password", CLEAN | USERNAME | PASSWORD, (name, text)
    yield "no Will", CLEAN | WILL, (name,)
    yield "no Will Message", CLEAN | WILL, (name, will[:-3])
    yield "no client identifier", CLEAN, ()
    yield "a user name too many", CLEAN, (name, text)
    yield "a password too many", CLEAN | USERNAME, (name, text, text)
    yield "a Will too many", CLEAN, (name, will)


def test_flags_and_payload_disagree(clients, who, version):
    """What the Connect Flags promise must be there, and nothing else (MQTT-3.1.2-9, -16 to -19,
    MQTT-3.1.3-1, -3)."""
    for name, flags, fields in flags_and_payload(version):
        peer = clients.raw(who("mallory"), version=version)
        assert refused_as_malformed(peer, raw_connect(version, flags, *fields)), name


@pytest.mark.parametrize("text", [b"\xff", b"a\0b", b"\xed\xa0\x80"],
                         ids=["byte", "nul", "surrogate"])
def test_bad_strings_in_connect(clients, who, version, text):
    """Client identifier, user name and Will Topic are UTF-8 without U+0000."""
    will = p.Will(b"to/u/" + text)
    for name, raw in (("client identifier", p.connect(version, text, "u", "t")),
                      ("user name", p.connect(version, "phone", text, "t")),
                      ("Will Topic", p.connect(version, "phone", "u", "t", will=will))):
        assert refused_as_malformed(clients.raw(who("mallory"), version=version), raw), name


def test_client_identifiers_that_must_be_allowed(clients, who, version):
    """MQTT-3.1.3-5: 1 to 23 letters and digits, each of which is seen here."""
    user = who("alice")
    for device in (*(ALNUM[at:at + 23] for at in range(0, len(ALNUM), 23)), "0", "z"):
        assert clients.raw(user, device, version).connect().reason == 0, device


def test_nothing_after_a_refusal_is_processed(clients, who, version):
    """MQTT-3.1.4-6 (3.1.1: -5): a PUBLISH right behind a CONNECT that is refused is not carried
    out, and the CONNACK is the only answer (MQTT-3.14.0-1, MQTT-3.2.2-7)."""
    bob, user = who("bob"), who("mallory")
    receiver = clients.subscriber(bob)
    peer = clients.raw(user, version=version)
    bad = tokens.token(user, b"0" * 64)
    peer.send(p.connect(version, "phone", user, bad) + p.publish(version, f"to/u/{bob}", b"no") +
              p.packet(p.PINGREQ, 0))
    assert [packet.kind for packet in peer.end()] == [p.CONNACK]
    assert clients.peer(who("alice")).publish(f"to/u/{bob}", SENTINEL) == 0
    assert receiver.payloads() == [SENTINEL]


def test_a_client_need_not_wait_for_connack(clients, who, version):
    """Packets right behind CONNECT are served, and CONNACK comes first (MQTT-3.2.0-1)."""
    user = who("alice")
    peer = clients.raw(user, version=version)
    peer.send(p.connect(version, "phone", user, peer.token) +
              p.subscribe(version, [("inbox/#", 1)], 7) +
              p.publish(version, f"to/u/{user}", b"note", pid=8))
    assert peer.read().kind == p.CONNACK
    assert peer.take(p.SUBACK).pid == 7 and peer.take(p.PUBACK).pid == 8
    assert peer.payloads() == [b"note"]


def test_malformed_behind_connect(clients, who, version):
    """MQTT-3.14.0-1: CONNACK 0 comes before the DISCONNECT for what followed CONNECT."""
    user = who("alice")
    peer = clients.raw(user, version=version)
    peer.send(p.connect(version, "phone", user, peer.token) + p.packet(p.PINGREQ, 1))
    wanted = [(p.CONNACK, 0), (p.DISCONNECT, 0x81)]
    seen = [(packet.kind, packet.reason) for packet in peer.end()]
    assert seen == (wanted if version == p.V5 else wanted[:1])


def test_connect_in_single_bytes(clients, who, version):
    """The stream has no packet boundaries (MQTT-4.2.0-1): CONNECT and PINGREQ byte by byte."""
    user = who("alice")
    peer = clients.raw(user, version=version)
    for byte in p.connect(version, "phone", user, peer.token) + p.packet(p.PINGREQ, 0):
        peer.send(bytes([byte]))
    assert peer.take(p.CONNACK).reason == 0
    peer.take(p.PINGRESP)


def test_no_will_without_the_flag(clients, who, version):
    """MQTT-3.1.2-12 of 3.1.1: nothing is said for a client that left no Will, and a Will that was
    published is not said again when its session's next connection is lost (MQTT-3.1.2-10)."""
    alice, bob = who("alice"), who("bob")
    receiver = clients.subscriber(bob)
    will = p.Will(f"to/u/{bob}", b"gone")
    clients.persistent(alice, version=version, will=will).cut()
    assert receiver.payloads() == [b"gone"]
    again = clients.persistent(alice, version=version)
    assert again.connack.session_present
    again.cut()
    assert clients.peer(alice, "other").publish(f"to/u/{bob}", SENTINEL) == 0
    assert receiver.payloads() == [SENTINEL]
    receiver.quiet()


def test_will_qos_2_in_3_1_1(clients, who):
    """3.1.1 has no code for it: refused as what this client may not do, 5."""
    peer = clients.raw(who("mallory"), version=p.V311)
    assert peer.connect(will=p.Will(f"to/u/{who('bob')}", qos=2)).reason == 5
    assert peer.end() == []


@pytest.mark.parametrize("asked", [0, 1])
def test_no_response_information(clients, who, asked):
    """MQTT-3.1.2-28: none is ever returned (the strict reader refuses it), asked for or not; nor an
    Authentication Method that CONNECT did not name (MQTT-4.12.0-6)."""
    peer = clients.raw(who("alice"))
    connack = peer.connect(props=[(25, asked)])
    assert connack.reason == 0
    assert {ident for ident, _ in connack.props}.isdisjoint({26, p.AUTH_METHOD})


def test_reason_string_of_connack(clients, who):
    """MQTT-3.2.2-19: CONNACK says why in a Reason String, and leaves it out when that would exceed
    the client's Maximum Packet Size."""
    user = who("mallory")
    for limit, told in ((200, True), (30, False)):
        peer = clients.raw(user, token=tokens.token(user, b"0" * 64))
        connack = peer.connect(props=[(p.MAXIMUM_PACKET_SIZE, limit)])
        assert connack.reason == 0x86
        assert bool(connack.prop(p.REASON_STRING)) == told
        assert peer.end() == []


def test_maximum_packet_size_below_any_connack(clients, who):
    """MQTT-3.1.2-24: a client that can't even take the CONNACK of its acceptance is refused with
    0x95, in a CONNACK that fits, or without one; its session is not opened."""
    user = who("alice")
    for limit in (1, 4, 5, 29):
        peer = clients.raw(user)
        peer.order.limit = limit
        peer.send(p.connect(p.V5, "phone", user, peer.token, clean=False,
                            props=[(p.MAXIMUM_PACKET_SIZE, limit), (p.SESSION_EXPIRY, 60)]))
        assert [packet.reason for packet in peer.end()] == ([0x95] if limit >= 5 else []), limit
    enough = clients.peer(user, clean=False, props=[(p.MAXIMUM_PACKET_SIZE, 30)])
    assert not enough.connack.session_present and enough.alive()


def test_request_problem_information(clients, who):
    """MQTT-3.1.2-29: with Request Problem Information 0 a refused publish comes without Reason
    String and user properties; otherwise it says why."""
    for asked, told in ((0, False), (1, True)):
        peer = clients.peer(who("alice"), props=[(23, asked)])
        answer = peer.take(p.PUBACK, pid=peer.post("to/u/a b", b""))
        assert answer.reason == 0x90 and bool(answer.props) == told


def test_session_expiry_that_is_granted(clients, who):
    """MQTT 5.0 section 3.2.2.3.2: CONNACK names the Session Expiry Interval when it is another one
    than was asked for: the server keeps no session for ever."""
    for asked, named in ((0xFFFF_FFFF, True), (60, False), (0, False)):
        connack = clients.peer(who("alice"), props=[(p.SESSION_EXPIRY, asked)]).connack
        granted = connack.prop(p.SESSION_EXPIRY)
        assert (granted is not None) == named and (not named or 0 < granted < asked), asked


def test_keep_alive_of_the_client_counts(clients, who):
    """MQTT-3.2.2-22: without Server Keep Alive the client's own value holds, up to the maximum."""
    for keepalive in (1, 60, 65_535):
        connack = clients.peer(who("alice"), keepalive=keepalive).connack
        server = connack.prop(p.SERVER_KEEP_ALIVE)
        assert server is None or 0 < server < keepalive
