"""Rows that the database refuses whatever happens: they stand for all that nobody thought of. Each is
given up alone, and what came with it in its batch is stored, once and in order."""
import contextlib
import json

import pytest

from support import packets as p
from support.http import Door
from support.pushes import mid_of, state
from support.waiting import wait_until

from test_database_trouble import said, superuser


@pytest.fixture
def database(own_stack):
    with superuser(own_stack) as cursor:
        yield cursor


@contextlib.contextmanager
def poison(database, table, condition):
    """No new row of the table may be so."""
    database.execute(f"ALTER TABLE {table} ADD CONSTRAINT poison CHECK (NOT ({condition})) NOT VALID")
    try:
        yield
    finally:
        database.execute(f"ALTER TABLE {table} DROP CONSTRAINT poison")


@contextlib.contextmanager
def one_batch(database, table, begin):
    """What is written within is one batch: the one before waits for the table, which `begin` makes
    somebody write to."""
    database.execute(f"BEGIN; LOCK TABLE {table} IN SHARE MODE")
    try:
        begin()
        wait_until(lambda: rows(database, "SELECT 1 FROM pg_stat_activity WHERE usename = 'beckon'"
                                          " AND wait_event_type = 'Lock'"), "a batch waits")
        yield
    finally:
        database.execute("COMMIT")


def rows(database, statement, *values):
    database.execute(statement, values)
    return database.fetchall()


def number(database, user):
    return rows(database, "SELECT user_no FROM users WHERE user_id = %s", user)[0][0]


def cursors(database, *peers):
    """Up to where each has acknowledged, by the database."""
    found = dict(rows(database, "SELECT user_no, acked_seq FROM device"))
    return [found[number(database, peer.user)] for peer in peers]


def unread(database, *users):
    """What each has not read, by the database."""
    found = dict(rows(database, "SELECT user_no, sum(unread)::int FROM conversation GROUP BY 1"))
    return [found.get(number(database, user), 0) for user in users]


def given_up(stack):
    return Door(stack).metrics()["beckon_broker_writes_given_up_total", ""]


def test_poison(own_stack, own_clients, who):
    """A row that the database refuses whatever happens stands for all we did not think of: it alone
    is refused, and what came with it is stored, once and in order."""
    receiver, sender = own_clients.subscriber(who("bob")), own_clients.peer(who("alice"))
    to = f"to/u/{receiver.user}"
    before = given_up(own_stack)
    assert sender.publish(to, b"before") == 0
    assert receiver.payloads(1) == [b"before"]
    with superuser(own_stack) as database:
        database.execute("ALTER TABLE inbox ADD CONSTRAINT poison CHECK (payload <> 'poison') NOT VALID")
        database.execute("ALTER TABLE push ADD CONSTRAINT poison CHECK (token <> 'abcd') NOT VALID")
        try:
            database.execute("BEGIN; LOCK TABLE inbox IN SHARE MODE")
            payloads = [b"%d" % number for number in range(12)]
            payloads[7] = b"poison"
            pids = [sender.post(to, payload) for payload in payloads]
            database.execute("COMMIT")
            reasons = [sender.take(p.PUBACK, 30, pid).reason for pid in pids]
            assert reasons == [0] * 7 + [0x80] + [0] * 4
            assert receiver.payloads(11) == payloads[:7] + payloads[8:]
            push = json.dumps({"provider": "apns", "token": "abcd", "topic": "org.example.app",
                               "environment": "development"}).encode()
            assert sender.publish("me/push", push, timeout_s=30) == 0x83
        finally:
            database.execute("ALTER TABLE inbox DROP CONSTRAINT poison")
            database.execute("ALTER TABLE push DROP CONSTRAINT poison")
    said(own_stack, "the database refuses a message, given up")
    assert given_up(own_stack) == before + 2
    assert sender.publish(to, b"after") == 0
    assert receiver.payloads(1) == [b"after"]
    receiver.quiet()


