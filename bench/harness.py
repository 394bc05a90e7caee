"""What all benchmarks share: the load generator, the peer to compare with, what a machine is."""
import contextlib
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "system"))

# pylint: disable=wrong-import-position
from support.pki import Pki
from support.stack import free_port, port_free, program
from support.waiting import wait_until

CONNECTIONS_MAX = 19000  # of one load process: 20,000 descriptors are a usual limit
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


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


class Mosquitto:
    """The peer: Debian's package, without persistence, with TLS when certificates are given."""

    def __init__(self, folder, tls_folder=None):
        self.port, self.tls_port = free_port(), free_port()
        path = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")
        if path is None:
            raise RuntimeError("mosquitto is not installed; ./dev bench installs it")
        lines = ["allow_anonymous true", "persistence false", "max_queued_messages 0",
                 # Off by default; its PUBACKs would wait for the client's next segment.
                 "set_tcp_nodelay true", f"listener {self.port} 127.0.0.1"]
        if tls_folder is not None:
            lines += [f"listener {self.tls_port} 127.0.0.1",
                      f"certfile {tls_folder}/server.pem", f"keyfile {tls_folder}/server.key"]
        config = pathlib.Path(folder) / "mosquitto.conf"
        config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.process = subprocess.Popen([path, "-c", str(config)], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: not port_free(self.port), "mosquitto listens")
        except AssertionError:
            self.close()
            raise

    @property
    def pid(self):
        return self.process.pid

    def close(self):
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def mosquitto(tls_folder=None):
    """tls_folder: has server.pem and server.key, readable by anybody's mosquitto."""
    with tempfile.TemporaryDirectory(prefix="beckon-bench-") as folder:
        os.chmod(folder, 0o755)
        if tls_folder is not None:
            # When root starts it, mosquitto reads its files as the user mosquitto.
            for name in ("server.pem", "server.key"):
                shutil.copy(pathlib.Path(tls_folder) / name, folder)
                os.chmod(pathlib.Path(folder) / name, 0o644)
            tls_folder = folder
        peer = Mosquitto(folder, tls_folder)
        try:
            yield peer
        finally:
            peer.close()


@contextlib.contextmanager
def certificates():
    """A folder with server.pem and server.key for 127.0.0.1 and the authority's ca.pem."""
    with tempfile.TemporaryDirectory(prefix="beckon-bench-") as folder:
        pki = Pki(pathlib.Path(folder))
        pki.authority()
        pki.issue("server")
        yield pki.folder
