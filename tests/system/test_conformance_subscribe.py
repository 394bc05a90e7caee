"""Conformance: SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK. docs/mqtt-conformance.md names the
statements."""
import pytest

from support import packets as p

NO_LOCAL, RETAIN_AS_PUBLISHED = 0x04, 0x08
RETAIN_HANDLING = (0x00, 0x10, 0x20)


def send(clients, sender, recipient, *payloads, device="sender"):
    peer = clients.peer(sender, device)
    for payload in payloads:
        assert peer.publish(f"to/u/{recipient}", payload) == 0


def test_packet_identifiers_come_back(clients, who, version):
    """MQTT-2.2.1-6 (3.1.1: MQTT-2.3.1-7): SUBACK and UNSUBACK carry the identifier of the request,
    whichever it was, and there is one for each request, in order."""
    peer = clients.peer(who("bob"), version=version)
    for pid in (1, 2, 255, 256, 32_768, 65_535):
        peer.send(p.subscribe(version, [("inbox/#", 1)], pid) +
                  p.unsubscribe(version, ["inbox/#"], pid))
        assert peer.take(p.SUBACK).pid == pid
        assert peer.take(p.UNSUBACK).pid == pid


def test_subscribing_again_replaces(clients, who, version):
    """MQTT-3.8.4-3: the same filter again is the same subscription with another QoS: one message
    comes once, with the QoS of the last SUBSCRIBE, and none is lost by the change (MQTT-3.8.4-4,
    MQTT-3.8.4-8; 3.1.1: MQTT-3.8.4-6)."""
    alice, bob = who("alice"), who("bob")
    peer = clients.peer(bob, version=version)
    seen = []
    for number, qos in enumerate((1, 0, 1, 2)):
        assert peer.subscribe("inbox/#", qos) == [min(qos, 1)]
        send(clients, alice, bob, b"%d" % number)
        message, = peer.receive()
        seen.append((message.payload, message.qos))
    # What the tap got (QoS 0) was not acknowledged, so the inbox gives it again under QoS 1.
    assert (seen[0], seen[1]) == ((b"0", 1), (b"1", 0))
    rest = {payload for payload, _ in seen[2:]} | {m.payload for m in peer.receive(1)}
    assert rest == {b"1", b"2", b"3"} and {qos for _, qos in seen[2:]} == {1}
    peer.quiet()


def test_subscription_identifier_is_replaced(clients, who):
    """MQTT-3.3.4-3 to -5: what a subscription causes carries its identifier, the latest one; a
    resumed session keeps it; without one there is none."""
    alice, bob = who("alice"), who("bob")
    peer = clients.persistent(bob)
    for ident in (7, 268_435_455, None):
        peer.subscribe("inbox/#", 1, [] if ident is None else [(p.SUBSCRIPTION_ID, ident)])
        send(clients, alice, bob, b"x")
        message, = peer.receive()
        assert message.prop(p.SUBSCRIPTION_ID) == ident
    peer.subscribe("inbox/#", 1, [(p.SUBSCRIPTION_ID, 9)])
    peer.disconnect()
    send(clients, alice, bob, b"y")
    message, = clients.persistent(bob).receive()
    assert [value for key, value in message.props if key == p.SUBSCRIPTION_ID] == [9]


@pytest.mark.parametrize("retain_handling", RETAIN_HANDLING)
@pytest.mark.parametrize("as_published", [0, RETAIN_AS_PUBLISHED])
def test_options_about_retained_messages(clients, who, retain_handling, as_published):
    """Nothing is ever retained, so every option about it is granted and changes nothing: what was
    acknowledged does not come again and RETAIN is 0."""
    alice, bob = who("alice"), who("bob")
    peer = clients.peer(bob)
    for _ in range(2):
        assert peer.subscribe([("inbox/#", 1 | retain_handling | as_published)]) == [1]
        send(clients, alice, bob, b"x")
        message, = peer.receive()
        assert not message.retain
        peer.settle(who("sink"))
    peer.quiet()


def test_no_local(clients, who):
    """MQTT-3.8.3-3: with No Local a device does not get what it published itself, whether QoS 1 or
    0; the person's other device does, and so does this one what that one published."""
    bob = who("bob")
    plain = clients.subscriber(bob, "plain")
    own = clients.peer(bob, "own")
    assert own.subscribe([("inbox/#", 1 | NO_LOCAL)]) == [1]
    own.post(f"to/u/{bob}", b"signal", qos=0)
    assert own.publish(f"to/u/{bob}", b"note") == 0
    assert plain.payloads(2) == [b"signal", b"note"]
    assert plain.publish(f"to/u/{bob}", b"answer") == 0
    assert own.payloads() == [b"answer"] and plain.payloads() == [b"answer"]
    own.quiet()
    # Its cursor is past its own: they do not come later either.
    own.settle(who("sink"))
    own.cut()
    again = clients.subscriber(bob, "own")
    again.quiet()


def test_no_local_is_an_option(clients, who):
    """Without it, or after subscribing again without it, one's own messages come."""
    bob = who("bob")
    peer = clients.peer(bob)
    peer.subscribe([("inbox/#", 1 | NO_LOCAL)])
    peer.subscribe([("inbox/#", 1)])
    assert peer.publish(f"to/u/{bob}", b"note") == 0
    assert peer.payloads() == [b"note"]


