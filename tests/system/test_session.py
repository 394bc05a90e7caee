"""Sessions and cursors: what a device finds when it comes back, and what a new one starts with."""
import pytest

from support import packets as p
from support.waiting import let_pass


def send(clients, sender, recipient, *payloads):
    peer = clients.peer(sender, "sender")
    for payload in payloads:
        assert peer.publish(f"to/u/{recipient}", payload) == 0
    peer.disconnect()


def test_first_device_gets_all_that_waits(clients, who, version):
    """Guide, Sessions and cursors: a message to a person never seen is stored; their first device
    gets everything, oldest first."""
    alice, bob = who("alice"), who("bob")
    send(clients, alice, bob, *(b"%d" % number for number in range(20)))
    got = clients.subscriber(bob, version=version).payloads(20)
    assert got == [b"%d" % number for number in range(20)]


def test_second_device_starts_after_the_newest_acknowledged(clients, who, version):
    """Guide, Sessions and cursors: a device seen for the first time starts after the newest
    message that any device of the person has acknowledged."""
    alice, bob = who("alice"), who("bob")
    send(clients, alice, bob, b"1", b"2", b"3", b"4", b"5")
    phone = clients.subscriber(bob, "phone", version=version)
    got = phone.receive(5, ack=False)
    phone.ack(*got[:3])
    phone.settle(who("sink"))
    assert clients.subscriber(bob, "tablet", version=version).payloads(2) == [b"4", b"5"]


def test_clean_start_clears_the_subscription_not_the_inbox(clients, who, version):
    """Guide, Sessions and cursors: Clean Start ends the session and its subscription; messages
    belong to the person and are delivered from the cursor once the device subscribes again."""
    alice, bob = who("alice"), who("bob")
    phone = clients.persistent(bob, version=version)
    phone.subscribe()
    send(clients, alice, bob, b"seen")
    assert phone.payloads() == [b"seen"]
    phone.settle(who("sink"))
    phone.disconnect()
    send(clients, alice, bob, b"waits 1", b"waits 2")
    phone = clients.peer(bob, version=version)
    assert not phone.connack.session_present
    send(clients, alice, bob, b"waits 3")
    phone.quiet()
    assert phone.subscribe() == [1]
    assert phone.payloads(3) == [b"waits 1", b"waits 2", b"waits 3"]


def test_persistent_session_is_resumed(clients, who, version):
    """MQTT-3.2.2-2, -3: Session Present is 0 for a first connection and 1 for a resumed session,
    whose subscription works without SUBSCRIBE."""
    alice, bob = who("alice"), who("bob")
    phone = clients.persistent(bob, version=version)
    assert not phone.connack.session_present
    phone.subscribe()
    phone.disconnect()
    send(clients, alice, bob, b"while away")
    phone = clients.persistent(bob, version=version)
    assert phone.connack.session_present
    assert phone.payloads() == [b"while away"]
    send(clients, alice, bob, b"while here")
    assert phone.payloads() == [b"while here"]


def test_session_without_subscription_is_resumed(clients, who, version):
    """A persistent session counts from CONNACK on, subscribed or not."""
    bob = who("bob")
    clients.persistent(bob, version=version).cut()
    assert clients.persistent(bob, version=version).connack.session_present


def test_session_ends_with_the_connection(clients, who, version):
    """MQTT 5.0 section 3.1.2.11.2: Session Expiry 0 (3.1.1: clean session 1) ends the session with
    the connection. The inbox stays."""
    alice, bob = who("alice"), who("bob")
    phone = clients.subscriber(bob, version=version)
    phone.disconnect()
    phone = clients.persistent(bob, version=version)
    assert not phone.connack.session_present
    send(clients, alice, bob, b"x")
    phone.quiet()
    phone.subscribe()
    assert phone.payloads() == [b"x"]


def test_session_taken_away_by_clean_start(clients, who, version):
    """MQTT-3.1.2-4: Clean Start discards an existing session for good."""
    bob = who("bob")
    phone = clients.persistent(bob, version=version)
    phone.subscribe()
    phone.disconnect()
    clients.peer(bob, version=version).disconnect()
    assert not clients.persistent(bob, version=version).connack.session_present


def test_session_expires(clients, who):
    """MQTT 5.0 section 3.1.2.11.2: a session is gone when its Session Expiry Interval has passed;
    its messages are not."""
    alice, bob = who("alice"), who("bob")
    phone = clients.peer(bob, clean=False, session_expiry_s=1)
    phone.subscribe()
    phone.disconnect()
    send(clients, alice, bob, b"x")
    let_pass(2.5)
    phone = clients.persistent(bob)
    assert not phone.connack.session_present
    phone.subscribe()
    assert phone.payloads() == [b"x"]


def test_disconnect_overrides_the_session_expiry(clients, who):
    """MQTT 5.0 section 3.14.2.2.2: the Session Expiry Interval of DISCONNECT replaces that of
    CONNECT: 0 ends the session at once, a longer one keeps it longer."""
    bob, carol = who("bob"), who("carol")
    clients.persistent(bob).disconnect(0, [(p.SESSION_EXPIRY, 0)])
    assert not clients.persistent(bob).connack.session_present
    clients.peer(carol, clean=False, session_expiry_s=1).disconnect(0, [(p.SESSION_EXPIRY, 600)])
    let_pass(2.5)
    assert clients.persistent(carol).connack.session_present


