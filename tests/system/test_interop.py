"""Clients we did not write: the mosquitto programs as in the README, and paho in Python and C."""
import json
import signal
import subprocess

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from support.stack import HOST, ROOT
from support.waiting import DEADLINE_S, wait_until

SOURCE = ROOT / "tests" / "system" / "paho_c_peer.c"
KEEP = {"v311": ("-V", "311", "-c"), "v5": ("-V", "5", "-c", "-x", "3600")}
PLAIN = {"v311": ("-V", "311"), "v5": ("-V", "5")}
DIALECT = pytest.mark.parametrize("dialect", ["v311", "v5"])


def test_as_the_readme_says(clients, stack, who):
    """The first message, with the commands that README and `./dev run` print."""
    bob, alice = who("bob"), who("alice")
    sub = clients.keep(Sub(stack, f"-i bob-phone -u {bob} -P {stack.token(bob)} -c -q 1 "
                                  "-t inbox/# -v"))
    # It prints nothing before its first message: that it is connected shows in that it arrives,
    # whether it was sent before or after.
    subprocess.run(["mosquitto_pub", "-h", HOST, "-p", str(stack.port), "-i", "alice-phone", "-u",
                    alice, "-P", stack.token(alice), "-q", "1", "-t", f"to/u/{bob}", "-m", "hello"],
                   check=True, timeout=DEADLINE_S)
    line, = wait_until(lambda: sub.lines(), "mosquitto_sub prints the message")
    topic, text = line.split(" ", 1)
    assert topic.startswith(f"inbox/u/{alice}/") and text == "hello"


@pytest.mark.parametrize("tls", ["tlsv1.2", "tlsv1.3"])
def test_tls_as_dev_run_says(clients, stack, who, tls):
    """The stack's own port, certificate and authority, with the command that `./dev run` prints."""
    bob, alice = who("bob"), who("alice")
    receiver = clients.subscriber(bob)
    subprocess.run(["mosquitto_pub", "-h", "localhost", "-p", stack.environment["BECKON_MQTTS_PORT"],
                    "--cafile", stack.environment["BECKON_CA"], "-i", "alice-phone", "-u", alice,
                    "-P", stack.token(alice), "-q", "1", "-t", f"to/u/{bob}", "-m", "hello",
                    "--tls-version", tls], check=True, timeout=DEADLINE_S)
    assert receiver.payloads(1) == [b"hello"]


class Sub:
    """mosquitto_sub with a README's command line."""

    def __init__(self, stack, arguments):
        self.path = stack.var / "log" / "mosquitto_sub.txt"
        with open(self.path, "wb") as out:
            self.process = subprocess.Popen(
                ["mosquitto_sub", "-h", HOST, "-p", str(stack.port), *arguments.split()],
                stdout=out)

    def lines(self):
        return self.path.read_text().splitlines()

    def close(self):
        self.process.kill()
        self.process.wait()


@DIALECT
def test_mosquitto_away_and_back(clients, who, dialect):
    """mosquitto_sub stopped, ten messages, started again with -c: all ten, in order."""
    bob, alice = who("bob"), who("alice")
    sub = clients.mosquitto_sub(bob, "phone", *KEEP[dialect], "-d").subscribed()
    sub.stop()
    for number in range(10):
        clients.mosquitto_pub(alice, "phone", f"to/u/{bob}", f"message {number}", *PLAIN[dialect])
    sub = clients.mosquitto_sub(bob, "phone", *KEEP[dialect], "-C", "10", "-F", "%q %p")
    assert sub.finish() == [f"1 message {number}" for number in range(10)]


@DIALECT
def test_mosquitto_across_a_broker_crash(own_clients, own_stack, who, dialect):
    """The same with kill -9 of the broker between the fifth and the sixth message."""
    bob, alice = who("bob"), who("alice")
    own_clients.mosquitto_sub(bob, "phone", *KEEP[dialect], "-d").subscribed().stop()
    for number in range(10):
        if number == 5:
            own_stack.kill("broker")
            own_stack.start("broker")
        own_clients.mosquitto_pub(alice, "phone", f"to/u/{bob}", f"message {number}",
                                  *PLAIN[dialect])
    sub = own_clients.mosquitto_sub(bob, "phone", *KEEP[dialect], "-C", "10", "-F", "%p")
    assert sub.finish() == [f"message {number}" for number in range(10)]


def test_mosquitto_5_prints_properties(clients, who):
    """User properties and content type, sent by mosquitto_pub, printed by mosquitto_sub."""
    bob, alice = who("bob"), who("alice")
    sub = clients.mosquitto_sub(bob, "phone", "-V", "5", "-C", "1", "-F", "%C %P %p")
    clients.mosquitto_pub(alice, "phone", f"to/u/{bob}", "hi", "-V", "5",
                          "-D", "publish", "content-type", "text/plain",
                          "-D", "publish", "user-property", "colour", "red",
                          "-D", "publish", "user-property", "colour", "blue")
    assert sub.finish() == ["text/plain colour:red colour:blue hi"]


