"""The load generator of the benchmarks: what it counts is what happened. Small numbers, and no
figure is looked at."""
import contextlib
import json
import socket
import struct
import subprocess
import threading
import urllib.parse

import pytest

from support.stack import HOST, program
from support.waiting import wait_until

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


@pytest.fixture(params=["tcp", "tls", "ws", "wss"])
def server(request, stack):
    environment = stack.environment
    words = ["--token-key", environment["BECKON_TOKEN_KEY"]]
    if request.param == "tls":
        return [*words, "--port", environment["BECKON_MQTTS_PORT"], "--ca", environment["BECKON_CA"]]
    if request.param == "ws":
        port = urllib.parse.urlsplit(environment["BECKON_WS"]).port
        return [*words, "--port", port, "--websocket"]
    if request.param == "wss":
        port = urllib.parse.urlsplit(environment["BECKON_WSS"]).port
        return [*words, "--port", port, "--websocket", "--ca", environment["BECKON_CA"]]
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


def test_fanout(server, who):
    """Beckon gets a publish for each inbox."""
    found = run("--scenario", "fanout", *server, "--clients", 6, "--warm", 0, "--seconds", 1,
                "--prefix", who("fanout"))
    assert {key: found[key] for key in CLEAN} == CLEAN
    assert found["messages"] > 0 and found["sent"] == 5 * found["messages"]
    assert found["delivery"]["count"] == 5 * found["last"]["count"] == found["sent"]


@pytest.mark.parametrize("level", [4, 5])
def test_offline(server, who, level):
    """The devices are away while it is stored, and find all of it when they are back."""
    found = run("--scenario", "offline", *server, "--clients", 10, "--senders", 3, "--messages", 30,
                "--level", level, "--session-expiry", 60, "--prefix", who("offline"))
    assert {key: found[key] for key in CLEAN} == CLEAN
    assert (found["inboxes"], found["sent"], found["resumed"]) == (7, 210, 7)
    assert found["store"]["messages"] == found["drain"]["messages"] == 210


def test_storm(server, who):
    found = run("--scenario", "storm", *server, "--clients", 20, "--session-expiry", 60, "--prefix",
                who("storm"))
    assert (found["failed"], found["closed_by_server"]) == (0, 0)
    assert (found["open"], found["cut"], found["resumed"]) == (20, 20, 20)
    assert found["connack"]["count"] == found["ready"]["count"] == 20   # the storm's alone


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
                        (["--scenario", "pairs", "--port", "1", "--clients", "3"], "even number"),
                        (["--scenario", "fanout", "--port", "1", "--rate", "3"], "no --rate"),
                        (["--scenario", "offline", "--port", "1"], "needs --session-expiry"),
                        (["--scenario", "storm", "--port", "1"], "needs --session-expiry")):
        done = subprocess.run([str(program("beckon-load")), *words], capture_output=True, text=True,
                              timeout=10, check=False)
        assert done.returncode == 2 and text in done.stderr


class BadServer(threading.Thread):
    """MQTT 3.1.1: accepts every message, and forwards the copies that `copies` returns for its
    sequence number and receiver; to all that have subscribed, or when a receiver comes back with
    its session. Client identifiers end with -s or -r and a number."""

    def __init__(self, copies=lambda seq, body, receiver: [body], forgets=(), refuses=()):
        super().__init__(daemon=True)
        self.copies = copies
        self.forgets, self.refuses = set(forgets), set(refuses)   # at the second CONNECT, once
        self.sessions = set()
        self.receivers = {}   # by number
        self.stored = []
        self.connections = []
        self.lock = threading.Lock()
        self.listening = socket.create_server((HOST, 0))
        self.port = self.listening.getsockname()[1]

    def run(self):
        while True:
            try:
                sock, _ = self.listening.accept()
            except OSError:
                return
            with self.lock:
                self.connections.append(sock)
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        client = None
        with sock, sock.makefile("rb") as stream, contextlib.suppress(ConnectionError):
            while header := stream.read(1):
                length = shift = 0
                while True:
                    byte = stream.read(1)[0]
                    length |= (byte & 0x7F) << shift
                    shift += 7
                    if byte < 0x80:
                        break
                body = stream.read(length)
                with self.lock:
                    if header[0] >> 4 == 1:
                        client = body[12:12 + body[11]].decode().rsplit("-", 1)[1]
                        if not self.connect(sock, client):
                            return
                    else:
                        self.answer(sock, client, header[0] >> 4, body)
        with self.lock:
            if client and self.receivers.get(client) is sock:
                del self.receivers[client]

    def connect(self, sock, client):
        known = client in self.sessions
        if known and client in self.refuses:
            self.refuses.remove(client)
            return False
        present = known and client not in self.forgets
        sock.sendall(bytes([CONNACK << 4, 2, present, 0]))
        if present:
            self.receivers[client] = sock
            for body in self.stored:
                self.forward(client, body)
        return True

    def answer(self, sock, client, kind, body):
        if kind == SUBSCRIBE:
            self.sessions.add(client)
            self.receivers[client] = sock
            sock.sendall(bytes([9 << 4, 3, *body[:2], 1]))
        elif kind == PUBLISH:
            topic_end = 2 + int.from_bytes(body[:2], "big")
            sock.sendall(bytes([PUBACK << 4, 2, *body[topic_end:topic_end + 2]]))
            self.stored.append(body)
            for receiver in list(self.receivers):
                self.forward(receiver, body)

    def forward(self, receiver, body):
        """Only what is for it: a topic ends with its name, or is everybody's."""
        topic_end = 2 + int.from_bytes(body[:2], "big")
        topic = body[2:topic_end].decode()
        if not topic.startswith("fanout/") and topic.rsplit("-", 1)[1] != receiver:
            return
        seq, = struct.unpack_from("<Q", body, topic_end + 2 + 8)
        for copy in self.copies(seq, body, receiver):
            self.receivers[receiver].sendall(bytes([PUBLISH << 4 | 2, len(copy)]) + copy)

    def hang_up(self):
        """Resets all connections; with the lock."""
        for sock in self.connections:
            with contextlib.suppress(OSError):   # it has ended already
                sock.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.listening.close()


