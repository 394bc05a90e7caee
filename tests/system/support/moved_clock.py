"""A stack whose wall clocks can be moved, all of them at once: tests/support/moved_clock.c."""
import pathlib
import shutil
import signal
import struct
import tempfile

import psycopg2

from .http import Door
from .stack import BUILD, Stack
from .waiting import wait_until

DAY_S = 24 * 3600


class MovedStack(Stack):
    """Janitors look when they are told to (SIGHUP), or an hour later."""

    def __init__(self, **how):
        super().__init__(**how)
        # where PostgreSQL's user may read: the build may lie where it can't go
        self.clocks = pathlib.Path(tempfile.mkdtemp(prefix="beckon-clock-"))
        self.clocks.chmod(0o755)
        library, self.clock = self.clocks / "moved_clock.so", self.clocks / "clock"
        shutil.copy(BUILD / "tests" / "moved_clock.so", library)
        self.moved_s = 0
        self.clock.write_bytes(struct.pack("=q", 0))
        self.more_environment = {"LD_PRELOAD": str(library), "BECKON_TEST_CLOCK": str(self.clock)}
        self._connection = None

    def destroy(self, keep=False):
        super().destroy(keep)
        shutil.rmtree(self.clocks, ignore_errors=True)

    def move(self, days):
        self.moved_s += int(days * DAY_S)
        with open(self.clock, "r+b") as file:
            file.write(struct.pack("=q", self.moved_s))

    def token(self, user, **more):
        return super().token(user, **{"ttl_s": 10 * 365 * DAY_S, **more})

    def sql(self, statement, *values):
        """Rows of a statement, as the broker's role, in a transaction of its own."""
        if self._connection is None or self._connection.closed:
            self._connection = psycopg2.connect(self.environment["BECKON_DSN"])
            self._connection.autocommit = True
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def metric(self, name):
        return Door(self).metrics()[f"beckon_broker_{name}", ""]

    def partitions(self, parent="inbox"):
        return [name for name, in self.sql("SELECT name FROM beckon_partitions() WHERE parent = %s"
                                           " ORDER BY low", parent)]

    def clean_up(self, days=30, trace_days=7):
        """Lets the janitor look, and waits until nothing is left to drop."""
        self.signal("broker", 0, signal.SIGHUP)
        wait_until(lambda: not self.sql(
            "SELECT 1 FROM beckon_partitions() JOIN beckon_partitioned(%s, %s) USING (parent)"
            " WHERE high <= now() - kept LIMIT 1", days, trace_days), "old partitions are gone")
