"""Retention: messages end by age alone, partitions come and go, sequences stay. The clocks of the whole
stack are moved (support/moved_clock.py); nothing else is different from production."""
import contextlib
import json
import signal
import struct

import psycopg2
import pytest

from support import packets as p
from support.clients import Clients
from support.http import Door
from support.moved_clock import MovedStack
from support.pushes import Apns, mid_of, register, state
from support.stack import ExtraConnector
from support.waiting import let_pass, wait_until

RETENTION_DAYS = 30   # the default
JANITOR_LOCK = "1650811755, 2"


@pytest.fixture(scope="module")
def moved(request):
    stack = MovedStack()
    try:
        yield stack.up()
    finally:
        keep = getattr(request.session, "beckon_failed", False)
        stack.destroy(keep=keep)
        if keep:
            print(f"\nlogs of the failed run: {stack.var}/log")


@pytest.fixture
def clients(moved):
    made = Clients(moved)
    yield made
    made.close()
    moved.heal()


@pytest.fixture
def other(moved):
    """A database connection that is none of the broker's."""
    with contextlib.closing(psycopg2.connect(moved.environment["BECKON_DSN"])) as connection:
        yield connection


@pytest.fixture
def alice(clients, who):
    return clients.peer(who("alice"))


def away(clients, user, device="phone"):
    """A device that exists, with its inbox subscribed, and is gone."""
    clients.subscriber(user, device).disconnect()


def back(clients, user, device="phone"):
    return clients.subscriber(user, device)


def send(peer, user, *payloads):
    for payload in payloads:
        assert peer.publish(f"to/u/{user}", payload) == 0


def sequences(moved, user):
    return [seq for seq, in moved.sql("SELECT i.seq FROM inbox i JOIN users u USING (user_no)"
                                      " WHERE u.user_id = %s ORDER BY 1", user)]


def mid_in_database(moved, user):
    return moved.sql("SELECT i.mid::text FROM inbox i JOIN users u USING (user_no)"
                     " WHERE u.user_id = %s ORDER BY i.seq DESC LIMIT 1", user)[0][0]


def ends(moved, user):
    """(seq, reason) of the ends that were recorded."""
    return moved.sql("SELECT t.seq, t.reason FROM trace t JOIN users u USING (user_no)"
                     " WHERE u.user_id = %s AND t.outcome = 'expired' ORDER BY t.seq", user)


def restart(moved):
    moved.kill("broker")
    moved.start("broker")


# --- what remains --------------------------------------------------------------------------------

def test_comes_back_after_40_days(moved, clients, who, alice):
    bob = who("bob")
    away(clients, bob)
    send(alice, bob, b"1", b"2", b"3")
    moved.move(20)
    moved.clean_up()
    send(alice, bob, b"4", b"5")
    moved.move(20)
    moved.clean_up()
    assert sequences(moved, bob) == [4, 5]
    assert ends(moved, bob) == [(3, "retention: 3 messages")]
    restart(moved)
    phone = back(clients, bob)
    assert phone.payloads(2) == [b"4", b"5"]
    send(clients.peer(who("carol")), bob, b"6")
    assert phone.payloads() == [b"6"]
    assert sequences(moved, bob) == [4, 5, 6]


def test_comes_back_to_the_same_broker(moved, clients, who, alice):
    """The person stayed in memory, with the cursor of then."""
    bob = who("bob")
    away(clients, bob)
    send(alice, bob, b"1", b"2")
    moved.move(20)
    send(alice, bob, b"3")
    moved.move(20)
    moved.clean_up()
    phone = back(clients, bob)
    assert phone.payloads() == [b"3"]
    phone.settle(who("sink"))
    phone.quiet()
    wait_until(lambda: moved.sql("SELECT 1 FROM device d JOIN users u USING (user_no)"
                                 " WHERE u.user_id = %s AND d.acked_seq = 3", bob), "the cursor")


def test_sequence_survives_a_drop_of_everything(moved, clients, who):
    """Of copies for one's own devices, which no count of unread messages remembers."""
    alice = who("alice")
    away(clients, alice, "desk")
    phone = back(clients, alice)
    send(phone, who("bob"), b"1", b"2", b"3")
    wait_until(lambda: sequences(moved, alice) == [1, 2, 3], "three copies")
    assert not moved.sql("SELECT 1 FROM user_head h JOIN users u USING (user_no) WHERE u.user_id = %s",
                         alice)
    moved.move(45)
    moved.clean_up()
    assert sequences(moved, alice) == []
    restart(moved)
    send(clients.peer(alice), who("bob"), b"4")
    wait_until(lambda: sequences(moved, alice) == [4], "the next copy is the fourth")


