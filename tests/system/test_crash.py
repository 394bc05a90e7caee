"""kill -9 under load: nothing accepted is lost, nothing is stored twice, order is kept (I1 to I4).

The moments of the crashes are random with a fixed seed, so a failure can be repeated.
"""
import random
import signal
import time

import pytest

from support.load import load, progress

# Load before a crash: from nothing to well within the steady state.
MOMENTS_S = (0.05, 0.7)


def rounds(count, seed):
    """Lets the load run for a random moment, `count` times."""
    moments = random.Random(seed)
    for _ in range(count):
        # The moment of the crash is the random variable of this test.
        time.sleep(moments.uniform(*MOMENTS_S))
        yield


@pytest.mark.parametrize("seed", [1, 2])
def test_broker_killed(own_stack, who, seed):
    """kill -9 of the broker, four times: clients stay connected, and their publishes are repeated
    by the connectors, once each."""
    with load(own_stack, who) as (senders, receivers):
        progress(senders, receivers)
        for _ in rounds(4, seed):
            own_stack.kill("broker")
            own_stack.start("broker")
            progress(senders, receivers)
    assert not any(thread.lost for thread in senders + receivers), "a client lost its connection"


def test_connectors_killed(own_stack, who):
    """kill -9 of one connector and then the other: clients reconnect and publish again what was not
    acknowledged, under the same KEYs."""
    with load(own_stack, who) as (senders, receivers):
        progress(senders, receivers)
        for _ in rounds(2, 3):
            for index in (0, 1):
                own_stack.kill("connector", index)
                own_stack.start("connector", index)
                progress(senders, receivers)
    assert all(thread.lost for thread in senders + receivers)


def test_broker_and_connectors_killed_together(own_stack, who):
    """kill -9 of everything but the database at once."""
    with load(own_stack, who) as (senders, receivers):
        progress(senders, receivers)
        for _ in rounds(2, 4):
            for name, index in (("broker", 0), ("connector", 0), ("connector", 1)):
                own_stack.kill(name, index)
            for name, index in (("connector", 1), ("broker", 0), ("connector", 0)):
                own_stack.start(name, index)
            progress(senders, receivers)


@pytest.mark.parametrize("way", ["restarted", "killed"])
def test_postgres(own_stack, who, way):
    """PostgreSQL restarted (fast shutdown), or its postmaster killed with -9, under load: the
    outcome of the commit that was under way is found out, and nothing stored is stored again."""
    with load(own_stack, who) as (senders, receivers):
        progress(senders, receivers)
        for _ in rounds(2, 5):
            if way == "restarted":
                own_stack.stop("postgres")
            else:
                own_stack.kill("postgres")
            own_stack.start("postgres")
            progress(senders, receivers)


def test_everything_killed(own_stack, who):
    """kill -9 of the database, the broker and both connectors at once."""
    with load(own_stack, who) as (senders, receivers):
        progress(senders, receivers)
        for pid in own_stack.ps().values():
            own_stack.kill_pid(pid)
        own_stack.heal()
        progress(senders, receivers)


def test_frozen_broker_comes_back(own_stack, who):
    """A broker that stood still for longer than its links live finds them replaced: what the old
    ones still held is not taken twice (I9)."""
    with load(own_stack, who) as (senders, receivers):
        progress(senders, receivers)
        for _ in rounds(1, 6):
            with own_stack.frozen("broker"):
                time.sleep(5)   # heartbeats give up after three seconds: this is the fault itself
            progress(senders, receivers)


def test_redelivery_after_the_broker_was_killed(own_clients, own_stack, who, version):
    """A resumed session repeats, with identifier and DUP, what was sent before the crash; a
    connection that lived through it gets nothing twice."""
    bob, carol = who("bob"), who("carol")
    cut = own_clients.persistent(bob, version=version)
    stays = own_clients.persistent(carol, version=version)
    sender = own_clients.peer(who("alice"))
    for peer in (cut, stays):
        peer.subscribe()
        for payload in (b"1", b"2"):
            assert sender.publish(f"to/u/{peer.user}", payload) == 0
    first, held = cut.receive(2, ack=False), stays.receive(2, ack=False)
    cut.ack(first[0])
    cut.settle(who("sink"))
    own_stack.kill("broker")
    cut.cut()
    own_stack.start("broker")
    again, = own_clients.persistent(bob, version=version).receive()
    assert (again.topic, again.pid, again.dup) == (first[1].topic, first[1].pid, True)

    assert sender.publish(f"to/u/{carol}", b"3", timeout_s=30) == 0
    assert stays.payloads() == [b"3"]
    stays.ack(*held)
    stays.settle(who("sink"))
    stays.cut()
    back = own_clients.persistent(carol, version=version)
    assert back.connack.session_present
    back.quiet()


def test_signals_from_outside_do_not_disturb(own_stack, who):
    """SIGHUP (reload) and SIGUSR1 (metrics) under load change nothing for clients."""
    with load(own_stack, who) as (senders, receivers):
        for name, index in (("broker", 0), ("connector", 0), ("connector", 1)):
            for number in (signal.SIGHUP, signal.SIGUSR1):
                progress(senders, receivers)
                own_stack.signal(name, index, number)
        progress(senders, receivers)
    assert not any(thread.lost for thread in senders + receivers)
