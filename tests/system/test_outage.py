"""Parts that are missing for a while, and restarts that are meant."""
import re
import signal
import subprocess
import time

import pytest

from support import packets as p
from support.stack import program
from support.waiting import DEADLINE_S, wait_until

UNAVAILABLE = {4: 3, 5: 0x88}   # CONNACK: server unavailable


def connects(clients, user, version):
    """Tries to connect; returns the CONNACK's reason and how long it took."""
    peer = clients.raw(user, version=version)
    started = time.monotonic()
    return peer.connect().reason, time.monotonic() - started


def test_no_broker(own_clients, own_stack, who, version):
    """Guide, Connecting: no broker for this user within 2 s: 3 / 0x88. When the broker is back,
    clients are let in again without a restart of the connectors."""
    own_stack.stop("broker")
    reason, took_s = connects(own_clients, who("alice"), version)
    assert reason == UNAVAILABLE[version] and 1.5 < took_s < 6
    own_stack.start("broker")
    wait_until(lambda: connects(own_clients, who("alice"), version)[0] == 0, "let in again")


def test_connector_started_before_the_broker(own_clients, own_stack, who):
    """The order of starting does not matter."""
    own_stack.stop("broker")
    for index in (0, 1):
        own_stack.stop("connector", index)
        own_stack.start("connector", index)
    assert connects(own_clients, who("alice"), 5)[0] == 0x88
    own_stack.start("broker")
    bob = who("bob")
    for index in (0, 1):
        wait_until(lambda: own_clients.raw(bob, connector=index).connect().reason == 0,
                   f"connector {index} found the broker")


def test_no_database(own_clients, own_stack, who):
    """Without its database the broker accepts nothing, and loses nobody: a publish waits and is
    acknowledged once the database is back."""
    bob = who("bob")
    receiver, sender = own_clients.persistent(bob), own_clients.peer(who("alice"))
    receiver.subscribe()
    assert sender.publish(f"to/u/{bob}", b"before") == 0
    own_stack.stop("postgres")
    pid = sender.post(f"to/u/{bob}", b"during")
    with pytest.raises(TimeoutError):
        sender.take(p.PUBACK, 1.0, pid)
    assert sender.alive() and receiver.alive()
    own_stack.start("postgres")
    assert sender.take(p.PUBACK, 30, pid).reason == 0
    assert receiver.payloads(2) == [b"before", b"during"]
    receiver.quiet()


@pytest.mark.parametrize("fault", ["stopped-1s", "killed"])
def test_publishes_wait_for_the_broker(own_clients, own_stack, who, version, fault):
    """Publishes while the broker stands still or is gone wait in the connector; they are
    acknowledged when it is back, stored once, in order; nobody is disconnected."""
    bob = who("bob")
    receiver = own_clients.subscriber(bob, version=version)
    sender = own_clients.peer(who("alice"), version=version)
    assert sender.publish(f"to/u/{bob}", b"0") == 0

    def publish_some():
        pids = [sender.post(f"to/u/{bob}", b"%d" % number) for number in range(1, 11)]
        with pytest.raises(TimeoutError):
            sender.take(p.PUBACK, 1.0)
        assert sender.alive() and receiver.alive()
        return pids

    if fault == "killed":
        own_stack.kill("broker")
        pids = publish_some()
        own_stack.start("broker")
    else:
        with own_stack.frozen("broker"):
            pids = publish_some()
    assert [sender.take(p.PUBACK, 30, pid).reason for pid in pids] == [0] * 10
    assert receiver.payloads(11) == [b"%d" % number for number in range(11)]
    receiver.quiet()


def test_down_and_up(own_clients, own_stack, who, version):
    """Everything stopped and started again: sessions, subscriptions, cursors, messages and KEYs
    are there."""
    alice, bob = who("alice"), who("bob")
    receiver, sender = own_clients.persistent(bob, version=version), own_clients.peer(alice)
    receiver.subscribe()
    for number in range(5):
        assert sender.publish(f"to/u/{bob}/{number}", b"%d" % number) == 0
    got = receiver.receive(5, ack=False)
    receiver.ack(*got[:3])
    receiver.settle(who("sink"))
    receiver.disconnect()
    assert sender.publish(f"to/u/{bob}/5", b"5") == 0
    sender.close()
    own_stack.down()
    assert own_stack.ps() == {}
    own_stack.up()
    sender = own_clients.peer(alice)
    assert sender.publish(f"to/u/{bob}/5", b"5") == 0
    assert sender.publish(f"to/u/{bob}/6", b"6") == 0
    receiver = own_clients.persistent(bob, version=version)
    assert receiver.connack.session_present
    again = receiver.receive(4)
    assert [message.payload for message in again] == [b"3", b"4", b"5", b"6"]
    assert [message.topic for message in again[:2]] == [message.topic for message in got[3:]]
    assert [message.dup for message in again] == [True, True, False, False]
    receiver.quiet()


