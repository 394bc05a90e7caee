"""The Will: said for a client that can't say it any more (guide, Connecting)."""
import time

import pytest

from support import packets as p
from support.proxy import Proxy

# "Not published" is checked by what follows it: a sentinel that the same person sends afterwards.
SENTINEL = b"sentinel"


def will_to(user, payload=b"gone", **how):
    return p.Will(f"to/u/{user}", payload, **how)


def expect_no_will(clients, alice, receiver):
    assert clients.peer(alice, "other").publish(f"to/u/{receiver.user}", SENTINEL) == 0
    assert receiver.payloads() == [SENTINEL]
    receiver.quiet()   # nor does it come later


def lose(peer, way):
    """Ends a connection in one of the ways that are not a proper goodbye."""
    if way == "reset":
        peer.cut()
    elif way == "closed":
        peer.close()
    elif way == "protocol-error":
        peer.send(p.packet(p.PINGRESP, 0))
        peer.end()
    elif way == "disconnect-with-will":
        peer.disconnect(0x04)


@pytest.mark.parametrize("way", ["reset", "closed", "protocol-error"])
def test_will_when_the_connection_is_lost(clients, who, version, way):
    """MQTT-3.1.2-8: reset, closed without DISCONNECT, or closed by the server for an error: the
    Will is sent, as a message from the client that left it."""
    alice, bob = who("alice"), who("bob")
    receiver = clients.subscriber(bob)
    lose(clients.peer(alice, version=version, will=will_to(bob)), way)
    message, = receiver.receive()
    assert message.topic.startswith(f"inbox/u/{alice}/") and message.payload == b"gone"
    assert message.qos == 1


def test_disconnect_with_will(clients, who):
    """MQTT 5.0 section 3.14.2.1: DISCONNECT 0x04 asks for the Will."""
    bob = who("bob")
    receiver = clients.subscriber(bob)
    lose(clients.peer(who("alice"), will=will_to(bob)), "disconnect-with-will")
    assert receiver.payloads() == [b"gone"]


def test_no_will_after_disconnect(clients, who, version):
    """MQTT-3.14.4-3: a proper DISCONNECT takes the Will back."""
    alice, bob = who("alice"), who("bob")
    receiver = clients.subscriber(bob)
    clients.peer(alice, version=version, will=will_to(bob)).disconnect()
    expect_no_will(clients, alice, receiver)


def test_will_after_silence(clients, who, version):
    """A client whose network went away without a word: cut by keepalive, and its Will is sent."""
    bob = who("bob")
    receiver = clients.subscriber(bob)
    proxy = clients.keep(Proxy(clients.stack.port))
    clients.peer(who("alice"), version=version, keepalive=1, sock=proxy.dial(), will=will_to(bob))
    proxy.frozen.set()
    assert receiver.payloads() == [b"gone"]


def test_will_to_someone_offline(clients, who, version):
    """A QoS 1 Will is a message: it waits for its recipient."""
    bob = who("bob")
    clients.peer(who("alice"), version=version, will=will_to(bob, b"\0\xff")).cut()
    assert clients.subscriber(bob).payloads() == [b"\0\xff"]


def test_will_with_qos_0(clients, who, version):
    """A QoS 0 Will is a signal."""
    alice, bob = who("alice"), who("bob")
    receiver = clients.subscriber(bob)
    clients.peer(alice, version=version, will=will_to(bob, qos=0)).cut()
    message, = receiver.receive()
    assert (message.topic, message.payload) == (f"inbox/live/u/{alice}", b"gone")


def test_will_carries_properties_and_key(clients, who):
    """What a message can carry, a Will can; its KEY makes it one message however often it is
    left."""
    alice, bob = who("alice"), who("bob")
    receiver = clients.subscriber(bob)
    will = p.Will(f"to/u/{bob}/bye", b"gone", props=(
        (p.CONTENT_TYPE, "text/plain"), (p.USER_PROPERTY, ("b", "1")), (p.MESSAGE_EXPIRY, 100),
        (p.USER_PROPERTY, ("a", "2"))))
    for _ in range(2):
        clients.peer(alice, will=will).cut()
    message, = receiver.receive()
    assert message.prop(p.CONTENT_TYPE) == "text/plain"
    assert message.user_properties() == [("b", "1"), ("a", "2")]
    assert 0 < message.prop(p.MESSAGE_EXPIRY) <= 100
    expect_no_will(clients, alice, receiver)


def delayed(bob, seconds):
    return will_to(bob, props=((p.WILL_DELAY, seconds),))


def test_will_delay(clients, who):
    """MQTT-3.1.3-9: the Will waits for its Will Delay Interval."""
    bob = who("bob")
    receiver = clients.subscriber(bob)
    peer = clients.persistent(who("alice"), will=delayed(bob, 2))
    started = time.monotonic()
    peer.cut()
    message, = receiver.receive()
    assert message.payload == b"gone"
    assert 1.8 <= message.at - started < 8


