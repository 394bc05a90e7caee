"""Connectors that are told to stop (SIGTERM), one after the other, while others take over: nothing is
lost, doubled or swapped, and nobody is refused."""
import signal
import socket
import threading
import time

import pytest

from support import packets as p
from support.load import load, progress
from support.raw_mqtt import Closed, RawPeer
from support.stack import HOST
from support.waiting import DEADLINE_S, wait_until

# How long a system waits before it sends its first packet (SYN) again, and what a busy machine adds.
SYN_AGAIN_S, BUSY_S = 1.0, 1.5


def restart(stack, index):
    stack.stop("connector", index)
    assert "has not confirmed" not in stack.log("connector", index)
    stack.start("connector", index)


def test_rolling_restart(own_stack, who):
    """Three senders, two receivers, both versions, while the connectors are restarted in turn: the
    sessions are handed over whole, so nothing that was acknowledged is sent again either."""
    with load(own_stack, who) as (senders, receivers):
        progress(senders, receivers)
        for _ in range(3):
            for index in (0, 1):
                restart(own_stack, index)
                progress(senders, receivers)
    assert all(thread.lost for thread in senders + receivers)
    for receiver in receivers:
        assert not doubled(mid for _, _, _, mid, _ in receiver.arrivals)


def doubled(things):
    seen, twice = set(), []
    for thing in things:
        if thing in seen:
            twice.append(thing)
        seen.add(thing)
    return twice


class PahoLoad(threading.Thread):
    """Publishes numbers without a KEY until told to stop."""

    def __init__(self, client, recipients):
        super().__init__(daemon=True)
        self.client, self.recipients, self.sent = client, recipients, 0
        self.pids, self.stopping = [], threading.Event()

    def run(self):
        while not self.stopping.is_set():
            for user in self.recipients:
                self.pids.append(self.client.publish(f"to/u/{user}", b"%d" % self.sent, 1))
            self.sent += 1
            # After it has connected again paho sends all at once what has come meanwhile, whatever
            # the server's Receive Maximum (128) is: two seconds of this load are below it.
            time.sleep(0.05)


@pytest.mark.timeout(180)
def test_rolling_restart_with_paho(own_stack, own_clients, who):
    """Clients of others, without a KEY: paho publishes again what was not acknowledged, and all of
    it arrives exactly once, because what a connector took it answered. (Not in order: what is given
    to paho while it connects goes out before what it has to repeat.)"""
    receivers = [own_clients.paho(who(f"receiver{version}"), "phone", version, clean=False,
                                  session_expiry_s=3600) for version in (p.V311, p.V5)]
    users = [who(f"receiver{version}") for version in (p.V311, p.V5)]
    for receiver in receivers:
        receiver.subscribe()
    loads = [PahoLoad(own_clients.paho(who(f"sender{version}"), "desk", version), users)
             for version in (p.V311, p.V5)]
    for client in receivers + [load.client for load in loads]:
        client.client.reconnect_delay_set(1, 1)
    for load_ in loads:
        load_.start()
    for _ in range(2):
        for index in (0, 1):
            got = [len(receiver.messages) for receiver in receivers]
            restart(own_stack, index)
            wait_until(lambda: all(len(receiver.messages) > before   # noqa: B023
                                   for receiver, before in zip(receivers, got)),   # noqa: B023
                       "messages arrive again", 30)
    for load_ in loads:
        load_.stopping.set()
        load_.join()
    assert all(client.disconnects for client in receivers)
    # one that got a message just before its connector went may be on its way still
    wait_until(lambda: all(client.client.is_connected() for client in receivers), "all are back")
    for receiver in receivers:
        receiver.receive(sum(load_.sent for load_ in loads), 30)
    for receiver in receivers:
        topics = [message.topic.split("/") for message in receiver.messages]
        for version, load_ in zip((p.V311, p.V5), loads):
            numbers = [int(message.payload) for message, topic in zip(receiver.messages, topics)
                       if topic[2] == who(f"sender{version}")]
            assert sorted(numbers) == list(range(load_.sent))