# --- over, but still there ------------------------------------------------------------------------

def test_over_is_not_delivered(moved, clients, who, alice):
    """The default time to live is the retention time, whether or not the partition is still there."""
    bob = who("bob")
    away(clients, bob)
    send(alice, bob, b"old")
    mid = mid_in_database(moved, bob)
    moved.move(RETENTION_DAYS - 1)
    send(alice, bob, b"young")
    moved.move(1.01)
    assert sequences(moved, bob) == [1, 2], "a partition went too early"
    door = Door(moved)
    assert door.devices(mid, bob)["phone"]["state"] == "expired", "nobody has to come for that"
    phone = back(clients, bob)
    assert phone.payloads() == [b"young"]
    wait_until(lambda: ends(moved, bob) == [(1, "")], "the end is recorded")
    assert door.wait_state(mid, bob, "phone", "expired")


def test_over_is_not_alerted_on_the_socket(moved, clients, who, alice):
    bob = who("bob")
    away(clients, bob)
    send(alice, bob, b"old")
    moved.move(RETENTION_DAYS + 0.01)
    phone = clients.peer(bob)
    state(phone, "background")
    assert phone.subscribe("inbox/#") == [1]
    send(alice, bob, b"new")
    message = phone.receive()[0]
    assert message.topic.startswith("inbox/notify/")
    assert message.topic.endswith(mid_in_database(moved, bob))
    phone.quiet()


def test_over_is_not_pushed(moved, clients, who, alice):
    """Neither by the broker that was trying, nor by one that starts and looks for work."""
    apns, bob = Apns(moved), who("bob")
    phone = clients.subscriber(bob)
    token = register(phone)
    apns.answer(token, status=503, reason="ServiceUnavailable")
    phone.disconnect()
    send(alice, bob, b"old")
    wait_until(lambda: apns.pushes(token, 503), "the push is tried")
    moved.move(RETENTION_DAYS + 0.01)
    apns.answer(token)
    wait_until(lambda: moved.sql("SELECT 1 FROM trace t JOIN users u USING (user_no) WHERE u.user_id = %s"
                                 " AND t.reason = 'expired'", bob), "it is given up")
    moved.sql("UPDATE device SET alerted_seq = 0 WHERE user_no ="
              " (SELECT user_no FROM users WHERE user_id = %s)", bob)
    alice.disconnect()   # who is connected is loaded anyway
    restart(moved)
    wait_until(lambda: "everybody with something to alert" in
               moved.log("broker").rsplit("generation of ownership", 1)[1], "it has looked")
    assert moved.metric("user_loads_total") == 0
    assert apns.pushes(token) == []


def test_a_time_to_live_is_held_against_the_databases_clock(moved, clients, who, alice):
    bob = who("bob")
    away(clients, bob)
    assert alice.publish(f"to/u/{bob}", b"short", props=[(2, 60)]) == 0
    assert alice.publish(f"to/u/{bob}", b"long", props=[(2, 90 * 24 * 3600)]) == 0
    moved.move(1)
    phone = back(clients, bob)
    assert phone.payloads() == [b"long"]
    phone.disconnect()
    assert alice.publish(f"to/u/{bob}", b"too long", props=[(2, 90 * 24 * 3600)]) == 0
    moved.move(RETENTION_DAYS)
    phone = back(clients, bob)
    send(alice, bob, b"new")
    assert phone.payloads() == [b"new"]


def badge(clients, sender, user):
    """What a phone in the background is told with one message more, less that one."""
    phone = clients.peer(user, "badge")
    state(phone, "background")
    phone.subscribe()
    send(sender, user, b"one more")
    mid = mid_in_database(clients.stack, user)
    while True:   # older ones, which it has not acknowledged, may come first
        note = phone.receive()[0]
        if mid_of(note) == mid:
            phone.disconnect()
            return json.loads(note.payload)["aps"]["badge"] - 1