def test_mosquitto_is_told_why_it_is_refused(clients, who):
    """A bad token: the program says what the server answered and exits with an error."""
    door = clients.stack
    for dialect in ("311", "5"):
        done = subprocess.run(["mosquitto_pub", "-h", HOST, "-p", str(door.port), "-i", "d", "-u",
                               who("bob"), "-P", "wrong", "-q", "1", "-t", "to/u/x", "-m", "y",
                               "-V", dialect], capture_output=True, text=True, timeout=DEADLINE_S,
                              check=False)
        assert done.returncode != 0
        assert "bad user name or password" in done.stderr.lower(), done.stderr


@pytest.mark.parametrize("version", [4, 5], ids=["v3.1.1", "v5"])
def test_paho_resumes_by_itself(own_clients, own_stack, who, version):
    """paho with a kept session through kill -9 of its connector: it reconnects on its own, the
    session is there, messages sent meanwhile arrive, none twice."""
    bob = who("bob")
    receiver = own_clients.paho(bob, version=version, clean=False, session_expiry_s=3600)
    receiver.subscribe()
    sender = own_clients.paho(who("alice"), "sender", version, clean=False, session_expiry_s=3600)
    for number in range(20):
        sender.publish(f"to/u/{bob}/{number}", b"%d" % number)
        if number == 10:
            for index in (0, 1):
                own_stack.kill("connector", index)
                own_stack.start("connector", index)
    got = receiver.receive(20, timeout_s=30)
    numbers = list(dict.fromkeys(int(message.payload) for message in got))
    assert numbers == list(range(20))[:len(numbers)]
    wait_until(lambda: len({m.topic for m in receiver.messages}) == 20, "all twenty", 30)
    assert [session for _, session in receiver.connects] == [False] + \
        [True] * (len(receiver.connects) - 1)
    assert len(receiver.connects) > 1


@pytest.fixture(scope="session")
def paho_c(tmp_path_factory):
    """paho_c_peer.c, compiled."""
    output = tmp_path_factory.mktemp("paho") / "paho_c_peer"
    subprocess.run(["gcc", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-O1",
                    str(SOURCE), "-o", str(output), "-lpaho-mqtt3as"], check=True)
    return output


