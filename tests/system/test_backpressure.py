"""Back-pressure of the link between connectors and broker: a side that stands still makes the other
one wait. What is accepted arrives once and in order, memory has a bound, nobody is disconnected."""
import pathlib
import re
import select
import signal
import socket
import struct
import threading
import time

import pytest

from support import packets as p
from support.clients import Clients
from support.stack import Stack
from support.waiting import let_pass, wait_until

MIB = 1 << 20
SENDERS = 6
PAYLOAD = 4000
# More than a sender gets rid of before it waits: the buffers of two sockets (16 MiB at most on any
# kernel with default settings) and what the connector keeps.
GOAL = 40 * MIB // PAYLOAD
# Longer than any pause of a busy machine, while nothing at all moves.
STANDSTILL_S = 2.0


def rss(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) * 1024


def metrics(log, pid_signal):
    """The counters of a process, from the line it writes at SIGUSR1."""
    def line():
        lines = [text for text in log().splitlines() if "sends_blocked=" in text]
        return len(lines) > before and dict(re.findall(r"(\w+)=(\d+)", lines[-1]))

    before = log().count("sends_blocked=")
    pid_signal(signal.SIGUSR1)
    return {name: int(value) for name, value in wait_until(line, "the counters").items()}


class Flood(threading.Thread):
    """Publishes numbers to one person with QoS 1 as fast as the connection takes them, until told to
    stop, and collects PUBACKs. MQTT 5 clients keep to Receive Maximum, 3.1.1 clients to nothing."""

    def __init__(self, peer, to, goal=GOAL):
        super().__init__(daemon=True)
        self.peer, self.to, self.goal = peer, to.encode(), goal
        self.maximum = 65535
        if peer.version == p.V5:
            self.maximum = peer.connack.prop(p.RECEIVE_MAXIMUM) or 65535
        self.sent, self.acked, self.reasons = 0, 0, set()
        self.moved_at = time.monotonic()
        self.stopping = threading.Event()
        self.failure = None
        self._left, self._in = b"", bytearray()

    def _packet(self, number):
        topic = b"to/u/" + self.to
        body = struct.pack(">H", len(topic)) + topic + struct.pack(">H", number % 65535 + 1)
        body += b"\0" if self.peer.version == p.V5 else b""
        body += b"%08d" % number + b"x" * (PAYLOAD - 8)
        size, length = len(body), b""
        while size > 127:
            length += bytes([size % 128 | 128])
            size //= 128
        return b"\x32" + length + bytes([size]) + body

    def run(self):
        try:
            self.peer.sock.setblocking(False)
            while (self.sent < self.goal and not self.stopping.is_set()) or self.acked < self.sent:
                self._step()
        except Exception as error:   # noqa: BLE001  told to the test
            self.failure = error

    def _step(self):
        more = not self.stopping.is_set() and self.sent < self.goal
        if not self._left and more and self.sent - self.acked < self.maximum:
            self._left = self._packet(self.sent)
            self.sent += 1
        readable, writable, _ = select.select([self.peer.sock],
                                              [self.peer.sock] if self._left else [], [], 0.05)
        if writable:
            try:
                self._left = self._left[self.peer.sock.send(self._left):]
                self.moved_at = time.monotonic()
            except BlockingIOError:
                pass
        if readable:
            self._take(self.peer.sock.recv(65536))

    def _take(self, raw):
        if not raw:
            raise ConnectionError("the connector closed the connection")
        self._in += raw
        while len(self._in) >= 2 and len(self._in) >= 2 + self._in[1]:
            packet = bytes(self._in[:2 + self._in[1]])
            del self._in[:2 + self._in[1]]
            assert packet[0] == p.PUBACK << 4, packet
            assert struct.unpack(">H", packet[2:4])[0] == self.acked % 65535 + 1
            self.reasons.add(packet[4] if len(packet) > 4 else 0)
            self.acked += 1


@pytest.fixture(scope="module")
def patient_stack():
    """Heartbeats that let a side stand still without losing the link."""
    stack = Stack(sets=["broker:listen.heartbeat_ms=20000"])
    try:
        yield stack.up()
    finally:
        stack.destroy()


@pytest.fixture
def patient(patient_stack):
    made = Clients(patient_stack)
    yield made
    made.close()
    patient_stack.heal()


def start_floods(clients, door, who):
    floods = []
    for index in range(SENDERS):
        peer = clients.peer(who(f"alice{index}"), version=5 if index % 2 else 4, sock=door.dial())
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 256 * 1024)
        floods.append(Flood(peer, who("bob")))
    return floods


def alive(floods):
    for flood in floods:
        assert flood.failure is None and flood.is_alive(), flood.failure


def flood_until_standstill(floods, pid):
    """Starts them; returns the most memory that the process had until nothing moved any more."""
    most = 0
    for flood in floods:
        flood.start()

    def still():
        nonlocal most
        most = max(most, rss(pid))
        alive(floods)
        return time.monotonic() - max(flood.moved_at for flood in floods) > STANDSTILL_S

    wait_until(still, "the senders wait", 60)
    assert all(flood.sent < GOAL for flood in floods), [flood.sent for flood in floods]
    return most


def finish(clients, floods, who):
    """Everything that was sent is acknowledged, and there, once and in each sender's order."""
    for flood in floods:
        flood.stopping.set()
    for flood in floods:
        flood.join(90)
        assert flood.failure is None and not flood.is_alive(), flood.failure
        assert flood.acked == flood.sent and flood.reasons == {0}
    receiver = clients.subscriber(who("bob"))
    numbers = {flood.peer.user: 0 for flood in floods}
    for _ in range(sum(flood.sent for flood in floods)):
        message, = receiver.receive()
        sender = message.topic.split("/")[2]
        assert int(message.payload[:8]) == numbers[sender], (sender, numbers)
        numbers[sender] += 1
    assert numbers == {flood.peer.user: flood.sent for flood in floods}
    receiver.quiet()