def test_a_badge_does_not_count_what_is_over(moved, clients, who, alice):
    """Messages that ended by their own time to live, then by the retention time, then with their
    partition; in memory and after a restart. Nobody else's counts are touched."""
    bob, carol = who("bob"), who("carol")
    phone = clients.subscriber(bob)
    send(alice, bob, b"1", b"2")
    for payload in (b"3", b"4", b"5"):
        assert alice.publish(f"to/u/{bob}", payload, props=[(2, 3600)]) == 0
    phone.receive(5)
    assert badge(clients, alice, bob) == 5     # 6 with that one
    moved.move(1)
    assert badge(clients, alice, bob) == 3     # 1, 2 and the one more of before
    moved.move(RETENTION_DAYS - 0.5)
    send(clients.peer(carol), bob, b"6")
    assert badge(clients, alice, bob) == 2     # 6, and the one more of a day later
    restart(moved)
    moved.move(0.6)
    assert badge(clients, alice, bob) == 2     # 6, and the newest one more
    moved.move(45)
    moved.clean_up()
    restart(moved)
    assert badge(clients, alice, bob) == 0


# --- clocks that are wrong --------------------------------------------------------------------------

def off_by(moved, clients, days):
    """A connector whose clock is off."""
    clock = moved.clocks / f"clock{days}"
    clock.write_bytes(struct.pack("=q", moved.moved_s + days * 24 * 3600))
    return clients.keep(ExtraConnector(moved, wrapper=(
        "env", f"LD_PRELOAD={moved.more_environment['LD_PRELOAD']}", f"BECKON_TEST_CLOCK={clock}")))


@pytest.mark.parametrize("days", [100, -100])
def test_a_wrong_clock_costs_nothing(moved, clients, who, days):
    """It is delivered, lies in the default partition, and ends a retention time after it came."""
    bob = who("bob")
    away(clients, bob)
    before = moved.metric("misdated_total")
    sender = clients.peer(who("alice"), sock=off_by(moved, clients, days).dial())
    send(sender, bob, b"1")
    assert moved.metric("misdated_total") == before + 1
    assert moved.sql("SELECT b.flags FROM inbox_default b JOIN users u USING (user_no)"
                     " WHERE u.user_id = %s", bob) == [(2,)]
    phone = back(clients, bob)
    assert phone.payloads() == [b"1"]
    phone.settle(who("sink"))
    phone.disconnect()
    send(sender, bob, b"2")
    moved.move(RETENTION_DAYS - 2)
    assert back(clients, bob).payloads(ack=False) == [b"2"]
    moved.move(3)
    phone = back(clients, bob)
    phone.quiet()
    moved.clean_up()
    wait_until(lambda: sequences(moved, bob) == [], "the default partition is swept")
    restart(moved)
    send(clients.peer(who("carol")), bob, b"3")
    assert sequences(moved, bob) == [3]


def test_rows_of_the_default_partition_are_moved(moved):
    """A partition is made although some of its rows are there already."""
    moved.sql("INSERT INTO trace VALUES (1, 1, 1, now() + interval '20 days', '', 'x', '', 0)")
    moved.sql("INSERT INTO inbox SELECT 1, 1000000, gen_random_uuid(), 1, 1, NULL,"
              " max(high) + interval '1 hour', NULL, 1, '', '', 0 FROM beckon_partitions()"
              " WHERE parent = 'inbox'")
    moved.move(20)
    moved.clean_up()
    wait_until(lambda: not moved.sql("SELECT 1 FROM trace_default") and
               not moved.sql("SELECT 1 FROM inbox_default WHERE seq = 1000000"), "they were moved")
    assert moved.sql("SELECT count(*) FROM trace WHERE outcome = 'x'") == [(1,)]
    assert moved.sql("SELECT count(*) FROM inbox WHERE seq = 1000000") == [(1,)]
    moved.sql("DELETE FROM inbox WHERE seq = 1000000")


# --- the janitor ------------------------------------------------------------------------------------

def test_a_broker_that_was_off_for_weeks(moved, clients, who, alice):
    """Has partitions before its first message, and for messages that connectors held meanwhile."""
    bob = who("bob")
    away(clients, bob)
    moved.stop("broker")
    moved.move(25)
    pid = alice.post(f"to/u/{bob}", b"held")   # the connector has it, with a time of now
    moved.move(3)
    moved.start("broker")
    assert alice.take(p.PUBACK, pid=pid).reason == 0
    assert moved.sql("SELECT count(*) FROM inbox_default") == [(0,)]
    wait_until(lambda: moved.metric("partitions_ahead_seconds") > 2 * 24 * 3600, "it has looked")
    assert back(clients, bob).payloads() == [b"held"]