class Dialer(threading.Thread):
    """Connects, gets its CONNACK, goes; again and again."""

    def __init__(self, stack, port, user, version):
        super().__init__(daemon=True)
        self.stack, self.port, self.version = stack, port, version
        self.user, self.token = user, stack.token(user)
        self.count, self.slowest_s, self.failures = 0, 0.0, []
        self.stopping = threading.Event()

    def once(self):
        started = time.monotonic()
        sock = socket.create_connection((HOST, self.port), timeout=DEADLINE_S)
        sock.settimeout(None)
        peer = RawPeer(sock, self.version, self.user, "dialer", self.token)
        try:
            reason = peer.connect().reason
            assert reason == 0, f"CONNACK {reason:#x}"
            self.slowest_s = max(self.slowest_s, time.monotonic() - started)
            peer.send(p.disconnect(self.version))
        finally:
            peer.close()

    def run(self):
        while not self.stopping.is_set():
            try:
                self.once()
            except (Closed, OSError, AssertionError, TimeoutError) as error:
                self.failures.append(repr(error))
            self.count += 1


def test_new_one_starts_before_the_old_one_ends(clients, stack, who):
    """They share the port: while the old one drains the new one accepts, and none of a stream of
    connections is refused, reset or left without its CONNACK."""
    sets = ("drain.ms=600", "limit.device_connects_per_s=0")
    old = clients.connector(*sets)
    dialers = [Dialer(stack, old.port, who(f"dialer{index}"), 4 + index % 2) for index in range(4)]
    for dialer in dialers:
        dialer.start()
    try:
        for _ in range(4):
            new = clients.connector(*sets, port=old.port)
            wait_until(lambda: "linked to" in new.log(), "it is linked")   # noqa: B023
            old.process.send_signal(signal.SIGTERM)
            assert old.process.wait(DEADLINE_S) == 0
            before = [dialer.count for dialer in dialers]
            wait_until(lambda: all(dialer.count > number + 5   # noqa: B023
                                   for dialer, number in zip(dialers, before)),   # noqa: B023
                       "the new one serves")
            old = new
    finally:
        for dialer in dialers:
            dialer.stopping.set()
        for dialer in dialers:
            dialer.join(DEADLINE_S)
    assert not [failure for dialer in dialers for failure in dialer.failures]
    assert max(dialer.slowest_s for dialer in dialers) < SYN_AGAIN_S + BUSY_S


def test_broker_away(own_clients, own_stack, who):
    """The connector waits for a broker that comes back: what was acknowledged is told to it."""
    door = own_clients.connector("drain.ms=100", "drain.wait_ms=60000")
    bob = who("bob")
    phone = own_clients.persistent(bob, sock=door.dial())
    phone.subscribe()
    sender = own_clients.peer(who("alice"), connector=0)
    assert sender.publish(f"to/u/{bob}", b"1") == 0
    message, = phone.receive(ack=False)
    own_stack.kill("broker")
    phone.ack(message)
    phone.ping()
    door.process.send_signal(signal.SIGTERM)
    assert [packet.reason for packet in phone.end()] == [p.SERVER_SHUTTING_DOWN]
    phone.close()
    assert door.process.poll() is None
    own_stack.start("broker")
    assert door.process.wait(DEADLINE_S) == 0
    assert "has not confirmed" not in door.log()
    assert sender.publish(f"to/u/{bob}", b"2", timeout_s=30) == 0
    assert own_clients.persistent(bob).payloads() == [b"2"]


def test_broker_stays_away(own_clients, own_stack, who):
    """It does not wait for ever, and says what that means."""
    door = own_clients.connector("drain.ms=100", "drain.wait_ms=300")
    phone = own_clients.persistent(who("bob"), sock=door.dial())
    own_stack.kill("broker")
    phone.post(f"to/u/{who('carol')}", b"x")   # never answered
    phone.ping()
    started = time.monotonic()
    door.process.send_signal(signal.SIGTERM)
    assert [packet.reason for packet in phone.end()] == [p.SERVER_SHUTTING_DOWN]
    phone.close()
    assert door.process.wait(DEADLINE_S) == 0
    assert 0.6 <= time.monotonic() - started < 5
    assert "has not confirmed 1 ended sessions and 1 requests" in door.log()
    assert "drain_unanswered=1" in door.log()
