"""A PostgreSQL primary with a synchronous standby: whichever dies, nothing that was acknowledged is
missing, nothing is there twice, and brokers find the server that takes writes by themselves."""
import contextlib

import pytest

from support import packets as p
from support.clients import Clients
from support.http import Door
from support.load import load, progress
from support.replicas import Replicas
from support.stack import Stack
from support.waiting import let_pass, wait_until

# Silence after which the broker looks around: short, and well above what a busy machine takes.
TIMEOUT_MS = 1500


@pytest.fixture(scope="module")
def made_replicas():
    replicas = Replicas()
    try:
        yield replicas.up()
    finally:
        replicas.destroy()


@pytest.fixture(scope="module")
def replicated_stack(request, made_replicas):
    stack = Stack(sets=[f"broker:database.dsn={made_replicas.dsn()}",
                        f"broker:database.timeout_ms={TIMEOUT_MS}"])
    try:
        yield stack.up()
    finally:
        stack.destroy(keep=getattr(request.session, "beckon_failed", False))


@pytest.fixture
def replicas(made_replicas, replicated_stack):
    yield made_replicas
    made_replicas.heal()
    replicated_stack.heal()
    wait_ready(replicated_stack)


@pytest.fixture
def two(replicated_stack, who, replicas):
    """(sender, receiver) with a persistent session."""
    made = Clients(replicated_stack)
    receiver = made.persistent(who("bob"))
    receiver.subscribe()
    yield made.peer(who("alice")), receiver
    made.close()


def ready(stack):
    with contextlib.suppress(OSError):
        return Door(stack).call("/readyz").json()["database"]
    return False


def wait_ready(stack):
    wait_until(lambda: ready(stack), "the broker has its database", 30)


def wait_waiting(server, count=1):
    """Until so many of the broker's commits wait for the standby."""
    return wait_until(lambda: len(pids := server.backends("wait_event = 'SyncRep'")) >= count
                      and pids, "a commit waits for the standby")


def said(stack, words):
    wait_until(lambda: words in stack.log("broker"), f'the broker says "{words}"')


def test_primary_killed(replicated_stack, replicas, who):
    """kill -9 of the whole primary under load, the standby promoted; then the same in the other
    direction. Clients stay connected, and all of them see all of it once and in order."""
    with load(replicated_stack, who) as (senders, receivers):
        progress(senders, receivers)
        replicas.primary.kill()
        replicas.promote()
        progress(senders, receivers)
        replicas.heal()
        progress(senders, receivers)
        replicas.primary.kill()
        replicas.promote()
        progress(senders, receivers)
    assert not any(thread.lost for thread in senders + receivers), "a client lost its connection"


def test_frozen_primary(replicated_stack, replicas, who):
    """A primary that stands still keeps its connections, and its machine goes on acknowledging
    packets: it is found out by its silence. When it wakes up nobody talks to it any more."""
    with load(replicated_stack, who) as (senders, receivers):
        progress(senders, receivers)
        old = replicas.primary
        with old.frozen():
            replicas.promote()
            progress(senders, receivers)
        progress(senders, receivers)
        # a commit that waits for its standby does not look at its connection
        wait_until(lambda: not old.backends("wait_event IS DISTINCT FROM 'SyncRep'"),
                   "the broker has left the old primary")


def test_replaced_primary_comes_back(replicated_stack, replicas, two, who):
    """The old primary comes back and takes writes: a broker that has seen the new one refuses it,
    also while the new one is away, and one that starts takes the newer of the two."""
    sender, receiver = two
    old = replicas.primary
    assert sender.publish(f"to/u/{receiver.user}", b"1") == 0
    old.kill()
    replicas.promote()
    assert sender.publish(f"to/u/{receiver.user}", b"2", timeout_s=30) == 0
    old.start("synchronous_standby_names=")
    count = "SELECT (SELECT count(*) FROM inbox), (SELECT generation FROM ownership)"
    before = old.beckon(count)
    replicas.primary.kill()
    pid = sender.post(f"to/u/{receiver.user}", b"3")
    said(replicated_stack, "is a server that was replaced: its timeline is")
    with pytest.raises(TimeoutError):
        sender.take(p.PUBACK, 1.0, pid)
    replicas.primary.start()
    assert sender.take(p.PUBACK, 30, pid).reason == 0
    replicated_stack.stop("broker")
    replicated_stack.start("broker")
    assert sender.publish(f"to/u/{receiver.user}", b"4", timeout_s=30) == 0
    assert receiver.payloads(4) == [b"1", b"2", b"3", b"4"]
    assert old.beckon(count) == before
    assert replicas.primary.beckon(count)[0][1] > before[0][1]
    receiver.quiet()


def test_standby_away(replicated_stack, replicas, two):
    """Without its standby the primary commits nothing: publishes wait, the broker says that it is
    not ready, its commits do not pile up on the server, and all goes on when the standby is back."""
    sender, receiver = two
    assert sender.publish(f"to/u/{receiver.user}", b"0") == 0
    replicas.standby.stop()
    pids = [sender.post(f"to/u/{receiver.user}", b"%d" % number) for number in range(1, 11)]
    waiting = wait_waiting(replicas.primary)
    connections = replicas.primary.backends()
    said(replicated_stack, "looking whether another server was promoted")
    said(replicated_stack, "goes on waiting: no other server was promoted")
    wait_until(lambda: not ready(replicated_stack), "the broker says that it is not ready")
    with pytest.raises(TimeoutError):
        sender.take(p.PUBACK, 2 * TIMEOUT_MS / 1000)
    assert set(replicas.primary.backends()) == set(connections)
    assert replicas.primary.backends("wait_event = 'SyncRep'") == waiting
    replicas.standby.start()
    assert [sender.take(p.PUBACK, 30, pid).reason for pid in pids] == [0] * 10
    assert receiver.payloads(11) == [b"%d" % number for number in range(11)]
    receiver.quiet()
    wait_ready(replicated_stack)


