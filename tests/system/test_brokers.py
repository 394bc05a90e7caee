"""Several brokers on one database: each person is served by one of them, and what happens to people,
messages and pushes when brokers come, go, die and are cut off (I1 to I6, I9)."""
import contextlib
import os
import random
import signal
import time
import urllib.parse

import pytest

from conftest import ROUTING
from support import packets as p
from support.clients import Clients
from support.http import Door
from support.keys import Keys
from support.load import load, progress
from support.netns import Machine
from support.owner import Deal
from support.proxy import Proxy
from support.pushes import LIVE_MS, Apns, mid_of, register
from support.rounds import PATIENCE_S, Phone, Sender, drained, tally
from support.stack import HOST, ExtraBroker, Stack
from support.waiting import let_pass, wait_until

LEASE_MS, SETTLE_MS = 3000, 1500
# A lease that is just renewed, the looks of the others at it, and what a busy machine adds.
REMOVED_S = LEASE_MS / 1000 * 2 + 10
ROUNDS = int(os.environ.get("BECKON_ROUNDS", "16"))
SEED = 20261124


@pytest.fixture(scope="module")
def brokers_stack(request):
    """Two brokers, two connectors. A third broker may come."""
    stack = Stack(brokers=2, most_brokers=3,
                  sets=["broker:" + ROUTING.replace(" = ", "=", 1), "broker:alert.hold_ms=1500",
                        f"broker:alert.settle_ms={SETTLE_MS}",
                        f"broker:membership.lease_ms={LEASE_MS}"])
    try:
        stack.up()
        let_pass(SETTLE_MS / 1000)
        yield stack
    finally:
        keep = getattr(request.session, "beckon_failed", False)
        stack.destroy(keep=keep)


@pytest.fixture
def brokers(brokers_stack):
    """That stack; afterwards both brokers are there again, and nobody else."""
    yield brokers_stack
    if ("broker", 2) in brokers_stack.ps():
        brokers_stack.stop("broker", 2)
    brokers_stack.heal()
    Apns(brokers_stack).behave()
    wait_until(lambda: members(brokers_stack) == {2} and linked(brokers_stack) == 2,
               "two brokers, each with both connectors and the other one", REMOVED_S)


@pytest.fixture
def people(brokers):
    made = Clients(brokers)
    yield made
    made.close()


@pytest.fixture
def deal(who):
    return Deal(who, 2)


@pytest.fixture
def apns(brokers):
    return Apns(brokers)


def gauge(stack, index, name):
    return Door(stack, stack.broker_http(index)).metrics()["beckon_broker_" + name, ""]


def members(stack, indexes=(0, 1)):
    """{how many brokers there are, as each of these says}"""
    return {gauge(stack, index, "members") for index in indexes}


def linked(stack):
    """How many brokers have all their links: two connectors and the other broker, twice."""
    return sum(gauge(stack, index, "others_linked") == 1 and gauge(stack, index, "connectors") == 2
               for index in (0, 1))


def alone(stack, index):
    """Waits until that broker is the only one."""
    wait_until(lambda: members(stack, (index,)) == {1}, f"broker {index} is alone", REMOVED_S)


# --- everyday ------------------------------------------------------------------------------------

def test_people_are_shared(brokers, people, deal, version):
    """alice is one broker's, bob the other's: messages either way, in order, and what she sends is
    on her tablet too."""
    alice = people.subscriber(deal("alice", 0), version=version, connector=0)
    tablet = people.subscriber(deal("alice"), "tablet", connector=1)
    bob = people.subscriber(deal("bob", 1), version=version, connector=1)
    numbers = [b"%d" % number for number in range(50)]
    for number in numbers:
        assert alice.publish(f"to/u/{bob.user}", number) == 0
        assert bob.publish(f"to/u/{alice.user}", number) == 0
    assert bob.payloads(50) == numbers
    assert alice.payloads(50) == numbers
    copies = tablet.receive(100)
    assert [c.payload for c in copies if c.topic.startswith("inbox/sent/")] == numbers
    assert [c.payload for c in copies if c.topic.startswith("inbox/u/")] == numbers
    for index in (0, 1):
        assert gauge(brokers, index, "owned_users") >= 1
    for peer in (alice, tablet, bob):
        peer.quiet()


def test_key_and_copy_are_made_once(people, deal):
    """A KEY that is sent again: one message, one copy, although each is another broker's to store."""
    alice = people.subscriber(deal("alice", 0))
    tablet = people.subscriber(deal("alice"), "tablet")
    bob = people.subscriber(deal("bob", 1))
    for _ in range(3):
        assert alice.publish(f"to/u/{bob.user}/key", b"once") == 0
    message, = bob.receive()
    copy, = tablet.receive()
    assert mid_of(copy) == mid_of(message) and copy.topic.startswith("inbox/sent/u/")
    bob.quiet()
    tablet.quiet()


