"""A disk that is full, for tables and then for the log as well: PostgreSQL refuses statements, then it goes
down. Publishes wait and are refused (0x97), and once there is room again everything that was acknowledged is
there, once and in order, and nothing of what was refused."""
import contextlib
import pathlib
import shutil
import tempfile

import psycopg2
import pytest

from support import packets as p
from support.clients import Clients
from support.http import Door
from support.stack import BUILD, Stack
from support.waiting import wait_until

from test_database_trouble import superuser

# How long publishes wait here: enough for a busy machine to store one, short for a test.
WAIT_MS = 3000


class SmallDisk(Stack):
    """A stack whose database's files can't grow while the disk is full (tests/support/full_disk.c)."""

    def __init__(self, **how):
        super().__init__(**how)
        # where PostgreSQL's user may read: the build may lie where it can't go
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="beckon-disk-"))
        self.folder.chmod(0o755)
        library, self._full = self.folder / "full_disk.so", self.folder / "full"
        shutil.copy(BUILD / "tests" / "full_disk.so", library)
        self._full.write_bytes(b"\0")
        self.more_environment = {"LD_PRELOAD": str(library), "BECKON_TEST_FULL": str(self._full),
                                 "BECKON_TEST_DISK": f"{self.var}/postgres/"}

    def set_full(self, full):
        with open(self._full, "r+b") as file:
            file.write(b"\1" if full else b"\0")

    def use_up_log(self):
        """The last segment there is: the server panics, tries to recover, and gives up."""
        with contextlib.suppress(psycopg2.Error), superuser(self) as database:
            while True:
                database.execute("SELECT pg_switch_wal() FROM pg_logical_emit_message(false, 't', 'x')")
        wait_until(lambda: ("postgres", 0) not in self.ps(), "the server is down")

    def destroy(self, keep=False):
        self.set_full(False)
        super().destroy(keep)
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def small_disk(request):
    stack = SmallDisk(sets=[f"broker:database.wait_ms={WAIT_MS}"])
    try:
        yield stack.up()
    finally:
        stack.destroy(keep=getattr(request.session, "beckon_failed", False))


def said(stack, words, since):
    wait_until(lambda: words in stack.log("broker")[since:], f'the broker says "{words}"')


def test_full(small_disk, who):
    made = Clients(small_disk)
    broker = small_disk.pid("broker")
    receiver = made.persistent(who("bob"))
    receiver.subscribe()
    sender = made.peer(who("alice"))
    to = f"to/u/{receiver.user}"
    taken, everything = [], []

    def publish(*payloads):
        return [(sender.post(to, payload), payload) for payload in payloads]

    def answers(posted):
        """Reasons; what was taken is noted."""
        reasons = [sender.take(p.PUBACK, 40, pid).reason for pid, _ in posted]
        taken.extend(payload for reason, (_, payload) in zip(reasons, posted) if reason == 0)
        return reasons

    def received():
        """Everything that was acknowledged has come, in order, and nothing else."""
        assert answers(publish(b"last")) == [0]
        assert receiver.payloads(len(taken)) == taken
        everything.extend(taken)
        taken.clear()
        with superuser(small_disk) as database:
            database.execute("SELECT payload FROM inbox JOIN users USING (user_no) WHERE user_id = %s"
                             " ORDER BY seq", [receiver.user])
            assert [bytes(payload) for payload, in database.fetchall()] == everything

    assert answers(publish(b"before")) == [0]

    small_disk.set_full(True)
    seen = len(small_disk.log("broker"))
    posted = publish(*(b"%04d" % number * 2000 for number in range(40)))
    said(small_disk, "No space left on device", seen)
    reasons = answers(posted)
    assert 0x97 in reasons and set(reasons) <= {0, 0x97}
    assert Door(small_disk).call("/healthz").status == 200
    posted = publish(b"waits for room" * 1000)
    small_disk.set_full(False)
    assert answers(posted) == [0]
    received()

    small_disk.set_full(True)
    seen = len(small_disk.log("broker"))
    small_disk.use_up_log()
    posted = publish(*(b"%d" % number for number in range(5)))
    said(small_disk, "no database, trying again", seen)
    posted += publish(*(b"%d" % number for number in range(5, 10)))
    reasons = answers(posted)
    assert reasons[5:] == [0x97] * 5 and set(reasons) <= {0, 0x97}
    small_disk.set_full(False)
    small_disk.start("postgres")
    assert answers(publish(b"the server is back")) == [0]
    received()
    assert "PANIC" in (small_disk.var / "log" / "postgres.log").read_text(errors="replace")
    assert small_disk.pid("broker") == broker
    receiver.quiet()
    made.close()
