"""Conformance: PUBLISH, PUBACK, flow control. docs/mqtt-conformance.md names the statements."""
from support import packets as p


def test_dup_is_not_passed_on(clients, who, version):
    """MQTT-3.3.1-3: the DUP of what came in says nothing about what goes out."""
    bob = who("bob")
    receiver = clients.subscriber(bob, version=version)
    assert clients.peer(who("alice"), version=version).publish(f"to/u/{bob}", b"x", dup=True) == 0
    message, = receiver.receive()
    assert (message.payload, message.dup) == (b"x", False)


def test_puback_has_the_identifier_of_the_publish(clients, who, version):
    """MQTT-2.2.1-5 (3.1.1: MQTT-2.3.1-6): whichever identifier, in the order of the PUBLISHes."""
    pids = [1, 65_535, 32_768, 2, 256, 255]
    peer = clients.peer(who("alice"), version=version)
    peer.send(b"".join(p.publish(version, f"to/u/{who('bob')}", b"x", pid=pid) for pid in pids))
    assert [peer.take(p.PUBACK).pid for _ in pids] == pids


def test_an_acknowledged_identifier_is_free(clients, who, version):
    """MQTT-4.3.2-5 (3.1.1: MQTT-4.3.2-2): after PUBACK the same identifier names a new message,
    also with DUP set, also with the same content."""
    bob = who("bob")
    peer = clients.peer(who("alice"), version=version)
    for dup in (False, False, True, True):
        assert peer.publish(f"to/u/{bob}", b"same", pid=5, dup=dup) == 0
    receiver = clients.subscriber(bob, version=version)
    got = receiver.receive(4)
    assert len({message.topic for message in got}) == 4
    receiver.quiet()


def test_identifiers_of_the_server(clients, who, version):
    """MQTT-2.2.1-4 (3.1.1: MQTT-2.3.1-4, MQTT-4.3.2-1): what is in flight has identifiers of its
    own, none 0, with DUP 0 at its first sending; a QoS 0 PUBLISH has none."""
    bob, count = who("bob"), 40
    sender = clients.peer(who("alice"))
    receiver = clients.subscriber(bob, version=version)
    for number in range(count):
        assert sender.publish(f"to/u/{bob}", b"%d" % number) == 0
    sender.post(f"to/u/{bob}", b"signal", qos=0)
    got = receiver.receive(count + 1, ack=False)
    stored = [message for message in got if message.qos]
    assert len({message.pid for message in stored}) == count and 0 not in {m.pid for m in stored}
    assert not any(message.dup for message in got)
    assert [message.pid for message in got if not message.qos] == [0]


def test_own_identifiers_do_not_meet_the_servers(clients, who):
    """Each side numbers for itself: a client may use the identifier of what it is being sent."""
    alice = who("alice")
    peer = clients.subscriber(alice)
    assert clients.peer(alice, "other").publish(f"to/u/{alice}", b"1") == 0
    held, = peer.receive(ack=False)
    assert peer.publish(f"to/u/{alice}", b"2", pid=held.pid) == 0
    assert peer.payloads() == [b"2"]
    peer.ack(held)
    peer.settle(who("sink"))
    peer.cut()
    clients.subscriber(alice).quiet()


def test_a_full_window_holds_up_nothing_else(clients, who):
    """MQTT-4.9.0-3, MQTT-3.3.4-10: with the client's Receive Maximum used up PINGREQ, SUBSCRIBE,
    UNSUBSCRIBE and PUBLISH are answered, and QoS 0 is delivered: the limit is for QoS 1 alone."""
    bob = who("bob")
    sender = clients.peer(who("alice"))
    receiver = clients.peer(bob, props=[(p.RECEIVE_MAXIMUM, 1)])
    receiver.subscribe()
    assert [sender.publish(f"to/u/{bob}", payload) for payload in (b"1", b"2")] == [0, 0]
    held, = receiver.receive(ack=False)
    assert held.payload == b"1"
    receiver.ping()
    assert receiver.subscribe() == [1]
    assert receiver.unsubscribe("no/such") == [0x11]
    assert receiver.publish(f"to/u/{who('sink')}", b"x") == 0
    sender.post(f"to/u/{bob}", b"signal", qos=0)
    message, = receiver.receive()
    assert (message.payload, message.qos) == (b"signal", 0)
    receiver.quiet()
    receiver.ack(held)
    assert receiver.payloads() == [b"2"]


def test_receive_maximum_of_a_resumed_session(clients, who):
    """MQTT-3.3.4-9, MQTT-4.4.0-1: what is sent again keeps to the new connection's Receive Maximum,
    in order, with its identifiers and DUP."""
    bob = who("bob")
    sender = clients.peer(who("alice"))
    receiver = clients.persistent(bob)
    receiver.subscribe()
    for number in range(5):
        assert sender.publish(f"to/u/{bob}", b"%d" % number) == 0
    first = receiver.receive(5, ack=False)
    receiver.cut()
    receiver = clients.persistent(bob, props=[(p.RECEIVE_MAXIMUM, 2)])
    held, again = receiver.receive(2, ack=False), []
    receiver.quiet()
    while held:
        again.append(held.pop(0))
        receiver.ack(again[-1])
        if len(again) + len(held) < 5:
            held += receiver.receive(1, ack=False)
    assert [(m.pid, m.payload, m.dup) for m in again] == [(m.pid, m.payload, True) for m in first]