def test_a_will_goes_to_another_brokers_person(people, deal):
    bob = people.subscriber(deal("bob", 1))
    alice = people.peer(deal("alice", 0), will=p.Will(f"to/u/{bob.user}", b"gone"))
    alice.cut()
    assert bob.payloads() == [b"gone"]


def test_a_registration_moves_to_another_brokers_person(people, deal, apns):
    """The phone is sold: who had its token is not pushed to any more, whoever serves them."""
    bob = people.subscriber(deal("bob", 1), session_expiry_s=3600)
    token = register(bob)
    bob.disconnect()
    alice = people.subscriber(deal("alice", 0), session_expiry_s=3600)
    register(alice, token)
    alice.disconnect()
    carol = people.peer(deal("carol", 1))
    assert carol.publish(f"to/u/{bob.user}", b"to bob") == 0
    assert carol.publish(f"to/u/{alice.user}", b"to alice") == 0
    push, = apns.wait(token, 1)
    assert push["payload"]["beckon"]["from"] == carol.user
    let_pass(1)
    assert len(apns.pushes(token)) == 1


# --- brokers come, go and die, under load ---------------------------------------------------------

def test_killed(brokers, deal):
    """kill -9, and it does not come back: its people are the other one's within its lease."""
    with load(brokers, deal) as (senders, receivers):
        progress(senders, receivers)
        brokers.kill("broker", 1)
        alone(brokers, 0)
        progress(senders, receivers)


def test_killed_and_back(brokers, deal):
    """kill -9, and the service manager starts it again, before its lease is over and after."""
    with load(brokers, deal) as (senders, receivers):
        progress(senders, receivers)
        for index, pause_s in ((0, 0), (1, LEASE_MS / 1000 + 2)):
            brokers.kill("broker", index)
            let_pass(pause_s)
            brokers.start("broker", index)
            progress(senders, receivers)


def test_joins_and_leaves(brokers, deal):
    """A third broker takes its share, and gives it back when it is told to stop."""
    with load(brokers, deal) as (senders, receivers):
        progress(senders, receivers)
        brokers.start("broker", 2)
        wait_until(lambda: members(brokers, (0, 1, 2)) == {3}, "all know of three")
        progress(senders, receivers)
        started = time.monotonic()
        brokers.stop("broker", 2)
        wait_until(lambda: members(brokers) == {2}, "both know of two")
        assert time.monotonic() - started < LEASE_MS / 1000 + 10   # it says so, nobody waits
        progress(senders, receivers)


def test_strangers_after_a_change(brokers, people, deal):
    """Who is new while gained people settle gets a number like everybody else."""
    brokers.start("broker", 2)
    brokers.signal("broker", 2, signal.SIGTERM)
    wait_until(lambda: members(brokers) == {2}, "both know of two")
    peers = [people.subscriber(deal(f"new{number}")) for number in range(10)]
    for sender, receiver in zip(peers, peers[1:] + peers[:1]):
        assert sender.publish(f"to/u/{receiver.user}", b"hello") == 0
    assert [peer.payloads() for peer in peers] == [[b"hello"]] * 10
    let_pass(SETTLE_MS / 1000 + 0.5)   # they have settled
    for sender, receiver in zip(peers, peers[1:] + peers[:1]):
        assert sender.publish(f"to/u/{receiver.user}", b"again") == 0
    assert [peer.payloads() for peer in peers] == [[b"again"]] * 10
    assert gauge(brokers, 0, "members") == gauge(brokers, 1, "members") == 2


def test_rolling_restart(brokers, deal):
    with load(brokers, deal) as (senders, receivers):
        for index in (0, 1):
            progress(senders, receivers)
            brokers.stop("broker", index)
            brokers.start("broker", index)
        progress(senders, receivers)


def test_stands_still(brokers, deal):
    """SIGSTOP for longer than its lease: it is removed, and what it does when it goes on counts for
    nothing until it has joined again."""
    with load(brokers, deal) as (senders, receivers):
        progress(senders, receivers)
        with brokers.frozen("broker", 1):
            alone(brokers, 0)
            progress(senders, receivers)
        wait_until(lambda: members(brokers) == {2}, "it has joined again", REMOVED_S)
        progress(senders, receivers)


def test_connector_killed_among_brokers(brokers, deal):
    with load(brokers, deal) as (senders, receivers):
        for index in (0, 1):
            progress(senders, receivers)
            brokers.kill("connector", index)
            brokers.start("connector", index)
        progress(senders, receivers)