def run_against(server, *words):
    server.start()
    try:
        return run(*words, "--port", server.port, "--topics", "plain", "--level", 4,
                   "--payload", 32, "--drain", 1)
    finally:
        server.close()


def test_faults_are_counted():
    """Message 3 is lost, 5 comes twice, 7 after 8, and 9 is not what was sent."""
    held = []

    def copies(seq, body, _receiver):
        if seq == 7:
            held.append(body)
        if seq == 9:
            # Another run's: bytes 4 to 7 of the payload.
            at = 2 + int.from_bytes(body[:2], "big") + 2 + 4
            body = body[:at] + bytes(byte ^ 1 for byte in body[at:at + 4]) + body[at + 4:]
        return {3: [], 5: [body, body], 7: [], 8: [body, *held]}.get(seq, [body])

    found = run_against(BadServer(copies), "--scenario", "pairs", "--clients", 2, "--rate", 20,
                        "--warm", 0, "--seconds", 1)
    assert {key: found[key] for key in CLEAN} == {**CLEAN, "lost": 2, "doubled": 1, "swapped": 1,
                                                  "foreign": 1}
    assert found["delivery"]["count"] == found["sent"] - 2


def faults_of_one(receiver_with_faults):
    """Of the messages for that receiver the first is lost, the second comes behind the third, the
    third twice. All others are fine."""
    held = []

    def copies(seq, body, receiver):
        if receiver != receiver_with_faults:
            return [body]
        if seq == 1:
            held.append(body)
        return {0: [], 1: [], 2: [body, *held, body]}.get(seq, [body])

    return copies


def test_faults_of_a_fanout_are_counted():
    """What one receiver never got keeps its message from being complete, no other. Four may be on
    their way, and one of them never is complete: three places are left."""
    found = run_against(BadServer(faults_of_one("r2")), "--scenario", "fanout", "--clients", 5,
                        "--warm", 0, "--seconds", 1)
    assert {key: found[key] for key in CLEAN} == {**CLEAN, "lost": 1, "doubled": 1, "swapped": 1}
    assert found["receivers"] == 4
    # The place of the lost message stays taken, and so message 4 is never begun.
    assert (found["messages"], found["sent"]) == (4, 4)
    assert (found["delivery"]["count"], found["last"]["count"]) == (15, 3)


def test_faults_of_an_offline_store_are_counted():
    """Across both phases; and a server that forgot a session lost what was in it."""
    server = BadServer(faults_of_one("r2"), forgets={"r3"})
    found = run_against(server, "--scenario", "offline", "--clients", 6, "--senders", 1,
                        "--messages", 5, "--session-expiry", 60)
    assert {key: found[key] for key in CLEAN} == {**CLEAN, "lost": 1 + 5, "doubled": 1, "swapped": 1}
    assert (found["inboxes"], found["sent"], found["resumed"]) == (5, 25, 4)
    assert found["store"]["messages"] == 25 and found["drain"]["messages"] == 25 - 6


def test_what_was_not_acknowledged_may_be_lost():
    """A server that dies while it stores: what it has acknowledged is held against it, no more."""
    server = BadServer()
    server.start()
    process = start("--scenario", "offline", "--clients", 2, "--senders", 1, "--messages", 1000000,
                    "--session-expiry", 60, "--hold", "--port", server.port, "--topics", "plain",
                    "--level", 4, "--payload", 32, "--drain", 1)
    try:
        assert json.loads(process.stdout.readline()) == {"event": "storing", "open": 1}
        wait_until(lambda: len(server.stored) > 100, "it stores")
        with server.lock:
            server.hang_up()
        stored = json.loads(process.stdout.readline())
        assert stored["event"] == "stored" and stored["accepted"] > 0
        with server.lock:
            del server.stored[5:]   # what a restart has lost
        out, _ = process.communicate(timeout=30)
    finally:
        process.kill()
        server.close()
    found = json.loads(out)
    assert found["store"]["messages"] == stored["accepted"]
    assert (found["lost"], found["senders_lost"]) == (stored["accepted"] - 5, 1)
    assert found["unanswered"] == stored["unanswered"] == found["sent"] - stored["accepted"]


def test_a_storm_counts_who_lost_a_session_or_had_to_try_again():
    server = BadServer(forgets={"1", "2"}, refuses={"3"})
    found = run_against(server, "--scenario", "storm", "--clients", 6, "--session-expiry", 60)
    assert (found["cut"], found["resumed"], found["subscribed_again"]) == (6, 4, 2)
    assert (found["retried"], found["failed"], found["open"]) == (1, 0, 6)