@pytest.mark.parametrize("then", ["standby-back", "primary-killed"])
def test_cancelled_wait(replicated_stack, replicas, two, then):
    """An operator cancels the commits that wait for the standby. PostgreSQL reports success with a
    warning, and they can be seen: all the same nothing is acknowledged that the standby lacks."""
    sender, receiver = two
    assert sender.publish(f"to/u/{receiver.user}", b"1") == 0
    assert receiver.payloads(1) == [b"1"]
    cursor = "SELECT acked_seq FROM device JOIN users USING (user_no) WHERE user_id = %s"
    wait_until(lambda: replicas.primary.beckon(cursor, receiver.user) == [(1,)],
               "nothing else waits to be written")
    replicas.standby.stop()
    pid = sender.post(f"to/u/{receiver.user}", b"2")
    count = "SELECT count(*) FROM inbox JOIN users USING (user_no) WHERE user_id = %s"

    def cancel():
        # of the batch alone: each new connection waits for the standby as well, before it is used
        replicas.primary.sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity"
                             " WHERE wait_event = 'SyncRep' AND query = 'COMMIT'")
        return replicas.primary.beckon(count, receiver.user) == [(2,)]

    wait_until(cancel, "it can be seen")
    said(replicated_stack, "canceling wait for synchronous replication")
    with pytest.raises(TimeoutError):
        sender.take(p.PUBACK, 1.0, pid)
    if then == "standby-back":
        replicas.standby.start()
    else:
        replicas.primary.kill()
        replicas.standby.start()
        replicas.promote()
    assert sender.take(p.PUBACK, 30, pid).reason == 0
    assert replicas.primary.beckon(count, receiver.user) == [(2,)]
    assert receiver.payloads(1) == [b"2"]
    receiver.quiet()



def test_asynchronous_standby_promoted(replicated_stack, replicas, who):
    """Commits did not wait for the standby, and it lacks the last ones. They are gone, and so are the
    people and devices that came with them; nothing else: the broker goes on by itself, clients stay
    connected, and no message that comes later is taken for one that somebody has had."""
    made = Clients(replicated_stack)
    broker = replicated_stack.pid("broker")
    bob, carol = made.persistent(who("bob")), made.persistent(who("carol"))
    sender = made.peer(who("alice"))
    desk = made.peer(who("bob"), "desk")

    def send(to, *payloads):
        for payload in payloads:
            assert sender.publish(f"to/u/{to}", payload, timeout_s=30) == 0

    for peer in (bob, carol, desk):
        peer.subscribe()
    send(bob.user, b"1", b"2")
    send(carol.user, b"1")
    assert bob.payloads(2) == desk.payloads(2) == [b"1", b"2"]
    carol.disconnect()

    replicas.standby.stop()
    replicas.primary.setting("synchronous_standby_names", "")
    wait_until(lambda: not replicas.primary.sql("SELECT 1 FROM pg_stat_activity"
                                                " WHERE wait_event = 'SyncRep'"), "nothing waits")
    send(bob.user, b"lost 3", b"lost 4", b"lost 5")
    send(carol.user, b"lost 2", b"lost 3")
    dave = made.persistent(who("dave"))
    dave.subscribe()
    send(dave.user, b"1", b"2")
    assert bob.payloads(3) == [b"lost 3", b"lost 4", b"lost 5"]
    assert desk.payloads(1) == [b"lost 3"]   # the others are on their way: it has not said so
    desk.receive(2, ack=False)
    assert dave.payloads(2) == [b"1", b"2"]
    looked = Door(replicated_stack).metrics()["beckon_broker_histories_lost_total", ""]
    last = replicas.primary.beckon("SELECT max(seq) FROM inbox JOIN users USING (user_no)"
                                   " WHERE user_id = %s", bob.user)
    let_pass(4)   # longer than two rounds of membership, which see that nothing waits for a standby
    replicas.primary.kill()
    replicas.standby.start()
    replicas.promote()
    assert replicas.primary.beckon("SELECT max(seq) FROM inbox JOIN users USING (user_no)"
                                   " WHERE user_id = %s", bob.user) < last, "nothing was lost"

    pid = sender.post(f"to/u/{bob.user}", b"6")
    assert sender.take(p.PUBACK, 30, pid).reason == 0
    assert Door(replicated_stack).metrics()["beckon_broker_histories_lost_total", ""] == looked + 1
    assert replicated_stack.pid("broker") == broker
    send(bob.user, b"7")
    send(dave.user, b"3", b"4")
    send(carol.user, b"4")
    assert bob.payloads(2) == [b"6", b"7"]
    assert desk.payloads(2) == [b"6", b"7"]
    assert dave.payloads(2) == [b"3", b"4"]
    carol = made.persistent(who("carol"))
    assert carol.payloads(2) == [b"1", b"4"]
    erin = made.subscriber(who("erin"))
    send(erin.user, b"1")
    assert erin.payloads(1) == [b"1"]
    seqs = replicas.primary.beckon("SELECT seq FROM inbox JOIN users USING (user_no)"
                                   " WHERE user_id = %s ORDER BY 1", bob.user)
    assert seqs == [(1,), (2,), (6,), (7,)]
    for peer in (bob, desk, dave, carol, erin):
        peer.quiet()
    made.close()