def test_cursor(own_stack, own_clients, database, who):
    """One device's cursor is refused: others', and the end of a session behind it, are written. A
    newer one of that device is tried as any other."""
    before = given_up(own_stack)
    bob, carol, dave = (own_clients.persistent(who(name)) for name in ("bob", "carol", "dave"))
    sender = own_clients.peer(who("alice"))
    for receiver in (bob, carol, dave):
        receiver.subscribe()
        assert sender.publish(f"to/u/{receiver.user}", b"1") == 0
        assert receiver.payloads(1) == [b"1"]
    wait_until(lambda: cursors(database, bob, carol, dave) == [1, 1, 1], "all is written")
    for receiver in (bob, carol, dave):
        assert sender.publish(f"to/u/{receiver.user}", b"2") == 0
    with poison(database, "device", f"user_no = {number(database, bob.user)} AND acked_seq = 2"):
        with one_batch(database, "device", lambda: dave.payloads(1)):
            assert bob.payloads(1) == carol.payloads(1) == [b"2"]
            carol.disconnect()
            pid = sender.post(f"to/u/{dave.user}", b"3")
        assert sender.take(p.PUBACK, 30, pid).reason == 0
        assert dave.payloads(1) == [b"3"]
        wait_until(lambda: cursors(database, bob, carol, dave) == [1, 2, 3], "others' cursors", 30)
        said(own_stack, "the database refuses a cursor, given up until it moves again:"
                        f" user={bob.user}")
        assert sender.publish(f"to/u/{bob.user}", b"3") == 0
        assert bob.payloads(1) == [b"3"]
        wait_until(lambda: cursors(database, bob) == [3], "a newer one")
    wait_until(lambda: rows(database, "SELECT 1 FROM session WHERE user_no = %s AND expires_at"
                                      " IS NOT NULL", number(database, carol.user)), "carol's end")
    assert given_up(own_stack) == before + 1


def test_trace(own_stack, own_clients, database, who):
    """One row of the trace is refused: others of the same device are written, and what is not the
    trace's."""
    before = given_up(own_stack)
    bob, sender = own_clients.subscriber(who("bob")), own_clients.peer(who("alice"))
    for number_of in range(1, 6):
        assert sender.publish(f"to/u/{bob.user}", b"%d" % number_of) == 0
    shown = json.dumps({"mids": [mid_of(message) for message in bob.receive(5)]}).encode()
    user_no = number(database, bob.user)
    with poison(database, "trace", f"user_no = {user_no} AND seq = 3"):
        assert bob.publish("me/shown", shown, timeout_s=30) == 0
        wait_until(lambda: rows(database, "SELECT seq FROM trace WHERE user_no = %s"
                                          " AND outcome = 'shown' ORDER BY 1",
                                user_no) == [(1,), (2,), (4,), (5,)], "the other rows", 30)
    wait_until(lambda: cursors(database, bob) == [5], "the cursor")
    said(own_stack, f"the database refuses a row of the trace, given up: user_no={user_no}")
    assert given_up(own_stack) == before + 1


def badge(own_clients, sender, user):
    """As a phone in the background is told, with one message more."""
    phone = own_clients.persistent(user, "badge")
    state(phone, "background")
    phone.subscribe()
    assert sender.publish(f"to/u/{user}", b"one more") == 0
    document = json.loads(phone.receive()[0].payload)
    phone.disconnect()
    return document["aps"]["badge"] - 1


def test_unread_count(own_stack, own_clients, database, who):
    """One person's counts are refused: others' are written. That person's stay right in memory, a
    me/read says that it is not stored, a broker that is killed counts again, and once they are
    taken again all is as before."""
    before = given_up(own_stack)
    alice, carol = own_clients.peer(who("alice")), own_clients.peer(who("carol"))
    phones = [own_clients.subscriber(who(name)) for name in ("bob", "dave")]
    bob, dave = (phone.user for phone in phones)

    def send(sender, user, count=1):
        for _ in range(count):
            assert sender.publish(f"to/u/{user}", b"x") == 0

    send(alice, bob, 2)
    last = mid_of(phones[0].receive(2)[1])
    wait_until(lambda: unread(database, bob) == [2], "the first counts")
    condition = f"user_no = {number(database, bob)} AND unread <> 2"
    with poison(database, "conversation", condition):
        send(carol, bob)
        send(alice, bob)
        send(alice, dave, 3)
        phones[0].receive(2)   # a new device begins behind what others have
        wait_until(lambda: unread(database, bob, dave) == [2, 3], "the other's counts", 30)
        said(own_stack, "the database refuses unread counts, they are in memory only until the"
                        f" person reads something: user={bob}")
        assert given_up(own_stack) == before + 1
        assert badge(own_clients, alice, bob) == 4
        send(alice, dave)
        wait_until(lambda: unread(database, dave) == [4], "the next counts")
        assert given_up(own_stack) == before + 1, "what moves once more is not tried again"
        read = json.dumps({"conversation": f"u/{alice.user}", "mid": last}).encode()
        assert phones[0].publish("me/read", read, timeout_s=30) == 0x80
        assert given_up(own_stack) == before + 2
        own_stack.kill("broker")
        own_stack.start("broker")
        assert badge(own_clients, alice, bob) == 5   # nothing of it was read
    assert phones[0].publish("me/read", read, timeout_s=30) == 0
    wait_until(lambda: unread(database, bob) == [4], "what is left of five and one")
    assert badge(own_clients, alice, bob) == 4