# --- cut off -------------------------------------------------------------------------------------

@contextlib.contextmanager
def behind_proxies(stack):
    """Broker 1 is replaced by one whose database and whose own door are reached through proxies."""
    dsn = stack.environment["BECKON_DSN"]
    port = urllib.parse.urlsplit(dsn).port
    database = Proxy(port)
    door = None
    stack.stop("broker", 1)
    alone(stack, 0)
    broker = ExtraBroker(stack, 1)
    try:
        door = Proxy(broker.port)
        broker.run(f"listen.advertise=tcp://{HOST}:{door.port}",
                   f"database.dsn={dsn}".replace(f":{port}/", f":{database.port}/"))
        wait_until(lambda: members(stack, (0,)) == {2}, "it has joined", REMOVED_S)
        yield broker, database, door
    finally:
        broker.close()
        for proxy in (database, door):
            if proxy:
                proxy.frozen.clear()
                proxy.close()


def test_cut_off_from_the_database(brokers, deal):
    """Its lease runs out, others serve its people, and it pushes and answers nothing meanwhile."""
    with behind_proxies(brokers) as (_, database, _), load(brokers, deal) as (senders, receivers):
        progress(senders, receivers)
        database.frozen.set()
        alone(brokers, 0)
        progress(senders, receivers)
        database.frozen.clear()
        wait_until(lambda: members(brokers, (0,)) == {2}, "it has joined again", 60)
        progress(senders, receivers)


def test_cut_off_from_everybody_else(brokers, deal):
    """It has the database and renews its lease, and nobody reaches it: it leaves by itself."""
    with behind_proxies(brokers) as (_, _, door), load(brokers, deal) as (senders, receivers):
        progress(senders, receivers)
        door.frozen.set()
        alone(brokers, 0)
        progress(senders, receivers)
        door.frozen.clear()
        wait_until(lambda: members(brokers, (0,)) == {2}, "it has joined again", 60)
        progress(senders, receivers)


@contextlib.contextmanager
def on_two_machines(stack):
    """Broker 1 on a machine of its own, a network namespace; broker 0 where it can be reached from
    there."""
    dsn = stack.environment["BECKON_DSN"]
    port = urllib.parse.urlsplit(dsn).port
    with contextlib.ExitStack() as undo:
        machine = Machine()
        undo.callback(machine.remove)
        door = Proxy(port, host=machine.database.here)
        undo.callback(door.close)
        far = ExtraBroker(stack, 1, machine.bus.there, machine.wrapper())
        near = ExtraBroker(stack, 0, machine.bus.here)
        undo.callback(near.close)
        undo.callback(far.close)
        stack.stop("broker", 1)
        far.run("listen.plain=true", "database.dsn=" + dsn.replace(
            f"127.0.0.1:{port}", f"{machine.database.here}:{door.port}"))
        wait_until(lambda: members(stack, (0,)) == {2}, "it has joined", REMOVED_S)
        stack.stop("broker", 0)
        near.run("listen.plain=true")
        wait_until(lambda: near_gauge(near, "members") == 2 == near_gauge(near, "connectors"),
                   "the other one has joined", REMOVED_S)
        yield machine, near


def near_gauge(broker, name):
    return Door(broker.stack, f"http://{HOST}:{broker.http_port}").metrics()["beckon_broker_" + name, ""]


@pytest.fixture(scope="module")
def plain_stack(request):
    """Links between machines without keys: the namespaces are ours alone."""
    stack = Stack(brokers=2, sets=["connector:broker.plain=true",
                                   f"broker:membership.lease_ms={LEASE_MS}"])
    try:
        yield stack.up()
    finally:
        stack.destroy(keep=getattr(request.session, "beckon_failed", False))


@pytest.mark.parametrize("cable", ["database", "bus"])
def test_unplugged(plain_stack, who, cable):
    """A real network that loses everything: of the database, or of connectors and other brokers."""
    with on_two_machines(plain_stack) as (machine, near):
        with load(plain_stack, Deal(who, 2)) as (senders, receivers):
            progress(senders, receivers)
            getattr(machine, cable).unplug()
            wait_until(lambda: near_gauge(near, "members") == 1, "broker 0 is alone", REMOVED_S)
            progress(senders, receivers)
            getattr(machine, cable).plug()
            wait_until(lambda: near_gauge(near, "members") == 2, "it has joined again", 60)
            progress(senders, receivers)
    plain_stack.heal()


# --- keys ----------------------------------------------------------------------------------------