def test_sessions_of_different_users_do_not_meet(clients, who):
    """Guide, Connecting: a device is known by (user, device id). Another user's device of the same
    name is another device, connected at the same time."""
    bob, carol = who("bob"), who("carol")
    of_bob, of_carol = clients.subscriber(bob, "phone"), clients.subscriber(carol, "phone")
    send(clients, who("alice"), bob, b"for bob")
    assert of_bob.payloads() == [b"for bob"]
    of_carol.quiet()


@pytest.mark.parametrize("connector", [0, 1], ids=["same-connector", "other-connector"])
def test_redelivery_after_a_lost_puback(clients, who, version, connector):
    """Guide, Receiving: in a resumed session, what was sent and not acknowledged comes again, in
    order, with its packet identifier and DUP, on whichever connector; what is acknowledged never
    does."""
    bob = who("bob")
    send(clients, who("alice"), bob, b"1", b"2", b"3")
    phone = clients.persistent(bob, version=version, connector=0)
    phone.subscribe()
    first = phone.receive(3, ack=False)
    assert not any(message.dup for message in first)
    phone.ack(first[0])
    phone.settle(who("sink"))
    phone.cut()
    phone = clients.persistent(bob, version=version, connector=connector)
    assert phone.connack.session_present
    again = phone.receive(2)
    assert [(m.topic, m.pid, m.payload) for m in again] == \
        [(m.topic, m.pid, m.payload) for m in first[1:]]
    assert all(message.dup for message in again)
    phone.quiet()


def test_unacknowledged_in_a_new_session(clients, who, version):
    """Guide, Receiving: without a resumed session the message comes again under its MID, but as a
    new PUBLISH: DUP is not set (MQTT-3.3.1-1)."""
    bob = who("bob")
    send(clients, who("alice"), bob, b"x")
    phone = clients.subscriber(bob, version=version)
    first, = phone.receive(ack=False)
    phone.cut()
    again, = clients.subscriber(bob, version=version).receive()
    assert (again.topic, again.dup) == (first.topic, False)


def test_acknowledged_out_of_order(clients, who):
    """MQTT 5.0 section 4.9: PUBACKs may come in any order; what is left unacknowledged comes again
    and nothing is lost."""
    bob = who("bob")
    send(clients, who("alice"), bob, *(b"%d" % number for number in range(6)))
    phone = clients.persistent(bob)
    phone.subscribe()
    first = phone.receive(6, ack=False)
    phone.ack(first[5], first[3], first[0])
    phone.settle(who("sink"))
    phone.cut()
    phone = clients.persistent(bob)
    again = phone.receive(3, ack=False)
    while len(phone.pending) < 3:   # a repeat of what was acknowledged out of order may follow
        try:
            phone.pending.append(phone.read(0.3))
        except TimeoutError:
            break
    seen = again + [packet for packet in phone.pending if packet.kind == p.PUBLISH]
    got = [message.payload for message in seen]
    assert {b"1", b"2", b"4"} <= set(got) and b"0" not in got
    assert got == sorted(got)


def test_resubscribing_repeats_nothing(clients, who, version):
    """Guide, Receiving: a message is PUBLISHed at most once a connection, however often the device
    subscribes (there is nothing retained to send again)."""
    bob = who("bob")
    phone = clients.subscriber(bob, version=version)
    send(clients, who("alice"), bob, b"1", b"2")
    got = phone.receive(2, ack=False)
    assert phone.subscribe() == [1]
    phone.quiet()
    phone.ack(*got)
    assert phone.subscribe() == [1]
    phone.quiet()


@pytest.mark.parametrize("goodbye", ["disconnect", "closed"])
def test_acknowledged_and_gone_in_one_breath(clients, who, version, goodbye):
    """Guide, Receiving: PUBACK moves the cursor, also when DISCONNECT or the end of the connection
    follows so closely that the server reads both at once. (On one connector: over two, the newer
    connection may overtake what the older one said last, which then no longer counts.)"""
    bob = who("bob")
    phone = clients.persistent(bob, version=version, connector=0)
    phone.subscribe()
    send(clients, who("alice"), bob, *(b"%d" % number for number in range(10)))
    got = phone.receive(10, ack=False)
    last = b"" if goodbye == "closed" else p.disconnect(version)
    phone.send(b"".join(p.puback(message.pid) for message in got) + last)
    phone.close()
    phone = clients.persistent(bob, version=version, connector=0)
    assert phone.connack.session_present
    send(clients, who("alice"), bob, b"next")
    message, = phone.receive()
    assert (message.payload, message.dup) == (b"next", False)


@pytest.mark.parametrize("goodbye", ["disconnect", "closed"])
def test_published_and_gone_in_one_breath(clients, who, version, goodbye):
    """The same for what a client publishes and does not wait to see acknowledged: what reached the
    server is sent."""
    bob, sender = who("bob"), clients.peer(who("alice"), version=version)
    packets = [p.publish(version, f"to/u/{bob}", b"%d" % n, pid=n + 1) for n in range(10)]
    sender.send(b"".join(packets) + (b"" if goodbye == "closed" else p.disconnect(version)))
    sender.close()
    assert clients.subscriber(bob).payloads(10) == [b"%d" % number for number in range(10)]
