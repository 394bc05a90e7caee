"""A database that is there and does not serve: read-only, slow, out of connections. Publishes wait,
then they are refused (0x97); memory stays bounded, service resumes by itself, and nothing that was
acknowledged is missing or there twice."""
import contextlib

import psycopg2
import pytest

from support import packets as p
from support.clients import Clients
from support.http import Door
from support.stack import BASE_PORTS, Stack
from support.waiting import wait_until

from test_backpressure import Flood, rss

# How long publishes wait here: enough for a busy machine to store one, short for a test.
WAIT_MS = 3000
MIB = 1 << 20


@pytest.fixture(scope="module")
def trouble_stack(request):
    stack = Stack(sets=[f"broker:database.wait_ms={WAIT_MS}", "broker:database.timeout_ms=1000"])
    try:
        yield stack.up()
    finally:
        stack.destroy(keep=getattr(request.session, "beckon_failed", False))


@pytest.fixture
def people(trouble_stack, who):
    """(sender, receiver), both known to the broker."""
    made = Clients(trouble_stack)
    receiver = made.persistent(who("bob"))
    receiver.subscribe()
    sender = made.peer(who("alice"))
    assert sender.publish(f"to/u/{receiver.user}", b"before") == 0
    assert receiver.payloads(1) == [b"before"]
    yield sender, receiver
    made.close()
    trouble_stack.heal()
    wait_until(lambda: ready(trouble_stack), "the broker has its database", 30)


@contextlib.contextmanager
def superuser(stack):
    password = (stack.var / "keys" / "postgres.password").read_text(encoding="ascii").strip()
    dsn = f"postgresql://postgres:{password}@127.0.0.1:{BASE_PORTS[4] + stack.offset}/beckon"
    with contextlib.closing(psycopg2.connect(dsn, connect_timeout=5)) as database:
        database.autocommit = True
        yield database.cursor()


def ready(stack):
    with contextlib.suppress(OSError):
        return Door(stack).call("/readyz").json()["database"]
    return False


def said(stack, words):
    wait_until(lambda: words in stack.log("broker"), f'the broker says "{words}"')


def refused_then_taken(sender, receiver, mend):
    """What is published in trouble is refused after a while; once mended, all is as before."""
    pids = [sender.post(f"to/u/{receiver.user}", b"%d" % number) for number in range(5)]
    with pytest.raises(TimeoutError):
        sender.take(p.PUBACK, WAIT_MS / 1000 / 2)
    assert [sender.take(p.PUBACK, 20, pid).reason for pid in pids] == [0x97] * 5
    late = sender.post(f"to/u/{receiver.user}", b"waits")
    mend()
    assert sender.take(p.PUBACK, 20, late).reason == 0
    assert sender.publish(f"to/u/{receiver.user}", b"after") == 0
    assert receiver.payloads(2) == [b"waits", b"after"]
    receiver.quiet()


def test_read_only(trouble_stack, people):
    """default_transaction_read_only, as an operator sets it before a switchover."""
    with superuser(trouble_stack) as database:
        def setting(value):
            database.execute(f"ALTER DATABASE beckon SET default_transaction_read_only = {value}")
            database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                             " WHERE usename = 'beckon'")

        setting("on")
        try:
            said(trouble_stack, "is read-only (default_transaction_read_only)")
            assert not ready(trouble_stack)
            refused_then_taken(*people, lambda: setting("off"))
        finally:
            setting("off")


def test_no_connections(trouble_stack, people):
    """The broker lost its connections, and others have taken all there are."""
    with superuser(trouble_stack) as database:
        def limit(count):
            database.execute(f"ALTER ROLE beckon CONNECTION LIMIT {count}")

        limit(0)
        try:
            database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                             " WHERE usename = 'beckon'")
            said(trouble_stack, "too many connections for role")
            refused_then_taken(*people, lambda: limit(-1))
        finally:
            limit(-1)


def test_slow(trouble_stack, people):
    """A commit that takes long (here: a table that somebody has locked). The one under way may yet
    be stored, so it is not refused; what was never sent is; the broker holds no more than it may."""
    sender, receiver = people
    processes = [("broker", 0), ("connector", 0), ("connector", 1)]
    made = Clients(trouble_stack)
    early = made.peer(f"{sender.user}-early")   # PUBACKs come in order: its own would keep them back
    assert early.publish(f"to/u/{early.user}", b"known to the broker") == 0
    floods = [Flood(made.peer(f"{sender.user}-flood{index}"), f"{receiver.user}-flood")
              for index in range(2)]
    before = {process: rss(trouble_stack.pid(*process)) for process in processes}
    with superuser(trouble_stack) as database:
        database.execute("BEGIN; LOCK TABLE inbox IN SHARE MODE")
        first = early.post(f"to/u/{receiver.user}", b"under way")
        wait_until(lambda: database.execute(
            "SELECT 1 FROM pg_stat_activity WHERE usename = 'beckon' AND wait_event_type = 'Lock'")
            or database.fetchall(), "the batch waits for the lock")
        pids = [sender.post(f"to/u/{receiver.user}", b"behind it") for _ in range(3)]
        for flood in floods:
            flood.start()
        assert {sender.take(p.PUBACK, 20, pid).reason for pid in pids} == {0x97}
        said(trouble_stack, "goes on waiting: no other server was promoted")
        assert not ready(trouble_stack)
        assert Door(trouble_stack).metrics()["beckon_broker_oldest_write_seconds", ""] > 2
        with pytest.raises(TimeoutError):
            early.take(p.PUBACK, 1.0, first)
        after = {process: rss(trouble_stack.pid(*process)) for process in processes}
        for flood in floods:
            flood.stopping.set()
        database.execute("COMMIT")
    assert early.take(p.PUBACK, 20, first).reason == 0
    for flood in floods:
        flood.join(30)
        assert not flood.is_alive() and not flood.failure, (flood.failure, flood.acked, flood.sent)
        assert flood.reasons <= {0, 0x97}
    made.close()
    # bus.pending_bytes of each connector, and what frames and sockets hold of it
    for process, bytes_before in before.items():
        bound = 2 * 64 * MIB if process[0] == "connector" else 4 * 64 * MIB
        assert after[process] - bytes_before < bound, (process, bytes_before, after[process])
    assert receiver.payloads(1) == [b"under way"]
    receiver.quiet()