@pytest.mark.parametrize("connected", [True, False], ids=["session-open", "session-away"])
def test_session_survives_a_broker_crash(own_clients, own_stack, who, version, connected):
    """Guide, Sessions: a persistent session is durable before CONNACK and SUBACK say so."""
    bob = who("bob")
    phone = own_clients.persistent(bob, version=version)
    phone.subscribe()
    if not connected:
        phone.disconnect()
    own_stack.kill("broker")
    if connected:
        phone.cut()
    own_stack.start("broker")
    phone = own_clients.persistent(bob, version=version)
    assert phone.connack.session_present
    assert own_clients.peer(who("alice")).publish(f"to/u/{bob}", b"x") == 0
    assert phone.payloads() == [b"x"]


def test_drain(clients, who):
    """Guide, Connecting: a connector that is told to stop (SIGTERM) says 0x8B or 0x9D to MQTT 5
    clients, closes all, and exits with 0; sessions are taken up elsewhere."""
    door = clients.connector("drain.ms=200")
    bob = who("bob")
    phone = clients.persistent(bob, sock=door.dial())
    plain = clients.persistent(bob, "old-phone", version=4, sock=door.dial())
    phone.subscribe()
    door.process.send_signal(signal.SIGTERM)
    assert [packet.reason for packet in phone.end()] in ([0x8B], [0x9D])
    assert plain.end() == []
    assert door.process.wait(DEADLINE_S) == 0
    phone = clients.persistent(bob)
    assert phone.connack.session_present
    assert clients.peer(who("alice")).publish(f"to/u/{bob}", b"x") == 0
    assert phone.payloads() == [b"x"]


def test_publishes_are_answered_before_a_drain_ends(clients, who):
    """What the connector took from a client before SIGTERM is either acknowledged, or the client
    knows that it is not: nothing acknowledged is missing afterwards."""
    door = clients.connector("drain.ms=200")
    bob = who("bob")
    sender = clients.peer(who("alice"), sock=door.dial())
    pids = [sender.post(f"to/u/{bob}", b"%d" % number) for number in range(100)]
    door.process.send_signal(signal.SIGTERM)
    acked = [packet.pid for packet in sender.end() if packet.kind == p.PUBACK]
    assert acked == pids[:len(acked)]
    receiver = clients.subscriber(bob)
    assert receiver.payloads(len(acked)) == [b"%d" % number for number in range(len(acked))]


def test_acknowledged_then_stopped_at_once(own_clients, own_stack, who):
    """A cursor that waits for a batch is written when the broker is told to stop, so what was
    acknowledged does not come again (I5). The wait is long here, and the connectors, which could
    tell a new broker, die too."""
    own_stack.stop("broker")
    command = [program("beckon-broker"), "--config", own_stack.var / "etc" / "broker.conf",
               "--set", "database.cursor_ms=10000"]
    connectors = [own_stack.pid("connector", index) for index in (0, 1)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as broker:
        try:
            bob = who("bob")
            wait_until(lambda: connects(own_clients, bob, 5)[0] == 0, "the broker is found")
            phone = own_clients.persistent(bob)
            phone.subscribe()
            sender = own_clients.peer(who("alice"))
            for number in range(20):
                assert sender.publish(f"to/u/{bob}", b"%d" % number) == 0
            assert phone.payloads(20) == [b"%d" % number for number in range(20)]
            acknowledged = 0
            while acknowledged < 20:   # bounded by the test's timeout; each turn waits for a line
                broker.send_signal(signal.SIGUSR1)
                found = re.search(r" acknowledged=(\d+)", broker.stderr.readline())
                acknowledged = int(found.group(1)) if found else acknowledged
            for pid in connectors:
                own_stack.kill_pid(pid)
            broker.send_signal(signal.SIGTERM)
            assert broker.wait(10) == 0
        finally:
            broker.kill()
    own_stack.heal()
    phone = own_clients.persistent(bob)
    assert phone.connack.session_present
    phone.quiet()
