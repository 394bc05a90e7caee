"""./dev bench peers: what it prints and leaves behind. Small numbers, and no figure is looked at."""
import json
import os
import pathlib
import secrets
import signal
import subprocess

import pytest

from support.stack import BUILD, ROOT, program
from support.waiting import wait_until

MARK = "BECKON_TEST_MARK"   # every process of a run inherits it
PROGRAM = ROOT / "bench" / "peers" / "peers.py"


class Run:
    def __init__(self, *words):
        self.mark = secrets.token_hex(8)
        self.process = subprocess.Popen(
            ["/usr/bin/python3", str(PROGRAM), *map(str, words)], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
            env={**os.environ, "BECKON_BUILD": str(BUILD), MARK: self.mark})

    def left(self):
        """Pids of its processes, but for the program itself."""
        wanted = f"{MARK}={self.mark}".encode()
        found = []
        for folder in pathlib.Path("/proc").iterdir():
            if folder.name.isdigit() and int(folder.name) != self.process.pid:
                try:
                    if wanted in (folder / "environ").read_bytes().split(b"\0"):
                        found.append(int(folder.name))
                except OSError:   # gone meanwhile
                    continue
        return found

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.communicate(timeout=60)


@pytest.fixture
def runs():
    started = []
    yield lambda *words: started.append(Run(*words)) or started[-1]
    for run in started:
        run.close()


def test_rows_goals_and_kills(runs, tmp_path):
    path = tmp_path / "peers.json"
    run = runs("--rounds", 1, "--seconds", 1, "--peers", "mosquitto", "--only", "window 1", "kill",
               "--json", path)
    out, _ = run.process.communicate(timeout=240)
    assert run.process.returncode == 0, out
    found = json.loads(path.read_text(encoding="utf-8"))
    by_name = {row["figure"]: row for row in found["rows"]}
    row = by_name["1:1, 200 pairs, window 1, acknowledged"]
    assert min(row["beckon"], row["mosquitto"], row["postgres"]) > 0
    assert row["ratios"]["mosquitto"] == row["beckon"] / row["mosquitto"]
    assert row["met"] == (row["ratios"]["mosquitto"] >= 0.9)
    lost = by_name["lost after kill -9, of those acknowledged"]
    assert lost["beckon"] == 0 and lost["met"] is True
    assert lost["mosquitto"] > 0   # it keeps what it has in memory
    assert run.left() == []


def test_a_signal_ends_everything(runs):
    run = runs("--rounds", 1, "--seconds", 60, "--peers", "mosquitto", "--only", "window 16")
    wait_until(lambda: any("mosquitto keeps" in line for line in iter(run.process.stdout.readline, "")),
               "the servers are up", 120)
    assert len(run.left()) > 5
    run.process.send_signal(signal.SIGTERM)
    out, _ = run.process.communicate(timeout=60)
    assert run.process.returncode == 130, out
    assert run.left() == []


@pytest.mark.parametrize("words, text", [
    (["--rows", "x"], '"--rows" is unknown, or has no number'),
    (["--rows", "0"], "expected --rows, --depth"),
    (["--depth", "17"], "within its limit"),
    (["--speed", "1"], '"--speed" is unknown'),
    (["--rows"], '"--rows" is unknown, or has no number'),
    ([], "BECKON_DSN is not set"),
])
def test_bad_options_of_the_raw_inserts(words, text):
    environment = {key: value for key, value in os.environ.items() if key != "BECKON_DSN"}
    done = subprocess.run([str(program("beckon-raw-postgres")), *words], capture_output=True, text=True,
                          timeout=10, check=False, env=environment)
    assert done.returncode == 2 and text in done.stderr


def test_raw_inserts_without_a_database():
    done = subprocess.run([str(program("beckon-raw-postgres"))], capture_output=True, text=True,
                          timeout=30, check=False,
                          env={**os.environ, "BECKON_DSN": "postgresql://nobody@127.0.0.1:1/none"})
    assert done.returncode == 1 and "could not connect" in done.stderr
