"""Flow control, packet sizes, heartbeats, and that one slow client is only its own problem (I7)."""
import signal
import time

import pytest

from support import packets as p
from support.waiting import QUIET_S, wait_until


def fill(clients, sender, recipient, payloads):
    peer = clients.peer(sender, "filler")
    pids = [peer.post(f"to/u/{recipient}", payload) for payload in payloads]
    for pid in pids:
        assert peer.take(p.PUBACK, pid=pid).reason == 0


@pytest.mark.parametrize("maximum", [1, 3, 16])
def test_receive_maximum_of_the_client(clients, who, maximum):
    """MQTT-3.3.4-9: never more unacknowledged at once than the client's Receive Maximum; each
    PUBACK lets one more through."""
    bob = who("bob")
    fill(clients, who("alice"), bob, [b"%d" % number for number in range(maximum + 5)])
    peer = clients.peer(bob, props=[(p.RECEIVE_MAXIMUM, maximum)])
    peer.subscribe()
    held = peer.receive(maximum, ack=False)
    peer.quiet()
    for number in range(5):
        peer.ack(held.pop(0))
        held += peer.receive(1, ack=False)
        assert held[-1].payload == b"%d" % (maximum + number)
        if number == 0:
            peer.quiet()


def test_window_of_the_server(clients, who, version):
    """Guide, Receiving: a client that names no Receive Maximum still has no more unacknowledged
    than the server's window (I7), and acknowledging opens it again."""
    bob, count = who("bob"), 2000
    sender = clients.peer(who("alice"), "filler")
    for start in range(0, count, 100):
        pids = [sender.post(f"to/u/{bob}", b"%d" % number) for number in range(start, start + 100)]
        for pid in pids:
            assert sender.take(p.PUBACK, pid=pid).reason == 0
    peer = clients.subscriber(bob, version=version)
    held = peer.receive(1, ack=False)
    while True:
        try:
            held.append(peer.read(2 * QUIET_S))
        except TimeoutError:
            break
    assert 16 <= len(held) < count
    peer.ack(*held)
    rest = peer.payloads(count - len(held))
    assert [m.payload for m in held] + rest == [b"%d" % number for number in range(count)]


def test_maximum_packet_size_of_the_client(clients, who):
    """Guide, Receiving: a message too large for the client is skipped, and later ones arrive; the
    person's other device gets it."""
    bob = who("bob")
    large = [b"L" * 10_000, b"M" * 100_000]
    fill(clients, who("alice"), bob, [b"1", large[0], b"2", large[1], b"3"])
    peer = clients.peer(bob, "watch", props=[(p.MAXIMUM_PACKET_SIZE, 300)])
    tablet = clients.subscriber(bob, "tablet", version=4)
    peer.subscribe()
    got = peer.receive(3)
    assert [message.payload for message in got] == [b"1", b"2", b"3"]
    assert max(message.size for message in got) <= 300
    assert tablet.payloads(5) == [b"1", large[0], b"2", large[1], b"3"]


def test_maximum_packet_size_exactly(clients, who):
    """A PUBLISH of exactly the client's Maximum Packet Size is delivered, one byte more is not
    (MQTT-3.1.2-24)."""
    bob, alice = who("bob"), who("alice")
    fill(clients, alice, bob, [b"x" * 100])
    probe = clients.subscriber(bob, "probe")
    size = probe.receive(ack=False)[0].size
    fill(clients, alice, bob, [b"y" * 101, b"z" * 100])
    peer = clients.peer(bob, "watch", props=[(p.MAXIMUM_PACKET_SIZE, size)])
    peer.subscribe()
    assert peer.payloads(2) == [b"x" * 100, b"z" * 100]


def test_nothing_but_too_large_messages(clients, who):
    """Nothing gets stuck (I2): a window full of messages that are all too large does not stop the
    inbox behind it."""
    bob = who("bob")
    fill(clients, who("alice"), bob, [b"L" * 1000] * 50 + [b"small"])
    peer = clients.peer(bob, props=[(p.MAXIMUM_PACKET_SIZE, 200), (p.RECEIVE_MAXIMUM, 2)])
    peer.subscribe()
    assert peer.payloads() == [b"small"]


def test_keep_alive(clients, who, version):
    """Guide, Connecting: silence for 1.5 times the interval ends the connection (MQTT 5: 0x8D); a
    client that pings stays."""
    silent, talks = (clients.peer(who(name), version=version, keepalive=1)
                     for name in ("silent", "talks"))
    started = time.monotonic()

    def cut():
        talks.ping()
        try:
            silent.pending.append(silent.read(0.2))
        except TimeoutError:
            return False
        except Exception:   # noqa: BLE001  Closed: what is waited for
            return True
        return False

    wait_until(cut, "the silent client is cut")
    assert 1.4 <= time.monotonic() - started < 5
    assert [packet.reason for packet in silent.pending] == ([0x8D] if version == p.V5 else [])
    assert talks.alive()


def test_any_packet_is_a_heartbeat(clients, who):
    """MQTT-3.1.2-22: any packet counts, not only PINGREQ."""
    alice, bob = who("alice"), who("bob")
    receiver = clients.subscriber(bob, keepalive=1)
    sender = clients.peer(alice, keepalive=1)
    until = time.monotonic() + 3.5
    while time.monotonic() < until:
        assert sender.publish(f"to/u/{bob}", b"x") == 0
        receiver.receive()
        wait_until(lambda: time.monotonic() % 0.5 < 0.1, "the next half second", poll_s=0.05)
    assert sender.alive() and receiver.alive()


