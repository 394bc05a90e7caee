"""A stack's folder: where things lie in it, its ports, and the options it was started with.

stack.json remembers the options, so that every other command needs only --var.
"""

import fcntl
import json
import os
import secrets
import socket
from contextlib import contextmanager
from pathlib import Path

from failure import Failure

ROOT = Path(__file__).resolve().parents[2]
PORTS = {"mqtt": 1883, "apns": 2197, "apns control": 2198, "broker": 7400,
         "postgres": 7432, "http": 7480, "ws": 8083, "wss": 8084, "mqtts": 8883}
MQTT_DOORS = ("mqtt", "ws", "wss", "mqtts")
BROKER_DOORS = ("broker", "http")
MAX_BROKERS = 9  # each one's doors are a port after the last one's, up to where the next doors are
MAX_PORT_OFFSET = 65535 - max(PORTS.values())
DEFAULTS = {"port_offset": 0, "brokers": 1, "connectors": 2, "sets": []}


def build_dir():
    """The folder whose programs are run: BECKON_BUILD (in the checkout), or the dev preset's."""
    return ROOT / os.environ.get("BECKON_BUILD", "build/dev")


class Layout:
    def __init__(self, var):
        self.var = Path(var).absolute() if var is not None else ROOT / "var"
        self.run_dir = self.var / "run"
        self.log_dir = self.var / "log"
        self.etc_dir = self.var / "etc"
        self.keys_dir = self.var / "keys"
        self.postgres_dir = self.var / "postgres"
        self.apns_dir = self.keys_dir / "apns"
        # One authority and one certificate, for localhost, serve a whole stack: apns-simulator makes
        # them at its first start, and connectors, which come later, use them too.
        self.ca = self.apns_dir / "ca.pem"
        self.token_key = self.keys_dir / "dev.hs256"
        self._settings_path = self.var / "stack.json"
        self.settings = None
        if self._settings_path.exists():
            try:
                self.settings = json.loads(self._settings_path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise Failure(f"{self._settings_path}: {error}") from error

    def var_option(self):
        """What another ./dev command needs to mean this stack."""
        return "" if self.var == ROOT / "var" else f" --var {self.var}"

    def require(self):
        if self.settings is None:
            raise Failure(f"there is no stack in {self.var}; ./dev up{self.var_option()} makes one")

    def create(self, settings):
        """Makes the folders, remembers the settings. Refuses a folder that holds other things."""
        try:
            if self.settings is None and self.var.is_dir() and any(self.var.iterdir()):
                raise Failure(f"{self.var} is not empty and no stack of ours; choose another --var")
            for folder in (self.var, self.run_dir, self.log_dir):
                folder.mkdir(parents=True, exist_ok=True)
            for folder in (self.etc_dir, self.keys_dir):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise Failure(f"could not make {self.var}: {error.strerror}") from error
        self.save(settings)

    def save(self, settings):
        self.settings = settings
        temporary = self._settings_path.with_suffix(".new")
        temporary.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        temporary.replace(self._settings_path)

    def forget(self):
        """The last act of wipe."""
        self._settings_path.unlink(missing_ok=True)
        self.settings = None

    @contextmanager
    def locked(self):
        """One change of a stack at a time."""
        self.run_dir.mkdir(parents=True, exist_ok=True)
        with open(self.run_dir / "lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def port(self, door, index=0):
        return PORTS[door] + self.settings["port_offset"] + index

    def require_free_port(self, door, index=0):
        port = self.port(door, index)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise Failure(f"port {port} ({door}) can't be used: {error.strerror}; choose other "
                              f"ports with --port-offset N (now {self.settings['port_offset']})"
                              ) from error

    def broker_endpoint(self, index):
        """Where connectors and other brokers reach it."""
        return f"tcp://127.0.0.1:{self.port('broker', index)}"

    def secret(self, name, make):
        """The text of keys/NAME, made at its first use."""
        path = self.keys_dir / name
        if not path.exists():
            temporary = path.with_suffix(".new")
            temporary.unlink(missing_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(make())
            temporary.replace(path)
        return path.read_text(encoding="ascii")

    def make_token_key(self):
        self.secret(self.token_key.name, lambda: secrets.token_hex(32))

    def dsn(self):
        password = self.secret("beckon.password", lambda: secrets.token_hex(16))
        return f"postgresql://beckon:{password}@127.0.0.1:{self.port('postgres')}/beckon"

    def environment(self):
        """What `./dev env` prints and `./dev ctl` runs with."""
        return {"BECKON_MQTT_PORT": str(self.port("mqtt")),
                "BECKON_MQTTS_PORT": str(self.port("mqtts")),
                "BECKON_WS": f"ws://127.0.0.1:{self.port('ws')}/mqtt",
                "BECKON_WSS": f"wss://localhost:{self.port('wss')}/mqtt", "BECKON_DSN": self.dsn(),
                "BECKON_HTTP": f"http://127.0.0.1:{self.port('http')}",
                "BECKON_APNS": f"https://localhost:{self.port('apns')}",
                "BECKON_APNS_CONTROL": f"http://127.0.0.1:{self.port('apns control')}",
                "BECKON_CA": str(self.ca),
                "BECKON_TOKEN_KEY": str(self.token_key)}