def test_receive_maximum_of_messages_and_notifications(clients, who):
    """MQTT-3.3.4-9: both together keep to it: with a notification unacknowledged, coming to the
    foreground brings the message only when that was acknowledged."""
    bob = who("bob")
    sender = clients.peer(who("alice"))
    receiver = clients.subscriber(bob, props=[(p.RECEIVE_MAXIMUM, 1)])
    assert receiver.publish("me/state", b"background") == 0
    receiver.settle(who("sink"))
    text = b"x" * 5000   # too long for a notification to carry
    assert sender.publish(f"to/u/{bob}", text) == 0
    notification, = receiver.receive(ack=False)
    assert notification.topic.startswith("inbox/notify/")
    assert receiver.publish("me/state", b"foreground") == 0
    receiver.settle(who("sink"))
    receiver.quiet()
    receiver.ack(notification)
    assert receiver.payloads() == [text]


def test_a_refusal_acknowledges(clients, who):
    """MQTT-4.4.0-2: a PUBACK of 0x80 or above settles the message as any other: it frees the
    window, and the message does not come again."""
    bob, reasons = who("bob"), (0x80, 0x83, 0x87, 0x90, 0x97, 0x99, 0x10)
    sender = clients.peer(who("alice"))
    for reason in reasons:
        assert sender.publish(f"to/u/{bob}", b"%d" % reason) == 0
    receiver = clients.peer(bob, clean=False, session_expiry_s=60, props=[(p.RECEIVE_MAXIMUM, 1)])
    receiver.subscribe()
    props = p.properties([(p.REASON_STRING, "no"), (p.USER_PROPERTY, ("a", "b"))])
    for reason in reasons:
        message, = receiver.receive(ack=False)
        assert message.payload == b"%d" % reason
        pid = message.pid.to_bytes(2, "big")
        receiver.send(p.packet(p.PUBACK, 0, pid + bytes([reason]) + props))
    receiver.settle(who("sink"))
    receiver.cut()
    receiver = clients.persistent(bob)
    assert receiver.connack.session_present
    receiver.quiet()


def test_an_acknowledgement_of_nothing(clients, who, version):
    """A PUBACK for what is not in flight changes nothing."""
    bob = who("bob")
    receiver = clients.subscriber(bob, version=version)
    assert clients.peer(who("alice")).publish(f"to/u/{bob}", b"x") == 0
    message, = receiver.receive(ack=False)
    receiver.send(b"".join(p.puback(pid) for pid in range(1, 65_536, 97) if pid != message.pid))
    receiver.ping()
    receiver.settle(who("sink"))
    receiver.cut()
    assert clients.subscriber(bob, version=version).payloads() == [b"x"]


def test_no_topic_alias_is_sent(clients, who):
    """MQTT-3.1.2-26, -27, MQTT-3.3.2-11: the server uses no Topic Alias, whatever the client would
    take (the strict reader refuses one): each PUBLISH names its topic."""
    bob = who("bob")
    sender = clients.peer(who("alice"))
    for maximum in (None, 0, 10):
        props = [] if maximum is None else [(p.TOPIC_ALIAS_MAXIMUM, maximum)]
        receiver = clients.subscriber(bob, props=props)
        for _ in range(2):
            assert sender.publish(f"to/u/{bob}", b"x") == 0
            message, = receiver.receive()
            assert message.topic.startswith("inbox/u/")
        receiver.settle(who("sink"))


def test_topic_matches_the_filter(clients, who, version):
    """MQTT-3.3.2-3: whatever comes, comes on a topic that inbox/# matches."""
    alice, bob = who("alice"), who("bob")
    devices = [clients.subscriber(alice, name, version=version) for name in ("phone", "tablet")]
    assert devices[0].publish(f"to/u/{bob}", b"copy") == 0
    other = clients.peer(bob, version=version)
    other.post(f"to/u/{alice}", b"signal", qos=0)
    assert other.publish(f"to/u/{alice}", b"message") == 0
    got = devices[1].receive(3)
    assert {message.payload for message in got} == {b"copy", b"signal", b"message"}
    assert all(message.topic.startswith("inbox/") for message in got)


def test_reason_string_of_puback(clients, who):
    """MQTT-3.4.2-2: a refused publish says why, unless that would exceed the client's Maximum
    Packet Size: then PUBACK has its reason code alone."""
    for limit, told in ((256, True), (30, False)):
        peer = clients.peer(who("alice"), props=[(p.MAXIMUM_PACKET_SIZE, limit)])
        answer = peer.take(p.PUBACK, pid=peer.post("to/u/a b", b""))
        assert answer.reason == 0x90 and bool(answer.props) == told


def test_reason_string_of_disconnect(clients, who):
    """MQTT-3.14.2-3: the same for DISCONNECT."""
    for limit, told in ((256, True), (30, False)):
        peer = clients.peer(who("alice"), props=[(p.MAXIMUM_PACKET_SIZE, limit)])
        peer.send(p.packet(p.PINGREQ, 1))
        goodbye, = peer.end()
        assert goodbye.reason == 0x81 and bool(goodbye.prop(p.REASON_STRING)) == told


def test_qos_2_in_3_1_1(clients, who):
    """3.1.1 can't be told that there is no QoS 2: the connection is closed, nothing is sent."""
    bob = who("bob")
    receiver = clients.subscriber(bob)
    peer = clients.peer(who("alice"), version=p.V311)
    peer.post(f"to/u/{bob}", b"x", qos=2)
    assert peer.end() == []
    receiver.quiet()