def test_keys(who):
    """With keys on every link: brokers reach each other as connectors reach them."""
    keys = Keys()
    stack = Stack(brokers=2, sets=keys.stack())
    clients, named = Clients(stack), Deal(who, 2)
    try:
        stack.up()
        wait_until(lambda: linked(stack) == 2, "everybody is linked")
        assert "key=broker msg=\"broker linked\"" in stack.log("broker", 0)
        alice = clients.subscriber(named("alice", 0), will=p.Will(f"to/u/{named('bob', 1)}", b"w"))
        bob = clients.subscriber(named("bob", 1))
        assert alice.publish(f"to/u/{bob.user}", b"m") == 0
        assert bob.publish(f"to/u/{alice.user}", b"n") == 0
        assert bob.payloads() == [b"m"] and alice.payloads() == [b"n"]
        alice.cut()
        assert bob.payloads() == [b"w"]   # from broker to broker
        reload_keys(stack)
        assert linked(stack) == 2
    finally:
        clients.close()
        stack.destroy()
        keys.remove()


def reload_keys(stack):
    """SIGHUP, by which the brokers' own key stays good."""
    for index in (0, 1):
        stack.signal("broker", index, signal.SIGHUP)
        wait_until(lambda: "configuration reloaded" in stack.log("broker", index), "SIGHUP")   # noqa: B023


# --- pushes --------------------------------------------------------------------------------------

def test_owner_dies_before_the_push(brokers, people, deal, apns):
    """Accepted, and the broker dies before Apple has answered it: who serves bob next pushes."""
    bob = people.subscriber(deal("bob", 1), session_expiry_s=3600)
    token = register(bob)
    bob.disconnect()
    apns.behave(hang=True)
    assert people.peer(deal("alice", 0)).publish(f"to/u/{bob.user}", b"m") == 0
    brokers.kill("broker", 1)
    apns.behave()
    apns.wait(token, 1, REMOVED_S + SETTLE_MS / 1000)


def test_acknowledged_before_the_owner_dies(brokers, people, deal, apns):
    """What bob's phone has acknowledged is not pushed by the next owner, nor sent again."""
    bob = people.subscriber(deal("bob", 1), session_expiry_s=3600)
    token = register(bob)
    alice = people.peer(deal("alice", 0))
    assert alice.publish(f"to/u/{bob.user}", b"1") == 0
    assert bob.payloads() == [b"1"]
    brokers.kill("broker", 1)
    alone(brokers, 0)
    assert alice.publish(f"to/u/{bob.user}", b"2") == 0
    assert bob.payloads() == [b"2"]
    let_pass((SETTLE_MS + LIVE_MS) / 1000 + 1)
    assert apns.pushes(token) == []


@pytest.mark.timeout(900)
def test_rounds(brokers, deal, apns):
    """Round after round either broker is killed, stopped or stands still, for less than its lease and
    for more, while bob's phone changes its state: nothing lost, order kept, no alert for what was
    acknowledged in time, doubles only with the same id."""
    rng = random.Random(SEED)
    phone = Phone(brokers, deal("bob", 1))
    sender = Sender(brokers, deal("alice", 0), phone.user)
    phone.start()
    sender.start()
    try:
        wait_until(lambda: phone.token or phone.failure, "the phone is registered")
        for _ in range(ROUNDS):
            phone.wanted = rng.choice(["foreground", "background", "offline", "frozen"])
            time.sleep(rng.uniform(0, 0.05))
            sender.goal += rng.randrange(1, 4)
            time.sleep(rng.uniform(0, 0.03))
            break_broker(brokers, rng)
            wait_until(lambda: sender.accepted == sender.goal or sender.failure,
                       "all are accepted", PATIENCE_S)
            assert not sender.failure and not phone.failure, (sender.failure, phone.failure)
        wait_until(lambda: drained(phone, sender), "the phone has everything", PATIENCE_S)
        time.sleep((LIVE_MS + SETTLE_MS) / 1000)   # what is wrongly pushed is pushed by then
    finally:
        for thread in (phone, sender):
            thread.stopping.set()
        for thread in (phone, sender):
            thread.join(PATIENCE_S)
    assert not phone.failure
    found = tally(phone, sender, apns.pushes(phone.token))
    found.pop("repeated with the same id")
    assert not any(found.values()), found


def break_broker(stack, rng):
    index, pause_s = rng.randrange(2), rng.choice([0, 0.5, LEASE_MS / 1000 + 1.5])
    how = rng.choice(["kill", "stop", "freeze"])
    if how == "freeze":
        pid = stack.pid("broker", index)
        os.kill(pid, signal.SIGSTOP)
        time.sleep(pause_s)
        os.kill(pid, signal.SIGCONT)
        return
    getattr(stack, how)("broker", index)
    time.sleep(pause_s)
    stack.start("broker", index)
