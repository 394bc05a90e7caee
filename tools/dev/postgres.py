"""The stack's private PostgreSQL 15: made by initdb, loopback TCP only, durable as by default.

PostgreSQL refuses to run as root. Started by root it runs as the user `postgres` of Debian's
package, who owns only the cluster's folder. That folder may lie below one that this user can't
enter (a checkout in /root): then the cluster is named through an inherited descriptor of its
folder, which needs no permission on the way there.
"""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from failure import Failure
from process import POLL_S, Process

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
READY_S = 60    # recovery after a kill -9 replays up to max_wal_size
ORPHANS_S = 10  # a killed postmaster's children notice within a second; more on a busy machine
# Fast shutdown writes a checkpoint, immediate shutdown leaves the work to the next start.
END_STEPS = ((signal.SIGINT, 60), (signal.SIGQUIT, 10), (signal.SIGKILL, 10))


class Postgres(Process):
    def __init__(self, layout):
        super().__init__(layout, "postgres", 0)
        self._layout = layout
        self._data = layout.postgres_dir
        self._initialised = layout.var / "postgres.initialised"
        self._user = None

    def start(self):
        """Makes the cluster if there is none, starts it, waits until it accepts connections."""
        if not (PROGRAMS / "postgres").exists():
            raise Failure(f"{PROGRAMS} does not exist: install postgresql-15")
        if os.getuid() == 0:
            try:
                self._user = pwd.getpwnam("postgres")
            except KeyError as error:
                raise Failure("there is no user postgres to run PostgreSQL as") from error
        if not self._initialised.exists():
            self._init_cluster()
        self._clear_stale_lock()
        self._layout.require_free_port("postgres")
        settings = {
            "listen_addresses": "127.0.0.1", "port": self._layout.port("postgres"),
            "unix_socket_directories": "",  # their paths have a length limit
            "shared_buffers": "256MB", "max_wal_size": "2GB",
            "cluster_name": self._cluster_name(), "log_line_prefix": "%m [%p] %q%u ",
        }
        arguments = [f"{name}={value}" for name, value in settings.items()]
        with self._opened_data() as (data, options):
            self.spawn([PROGRAMS / "postgres", "-D", data,
                        *(word for argument in arguments for word in ("-c", argument))], **options)
        deadline = time.monotonic() + READY_S
        while not self._ready():
            if self.pid() is None or time.monotonic() > deadline:
                raise Failure(f"PostgreSQL did not become ready ({self.ended_how()}):\n"
                              f"{self.log_tail()}")
            time.sleep(POLL_S)

    def create_database(self):
        """Role and database of the broker; does nothing when they exist."""
        password = self._layout.secret("beckon.password", lambda: secrets.token_hex(16))
        if self._psql("SELECT count(*) FROM pg_roles WHERE rolname = 'beckon'") == "0":
            self._psql(f"CREATE ROLE beckon LOGIN PASSWORD '{password}'")
        if self._psql("SELECT count(*) FROM pg_database WHERE datname = 'beckon'") == "0":
            self._psql("CREATE DATABASE beckon OWNER beckon")

    def _psql(self, statement):
        result = subprocess.run(
            [PROGRAMS / "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p",
             str(self._layout.port("postgres")), "-U", "postgres", "-d", "postgres"],
            input=statement, env=dict(os.environ, PGPASSWORD=self._superuser_password()),
            capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise Failure(f"could not prepare the database: {result.stderr.strip()}")
        return result.stdout.strip()

    def _superuser_password(self):
        return self._layout.secret("postgres.password", lambda: secrets.token_hex(16))

    def _cluster_name(self):
        """In each of its processes' titles: how they are found when the postmaster was killed."""
        return f"beckon-dev-{self._layout.secret('postgres.name', lambda: secrets.token_hex(6))}"

    def _opened_data(self):
        return _OpenedData(self._data, self._user)

    def _init_cluster(self):
        # An unmarked folder is what an interrupted initdb left: no server ever ran on it.
        shutil.rmtree(self._data, ignore_errors=True)
        self._data.mkdir(mode=0o700)
        with tempfile.NamedTemporaryFile("w", prefix="beckon-", encoding="ascii") as password:
            password.write(self._superuser_password())
            password.flush()
            if self._user is not None:
                os.chown(self._data, self._user.pw_uid, self._user.pw_gid)
                os.chown(password.name, self._user.pw_uid, self._user.pw_gid)
            with self._opened_data() as (data, options):
                result = subprocess.run(
                    [PROGRAMS / "initdb", "-D", data, "-U", "postgres", "--pwfile", password.name,
                     "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-instructions"],
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                    text=True, check=False, **options)
        if result.returncode != 0:
            raise Failure(f"initdb failed:\n{result.stdout.strip()}")
        self._initialised.touch()

    def _clear_stale_lock(self):
        """After a kill -9 the next postmaster refuses to start while a child of the old one lives,
        or when the pid in postmaster.pid was given to another process of the same user. Only once
        no process of this cluster is left may the file be removed."""
        deadline = time.monotonic() + ORPHANS_S
        while orphans := self._cluster_pids():
            if time.monotonic() > deadline:
                raise Failure("processes of this PostgreSQL still run without their postmaster: "
                              f"{orphans}")
            time.sleep(POLL_S)
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _cluster_pids(self):
        name = self._cluster_name().encode()
        titles = (b"postgres: " + name + b":", b"cluster_name=" + name + b"\0")
        pids = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    title = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if any(text in title for text in titles):
                    pids.append(int(entry.name))
        return pids

    def _ready(self):
        """What pg_ctl looks at: the pid in line 1 of postmaster.pid, "ready" in line 8."""
        try:
            lines = (self._data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.pid()) and lines[7].strip() == "ready"


class _OpenedData:
    """with _OpenedData(...) as (name for -D, options of the process): see the module's head."""

    def __init__(self, data, user):
        self._data = data
        self._user = user
        self._descriptor = None

    def __enter__(self):
        if self._user is None:
            return self._data, {}
        options = {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": [],
                   "cwd": "/"}
        if subprocess.run(["test", "-x", self._data], check=False, **options).returncode == 0:
            return self._data, options
        self._descriptor = os.open(self._data, os.O_RDONLY | os.O_DIRECTORY)
        return f"/proc/self/fd/{self._descriptor}", dict(options, pass_fds=[self._descriptor])

    def __exit__(self, *_):
        if self._descriptor is not None:
            os.close(self._descriptor)
