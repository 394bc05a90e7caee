"""./dev itself, with a real PostgreSQL and stand-ins for Beckon's programs: what it does when
things go wrong, which the system tests never see."""

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 60
STEP_S = 0.05


PORTS = (1883, 2197, 2198, 7400, 7432, 7480, 8083, 8084, 8883,
         7401, 7402, 7481, 7482)
OFFSETS = range(10000, 32768 - max(PORTS))


def free(port):
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
        return True


def free_offset():
    """A port offset whose ports are free, and below those that the system gives to clients: one of
    these could be taken between two starts."""
    for offset in random.sample(OFFSETS, len(OFFSETS)):
        if all(free(port + offset) for port in PORTS):
            return offset
    raise RuntimeError("no free port offset")


def wait_until(condition, what):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited too long: {what}"
        time.sleep(STEP_S)


class Dev:
    def __init__(self, folder):
        self.var = folder / "var"
        self.offset = free_offset()
        self.build = folder / "build"
        (self.build / "bin").mkdir(parents=True)
        for name in ("apns-simulator", "beckon-broker", "beckon-connector", "beckon-plugin-host",
                     "beckonctl"):
            shutil.copy(Path(__file__).with_name("stand_in.py"), self.build / "bin" / name)
            (self.build / "bin" / name).chmod(0o755)
        self.environment = dict(os.environ, BECKON_BUILD=str(self.build))

    def __call__(self, *arguments, status=0):
        """Runs ./dev; returns what it printed, both streams together."""
        done = subprocess.run([ROOT / "dev", *arguments, "--var", self.var], env=self.environment,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=DEADLINE_S * 2, check=False)
        assert done.returncode == status, done.stdout
        return done.stdout

    def up(self, *arguments, status=0):
        return self("up", "--port-offset", str(self.offset), *arguments, status=status)

    def ps(self):
        rows = [line.split() for line in self("ps").splitlines()]
        return {f"{name} {index}": int(pid) for name, index, pid in rows}


@pytest.fixture(scope="module")
def dev(tmp_path_factory):
    made = Dev(tmp_path_factory.mktemp("dev"))
    yield made
    made("wipe")
    assert not made.var.exists()


@pytest.fixture
def stack(dev):
    dev.up()
    yield dev
    dev("down")


EVERYTHING = {"postgres 0", "apns-simulator 0", "broker 0", "connector 0", "connector 1"}


def test_up_and_down_again_and_again(dev):
    assert "up in" in dev.up()
    assert set(dev.ps()) == EVERYTHING
    assert "is up already" in dev.up()
    assert "other options" in dev.up("--connectors", "3", status=1)
    assert "stopped" in dev("down")
    assert dev.ps() == {}
    assert "is down already" in dev("down")
    dev("up")  # remembers its ports
    assert set(dev.ps()) == EVERYTHING
    assert f"BECKON_MQTT_PORT={1883 + dev.offset}\n" in dev("env")
    assert f"BECKON_MQTTS_PORT={8883 + dev.offset}\n" in dev("env")
    dev("down")


def test_process_that_dies_at_start_takes_the_stack_down(dev):
    text = dev.up("--set", "connector:stand-in=die", status=1)
    assert "connector 0 ended before it was ready (exit status 3)" in text
    assert "the last words" in text
    assert dev.ps() == {}


def test_port_in_use_is_named(dev):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 7400 + dev.offset))
        other.listen()
        text = dev.up(status=1)
    assert f"port {7400 + dev.offset} (broker)" in text and "--port-offset" in text
    assert dev.ps() == {}


def test_killed_postgres_starts_again(stack):
    os.kill(stack.ps()["postgres 0"], signal.SIGKILL)
    wait_until(lambda: "postgres 0" not in stack.ps(), "postgres is gone")
    assert (stack.var / "postgres" / "postmaster.pid").exists()
    assert "is ready" in stack("start", "postgres", "0")
    assert set(stack.ps()) == EVERYTHING


def test_up_starts_what_is_missing(stack):
    for name in ("broker 0", "connector 1"):
        os.kill(stack.ps()[name], signal.SIGKILL)
    wait_until(lambda: set(stack.ps()) == EVERYTHING - {"broker 0", "connector 1"}, "both are gone")
    assert "started broker 0, connector 1" in stack("up")
    assert set(stack.ps()) == EVERYTHING