def test_server_keep_alive(clients, who):
    """Guide, Connecting: keep alive 0, or above the configured maximum, is answered with Server
    Keep Alive, which then holds."""
    door = clients.connector("mqtt.max_keep_alive_s=1")
    for asked in (0, 2, 65535):
        peer = clients.peer(who("bob"), f"d{asked}", sock=door.dial(), keepalive=asked)
        assert peer.connack.prop(p.SERVER_KEEP_ALIVE) == 1
    within = clients.peer(who("bob"), "within", sock=door.dial(), keepalive=1)
    assert within.connack.prop(p.SERVER_KEEP_ALIVE) is None
    assert [packet.reason for packet in peer.end()] == [0x8D]


def test_frozen_client_delays_nobody(clients, who):
    """A slow reader slows only what depends on it (I7): a stopped mosquitto_sub with megabytes
    waiting for it does not delay others, and gets everything in order when it wakes."""
    bob, carol = who("bob"), who("carol")
    frozen = clients.mosquitto_sub(bob, "phone", "-d", "-F", "%p").subscribed()
    other = clients.subscriber(carol)
    sender = clients.peer(who("alice"))
    frozen.signal(signal.SIGSTOP)
    latencies = []
    try:
        # 8 MiB: above every socket buffer and queue limit on the way to one client.
        for number in range(400):
            text = b"%05d" % number + b"x" * 20_000
            pid = sender.post(f"to/u/{bob}", text)
            if number % 10 == 0:
                started = time.monotonic()
                assert sender.publish(f"to/u/{carol}", b"%d" % number) == 0
                assert other.payloads() == [b"%d" % number]
                latencies.append(time.monotonic() - started)
            assert sender.take(p.PUBACK, pid=pid).reason == 0
    finally:
        frozen.signal(signal.SIGCONT)
    # An order of magnitude above what is seen on a busy machine, and far below a stall.
    assert max(latencies) < 3 and sorted(latencies)[len(latencies) // 2] < 0.5, latencies
    wanted = ["%05d" % number for number in range(400)]

    def numbers():
        return [text[:5] for text in frozen.texts() if text[5:6] == "x" and text[:5].isdigit()]

    wait_until(lambda: numbers() and numbers()[-1] == wanted[-1], "everything after SIGCONT", 30)
    assert list(dict.fromkeys(numbers())) == wanted


def test_ten_clients_that_never_read(clients, who):
    """The same with clients whose sockets stay full for the whole test: the sender's PUBACKs and a
    bystander's messages keep coming."""
    stuck = [clients.subscriber(who(f"stuck{index}")) for index in range(10)]
    other = clients.subscriber(who("carol"))
    sender = clients.peer(who("alice"))
    for number in range(60):
        for peer in stuck:
            assert sender.publish(f"to/u/{peer.user}", b"x" * 50_000) == 0
        assert sender.publish(f"to/u/{other.user}", b"%d" % number) == 0
        assert other.payloads(timeout_s=3) == [b"%d" % number]


def test_properties_of_a_message(clients, who):
    """Guide, Errors: 0x97 for more user properties than 256, or more bytes of properties than
    32 KiB; up to that all are carried."""
    door = clients.connector()
    sender = clients.peer(who("alice"), "desk", sock=door.dial())
    receiver = clients.subscriber(who("bob"))
    topic = f"to/u/{receiver.user}"
    most = [(p.USER_PROPERTY, (str(number), "x")) for number in range(256)]
    long = [(p.USER_PROPERTY, ("name", "x" * (32768 - 9)))]
    assert sender.publish(topic, b"most", props=most) == 0
    assert sender.publish(topic, b"one more", props=most + most[:1]) == 0x97
    assert sender.publish(topic, b"long", props=long) == 0
    assert sender.publish(topic, b"longer", props=long + [(p.PAYLOAD_FORMAT, 0)]) == 0x97
    sender.post(topic, b"signal", qos=0, props=most + most[:1])
    assert sender.publish(topic, b"end") == 0
    got = receiver.receive(3)
    assert [message.payload for message in got] == [b"most", b"long", b"end"]
    assert got[0].user_properties() == [pair for _, pair in most]
    assert door.counters()["limited_properties"] == 3
    line = next(line for line in door.log().splitlines() if "bytes of properties" in line)
    assert "client=desk" in line and who("alice") in line


def test_size_of_a_will(clients, who, version):
    """Guide, Errors: a Will above 8 KiB is refused with 5 / 0x95; one of exactly that is kept."""
    door = clients.connector()
    largest = p.Will(f"to/u/{who('bob')}", b"x" * 8192)
    larger = p.Will(f"to/u/{who('bob')}", b"x" * 8193)
    refused = clients.raw(who("alice"), version=version, sock=door.dial())
    assert refused.connect(will=larger).reason == (0x95 if version == p.V5 else 5)
    receiver = clients.subscriber(who("bob"))
    clients.peer(who("alice"), version=version, sock=door.dial(), will=largest).cut()
    assert receiver.payloads() == [largest.payload]
    assert door.counters()["limited_wills"] == 1
    assert any("a Will of 8193 bytes" in line and who("alice") in line
               for line in door.log().splitlines())
