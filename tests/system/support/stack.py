"""A whole stack in a folder of its own, driven through ./dev, and single programs beside it."""
import contextlib
import fcntl
import os
import pathlib
import random
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile

from . import tokens
from .waiting import wait_until

ROOT = pathlib.Path(__file__).resolve().parents[3]
DEV = ROOT / "dev"
BUILD = ROOT / os.environ.get("BECKON_BUILD", "build/dev")
HOST = "127.0.0.1"

# Ports of a stack at offset 0 (MQTT, APNs, its control door, broker, PostgreSQL, HTTP, MQTT over WebSocket, over both, over
# TLS). Offsets stay below the kernel's ephemeral range (32768), so that no outgoing connection of another test can sit on
# them.
BASE_PORTS = (1883, 2197, 2198, 7400, 7432, 7480, 8083, 8084, 8883)
OFFSETS = range(10000, 32768 - max(BASE_PORTS), 10)
# Further brokers have the ports after these (broker, HTTP).
BROKER_PORTS = (7400, 7480)

# initdb, migration and start on a machine that also compiles.
UP_TIMEOUT_S = 120


def port_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port():
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def claim_offset(brokers=1):
    """A free port offset, and the locked files that keep parallel runs off its ports: one a port,
    for two offsets may have a port in common."""
    ports = (*BASE_PORTS, *(port + index for port in BROKER_PORTS for index in range(1, brokers)))
    folder = pathlib.Path(tempfile.gettempdir()) / "beckon-test-ports"
    folder.mkdir(mode=0o777, exist_ok=True)
    for offset in random.sample(OFFSETS, len(OFFSETS)):
        with contextlib.ExitStack() as locks:
            try:
                for port in ports:
                    lock = open(folder / str(port + offset), "w", encoding="ascii")
                    fcntl.flock(locks.enter_context(lock), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            if all(port_free(port + offset) for port in ports):
                return offset, locks.pop_all()
    raise RuntimeError("no free port offset")


def program(name):
    return BUILD / "bin" / name


def process_gone(pid):
    """A zombie is gone too: containers often run without a reaping init."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return True
    if stat.rsplit(")", 1)[1].split()[0] != "Z":
        return False
    # its other threads may be ending still, with its sockets
    with contextlib.suppress(FileNotFoundError):
        return len(os.listdir(f"/proc/{pid}/task")) <= 1
    return True


class Stack:
    def __init__(self, connectors=2, sets=(), brokers=1, most_brokers=None):
        """most_brokers: as many as are ever started."""
        # Not below pytest's own folder, which only its owner may enter: PostgreSQL runs as another
        # user when root runs the tests.
        self.var = pathlib.Path(tempfile.mkdtemp(prefix="beckon-test-"))
        self.var.chmod(0o755)
        self.offset, self._lock = claim_offset(most_brokers or brokers)
        self.port = BASE_PORTS[0] + self.offset
        self.ws_port = BASE_PORTS[6] + self.offset
        self.connectors, self.brokers = connectors, brokers
        self.sets = list(sets)
        self.environment = {}
        self.more_environment = {}   # of all its processes

    def dev(self, *args, timeout_s=UP_TIMEOUT_S, check=True):
        command = [str(DEV), args[0], *args[1:], "--var", str(self.var)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True,
                              timeout=timeout_s, check=False,
                              env={**os.environ, **self.more_environment,
                                   "BECKON_BUILD": str(BUILD)})
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)} exited with {done.returncode}:\n"
                               f"{done.stdout}{done.stderr}")
        return done

    def up(self):
        sets = [word for item in self.sets for word in ("--set", item)]
        self.dev("up", "--port-offset", str(self.offset), "--connectors", str(self.connectors),
                 "--brokers", str(self.brokers), *sets)
        lines = self.dev("env").stdout.splitlines()
        self.environment = dict(shlex.split(line)[0].split("=", 1) for line in lines if line)
        assert int(self.environment["BECKON_MQTT_PORT"]) == self.port
        return self

    def down(self):
        self.dev("down")

    def destroy(self, keep=False):
        """Stops everything. The folder stays when `keep`, for whoever looks into a failure."""
        self.dev("down", check=False)
        self._lock.close()
        if not keep:
            shutil.rmtree(self.var, ignore_errors=True)

    # --- processes -----------------------------------------------------------------------------

    def ps(self):
        """{(name, index): pid} of what runs."""
        rows = (line.split() for line in self.dev("ps").stdout.splitlines() if line)
        return {(name, int(index)): int(pid) for name, index, pid in rows}

    def pid(self, name, index=0):
        return self.ps()[(name, index)]

    def start(self, name, index=0):
        self.dev("start", name, str(index))

    def stop(self, name, index=0):
        self.dev("stop", name, str(index))

    def signal(self, name, index, number):
        os.kill(self.pid(name, index), number)

    def kill(self, name, index=0):
        """kill -9, and waits until the process is no more."""
        self.kill_pid(self.pid(name, index))

    def kill_pid(self, pid):
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: process_gone(pid), f"process {pid} is gone")

    def frozen(self, name, index=0):
        """The process stands still (SIGSTOP) inside the block. It is looked up at the call, which
        takes a while: where a deadline runs, call first and enter later."""
        return self._frozen(self.pid(name, index))

    @contextlib.contextmanager
    def _frozen(self, pid):
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def heal(self):
        """Everything runs again after a test that broke something."""
        running = self.ps()
        for pid in running.values():
            os.kill(pid, signal.SIGCONT)
        wanted = [("postgres", 0), ("apns-simulator", 0)]
        wanted += [("broker", index) for index in range(self.brokers)]
        wanted += [("connector", index) for index in range(self.connectors)]
        for name, index in wanted:
            if (name, index) not in running:
                self.start(name, index)

    def broker_http(self, index):
        """Where that broker's HTTP door is."""
        return f"http://{HOST}:{BROKER_PORTS[1] + self.offset + index}"

    def log(self, name, index=0):
        return (self.var / "log" / f"{name}-{index}.log").read_text(errors="replace")

    # --- connections ---------------------------------------------------------------------------

    def secret(self):
        return pathlib.Path(self.environment["BECKON_TOKEN_KEY"]).read_bytes()

    def token(self, user, **more):
        return tokens.token(user, self.secret(), **more)

    def dial(self, connector=None):
        """A TCP connection; to one particular connector if asked. They share a port, and the
        kernel picks one by a hash of the addresses: so connect until it picked the right one."""
        pid = None if connector is None else self.pid("connector", connector)
        rejected = []
        try:
            # 64 wrong picks in a row out of two: 2^-64.
            for _ in range(64):
                sock = socket.create_connection((HOST, self.port), timeout=10)
                sock.settimeout(None)
                if pid is None or holds(pid, sock):
                    return sock
                rejected.append(sock)
        finally:
            for sock in rejected:
                sock.close()
        raise AssertionError(f"never reached connector {connector}")


def holds(pid, sock):
    """The process is at the other end of this loopback connection."""
    local, remote = sock.getsockname()[1], sock.getpeername()[1]
    inode = wait_until(lambda: _peer_inode(local, remote), "the connection is accepted")
    return f"socket:[{inode}]" in _open_files(pid)


def _peer_inode(local_port, remote_port):
    """Inode of the accepted socket facing our local_port; None until it was accepted."""
    for line in pathlib.Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        columns = line.split()
        own, other = (int(end.split(":")[1], 16) for end in columns[1:3])
        if own == remote_port and other == local_port and columns[9] != "0":
            return columns[9]
    return None


def _open_files(pid):
    links = set()
    folder = f"/proc/{pid}/fd"
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            links.add(os.readlink(f"{folder}/{name}"))
    return links


class ExtraConnector:
    """A connector of our own beside a stack's, on its own port (or one that it shares with another),
    with options of its own."""
    made = 0

    def __init__(self, stack, *sets, config=None, port=None, wrapper=()):
        """config: a file in place of the stack's. wrapper: the words of a program that runs it."""
        self.stack, self.port, self.ws_port = stack, port or free_port(), free_port()
        ExtraConnector.made += 1
        self.log_path = stack.var / "log" / f"extra-{self.port}-{ExtraConnector.made}.log"
        command = [*wrapper, str(program("beckon-connector")),
                   "--config", str(config or stack.var / "etc" / "connector.conf"),
                   "--set", "index=90", "--set", f"listen.tcp.port={self.port}",
                   "--set", f"listen.ws.port={self.ws_port}",
                   "--set", "listen.tls.enabled=false", "--set", "listen.wss.enabled=false"]
        for item in sets:
            command += ["--set", item]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stderr=log, stdout=log,
                                            cwd=stack.var / "etc")
        try:
            wait_until(self._listening, "the extra connector listens")
        except AssertionError:
            self.close()
            raise

    def _listening(self):
        assert self.process.poll() is None, self.log()
        return " started, broker " in self.log()   # all its doors are open then

    def dial(self):
        sock = socket.create_connection((HOST, self.port), timeout=10)
        sock.settimeout(None)
        return sock

    def log(self):
        return self.log_path.read_text(errors="replace")

    def counters(self):
        """{name: value} as of now."""
        seen = self.log().count('"counters: ')
        self.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: self.log().count('"counters: ') > seen, "the counters are logged")
        words = self.log().rsplit('"counters: ', 1)[1].split('"', 1)[0].split()
        return {name: int(value) for name, value in (word.split("=") for word in words)}

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class ExtraBroker:
    """A broker of our own in place of one of a stack's, on its own port, with options of its own."""

    def __init__(self, stack, index, host=HOST, wrapper=()):
        """wrapper: the words of a program that runs it."""
        self.host, self.wrapper = host, wrapper
        self.stack, self.index, self.port, self.process = stack, index, free_port(), None
        self.http_port = free_port()
        self.log_path = stack.var / "log" / f"extra-broker-{self.port}.log"

    def run(self, *sets):
        command = [*self.wrapper, str(program("beckon-broker")),
                   "--config", str(self.stack.var / "etc" / "broker.conf"),
                   "--set", f"index={self.index}", "--set", f"http.listen={HOST}:{self.http_port}",
                   "--set", f"listen.endpoint=tcp://{self.host}:{self.port}"]
        for item in [*self.own_sets(), *sets]:
            command += ["--set", item]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stderr=log, stdout=log,
                                            cwd=self.stack.var / "etc")
        wait_until(self._listening, "the extra broker listens")

    def own_sets(self):
        """What the stack gives its brokers."""
        return [item.split(":", 1)[1] for item in self.stack.sets if item.startswith("broker:")]

    def _listening(self):
        assert self.process.poll() is None, self.log()
        return "listening on" in self.log()

    def log(self):
        return self.log_path.read_text(errors="replace")

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
        if self.process:
            self.process.wait()