def test_will_delay_ends_with_the_session(clients, who):
    """MQTT-3.1.2-8: a session that ends with its connection does not wait for the delay."""
    bob = who("bob")
    receiver = clients.subscriber(bob)
    clients.peer(who("alice"), will=delayed(bob, 3600)).cut()
    assert receiver.payloads() == [b"gone"]


@pytest.mark.parametrize("connector", [0, 1], ids=["same-connector", "other-connector"])
def test_reconnect_in_time_cancels_the_will(clients, who, connector):
    """MQTT-3.1.3-9: a connection to the session before the delay has passed takes the Will back,
    on whichever connector."""
    alice, bob = who("alice"), who("bob")
    receiver = clients.subscriber(bob)
    first = clients.persistent(alice, connector=0, will=delayed(bob, 3))
    sock = clients.stack.dial(connector)   # in advance: finding the connector takes its time
    started = time.monotonic()
    first.cut()
    back = clients.persistent(alice, sock=sock)
    assert time.monotonic() - started < 3, "this machine is too slow to be in time"
    assert back.connack.session_present
    # Another Will with the same delay, left later, tells when the first one would have come.
    carol = who("carol")
    clients.persistent(carol, will=will_to(bob, b"carol is gone", props=((p.WILL_DELAY, 3),))).cut()
    assert receiver.payloads() == [b"carol is gone"]


def test_clean_start_sends_the_will(clients, who):
    """MQTT 5.0 section 3.1.3.2.2: a new connection with Clean Start ends the session, so a Will
    that still waits for its delay is sent."""
    alice, bob = who("alice"), who("bob")
    receiver = clients.subscriber(bob)
    clients.persistent(alice, will=delayed(bob, 3600)).cut()
    clients.peer(alice)
    assert receiver.payloads() == [b"gone"]


@pytest.mark.parametrize("connector", [0, 1], ids=["same-connector", "other-connector"])
def test_takeover_sends_the_will(clients, who, version, connector):
    """MQTT 5.0 section 3.1.2.5: a connection that was taken over was not closed by DISCONNECT; a
    Will without delay is sent."""
    alice, bob = who("alice"), who("bob")
    receiver = clients.subscriber(bob)
    clients.persistent(alice, version=version, connector=0, will=will_to(bob))
    clients.persistent(alice, version=version, connector=connector)
    assert receiver.payloads() == [b"gone"]


@pytest.mark.parametrize("topic", ["foo", "inbox/u/x/y", "to/u/", "to/u/a b", "me/state", "send",
                                   "$SYS/x"])
def test_will_on_a_forbidden_topic(clients, who, version, topic):
    """Guide, Connecting: a Will on a topic that the client may not publish to: 5 / 0x90."""
    peer = clients.raw(who("mallory"), version=version)
    assert peer.connect(will=p.Will(topic)).reason == (0x90 if version == p.V5 else 5)
    assert peer.end() == []


@pytest.mark.parametrize("how,reason", [({"qos": 2}, 0x9B), ({"retain": True}, 0x9A)], ids=str)
def test_will_beyond_the_servers_abilities(clients, who, how, reason):
    """MQTT-3.2.2-12, -13: Will QoS 2 and Will Retain are refused as announced."""
    peer = clients.raw(who("mallory"))
    assert peer.connect(will=will_to(who("bob"), **how)).reason == reason
    assert peer.end() == []


def test_will_retain_in_3_1_1(clients, who):
    """3.1.1: the RETAIN flag is ignored, of a Will too."""
    bob = who("bob")
    clients.peer(who("alice"), version=4, will=will_to(bob, retain=True)).cut()
    message, = clients.subscriber(bob).receive()
    assert (message.payload, message.retain) == (b"gone", False)


@pytest.mark.parametrize("delay_s", [0, 2])
def test_will_after_the_connector_was_killed(own_clients, own_stack, who, delay_s):
    """kill -9 of the connector: the broker sends the Wills of all its connections."""
    bob = who("bob")
    receiver = own_clients.subscriber(bob, connector=1)
    own_clients.persistent(who("alice"), connector=0, will=delayed(bob, delay_s))
    own_stack.kill("connector", 0)
    assert receiver.payloads() == [b"gone"]
    receiver.quiet()


@pytest.mark.parametrize("moment", ["before", "during-the-delay"])
def test_will_after_the_broker_was_killed(own_clients, own_stack, who, moment):
    """kill -9 of the broker: the connector knows the Will and announces it; it is sent once."""
    bob = who("bob")
    receiver = own_clients.persistent(bob)
    receiver.subscribe()
    peer = own_clients.persistent(who("alice"), will=delayed(bob, 3))
    if moment == "during-the-delay":
        peer.cut()
        receiver.settle(who("sink"))
    own_stack.kill("broker")
    own_stack.start("broker")
    if moment == "before":
        peer.cut()
    assert receiver.payloads(timeout_s=30) == [b"gone"]
    receiver.quiet()