def run_c(program, stack, version, device, user, *words, uri=None):
    """uri: where, if not over TCP."""
    done = subprocess.run([str(program), uri or f"tcp://{HOST}:{stack.port}", str(version), device,
                           user, stack.token(user), *words], capture_output=True, text=True,
                          timeout=2 * DEADLINE_S, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("over", ["tcp", "websocket"])
def test_paho_c(clients, stack, paho_c, who, version, over):
    """paho C, asynchronous API: persistent session, ten messages sent while away, received in
    order when it is back, with Session Present."""
    bob, alice = who("bob"), who("alice")
    uri = None if over == "tcp" else f"ws://{HOST}:{stack.ws_port}/mqtt"
    first = run_c(paho_c, stack, version, "phone", bob, "receive", "0", uri=uri)
    assert first == [{"session": False}]
    run_c(paho_c, stack, version, "sender", alice, "send", f"to/u/{bob}", "10", uri=uri)
    got = run_c(paho_c, stack, version, "phone", bob, "receive", "10", uri=uri)
    assert got[0] == {"session": True}
    assert [row["payload"] for row in got[1:]] == [f"message {number}" for number in range(10)]
    assert all(row["topic"].startswith(f"inbox/u/{alice}/") and row["qos"] == 1 for row in got[1:])
    # The sender's user properties, in order and with their repetition; none in 3.1.1.
    pairs = [["z", "1"], ["a", "2"], ["z", "1"]] if version == 5 else []
    assert all(row["properties"] == pairs for row in got[1:])
    again = run_c(paho_c, stack, version, "phone", bob, "receive", "0", uri=uri)
    assert again == [{"session": True}]


def test_paho_c_will(clients, stack, paho_c, who, version):
    """paho C, gone without DISCONNECT: its Will arrives."""
    bob, alice = who("bob"), who("alice")
    receiver = clients.subscriber(bob)
    run_c(paho_c, stack, version, "phone", alice, "vanish", f"to/u/{bob}", "0")
    message, = receiver.receive()
    assert message.topic.startswith(f"inbox/u/{alice}/") and message.payload == b"gone"


@DIALECT
def test_mosquitto_will(clients, who, dialect):
    """mosquitto_sub with a Will: sent when it is killed; when it is stopped only in MQTT 5, where
    it asks for it (DISCONNECT 0x04)."""
    bob, alice = who("bob"), who("alice")
    receiver = clients.subscriber(bob)
    will = ["--will-topic", f"to/u/{bob}", "--will-qos", "1", "--will-payload"]
    stopped = clients.mosquitto_sub(alice, "stopped", *PLAIN[dialect], "-d", *will, "stopped")
    stopped.subscribed().stop()
    if dialect == "v5":
        assert receiver.payloads() == [b"stopped"]
    killed = clients.mosquitto_sub(alice, "killed", *PLAIN[dialect], "-d", *will, "gone")
    killed.subscribed().signal(signal.SIGKILL)
    assert receiver.payloads() == [b"gone"]
    receiver.quiet()


def will_properties():
    options = Properties(PacketTypes.WILLMESSAGE)
    options.ContentType = "text/plain"
    options.UserProperty = [("b", "1"), ("a", "2"), ("b", "1")]
    return options


@pytest.mark.parametrize("version", [4, 5], ids=["v3.1.1", "v5"])
def test_paho_will(clients, who, version):
    """paho with a Will, in MQTT 5 with properties, read by mosquitto_sub."""
    bob, alice = who("bob"), who("alice")
    receiver = clients.mosquitto_sub(bob, "phone", "-V", "5", "-d", "-C", "1", "-F", "<%C %P %p>")
    receiver.subscribed()
    props = {"properties": will_properties()} if version == 5 else {}
    will = {"topic": f"to/u/{bob}", "payload": b"gone", "qos": 1, **props}
    clients.paho(alice, version=version, will=will).vanish()
    wanted = "<text/plain b:1 a:2 b:1 gone>" if version == 5 else "<  gone>"
    assert wanted in receiver.finish()


def test_properties_between_mosquitto_and_paho(clients, who):
    """What a message may carry in MQTT 5, from mosquitto_pub to paho, in order."""
    bob, alice = who("bob"), who("alice")
    receiver = clients.paho(bob)
    receiver.subscribe()
    pairs = [("z", "1"), ("a", "2"), ("z", "1"), ("ü", "€")]
    words = [word for name, value in pairs
             for word in ("-D", "publish", "user-property", name, value)]
    clients.mosquitto_pub(alice, "phone", f"to/u/{bob}", "hi", "-V", "5", *words,
                          "-D", "publish", "content-type", "text/plain",
                          "-D", "publish", "payload-format-indicator", "1",
                          "-D", "publish", "response-topic", f"to/u/{alice}",
                          "-D", "publish", "correlation-data", "17",
                          "-D", "publish", "message-expiry-interval", "100")
    got = receiver.receive()[0].properties
    assert got.UserProperty == pairs
    assert (got.ContentType, got.PayloadFormatIndicator) == ("text/plain", 1)
    assert (got.ResponseTopic, got.CorrelationData) == (f"to/u/{alice}", b"17")
    assert 90 < got.MessageExpiryInterval <= 100


@DIALECT
def test_large_payload_of_mosquitto(clients, who, dialect, tmp_path):
    """A file near the Maximum Packet Size, by mosquitto_pub -f, byte for byte; to paho."""
    bob, alice = who("bob"), who("alice")
    payload = bytes(number * 31 & 255 for number in range(250_000))
    path = tmp_path / "payload"
    path.write_bytes(payload)
    receiver = clients.paho(bob, version=4 if dialect == "v311" else 5)
    receiver.subscribe()
    subprocess.run(["mosquitto_pub", "-h", HOST, "-p", str(clients.stack.port), "-i", "phone",
                    "-u", alice, "-P", clients.stack.token(alice), "-q", "1", "-t", f"to/u/{bob}",
                    "-f", str(path), *PLAIN[dialect]], check=True, timeout=DEADLINE_S)
    assert receiver.receive()[0].payload == payload


def test_receive_maximum_1_of_paho(clients, who):
    """paho that takes one message at a time gets all of them, in order."""
    bob, sender = who("bob"), clients.paho(who("alice"))
    for number in range(50):
        sender.publish(f"to/u/{bob}", b"%d" % number)
    receiver = clients.paho(bob, receive_maximum=1)
    receiver.subscribe()
    assert [m.payload for m in receiver.receive(50)] == [b"%d" % number for number in range(50)]


def test_receive_maximum_1_of_mosquitto(clients, who):
    """The same with mosquitto_sub."""
    bob, sender = who("bob"), clients.paho(who("alice"))
    for number in range(20):
        sender.send(f"to/u/{bob}", b"%d" % number)
    receiver = clients.mosquitto_sub(bob, "phone", "-V", "5", "-C", "20", "-F", "%p",
                                     "-D", "connect", "receive-maximum", "1")
    assert receiver.finish() == [str(number) for number in range(20)]


def test_no_local_of_paho(clients, who):
    """paho's No Local: what it sends to its own person does not come back."""
    bob = who("bob")
    peer = clients.paho(bob)
    _, mid = peer.client.subscribe("inbox/#", options=SubscribeOptions(qos=1, noLocal=True))
    wait_until(lambda: mid in peer.granted, "SUBACK")
    peer.send(f"to/u/{bob}", b"own")
    clients.paho(who("alice")).send(f"to/u/{bob}", b"other")
    assert [message.payload for message in peer.receive()] == [b"other"]