def test_drops_beside_traffic(moved, clients, who, alice):
    """Nothing newer is lost or swapped, and nobody who publishes is refused or waits for it."""
    bob = who("bob")
    phone = clients.subscriber(bob)
    send(alice, bob, b"old")
    assert phone.payloads() == [b"old"]
    moved.move(40)
    dropped = moved.metric("partitions_dropped_total")
    failures = moved.metric("batch_failures_total")
    pids = []
    for number in range(1000):
        pids.append(alice.post(f"to/u/{bob}", b"%d" % number))
        if number == 300:
            moved.signal("broker", 0, signal.SIGHUP)
        if number % 50 == 49:
            assert [alice.take(p.PUBACK, pid=pid).reason for pid in pids] == [0] * len(pids)
            pids = []
    assert phone.payloads(1000) == [b"%d" % number for number in range(1000)]
    moved.clean_up()
    assert moved.metric("partitions_dropped_total") > dropped
    assert moved.metric("batch_failures_total") == failures


def test_a_table_that_is_read_for_long(moved, clients, who, alice, other):
    """A backup, say: the janitor gives up at once and tries again, and messages go on."""
    bob = who("bob")
    phone = clients.subscriber(bob)
    send(alice, bob, b"old")
    moved.move(45)
    failures = moved.metric("janitor_failures_total")
    batches = moved.metric("batch_failures_total")
    before = moved.partitions()
    with other.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM inbox")   # its transaction stays open
        moved.signal("broker", 0, signal.SIGHUP)
        wait_until(lambda: moved.metric("janitor_failures_total") > failures, "it gives up")
        send(alice, bob, b"1", b"2")
        assert phone.payloads(3) == [b"old", b"1", b"2"]
        assert set(before) <= set(moved.partitions())
    other.rollback()
    moved.clean_up()
    assert before[0] not in moved.partitions()
    assert moved.metric("batch_failures_total") == batches


def test_one_janitor_at_a_time(moved, other):
    """Whoever has the lock is at it; the others leave it alone, which is no failure."""
    failures = moved.metric("janitor_failures_total")
    with other.cursor() as cursor:
        cursor.execute(f"SELECT pg_advisory_lock({JANITOR_LOCK})")
    moved.move(45)
    before = moved.partitions()
    moved.signal("broker", 0, signal.SIGHUP)
    wait_until(lambda: moved.metric("inbox_oldest_seconds") > 45 * 24 * 3600, "it has looked")
    assert moved.partitions() == before
    assert moved.metric("janitor_failures_total") == failures
    other.close()
    moved.clean_up()
    wait_until(lambda: moved.metric("inbox_oldest_seconds") < 40 * 24 * 3600, "the rest is young")


def test_two_that_do_it_at_once(moved):
    """Without the lock even: whoever comes second finds nothing, or gives up."""
    moved.move(45)
    made = []
    connections = [psycopg2.connect(moved.environment["BECKON_DSN"]) for _ in range(2)]
    for connection in connections:
        connection.autocommit = True
    for call in ("beckon_make_next(30, 7)", "beckon_retire_next(30, 256)",
                 "beckon_drop_next(30, 7, 'inbox')"):
        for _ in range(40):
            for connection in connections:
                with connection.cursor() as cursor:
                    try:
                        cursor.execute(f"SELECT {call}")
                    except psycopg2.errors.LockNotAvailable:
                        continue   # the broker's own janitor is at it
                    made.append(cursor.fetchone()[0])
    for connection in connections:
        connection.close()
    moved.clean_up()
    assert len(set(moved.partitions())) == len(moved.partitions())
    assert sum(made) > 0


def test_sessions_that_ended(moved, clients, who):
    """An hour later, some at a time; those in force stay."""
    short, long = who("bob"), who("carol")
    for user, expiry_s in ((short, 60), (long, 20 * 24 * 3600)):
        peer = clients.subscriber(user, clean=False, session_expiry_s=expiry_s)
        peer.disconnect()
    let_pass(0.2)
    moved.move(1)
    moved.signal("broker", 0, signal.SIGHUP)

    def sessions(user):
        return moved.sql("SELECT s.device_id FROM session s JOIN users u USING (user_no)"
                         " LEFT JOIN subscription t USING (user_no, device_id)"
                         " WHERE u.user_id = %s", user)
    wait_until(lambda: not sessions(short), "it is gone")
    assert len(sessions(long)) == 1
    assert not clients.peer(short, clean=False, session_expiry_s=60).connack.session_present
    assert clients.peer(long, clean=False, session_expiry_s=60).connack.session_present
