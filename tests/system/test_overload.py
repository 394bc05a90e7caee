"""A connector that is asked for more than it has: descriptors, connections a second, memory for
clients that do not read, patience for those that never finish a CONNECT (I7)."""
import contextlib
import os
import pathlib
import resource
import selectors
import socket
import time

import pytest

from support import packets as p
from support.pushes import LIVE_MS, register
from support.raw_mqtt import Closed
from support.stack import HOST
from support.waiting import DEADLINE_S, let_pass, wait_until

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
STORM, STORM_PER_S, STORM_BURST = 2000, 500, 50


def cpu_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def resident_bytes(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


@contextlib.contextmanager
def descriptors(count):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert count <= hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Crowd:
    """Many clients in one thread: each connects, sends CONNECT, and waits for CONNACK."""

    def __init__(self, port):
        self.port, self.selector = port, selectors.DefaultSelector()
        self.codes, self.failures, self.socks = [], [], []

    def add(self, connect):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex((HOST, self.port))
        self.socks.append(sock)
        self.selector.register(sock, selectors.EVENT_WRITE, connect)

    def step(self):
        for key, _ in self.selector.select(0.1):
            sock = key.fileobj
            try:
                if key.data is not None:
                    sock.send(key.data)
                    self.selector.modify(sock, selectors.EVENT_READ, None)
                    continue
                answer = sock.recv(64)
                assert answer[0] >> 4 == p.CONNACK
                self.codes.append(answer[3])
            except (OSError, IndexError) as error:
                self.failures.append(repr(error))
            self.selector.unregister(sock)

    def wait(self, count, timeout_s):
        deadline = time.monotonic() + timeout_s
        while len(self.codes) + len(self.failures) < count and time.monotonic() < deadline:
            self.step()

    def close(self):
        for sock in self.socks:
            sock.close()
        self.selector.close()


def test_reconnect_storm(clients, stack, who):
    """2,000 clients at once against 500 a second: all get in, nobody is refused, and it takes the
    four seconds that the rate says. A client that is there already does not notice."""
    door = clients.connector(f"listen.accepts_per_s={STORM_PER_S}",
                             f"listen.accepts_burst={STORM_BURST}")
    bystander = clients.peer(who("carol"), sock=door.dial())
    people = [who(f"storm{number}") for number in range(200)]
    connects = [p.connect(4, f"phone-{number}", people[number % 200],
                          stack.token(people[number % 200]))
                for number in range(STORM)]
    with descriptors(STORM + 200):
        crowd = clients.keep(Crowd(door.port))
        started = time.monotonic()
        for connect in connects:
            crowd.add(connect)
        crowd.wait(STORM // 2, 30)
        asked = time.monotonic()
        assert bystander.publish(f"to/u/{who('dave')}", b"x") == 0
        assert time.monotonic() - asked < 1
        crowd.wait(STORM, 30)
        took_s = time.monotonic() - started
    assert not crowd.failures
    assert crowd.codes == [0] * STORM
    assert (STORM - STORM_BURST) / STORM_PER_S - 0.1 <= took_s < 8
    counters = door.counters()
    assert counters["limited_accepts"] > 0 and counters["connects_refused"] == 0
    assert "new connections wait: above 500 a second" in door.log()


def test_out_of_descriptors(clients, stack, who):
    """At the limit it costs next to no processor time, those who are in are served, and those who
    wait get in when others leave."""
    door = clients.connector(wrapper=("prlimit", "--nofile=100:100"))
    crowd = clients.keep(Crowd(door.port))
    for number in range(150):
        user = who(f"u{number}")
        crowd.add(p.connect(4, "phone", user, stack.token(user)))
    wait_until(lambda: door.counters()["accept_paused"] > 0, "it is at its limit")
    inside = None
    while inside != len(crowd.codes):   # until nobody else gets in
        inside = len(crowd.codes)
        for _ in range(10):
            crowd.step()
    assert 20 < inside < 100 and not crowd.failures
    before = cpu_s(door.process.pid)
    let_pass(2)
    assert cpu_s(door.process.pid) - before < 0.1
    served = [sock for sock in crowd.socks if sock not in crowd.selector.get_map()]
    for sock in served[:inside // 2]:
        sock.close()
    crowd.wait(inside + inside // 2, DEADLINE_S)
    assert len(crowd.codes) == inside + inside // 2
    assert crowd.codes == [0] * len(crowd.codes) and not crowd.failures
    assert "could not accept a connection: Too many open files" in door.log()


def test_connect_that_trickles_in(clients, stack, who):
    """A byte now and then prolongs nothing: the whole CONNECT has to come in time."""
    door = clients.connector("mqtt.connect_timeout_ms=700")
    peer = clients.raw(who("mallory"), sock=door.dial())
    raw = p.connect(5, "phone", peer.user, peer.token)
    started = time.monotonic()
    with pytest.raises(Closed):
        for index in range(len(raw)):
            peer.send(raw[index:index + 1])
            try:
                packet = peer.read(0.05)
            except TimeoutError:
                continue
            raise AssertionError(f"packet {packet.kind}")
    assert 0.6 <= time.monotonic() - started < 5
    counters = door.counters()
    assert counters["closed_connect_timeout"] == 1 and counters["connects"] == 0
    address = "{}:{}".format(*peer.sock.getsockname())
    assert any("no CONNECT in time" in line and address in line
               for line in door.log().splitlines())


def small_buffers(door):
    """A connection of which the kernel holds little: what is not read lies with the connector."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect((HOST, door.port))
    return sock


# Above everything that may wait for the clients below, and far below what is sent to them.
GROWTH_BYTES = 16 << 20


def send_all(sender, user, count, size):
    for start in range(0, count, 20):
        pids = [sender.post(f"to/u/{user}", b"%05d" % number + b"x" * size)
                for number in range(start, min(start + 20, count))]
        for pid in pids:
            assert sender.take(p.PUBACK, 30, pid).reason == 0


def test_client_that_never_reads(routes, apns, who):
    """Its messages take the next route, a push; what waits for it in the connector is bounded by
    its window, however much is sent (here 40 MB); and it has lost nothing when it comes back."""
    door = routes.connector()
    phone = routes.subscriber(who("bob"), sock=small_buffers(door), session_expiry_s=3600)
    token = register(phone)
    before = resident_bytes(door.process.pid)
    sender = routes.peer(who("alice"), connector=0)
    send_all(sender, phone.user, 2000, 20_000)
    started = time.monotonic()
    apns.wait(token, 1)
    assert time.monotonic() - started < LIVE_MS / 1000 + 5
    assert resident_bytes(door.process.pid) - before < GROWTH_BYTES
    phone.cut()
    again = routes.persistent(phone.user)
    assert [payload[:5] for payload in again.payloads(2000, timeout_s=60)] == \
        [b"%05d" % number for number in range(2000)]


def test_tap_that_never_reads(routes, who):
    """A subscription with QoS 0 has no window: the client is disconnected at client.queue_bytes."""
    door = routes.connector()
    phone = routes.peer(who("bob"), sock=small_buffers(door))
    assert phone.subscribe("inbox/#", 0) == [0]
    before = resident_bytes(door.process.pid)
    sender = routes.peer(who("alice"), connector=0)
    send_all(sender, phone.user, 1000, 20_000)
    assert resident_bytes(door.process.pid) - before < GROWTH_BYTES
    wait_until(lambda: door.counters()["closed_queue"] == 1, "it is disconnected")
    line = next(line for line in door.log().splitlines() if "does not read fast enough" in line)
    assert f"user={phone.user}" in line and f"peer={HOST}:" in line
