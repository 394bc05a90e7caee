"""A PostgreSQL primary with a synchronous standby, made by initdb and pg_basebackup, on loopback ports of its own.

Servers are killed and frozen here, never machines, so what was written lies in the kernel's memory in any case: fsync is off, and
what a commit waits for is the standby.
"""
import contextlib
import os
import pathlib
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile

import psycopg2

from .stack import BASE_PORTS, HOST, ROOT, claim_offset, process_gone, program
from .waiting import wait_until

PROGRAMS = pathlib.Path("/usr/lib/postgresql/15/bin")
STANDBY = "standby"   # its application_name, which synchronous_standby_names waits for
READY_S = 60

SETTINGS = f"""
listen_addresses = '{HOST}'
unix_socket_directories = ''
fsync = off
shared_buffers = 32MB
max_connections = 40
wal_retrieve_retry_interval = 200ms
log_line_prefix = '%m [%p] %q%u '
"""


def children_of(parent):
    """Pids of the live children."""
    found = []
    for folder in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            stat = (folder / "stat").read_text(encoding="ascii", errors="replace")
            if folder.name.isdigit() and int(stat.rsplit(")", 1)[1].split()[1]) == parent:
                found.append(int(folder.name))
    return found


class Server:
    """One PostgreSQL server. PostgreSQL refuses to run as root: then it is the user postgres'."""

    def __init__(self, folder, name, port, password):
        self.folder, self.name, self.port, self.password = folder, name, port, password
        self.data = folder / name
        self.process = None
        self._how = {"cwd": "/", "stdin": subprocess.DEVNULL}
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(folder, user.pw_uid, user.pw_gid)
            self._how.update(user=user.pw_uid, group=user.pw_gid, extra_groups=[])

    def run(self, name, *words):
        done = subprocess.run([PROGRAMS / name, *words], capture_output=True, text=True, check=False,
                              env={**os.environ, "PGPASSWORD": self.password}, timeout=READY_S,
                              **self._how)
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"

    def write(self, name, text, mode="a"):
        """A file of the cluster keeps its owner."""
        with open(self.data / name, mode, encoding="utf-8") as file:
            file.write(text)

    def initdb(self):
        password = self.folder / "password"
        password.write_text(self.password, encoding="ascii")
        if os.getuid() == 0:
            os.chown(password, self._how["user"], self._how["group"])
        password.chmod(0o600)
        self.run("initdb", "-D", self.data, "-U", "postgres", "--pwfile", password,
                 "--encoding=UTF8", "--auth=scram-sha-256", "--no-locale", "--no-instructions",
                 "--no-sync")
        self.write("postgresql.conf", SETTINGS)

    def copy_of(self, primary):
        """Becomes a standby of the primary, whatever it was before."""
        shutil.rmtree(self.data, ignore_errors=True)
        self.run("pg_basebackup", "-D", self.data, "-R", "-X", "stream", "-c", "fast", "--no-sync",
                 "-d", f"host={HOST} port={primary.port} user=postgres "
                       f"application_name={STANDBY}")
        # promoted, it waits for nobody until it has a standby of its own
        self.write("postgresql.auto.conf", "synchronous_standby_names = ''\n")

    def start(self, *settings):
        words = [word for setting in settings for word in ("-c", setting)]
        with open(self.folder / f"{self.name}.log", "ab") as log:
            self.process = subprocess.Popen(
                [PROGRAMS / "postgres", "-D", self.data, "-p", str(self.port), *words], stdout=log,
                stderr=log, start_new_session=True, **self._how)
        wait_until(self._ready, f"{self.name} accepts connections", READY_S)

    def _ready(self):
        assert self.process.poll() is None, f"{self.name} ended:\n{self.log()[-2000:]}"
        with contextlib.suppress(psycopg2.OperationalError):
            return self.sql("SELECT 1")
        return None

    def log(self):
        return (self.folder / f"{self.name}.log").read_text(errors="replace")

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def tree(self):
        return [self.process.pid, *children_of(self.process.pid)]

    def stop(self):
        """Fast shutdown."""
        if self.running:
            self.thaw()
            self.process.send_signal(signal.SIGINT)
            self.process.wait(READY_S)

    def kill(self):
        """kill -9 of all its processes, as if the machine had lost its power."""
        if not self.running:
            return
        self.freeze()   # so that none of them can do something about the others' deaths
        pids = self.tree()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(READY_S)
        wait_until(lambda: all(process_gone(pid) for pid in pids), f"{self.name} is gone")
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    @contextlib.contextmanager
    def frozen(self):
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def freeze(self):
        """SIGSTOP to all of them, the postmaster first: it would start what is missing."""
        for pid in (self.process.pid, *self.tree()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def thaw(self):
        for pid in self.tree():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def dsn(self, user="postgres", database="beckon"):
        return f"postgresql://{user}:{self.password}@{HOST}:{self.port}/{database}"

    def sql(self, statement, *values, database="postgres", user="postgres"):
        """Rows of one statement, committed."""
        with contextlib.closing(psycopg2.connect(self.dsn(user, database), connect_timeout=5)) as db:
            db.autocommit = True
            with db.cursor() as cursor:
                cursor.execute(statement, values)
                return cursor.fetchall() if cursor.description else []

    def beckon(self, statement, *values):
        return self.sql(statement, *values, database="beckon")

    def setting(self, name, value):
        """ALTER SYSTEM, in force."""
        self.sql(f"ALTER SYSTEM SET {name} = '{value}'" if value is not None
                 else f"ALTER SYSTEM RESET {name}")
        self.sql("SELECT pg_reload_conf()")

    def backends(self, state="true"):
        """Pids of the broker's connections that wait for what `state` says."""
        return [pid for pid, in self.sql("SELECT pid FROM pg_stat_activity"
                                         f" WHERE usename = 'beckon' AND {state}")]


def migrate(server):
    """Role, database and schema of the broker."""
    server.sql(f"CREATE ROLE beckon LOGIN PASSWORD '{server.password}'")
    server.sql("CREATE DATABASE beckon OWNER beckon")
    subprocess.run([program("beckonctl"), "migrate", "--dsn", server.dsn("beckon"), "--schema",
                    str(ROOT / "schema")], check=True, capture_output=True, timeout=READY_S)


class Replicas:
    """`primary` and `standby`, which a failover swaps."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="beckon-replicas-"))
        self.folder.chmod(0o755)
        self.password = secrets.token_hex(16)
        offset, self._lock = claim_offset()
        self.servers = [Server(self.folder, name, port + offset, self.password)
                        for name, port in (("left", BASE_PORTS[4]), ("right", BASE_PORTS[5]))]
        self.primary, self.standby = self.servers

    def up(self):
        self.primary.initdb()
        self.primary.start()
        migrate(self.primary)
        self.replicate()
        return self

    def dsn(self):
        """For a broker: both servers."""
        hosts = ",".join(f"{HOST}:{server.port}" for server in self.servers)
        return (f"postgresql://beckon:{self.password}@{hosts}/beckon"
                "?target_session_attrs=read-write")

    def replicate(self):
        """A new standby, and commits wait for it."""
        self.standby.copy_of(self.primary)
        self.standby.start()
        self.wait_synchronous()

    def wait_synchronous(self):
        self.primary.setting("synchronous_standby_names", STANDBY)
        wait_until(lambda: self.primary.sql(
            "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync' AND state = 'streaming'"),
            "the standby is synchronous", READY_S)

    def promote(self):
        self.primary, self.standby = self.standby, self.primary
        assert self.primary.sql("SELECT pg_promote(true, %s)", READY_S) == [(True,)]

    def heal(self):
        """A primary with a synchronous standby again: whoever was promoted keeps its place."""
        for server in self.servers:
            if server.running:
                server.thaw()
        if not self.primary.running:
            self.primary.start()
        if self.standby.running and self.primary.sql(
                "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"):
            return
        self.standby.kill()
        self.primary.setting("synchronous_standby_names", "")
        self.replicate()

    def destroy(self):
        for server in self.servers:
            server.kill()
        self._lock.close()
        shutil.rmtree(self.folder, ignore_errors=True)

