"""Who is new: no row before there is something to write, and everything that asks for one."""
import contextlib

import psycopg2
import pytest

from support import packets as p
from support.clients import Clients
from support.stack import Stack
from support.waiting import wait_until


@pytest.fixture(scope="module")
def patient_stack(request):
    """Its clients may wait for the broker longer than a busy machine takes for a test."""
    stack = Stack(sets=["connector:session.open_ms=60000"])
    try:
        yield stack.up()
    finally:
        stack.destroy(keep=getattr(request.session, "beckon_failed", False))


@pytest.fixture
def patient_clients(patient_stack):
    made = Clients(patient_stack)
    yield made
    made.close()


@contextlib.contextmanager
def writes_held(stack):
    """Batches with a session wait; yields what tells whether one does."""
    dsn = stack.environment["BECKON_DSN"]
    with contextlib.closing(psycopg2.connect(dsn)) as holder, \
            contextlib.closing(psycopg2.connect(dsn)) as watcher:
        watcher.autocommit = True
        holder.cursor().execute("LOCK TABLE session IN ACCESS EXCLUSIVE MODE")

        def waiting():
            with watcher.cursor() as cursor:
                cursor.execute("SELECT FROM pg_locks WHERE NOT granted AND relation = 'session'::regclass")
                return cursor.rowcount > 0
        yield waiting


def ends(stack, user):
    """Which devices have a kept session, and whether its end is known."""
    with contextlib.closing(psycopg2.connect(stack.environment["BECKON_DSN"])) as database:
        with database.cursor() as cursor:
            cursor.execute("SELECT device_id, expires_at IS NOT NULL FROM users JOIN session"
                           " USING (user_no) WHERE user_id = %s", (user,))
            return dict(cursor.fetchall())


def rows(stack, user):
    """How many devices each row of users with that name has."""
    with contextlib.closing(psycopg2.connect(stack.environment["BECKON_DSN"])) as database:
        with database.cursor() as cursor:
            cursor.execute("SELECT count(d.*) FROM users u LEFT JOIN device d USING (user_no)"
                           " WHERE u.user_id = %s GROUP BY u.user_no", (user,))
            return [count for (count,) in cursor.fetchall()]


def test_who_only_looks_in_has_no_row(clients, stack, who, version):
    bob = who("bob")
    for _ in range(2):
        clients.peer(bob, version=version).disconnect()
        assert rows(stack, bob) == []


def test_a_kept_session_needs_one(clients, stack, who, version):
    bob = who("bob")
    clients.peer(bob, version=version).disconnect()
    clients.persistent(bob, version=version)
    assert rows(stack, bob) == [0]


def test_a_subscription_needs_one(clients, stack, who, version):
    """What comes right behind the SUBSCRIBE is done after it, in order."""
    bob = who("bob")
    phone = clients.peer(bob, version=version)
    assert rows(stack, bob) == []
    pairs = [("inbox/#", 1)]
    first, second, third = phone.pid(), phone.pid(), phone.pid()
    phone.send(p.subscribe(version, pairs, first, ()) + p.unsubscribe(version, ["inbox/#"], second)
               + p.subscribe(version, pairs, third, ()))
    assert phone.take(p.SUBACK, pid=first).codes == [1]
    phone.take(p.UNSUBACK, pid=second)
    assert phone.take(p.SUBACK, pid=third).codes == [1]
    assert rows(stack, bob) == [1]
    assert clients.peer(who("alice"), version=version).publish(f"to/u/{bob}", b"m") == 0
    assert phone.payloads() == [b"m"]


def test_a_message_needs_one_at_both_ends(clients, stack, who, version):
    alice, bob = who("alice"), who("bob")
    sender = clients.peer(alice, version=version)
    clients.peer(bob, version=version)
    assert sender.publish(f"to/u/{bob}", b"m") == 0
    assert rows(stack, alice) == [0] and rows(stack, bob) == [0]
    assert clients.subscriber(bob, version=version).payloads() == [b"m"]


def test_gone_while_the_row_is_made(clients, stack, who, version):
    bob = who("bob")
    phone = clients.peer(bob, version=version)
    phone.send(p.subscribe(version, [("inbox/#", 1)], phone.pid(), ()))
    phone.close()
    assert clients.subscriber(bob, version=version).subscribe() == [1]
    assert len(rows(stack, bob)) == 1


def ask_for_session(clients, user, device, version):
    """Its CONNECT is on its way, by the first connector."""
    peer = clients.raw(user, device, version, 0)
    peer.send(p.connect(version, device, user, peer.token, clean=False,
                        props=[(p.SESSION_EXPIRY, 3600)]))
    return peer


@pytest.mark.parametrize("waits", ["under way", "to be written"])
def test_while_the_first_kept_session_waits(patient_clients, patient_stack, who, version, waits):
    """It is one transaction with the person's row. Its client goes meanwhile, another device of theirs
    comes, and somebody sends: each is done in its turn."""
    bob = who("bob")
    sender = patient_clients.peer(who("alice"), version=version, connector=0)
    with writes_held(patient_stack) as waiting:
        if waits == "to be written":
            ask_for_session(patient_clients, who("dave"), "phone", version)
            wait_until(waiting, "a batch waits")
        phone = ask_for_session(patient_clients, bob, "phone", version)
        wait_until(waiting, "a batch waits")
        # Who has a CONNACK came behind all that on the same link, and was answered by a read.
        patient_clients.peer(who("carol"), version=version, connector=0)
        phone.cut()
        tablet = ask_for_session(patient_clients, bob, "tablet", version)
        sent = sender.post(f"to/u/{bob}", b"m")
        patient_clients.peer(who("carol"), version=version, connector=0)
    assert tablet.take(p.CONNACK).reason == 0
    assert sender.take(p.PUBACK, pid=sent).reason == 0
    wait_until(lambda: ends(patient_stack, bob) == {"phone": True, "tablet": False}, "the end is written")
    assert rows(patient_stack, bob) == [0]
    assert patient_clients.persistent(bob, version=version).connack.session_present


def test_two_first_sessions_of_a_device(patient_clients, patient_stack, who, version):
    """A newer connection of the same device takes over while the first session is written."""
    bob = who("bob")
    with writes_held(patient_stack) as waiting:
        older = ask_for_session(patient_clients, bob, "phone", version)
        wait_until(waiting, "a batch waits")
        newer = ask_for_session(patient_clients, bob, "phone", version)
        patient_clients.peer(who("carol"), version=version, connector=0)
    assert newer.take(p.CONNACK).reason == 0
    older.end()
    assert newer.alive()
    assert ends(patient_stack, bob) == {"phone": False}


@pytest.mark.parametrize("qos", [1, 0])
def test_subscribing_as_before_and_otherwise(clients, who, version, qos):
    """What is stored is answered without a write; what differs is written and resumed."""
    bob, alice = who("bob"), who("alice")
    for wanted in (1, 1, qos, qos):
        phone = clients.persistent(bob, version=version)
        assert phone.subscribe("inbox/#", wanted) == [wanted]
        assert phone.subscribe("inbox/#", wanted) == [wanted]
        phone.disconnect()
    phone = clients.persistent(bob, version=version)
    assert phone.connack.session_present
    assert clients.peer(alice, version=version).publish(f"to/u/{bob}", b"m") == 0
    got = phone.receive(1, ack=False)
    assert [(message.payload, message.qos) for message in got] == [(b"m", qos)]