def pour(peer, packet):
    """Sends the packet again and again until the connection takes no more. Returns the bytes."""
    block, sent = packet * (65536 // len(packet)), 0
    peer.sock.setblocking(False)
    moved_at = time.monotonic()
    while time.monotonic() - moved_at < STANDSTILL_S:
        if not select.select([], [peer.sock], [], 0.05)[1]:
            continue
        sent += peer.sock.send(block)
        moved_at = time.monotonic()
        assert sent < 64 * MIB
    return sent


@pytest.mark.timeout(300)
def test_what_is_no_request_waits_too(patient, patient_stack, who):
    """While the link takes no more, states of devices and new clients do not fill memory either:
    the ones wait, the others are told to come again."""
    door = patient.connector("bus.pending_bytes=67108864", "mqtt.receive_max=20000")
    floods = start_floods(patient, door, who)
    talker = patient.peer(who("carol"), version=4, sock=door.dial())
    with patient_stack.frozen("broker"):
        flood_until_standstill(floods, door.process.pid)
        before = rss(door.process.pid)
        topic, text = b"me/state", b"background 60"
        body = struct.pack(">H", len(topic)) + topic + text
        pour(talker, b"\x30" + bytes([len(body)]) + body)
        assert rss(door.process.pid) - before < 2 * MIB
        assert patient.raw(who("dave"), version=5, sock=door.dial()).connect().reason == 0x89
        assert patient.raw(who("dave"), version=4, sock=door.dial()).connect().reason == 3
    finish(patient, floods, who)
    talker.sock.setblocking(True)
    wait_until(lambda: patient.raw(who("dave"), sock=door.dial()).connect().reason == 0,
               "a new client is let in")


@pytest.mark.timeout(300)
def test_broker_stands_still(patient, patient_stack, who):
    """The link stays up and takes no more: frames wait in the connector, then its clients do."""
    door = patient.connector("bus.pending_bytes=67108864", "mqtt.receive_max=20000")
    floods = start_floods(patient, door, who)
    before = rss(door.process.pid)
    with patient_stack.frozen("broker"):
        most = flood_until_standstill(floods, door.process.pid)
        counters = metrics(door.log, door.process.send_signal)
        alive(floods)
    assert counters["sends_blocked"] >= 1 and counters["links_lost"] == 0
    # each waits once, however often the link is tried
    assert SENDERS <= counters["stalls"] < 10 * SENDERS, counters["stalls"]
    # The unanswered requests; their copies in ZeroMQ's queue and in the waiting frame; and what each
    # sender's last read left over.
    assert most - before < 64 * MIB * 2 + 16 * MIB, (before, most)
    finish(patient, floods, who)
    after = metrics(door.log, door.process.send_signal)
    assert after["links_lost"] == 0 and after["publishes_refused"] == 0
    assert after["closed_lost"] == counters["closed_lost"]


@pytest.mark.timeout(300)
def test_broker_stands_still_until_the_link_is_lost(own_clients, own_stack, who):
    """The same for longer than heartbeats allow: the connector gives the link up, keeps what is
    unanswered, and sends it again."""
    door = own_clients.connector("bus.pending_bytes=8388608", "mqtt.receive_max=20000")
    floods = start_floods(own_clients, door, who)
    before = rss(door.process.pid)
    with own_stack.frozen("broker"):
        most = flood_until_standstill(floods, door.process.pid)
        wait_until(lambda: "lost the broker" in door.log(), "the link is given up")
        let_pass(STANDSTILL_S)   # tries to link again, to a broker that accepts and says nothing
        most = max(most, rss(door.process.pid))
        alive(floods)
    assert most - before < 8 * MIB * 2 + 16 * MIB, (before, most)
    finish(own_clients, floods, who)


RECEIVERS = 8
EACH = 2000
# inbox.window_bytes, as messages and as the frame they wait in, and inbox.tail_bytes.
RECEIVER_BYTES = 2 * MIB


@pytest.mark.timeout(300)
def test_connector_stands_still(patient, patient_stack, who):
    """The other way round: what a connector does not take waits in the inboxes and not in the
    broker's memory, and delays nobody who is elsewhere."""
    door = patient.connector()
    receivers = [patient.subscriber(who(f"bob{index}"), sock=door.dial())
                 for index in range(RECEIVERS)]
    floods = [Flood(patient.peer(who(f"alice{index}"), version=4), receiver.user, EACH)
              for index, receiver in enumerate(receivers)]
    carol, dave = patient.subscriber(who("carol")), patient.peer(who("dave"))
    broker = patient_stack.pid("broker")
    before = most = rss(broker)
    door.process.send_signal(signal.SIGSTOP)
    try:
        for flood in floods:
            flood.start()
        while any(flood.is_alive() for flood in floods):
            assert dave.publish(f"to/u/{carol.user}", b"x") == 0
            assert carol.payloads() == [b"x"]
            most = max(most, rss(broker))
        assert [flood.acked for flood in floods] == [EACH] * RECEIVERS, floods[0].failure
    finally:
        door.process.send_signal(signal.SIGCONT)
    assert RECEIVERS * EACH * PAYLOAD > 2 * RECEIVERS * RECEIVER_BYTES
    assert most - before < RECEIVERS * RECEIVER_BYTES + 16 * MIB, (before, most)
    for receiver in receivers:
        got = [int(message.payload[:8]) for message in receiver.receive(EACH)]
        assert got == list(range(EACH))
        receiver.quiet()
