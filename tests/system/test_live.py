"""QoS 0: signals, now or never, and taps (guide, Sending and Receiving)."""
from support import packets as p


def test_signal(clients, who, version):
    """Guide, Sending: QoS 0 arrives on inbox/live/u/FROM with QoS 0 at every device that is in the
    foreground, payload as sent."""
    alice, bob = who("alice"), who("bob")
    devices = [clients.subscriber(bob, "phone", version=version),
               clients.subscriber(bob, "tablet", version=version)]
    sender = clients.peer(alice, version=version)
    for payload in (b"typing", b"", bytes(range(256))):
        sender.post(f"to/u/{bob}", payload, qos=0)
    for device in devices:
        got = device.receive(3)
        assert [m.payload for m in got] == [b"typing", b"", bytes(range(256))]
        assert {m.topic for m in got} == {f"inbox/live/u/{alice}"}
        assert {(m.qos, m.pid, m.dup) for m in got} == {(0, 0, False)}


def test_signal_carries_properties(clients, who):
    """What a message carries, a signal carries."""
    bob = who("bob")
    receiver, sender = clients.subscriber(bob), clients.peer(who("alice"))
    props = [(p.USER_PROPERTY, ("b", "1")), (p.CONTENT_TYPE, "x/y"), (p.USER_PROPERTY, ("a", "2"))]
    sender.post(f"to/u/{bob}", b"s", qos=0, props=props)
    signal, = receiver.receive()
    assert signal.user_properties() == [("b", "1"), ("a", "2")]
    assert signal.prop(p.CONTENT_TYPE) == "x/y"


def test_signals_are_never_stored(clients, who):
    """A device that connects later gets the messages and no signal."""
    bob, sender = who("bob"), clients.peer(who("alice"))
    sender.post(f"to/u/{bob}", b"signal", qos=0)
    assert sender.publish(f"to/u/{bob}", b"message") == 0
    sender.post(f"to/u/{bob}", b"signal", qos=0)
    assert sender.publish(f"to/u/{bob}", b"message 2") == 0
    peer = clients.subscriber(bob)
    assert peer.payloads(2) == [b"message", b"message 2"]
    peer.quiet()


def signals_seen(clients, who, receiver, sender):
    """Sends "hidden", brings the receiver to the foreground, sends "shown": what it got of them."""
    sender.post(f"to/u/{receiver.user}", b"hidden", qos=0)
    sender.settle(who("sink"))   # the broker is through with "hidden"
    assert receiver.publish("me/state", b"foreground") == 0
    receiver.settle(who("sink"))
    sender.post(f"to/u/{receiver.user}", b"shown", qos=0)
    got = receiver.payloads()
    while got[-1] != b"shown":
        got += receiver.payloads()
    return got


def test_signals_reach_only_the_foreground(clients, who, version):
    """me/state: a device in the background gets no signals, back in the foreground it does."""
    bob = who("bob")
    receiver, sender = clients.subscriber(bob, version=version), clients.peer(who("alice"))
    for state in (b"background", b"background 60"):
        assert receiver.publish("me/state", state) == 0
        receiver.settle(who("sink"))
        assert signals_seen(clients, who, receiver, sender) == [b"shown"]


def test_connecting_in_the_background(clients, who):
    """CONNECT with the user property `state`: the connection begins in the background."""
    bob, sender = who("bob"), clients.peer(who("alice"))
    for state in ("background", "background 60"):
        receiver = clients.subscriber(bob, props=[(p.USER_PROPERTY, ("state", state))])
        assert signals_seen(clients, who, receiver, sender) == [b"shown"]


def test_connecting_in_a_state_that_does_not_exist(clients, who):
    """A `state` that means nothing is refused, and not taken for foreground."""
    peer = clients.raw(who("bob"))
    connack = peer.connect(props=[(p.USER_PROPERTY, ("state", "asleep"))])
    assert connack.reason >= 0x80
    assert peer.end() == []


def test_signal_without_a_subscription(clients, who):
    """A client that did not subscribe to its inbox gets no signals."""
    bob, sender = who("bob"), clients.peer(who("alice"))
    other, listens = clients.peer(bob, "silent"), clients.subscriber(bob, "listens")
    sender.post(f"to/u/{bob}", b"s", qos=0)
    assert listens.payloads() == [b"s"]
    other.quiet()


def test_signals_keep_their_order(clients, who):
    """Signals of one sender arrive in order, each at most once."""
    bob, sender = who("bob"), clients.peer(who("alice"))
    receiver = clients.subscriber(bob)
    sender.send(b"".join(p.publish(5, f"to/u/{bob}", b"%d" % n, qos=0) for n in range(500)))
    numbers = [int(payload) for payload in receiver.payloads(500)]
    assert numbers == list(range(500))


def test_tap(clients, who, version):
    """Guide, Receiving: subscribed with QoS 0 a device gets new messages only, with QoS 0, and has
    no cursor: the same device with QoS 1 later gets everything."""
    alice, bob = who("alice"), who("bob")
    sender = clients.peer(alice)
    assert sender.publish(f"to/u/{bob}", b"old") == 0
    tap = clients.subscriber(bob, "tap", version=version, qos=0)
    assert sender.publish(f"to/u/{bob}", b"new") == 0
    message, = tap.receive()
    assert (message.payload, message.qos, message.pid) == (b"new", 0, 0)
    assert message.topic.startswith(f"inbox/u/{alice}/")
    tap.quiet()
    tap.disconnect()
    assert clients.subscriber(bob, "tap", version=version).payloads(2) == [b"old", b"new"]


def test_tap_beside_a_real_device(clients, who):
    """A tap takes nothing away from the person's devices, and acknowledges nothing for them."""
    bob, sender = who("bob"), clients.peer(who("alice"))
    tap, phone = clients.subscriber(bob, "tap", qos=0), clients.subscriber(bob, "phone")
    assert sender.publish(f"to/u/{bob}", b"x") == 0
    on_tap, = tap.receive()
    on_phone, = phone.receive(ack=False)
    assert on_tap.topic == on_phone.topic
    phone.cut()
    assert clients.subscriber(bob, "phone").payloads() == [b"x"]