def test_start_and_stop_one(stack):
    assert "is stopped" in stack("stop", "connector", "0")
    assert "does not run" in stack("stop", "connector", "0")
    assert set(stack.ps()) == EVERYTHING - {"connector 0"}
    assert "is ready" in stack("start", "connector", "0")
    assert "runs already" in stack("start", "connector", "0")
    assert "only postgres 0" in stack("start", "postgres", "1", status=2)
    assert "9 brokers at most" in stack("start", "broker", "9", status=2)
    assert 'no process "cheese"' in stack("stop", "cheese", "0", status=2)


def test_stopped_process_is_continued_to_end(stack):
    os.kill(stack.ps()["broker 0"], signal.SIGSTOP)
    assert stack("stop", "broker", "0") == "broker 0 is stopped\n"


def test_deaf_process_is_killed_and_named(dev):
    dev.up("--connectors", "1", "--set", "broker:stand-in=deaf")
    text = dev("stop", "broker", "0")
    assert "broker 0 did not end within 15 s of SIGTERM; ended by SIGKILL" in text
    dev("down")


def test_further_broker_has_doors_of_its_own_and_is_remembered(dev):
    dev.up("--connectors", "1", "--brokers", "2")
    assert {"broker 0", "broker 1"} < set(dev.ps())
    assert "is ready" in dev("start", "broker", "2")
    said = (dev.var / "log" / "broker-2.log").read_text(encoding="utf-8")
    assert f"listen.endpoint=tcp://127.0.0.1:{7402 + dev.offset}" in said
    assert f"http.listen=127.0.0.1:{7482 + dev.offset}" in said
    dev("down")
    dev("up")
    assert "broker 2" in dev.ps()
    config = (dev.var / "etc" / "connector.conf").read_text(encoding="utf-8")
    assert f'"tcp://127.0.0.1:{7402 + dev.offset}"' in config
    dev("down")


def test_further_connector_is_remembered(dev):
    dev.up("--connectors", "1")
    dev("start", "connector", "5")
    dev("down")
    dev("up")
    assert set(dev.ps()) == EVERYTHING - {"connector 1"} | {"connector 5"}
    dev("down")


def test_pid_of_another_process_is_not_ours(stack):
    """A pid that was given to another process after ours died: neither listed nor killed."""
    pid_file = stack.var / "run" / "connector-0.pid"
    pid = stack.ps()["connector 0"]
    pid_file.write_text(f"{os.getpid()} 1\n", encoding="ascii")
    assert "connector 0" not in stack.ps()
    assert "does not run" in stack("stop", "connector", "0")
    os.kill(pid, signal.SIGKILL)


def test_run_follows_and_stops_all(dev):
    process = subprocess.Popen(
        [ROOT / "dev", "run", "--var", dev.var, "--port-offset", str(dev.offset)],
        env=dev.environment, stdout=subprocess.PIPE, text=True)
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "delivered" in line:
            break
    assert lines[-1] == "12:00:00.123 delivered mid=1 to=bob\n"
    assert any(f"mosquitto_sub -h 127.0.0.1 -p {1883 + dev.offset} " in line for line in lines)
    assert "is up already" in dev("run", status=1)
    process.send_signal(signal.SIGINT)
    assert process.stdout.read().endswith("stopping\n")
    assert process.wait(DEADLINE_S) == 0
    assert dev.ps() == {}


def test_foreign_folder_is_refused(dev, tmp_path):
    (tmp_path / "precious").touch()
    done = subprocess.run([ROOT / "dev", "up", "--var", tmp_path], env=dev.environment, text=True,
                          stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1 and "is not empty" in done.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["precious"]


@pytest.mark.parametrize("arguments, text", [
    (["up", "--nope"], 'unknown option "--nope"'),
    (["up", "--port-offset", "x"], '--port-offset is "x"'),
    (["up", "--port-offset", "60000"], "expected a number from 0 to"),
    (["up", "--brokers", "10"], "a number from 1 to 9"),
    (["up", "--set", "broker"], "PROCESS:path=value"),
    (["up", "--set", "postgres:a=b"], "broker, connector or"),
    (["ps", "--connectors", "2"], "unknown option"),
    (["down", "cheese"], 'unexpected "cheese"'),
    (["start", "broker"], "NAME INDEX"),
    (["cheese"], 'unknown command "cheese"'),
    (["bench", "cheese"], 'no benchmark "cheese"'),
    (["test", "cheese"], 'no label "cheese"'),
])
def test_misuse_is_status_2(dev, arguments, text):
    dev.up("--connectors", "1")  # a fast no-op after the first
    done = subprocess.run([ROOT / "dev", *arguments, *(["--var", dev.var] if arguments[0] in
                          ("up", "ps", "down", "start") else [])], env=dev.environment, text=True,
                          capture_output=True, check=False)
    assert done.returncode == 2 and text in done.stderr, done.stderr
