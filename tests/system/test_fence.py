"""Who may write: one process of a broker's name, on a schema of its own version (I9)."""
import contextlib
import subprocess

import psycopg2
import pytest

from support import packets as p
from support.stack import free_port, process_gone, program
from support.waiting import wait_until


@contextlib.contextmanager
def second_broker(stack):
    """Another process of the broker's name on the same database, as if started by mistake."""
    command = [program("beckon-broker"), "--config", stack.var / "etc" / "broker.conf",
               "--set", f"listen.endpoint=tcp://127.0.0.1:{free_port()}", "--set", "broker.name=broker-0",
               "--set", "index=1", "--set", f"http.listen=127.0.0.1:{free_port()}"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_a_replaced_broker_writes_nothing(own_stack, own_clients, who):
    """The newest process of a name is the member: the older one's next batch is refused by the fence,
    it says so and ends, and what it could not commit was not acknowledged."""
    bob = who("bob")
    sender = own_clients.peer(who("alice"))
    assert sender.publish(f"to/u/{bob}", b"1") == 0
    old = own_stack.pid("broker")
    with second_broker(own_stack) as new:
        for line in new.stderr:
            if "listening on" in line:
                break
        pid = sender.post(f"to/u/{bob}", b"2")
        wait_until(lambda: process_gone(old), "the replaced broker ends")
        assert 'another broker of the name \\"broker-0\\" has joined' in own_stack.log("broker")
        with pytest.raises(TimeoutError):
            sender.take(p.PUBACK, 0.5, pid)
    own_stack.start("broker")
    assert sender.take(p.PUBACK, pid=pid).reason == 0
    receiver = own_clients.subscriber(bob)
    assert receiver.payloads(2) == [b"1", b"2"]
    receiver.quiet()


@pytest.mark.parametrize("change, words", [
    ("INSERT INTO schema_version (version, name, sha256) VALUES (9999, 'later', '')",
     ("schema version is 9999", "use a newer beckon-broker")),
    ("ALTER TABLE schema_version RENAME TO schema_version_away",
     ("there is no schema", "run `beckonctl migrate`")),
], ids=["newer", "none"])
def test_other_schema_is_refused(own_stack, change, words):
    """A broker starts on the schema of its own version only, and names both."""
    undo = {"I": "DELETE FROM schema_version WHERE version = 9999",
            "A": "ALTER TABLE schema_version_away RENAME TO schema_version"}[change[0]]
    own_stack.stop("broker")
    with contextlib.closing(psycopg2.connect(own_stack.environment["BECKON_DSN"])) as database:
        database.autocommit = True
        cursor = database.cursor()
        cursor.execute(change)
        try:
            done = subprocess.run([program("beckon-broker"), "--config",
                                   own_stack.var / "etc" / "broker.conf"],
                                  capture_output=True, text=True, timeout=20, check=False)
        finally:
            cursor.execute(undo)
    assert done.returncode == 1
    for fragment in words:
        assert fragment in done.stderr, done.stderr
    own_stack.start("broker")


def test_sequences_survive_dropped_partitions(own_stack, own_clients, who):
    """Retention drops partitions; the heads remember the sequences, so an inbox goes on counting and
    a device that was away gets what is left, in order."""
    bob, alice = who("bob"), who("alice")
    phone = own_clients.persistent(bob)
    phone.subscribe()
    sender = own_clients.peer(alice)
    for number in range(3):
        assert sender.publish(f"to/u/{bob}", b"%d" % number) == 0
    assert phone.payloads(3) == [b"0", b"1", b"2"]
    phone.disconnect()
    assert sender.publish(f"to/u/{bob}", b"gone") == 0
    own_stack.stop("broker")
    with contextlib.closing(psycopg2.connect(own_stack.environment["BECKON_DSN"])) as database:
        database.autocommit = True
        cursor = database.cursor()
        cursor.execute("SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
                       " WHERE i.inhparent = 'inbox'::regclass AND c.relname ~ '[0-9]{8}$'")
        parts = [name for name, in cursor.fetchall()]
        # as if weeks had passed: this week's rows lie in a partition of long ago
        cursor.execute("SELECT inbox.tableoid::regclass::text, max(seq) FROM inbox"
                       " JOIN users USING (user_no) WHERE user_id = %s GROUP BY 1", (bob,))
        (current, last_seq), = cursor.fetchall()
        assert current in parts and last_seq == 4
        cursor.execute(f"ALTER TABLE inbox DETACH PARTITION {current}")
        cursor.execute(f"UPDATE {current} SET sent_at = timestamptz '2020-01-07 12:00+00'")
        cursor.execute(f"ALTER TABLE {current} RENAME TO inbox_20200106")
        cursor.execute("ALTER TABLE inbox ATTACH PARTITION inbox_20200106"
                       " FOR VALUES FROM ('2020-01-06 00:00+00') TO ('2020-01-13 00:00+00')")
        own_stack.start("broker")

        def dropped():
            cursor.execute("SELECT to_regclass('inbox_20200106') IS NULL")
            return cursor.fetchone() == (True,)
        wait_until(dropped, "what is older than the retention time is gone")
    assert sender.publish(f"to/u/{bob}", b"after") == 0
    phone = own_clients.persistent(bob)
    assert phone.connack.session_present
    assert phone.payloads(1) == [b"after"]
    phone.quiet()
    with contextlib.closing(psycopg2.connect(own_stack.environment["BECKON_DSN"])) as database:
        cursor = database.cursor()
        cursor.execute("SELECT seq FROM inbox JOIN users USING (user_no) WHERE user_id = %s",
                       (bob,))
        assert cursor.fetchall() == [(5,)]