def test_no_local_on_a_tap(clients, who):
    """The same for a subscription with QoS 0."""
    bob = who("bob")
    tap = clients.peer(bob, "tap")
    assert tap.subscribe([("inbox/#", NO_LOCAL)]) == [0]
    assert tap.publish(f"to/u/{bob}", b"own") == 0
    send(clients, bob, bob, b"other", device="other")
    assert tap.payloads() == [b"other"]
    tap.quiet()


def test_many_filters_in_one_packet(clients, who, version):
    """MQTT-3.8.4-5, -6 (3.1.1: -4, -5): one code a filter, in their order, however many there are;
    the same for UNSUBSCRIBE (MQTT-3.10.4-6, MQTT-3.11.3-1), and each code is one that SUBACK and
    UNSUBACK know (MQTT-3.9.3-2, MQTT-3.11.3-2; the strict reader refuses others)."""
    peer = clients.peer(who("bob"), version=version)
    filters = [f"no/such/{number}" for number in range(200)]
    filters[50] = "inbox/#"
    codes = peer.subscribe([(text, 1) for text in filters])
    refused = 0x8F if version == p.V5 else 0x80
    assert codes == [1 if text == "inbox/#" else refused for text in filters]
    codes = peer.unsubscribe(*filters)
    if version == p.V5:
        assert codes == [0x00 if text == "inbox/#" else 0x11 for text in filters]
    # The same filter more often than a request to the broker takes.
    assert set(peer.subscribe([("inbox/#", 1)] * 100)) <= {1, 0x80, 0x97}
    codes = peer.unsubscribe(*["inbox/#"] * 100)
    assert codes[:2] == ([0x00, 0x11] if version == p.V5 else [])
    assert peer.alive()


def test_acknowledgement_above_the_clients_limit(clients, who):
    """MQTT-3.1.2-24: no SUBACK or UNSUBACK is sent that is above the client's Maximum Packet Size:
    a client that asks for one is told 0x95."""
    for make in (lambda: p.subscribe(p.V5, [("inbox/#", 1)] * 60),
                 lambda: p.unsubscribe(p.V5, ["inbox/#"] * 60)):
        peer = clients.peer(who("bob"), props=[(p.MAXIMUM_PACKET_SIZE, 64)])
        peer.send(make())
        assert [(packet.kind, packet.reason) for packet in peer.end()] == [(p.DISCONNECT, 0x95)]
    peer = clients.peer(who("bob"), props=[(p.MAXIMUM_PACKET_SIZE, 64)])
    assert len(peer.subscribe([("inbox/#", 1)] * 59)) == 59   # 64 bytes exactly


def test_filters_are_compared_as_they_are(clients, who, version):
    """MQTT-4.7.3-4, MQTT-3.10.4-1: no normalization, no wildcard matching of filters: only the very
    filter that was subscribed is unsubscribed, and only the very topic is one."""
    bob = who("bob")
    peer = clients.subscriber(bob, version=version)
    others = ["#", "+/#", "inbox/+", "inbox", "INBOX/#", "Inbox/#", "inbox//#", "/inbox/#"]
    refused = 0x8F if version == p.V5 else 0x80
    assert peer.subscribe([(text, 1) for text in others]) == [refused] * len(others)
    codes = peer.unsubscribe(*others)
    assert codes == ([0x11] * len(others) if version == p.V5 else [])
    send(clients, who("alice"), bob.upper(), b"for BOB")
    send(clients, who("alice"), bob, b"for bob")
    assert peer.payloads() == [b"for bob"]


def test_unsubscribe_completes_what_was_begun(clients, who, version):
    """MQTT-3.10.4-2, -3: after UNSUBACK nothing new comes; what was sent can still be acknowledged,
    and then does not come again."""
    alice, bob = who("alice"), who("bob")
    peer = clients.persistent(bob, version=version)
    peer.subscribe()
    send(clients, alice, bob, b"1", b"2")
    held = peer.receive(2, ack=False)
    peer.unsubscribe("inbox/#")
    send(clients, alice, bob, b"3")
    peer.ack(*held)
    peer.settle(who("sink"))
    peer.quiet()
    peer.cut()
    peer = clients.persistent(bob, version=version)
    peer.quiet()
    peer.subscribe()
    assert peer.payloads() == [b"3"]


def test_unsubscribe_and_a_lost_connection(clients, who, version):
    """The same when the connection is lost before the acknowledgement: what was sent comes again with
    the next connection (MQTT-4.4.0-1), and nothing that came later does."""
    bob = who("bob")
    peer = clients.persistent(bob, version=version)
    peer.subscribe()
    send(clients, who("alice"), bob, b"1", b"2")
    peer.receive(2, ack=False)
    peer.unsubscribe("inbox/#")
    send(clients, who("alice"), bob, b"3")
    peer.cut()
    peer = clients.persistent(bob, version=version)
    assert peer.connack.session_present
    again = peer.receive(2)
    assert [(message.payload, message.dup) for message in again] == [(b"1", True), (b"2", True)]
    peer.settle(who("sink"))
    peer.quiet()
    peer.cut()
    peer = clients.persistent(bob, version=version)
    peer.quiet()
    peer.subscribe()
    assert peer.payloads() == [b"3"]
