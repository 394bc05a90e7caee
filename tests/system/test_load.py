"""The load generator of the benchmarks: what it counts is what happened. Small numbers, and no
figure is looked at."""
import json
import socket
import struct
import subprocess
import threading
import urllib.parse

import pytest

from support.stack import HOST, program

CONNACK, PUBLISH, PUBACK, SUBSCRIBE = 2, 3, 4, 8
CLEAN = {"failed": 0, "closed_by_server": 0, "unanswered": 0, "refused": 0, "lost": 0,
         "doubled": 0, "swapped": 0, "foreign": 0}


def start(*words):
    return subprocess.Popen([str(program("beckon-load")), *map(str, words)],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def run(*words):
    """Runs it to its end; returns its result."""
    process = start(*words)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return json.loads(out.splitlines()[-1])


@pytest.fixture(params=["tcp", "tls", "ws"])
def server(request, stack):
    environment = stack.environment
    words = ["--token-key", environment["BECKON_TOKEN_KEY"]]
    if request.param == "tls":
        return [*words, "--port", environment["BECKON_MQTTS_PORT"], "--ca", environment["BECKON_CA"]]
    if request.param == "ws":
        port = urllib.parse.urlsplit(environment["BECKON_WS"]).port
        return [*words, "--port", port, "--websocket"]
    return [*words, "--port", environment["BECKON_MQTT_PORT"]]


@pytest.mark.parametrize("level", [4, 5])
@pytest.mark.parametrize("rate", [0, 200], ids=["closed", "open"])
def test_pairs(server, who, level, rate):
    """Every message of a sound server arrives, once, in order."""
    found = run("--scenario", "pairs", *server, "--clients", 6, "--level", level, "--rate", rate,
                "--warm", 0, "--seconds", 1, "--prefix", who("pairs"))
    assert {key: found[key] for key in CLEAN} == CLEAN
    assert found["open"] == 6 and found["sent"] > 0
    assert found["puback"]["count"] > 0 and found["delivery"]["count"] > 0
    if rate:
        assert found["sent"] >= rate
        assert found["sent"] == found["puback"]["count"] == found["delivery"]["count"]


def test_connects_and_idle_ones(server, who):
    found = run("--scenario", "connect", *server, "--clients", 20, "--prefix", who("one"))
    assert (found["open"], found["failed"], found["connack"]["count"]) == (20, 0, 20)
    process = start("--scenario", "idle", *server, "--clients", 20, "--prefix", who("two"),
                    "--subscribe", "--session-expiry", 60, "--connect-rate", 100,
                    "--source", "127.0.0.2", "--sources", 3, "--keep-alive", 1)
    try:
        assert json.loads(process.stdout.readline()) == {"event": "holding", "open": 20,
                                                         "failed": 0}
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(3)   # pings are sent: twice the keep alive is over
        out, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    found = json.loads(out)
    assert (found["open"], found["closed_by_server"], found["ready"]["count"]) == (20, 0, 20)


def test_refused_clients_are_counted(stack, who):
    """A token of another key."""
    key = stack.var / "other-key"
    key.write_bytes(b"x" * 32)
    found = run("--scenario", "connect", "--port", stack.port, "--token-key", key, "--clients", 5,
                "--prefix", who("stranger"))
    assert (found["open"], found["failed"]) == (0, 5)
    assert found["first_failure"] == "refused with 0x86, while connecting"


def test_bad_options():
    for words, text in ((["--port", "1"], "--scenario and --port are needed"),
                        (["--port", "70000"], "expected 1 to 65535"),
                        (["--scenario", "sleep", "--port", "1"], 'no scenario "sleep"'),
                        (["--speed", "1"], 'unknown option "--speed"'),
                        (["--port"], "--port needs a value"),
                        (["--scenario", "pairs", "--port", "1", "--clients", "3"], "even number")):
        done = subprocess.run([str(program("beckon-load")), *words], capture_output=True, text=True,
                              timeout=10, check=False)
        assert done.returncode == 2 and text in done.stderr


class BadServer(threading.Thread):
    """MQTT 3.1.1 for one pair: accepts every message, and forwards the copies that `copies` returns
    for its sequence number."""

    def __init__(self, copies):
        super().__init__(daemon=True)
        self.copies = copies
        self.receiver = None
        self.lock = threading.Lock()
        self.listening = socket.create_server((HOST, 0))
        self.port = self.listening.getsockname()[1]

    def run(self):
        while True:
            try:
                sock, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock, sock.makefile("rb")),
                             daemon=True).start()

    def serve(self, sock, stream):
        while True:
            header = stream.read(1)
            if not header:
                return
            length = shift = 0
            while True:
                byte = stream.read(1)[0]
                length |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    break
            self.answer(sock, header[0] >> 4, stream.read(length))

    def answer(self, sock, kind, body):
        if kind == 1:
            sock.sendall(bytes([CONNACK << 4, 2, 0, 0]))
        elif kind == SUBSCRIBE:
            self.receiver = sock
            sock.sendall(bytes([9 << 4, 3, *body[:2], 1]))
        elif kind == PUBLISH:
            topic_end = 2 + int.from_bytes(body[:2], "big")
            sock.sendall(bytes([PUBACK << 4, 2, *body[topic_end:topic_end + 2]]))
            seq, = struct.unpack_from("<Q", body, topic_end + 2 + 8)
            for copy in self.copies(seq, body):
                self.receiver.sendall(bytes([PUBLISH << 4 | 2, len(copy)]) + copy)

    def close(self):
        self.listening.close()


def test_faults_are_counted():
    """Message 3 is lost, 5 comes twice, 7 after 8, and 9 is not what was sent."""
    held = []

    def copies(seq, body):
        if seq == 7:
            held.append(body)
        if seq == 9:
            # Another run's: bytes 4 to 7 of the payload.
            at = 2 + int.from_bytes(body[:2], "big") + 2 + 4
            body = body[:at] + bytes(byte ^ 1 for byte in body[at:at + 4]) + body[at + 4:]
        return {3: [], 5: [body, body], 7: [], 8: [body, *held]}.get(seq, [body])

    server = BadServer(copies)
    server.start()
    try:
        found = run("--scenario", "pairs", "--port", server.port, "--topics", "plain", "--level", 4,
                    "--clients", 2, "--rate", 20, "--payload", 32, "--warm", 0, "--seconds", 1,
                    "--drain", 1)
    finally:
        server.close()
    assert {key: found[key] for key in CLEAN} == {**CLEAN, "lost": 2, "doubled": 1, "swapped": 1,
                                                  "foreign": 1}
    assert found["delivery"]["count"] == found["sent"] - 2
