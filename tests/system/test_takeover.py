"""The same device connecting again: the newer connection wins, wherever the older one is."""
import pytest

from support import packets as p
from support.proxy import Proxy

PLACES = pytest.mark.parametrize("connector", [0, 1], ids=["same-connector", "other-connector"])


def taken_over(older):
    """What the older connection saw: DISCONNECT 0x8E (MQTT 5) or nothing, then its end."""
    seen = older.end()
    if older.version == p.V5:
        assert [(packet.kind, packet.reason) for packet in seen] == [(p.DISCONNECT, 0x8E)]
    else:
        assert seen == []


@PLACES
@pytest.mark.parametrize("newer_version", [4, 5], ids=["by-v3.1.1", "by-v5"])
def test_takeover(clients, who, version, newer_version, connector):
    """Guide, Connecting: the same device connecting again takes over; its older socket gets
    DISCONNECT 0x8E (MQTT 5) and is closed, and only the newer one gets messages."""
    bob = who("bob")
    older = clients.subscriber(bob, version=version, connector=0)
    newer = clients.subscriber(bob, version=newer_version, connector=connector)
    assert clients.peer(who("alice")).publish(f"to/u/{bob}", b"for the newer") == 0
    assert newer.payloads() == [b"for the newer"]
    taken_over(older)


@PLACES
def test_takeover_of_a_persistent_session(clients, who, version, connector):
    """The session moves with the device: what the older connection had not acknowledged comes
    again with its packet identifier and DUP."""
    bob = who("bob")
    older = clients.persistent(bob, version=version, connector=0)
    older.subscribe()
    sender = clients.peer(who("alice"))
    for payload in (b"1", b"2"):
        assert sender.publish(f"to/u/{bob}", payload) == 0
    first = older.receive(2, ack=False)
    newer = clients.persistent(bob, version=version, connector=connector)
    assert newer.connack.session_present
    again = newer.receive(2)
    assert [(m.topic, m.pid, m.dup) for m in again] == [(m.topic, m.pid, True) for m in first]
    taken_over(older)


def test_takeover_chain(clients, who):
    """However often and wherever a device connects, exactly the last connection remains."""
    bob = who("bob")
    peers = [clients.persistent(bob, connector=index % 2) for index in range(12)]
    peers[-1].subscribe()
    for older in peers[:-1]:
        taken_over(older)
    assert clients.peer(who("alice")).publish(f"to/u/{bob}", b"x") == 0
    assert peers[-1].payloads() == [b"x"]


def test_takeover_of_a_ghost(clients, who):
    """Stale never wins (I9): the older connection's network has stopped answering. The newer one is
    served at once; what the ghost says later changes nothing."""
    bob = who("bob")
    proxy = clients.keep(Proxy(clients.stack.port))
    ghost = clients.persistent(bob, sock=proxy.dial())
    ghost.subscribe()
    sender = clients.peer(who("alice"))
    assert sender.publish(f"to/u/{bob}", b"1") == 0
    held, = ghost.receive(ack=False)
    proxy.frozen.set()
    newer = clients.persistent(bob)
    assert newer.connack.session_present
    again, = newer.receive(ack=False)
    assert (again.topic, again.dup) == (held.topic, True)
    ghost.ack(held)
    proxy.frozen.clear()
    taken_over(ghost)
    # The ghost's acknowledgement did not move the newer connection's cursor.
    newer.cut()
    once_more, = clients.persistent(bob).receive()
    assert once_more.topic == held.topic


def test_other_devices_are_left_alone(clients, who):
    """A takeover concerns one device of one person."""
    bob, carol = who("bob"), who("carol")
    others = [clients.subscriber(bob, "tablet"), clients.subscriber(carol, "phone")]
    older = clients.subscriber(bob, "phone")
    clients.subscriber(bob, "phone")
    taken_over(older)
    assert all(peer.alive() for peer in others)
