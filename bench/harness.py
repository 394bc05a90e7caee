"""What all benchmarks share: the load generator, the peer to compare with, what a machine is."""
import contextlib
import json
import os
import pathlib
import platform
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "system"))
sys.path.insert(0, str(ROOT / "tools" / "dev"))

# pylint: disable=wrong-import-position
import interrupt
from support.pki import Pki
from support.stack import free_port, port_free, process_gone, program
from support.waiting import wait_until

CONNECTIONS_MAX = 19000  # of one load process: 20,000 descriptors are a usual limit
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def run(main):
    """Runs a benchmark to its end, or to a signal: then what it started ends on the way out."""
    try:
        interrupt.catch()
        return main()
    except interrupt.Interrupted:
        print("interrupted; everything that was started has ended")
        return 130


def machine():
    commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"],
                            capture_output=True, text=True, check=False).stdout.strip()
    return {"commit": commit, "cores": os.cpu_count(), "kernel": platform.release(),
            "load_average": list(os.getloadavg()),
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def cpu_s(pid):
    """Processor time of a process and of its children that have ended."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15])) / TICKS_PER_S


def children(pid):
    text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(word) for word in text.split()]


def descendants(pid):
    """Of a process, itself first."""
    found = [pid]
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):   # it ended meanwhile
        for child in children(pid):
            found += descendants(child)
    return found


def kill_all(pids):
    """kill -9, and waits until none is left."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: all(map(process_gone, pids)), "the killed processes are gone")


def print_machine():
    """Whoever reads figures has to know what else ran: load is that of the minute before."""
    sys.stdout.reconfigure(line_buffering=True)  # a run takes minutes, and may go into a file
    found = machine()
    load, cores = found["load_average"][0], found["cores"]
    print(f"  {cores} processors, load average {load:.1f} before the start"
          + ("" if load < cores / 4 else ": THE MACHINE IS BUSY, figures are not to be relied on"))
    return found


def write_json(path, result):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"\n  written to {path}")


class Load:
    """A beckon-load process. Options as keywords: session_expiry=60 is --session-expiry 60."""

    def __init__(self, **options):
        words = [str(program("beckon-load"))]
        for name, value in options.items():
            if value is None or value is False:
                continue
            words.append("--" + name.replace("_", "-"))
            if value is not True:
                words.append(str(value))
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)

    def event(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"beckon-load ended with {self.process.wait()}")
        return json.loads(line)

    def finish(self):
        """Ends an idle one; returns what it measured."""
        self.process.stdin.close()
        result = self.event()
        self.close()
        return result

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def load(**options):
    """Runs it to its end."""
    running = Load(**options)
    try:
        return running.finish()
    finally:
        running.close()


def reach_beckon(stack, transport):
    """Options of beckon-load to reach a stack's connectors: tcp, ws, tls or wss."""
    environment = stack.environment
    port = {"tcp": environment["BECKON_MQTT_PORT"], "tls": environment["BECKON_MQTTS_PORT"],
            "ws": urllib.parse.urlsplit(environment["BECKON_WS"]).port,
            "wss": urllib.parse.urlsplit(environment["BECKON_WSS"]).port}[transport]
    return {"port": port, "token_key": environment["BECKON_TOKEN_KEY"],
            "ca": environment["BECKON_CA"] if transport in ("tls", "wss") else None,
            "websocket": transport in ("ws", "wss")}


class Mosquitto:
    """The peer: Debian's package, over TCP, WebSocket, TLS and both. The folder has server.pem,
    server.key and ca.pem. persistent: as Debian configures it, the store is written to a file at
    the end and every 30 minutes; else never."""

    def __init__(self, folder, persistent=False):
        self.folder = pathlib.Path(folder)
        self.ports = {name: free_port() for name in ("tcp", "ws", "tls", "wss")}
        self.path = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")
        if self.path is None:
            raise RuntimeError("mosquitto is not installed; ./dev bench installs it")
        lines = ["allow_anonymous true", "max_queued_messages 0",
                 f"persistence {'true' if persistent else 'false'}",
                 f"persistence_location {folder}/",
                 # When root starts it, it would become the user mosquitto.
                 f"user {pwd.getpwuid(os.getuid()).pw_name}",
                 # Off by default; its PUBACKs would wait for the client's next segment.
                 "set_tcp_nodelay true",
                 f"listener {self.ports['tcp']} 127.0.0.1",
                 f"listener {self.ports['ws']} 127.0.0.1", "protocol websockets",
                 f"listener {self.ports['tls']} 127.0.0.1",
                 f"certfile {folder}/server.pem", f"keyfile {folder}/server.key",
                 f"listener {self.ports['wss']} 127.0.0.1", "protocol websockets",
                 f"certfile {folder}/server.pem", f"keyfile {folder}/server.key"]
        self.config = self.folder / "mosquitto.conf"
        self.config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.start()

    def start(self):
        log_path = self.folder / "mosquitto.log"
        with open(log_path, "ab") as log:
            self.process = subprocess.Popen([self.path, "-c", str(self.config)], stdout=log,
                                            stderr=log)
        try:
            wait_until(self._listens, "mosquitto listens")
        except AssertionError as error:
            self.close()
            raise RuntimeError(f"{error}:\n{log_path.read_text(errors='replace')}") from error

    def _listens(self):
        assert self.process.poll() is None, "mosquitto ended"
        return not any(map(port_free, self.ports.values()))

    @property
    def pid(self):
        return self.process.pid

    def reach(self, transport):
        return {"port": self.ports[transport], "topics": "plain",
                "ca": self.folder / "ca.pem" if transport in ("tls", "wss") else None,
                "websocket": transport in ("ws", "wss")}

    def close(self):
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def mosquitto(persistent=False):
    with tempfile.TemporaryDirectory(prefix="beckon-bench-") as folder:
        pki = Pki(pathlib.Path(folder))
        pki.authority()
        pki.issue("server")
        try:
            peer = Mosquitto(folder, persistent)
        except RuntimeError:  # somebody's outgoing connection took a port meanwhile
            peer = Mosquitto(folder, persistent)
        try:
            yield peer
        finally:
            peer.close()
