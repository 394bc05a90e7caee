"""Beckon's own processes in a stack: their configuration, their start, when they count as ready."""

import signal
import subprocess
import time

from failure import Failure
from layout import ROOT, build_dir
from notify import NotifySocket
from process import Process

READY_S = 60         # `./dev up` gives up then; far above what a loaded machine needs
LOOK_S = 0.2         # how often a process that is waited for is looked at
END_STEPS = ((signal.SIGTERM, 15), (signal.SIGKILL, 10))
PING_MS = 5000

BROKER_CONFIG = """# Made by ./dev; overwritten at every start of this process.
listen: {{ endpoint = "{broker_endpoint}"; }};
database: {{ dsn = "{dsn}"; }};
http: {{ listen = "127.0.0.1:{http_port}"; }};
auth: {{ keys = ( {{ kid = "dev"; algorithm = "HS256"; file = "{token_key}"; }} ); }};
plugin_dir = "{build}/plugins";
plugins = (
    {{ name = "live"; file = "live.so"; }},
    {{ name = "local-push"; file = "local-push.so"; }},
    {{ name = "apns"; file = "apns.so"; options = {{
        keys = ( {{ team = "BECKONTEAM"; kid = "BECKONKEY1"; file = "{apns_dir}/AuthKey_BECKONKEY1.p8";
                    topics = ( "*" ); }} );
        production = {{ host = "localhost"; port = {apns_port}; }};
        development = {{ host = "localhost"; port = {apns_port}; }};
        tls = {{ ca_file = "{apns_dir}/ca.pem"; }};
    }}; }}
);
notification = {{ content = true; }};
"""
CONNECTOR_CONFIG = """# Made by ./dev; overwritten at every start of this process.
listen: {{
    tcp: {{ address = "127.0.0.1"; port = {mqtt_port}; }};
    tls: {{ enabled = true; address = "127.0.0.1"; port = {mqtts_port}; }};
    ws: {{ address = "127.0.0.1"; port = {ws_port}; }};
    wss: {{ enabled = true; address = "127.0.0.1"; port = {wss_port}; }};
}};
tls: {{ certificates = ( {{ certificate = "{apns_dir}/server.pem"; key = "{apns_dir}/server.key"; }} ); }};
broker: {{ endpoints = ( {broker_endpoints} ); }};
auth: {{ keys = ( {{ kid = "dev"; algorithm = "HS256"; file = "{token_key}"; }} ); }};
"""
APNS_CONFIG = """# Made by ./dev; overwritten at every start of this process.
listen: {{ port = {apns_port}; }};
control: {{ port = {apns_control_port}; }};
tls: {{ directory = "{apns_dir}"; }};
# Brokers are restarted at will here, and each signs a provider token of its own.
auth: {{ directory = "{apns_dir}"; min_token_interval_s = 0; }};
"""
CONFIGS = {"broker": BROKER_CONFIG, "connector": CONNECTOR_CONFIG, "apns-simulator": APNS_CONFIG}
PROGRAMS = {"broker": "beckon-broker", "connector": "beckon-connector",
            "apns-simulator": "apns-simulator"}


def quoted(value):
    """As the inside of a libconfig string."""
    return str(value).replace("\\", "\\\\").replace('"', '\\"')


class Program(Process):
    """broker, connector or apns-simulator."""

    def __init__(self, layout, name, index):
        super().__init__(layout, name, index)
        self._layout = layout
        self._notify = None

    def launch(self, overrides=()):
        program = build_dir() / "bin" / PROGRAMS[self.name]
        config = self._write_config()
        sets = [] if self.name == "apns-simulator" else [f"index={self.index}"]
        if self.name == "broker" and self.index > 0:
            sets += [f"listen.endpoint={self._layout.broker_endpoint(self.index)}",
                     f"http.listen=127.0.0.1:{self._layout.port('http', self.index)}"]
        sets += overrides
        sets += [text.split(":", 1)[1] for text in self._layout.settings["sets"]
                 if text.startswith(self.name + ":")]
        self._notify = NotifySocket()
        words = [word for text in sets for word in ("--set", text)]
        self.spawn([program, "--config", config, *words], {"NOTIFY_SOCKET": self._notify.name})

    def await_said(self, key, value, what):
        """Until the launched process has said key=value through NOTIFY_SOCKET."""
        deadline = time.monotonic() + READY_S
        while not self._notify.wait(key, value, LOOK_S):
            if self.pid() is None:
                raise Failure(f"{self} ended before it was {what} ({self.ended_how()}):\n"
                              f"{self.log_tail()}")
            if time.monotonic() > deadline:
                raise Failure(f"{self} was not {what} within {READY_S} s:\n{self.log_tail()}")

    def await_ready(self):
        self.await_said("READY", "1", "ready")

    def await_linked(self):
        self.await_said("X_BECKON_LINK", "up", "linked to the broker")

    def _write_config(self):
        path = self._layout.etc_dir / f"{self.name}.conf"
        text = CONFIGS[self.name].format(
            apns_dir=quoted(self._layout.apns_dir), apns_port=self._layout.port("apns"),
            apns_control_port=self._layout.port("apns control"),
            broker_endpoint=self._layout.broker_endpoint(0), http_port=self._layout.port("http"),
            broker_endpoints=", ".join(f'"{self._layout.broker_endpoint(index)}"'
                                       for index in self._layout.settings.get("brokers", [0])),
            mqtt_port=self._layout.port("mqtt"), mqtts_port=self._layout.port("mqtts"),
            ws_port=self._layout.port("ws"), wss_port=self._layout.port("wss"),
            dsn=quoted(self._layout.dsn()), build=quoted(build_dir()),
            token_key=quoted(self._layout.token_key))
        temporary = path.with_suffix(".new")
        temporary.write_text(text, encoding="utf-8")
        temporary.chmod(0o600)  # the broker's has a password
        temporary.replace(path)
        return path


def beckonctl(layout, *arguments):
    """Runs it to its end and returns what it printed."""
    program = build_dir() / "bin" / "beckonctl"
    try:
        result = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    except OSError as error:
        raise Failure(f"could not run {program}: {error.strerror}") from error
    if result.returncode != 0:
        raise Failure(f"beckonctl {arguments[0]} failed: {(result.stderr + result.stdout).strip()}")
    return result.stdout.strip()


def migrate(layout):
    beckonctl(layout, "migrate", "--dsn", layout.dsn(), "--schema", str(ROOT / "schema"))


def token(layout, user):
    return beckonctl(layout, "token", "--user", user, "--key", str(layout.token_key))


def ping(layout):
    """A client's view: CONNECT with a good token must reach the broker and its database."""
    beckonctl(layout, "ping", "--mqtt", f"127.0.0.1:{layout.port('mqtt')}", "--user", "dev-ping",
              "--token", token(layout, "dev-ping"), "--timeout", str(PING_MS))
