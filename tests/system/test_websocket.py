"""MQTT over WebSocket: clients that we did not write, and one that frames as no library would."""
import json
import os
import signal
import socket
import ssl
import subprocess

import pytest

from support import packets as p
from support import websocket as ws
from support.clients import PahoClient
from support.pki import Pki
from support.stack import HOST, ROOT, ExtraConnector, free_port
from support.waiting import DEADLINE_S, wait_until
from support.websocket import WebSocket

MQTTJS_PEER = ROOT / "tests" / "system" / "mqttjs_peer.js"
LARGE = 200 * 1024


@pytest.fixture
def dial(stack):
    """dial(): a TCP connection to the stack's WebSocket port."""
    made = []

    def connect(port=None):
        made.append(socket.create_connection((HOST, port or stack.ws_port), timeout=DEADLINE_S))
        return made[-1]
    yield connect
    for sock in made:
        sock.close()


@pytest.fixture
def connector(stack):
    """connector(*sets): one with options of its own, connector(config=FILE): with a file of its own."""
    made = []

    def make(*sets, **how):
        made.append(ExtraConnector(stack, *sets, **how))
        return made[-1]
    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def secure(stack, tmp_path_factory):
    """A connector with WebSocket over TLS, as (port, authority)."""
    pki = Pki(tmp_path_factory.mktemp("pki"))
    pki.authority()
    pki.issue("server")
    port = free_port()
    door = ExtraConnector(stack, "listen.wss.enabled=true", f"listen.wss.address={HOST}",
                          f"listen.wss.port={port}", pki.certificates("server"))
    yield port, pki.pem("ca")
    door.close()


def paho(clients, user, version, port=None, device="phone", tls=None):
    return clients.keep(PahoClient(port or clients.stack.ws_port, user, device,
                                   clients.stack.token(user), version, tls=tls,
                                   transport="websockets")).connect()


def mqttjs(stack, url, version, device, user, *words, ca=None):
    """mqttjs_peer.js; Debian keeps node's modules where only Debian's node looks by itself."""
    environment = {**os.environ, "NODE_PATH": "/usr/share/nodejs"}
    if ca:
        environment["CA"] = str(ca)
    done = subprocess.run(["node", str(MQTTJS_PEER), url, str(version), device, user,
                           stack.token(user), *words], capture_output=True, text=True,
                          timeout=2 * DEADLINE_S, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


# --- clients we did not write ----------------------------------------------------------------------

def test_paho(clients, who, version):
    bob, alice = paho(clients, who("bob"), version), paho(clients, who("alice"), version)
    bob.subscribe()
    alice.send(f"to/u/{who('bob')}", b"hello")
    got = bob.receive()[0]
    assert got.topic.startswith(f"inbox/u/{who('alice')}/") and got.payload == b"hello"


def test_paho_large_message(clients, who, version):
    payload = os.urandom(LARGE)
    bob, alice = paho(clients, who("bob"), version), paho(clients, who("alice"), version)
    bob.subscribe()
    alice.send(f"to/u/{who('bob')}", payload)
    assert bob.receive()[0].payload == payload


def test_paho_many_messages(clients, who, version):
    bob, alice = paho(clients, who("bob"), version), paho(clients, who("alice"), version)
    bob.subscribe()
    payloads = [b"%d" % number * (number + 1) for number in range(300)]
    for payload in payloads:
        alice.publish(f"to/u/{who('bob')}", payload)
    assert [message.payload for message in bob.receive(len(payloads))] == payloads


def test_paho_over_tls(clients, secure, who, version):
    port, ca = secure
    payload = os.urandom(LARGE)
    bob, alice = (paho(clients, who(name), version, port,
                       tls=ssl.create_default_context(cafile=str(ca))) for name in ("bob", "alice"))
    bob.subscribe()
    alice.send(f"to/u/{who('bob')}", payload)
    assert bob.receive()[0].payload == payload


def away_and_back(run, who):
    """A session that outlives its connection, ten messages meanwhile, all of them in order."""
    bob, alice = who("bob"), who("alice")
    assert run("phone", bob, "receive", "0") == [{"session": False}]
    run("laptop", alice, "send", f"to/u/{bob}", "10")
    session, *got = run("phone", bob, "receive", "10")
    assert session == {"session": True}
    assert [row["payload"] for row in got] == [f"message {number}" for number in range(10)]
    assert all(row["topic"].startswith(f"inbox/u/{alice}/") and row["qos"] == 1 for row in got)
    assert run("phone", bob, "receive", "0") == [{"session": True}]


def test_mqttjs(stack, who, version):
    url = f"ws://{HOST}:{stack.ws_port}/mqtt"
    away_and_back(lambda *words: mqttjs(stack, url, version, *words), who)


def test_mqttjs_over_tls(stack, secure, who, version):
    port, ca = secure
    url = f"wss://{HOST}:{port}/mqtt"
    away_and_back(lambda *words: mqttjs(stack, url, version, *words, ca=ca), who)


# --- framing ---------------------------------------------------------------------------------------

def test_packets_and_frames_are_cut_differently(clients, dial, who, version):
    """A packet over many frames, a byte each, with empty frames and pings between them; then many
    packets in one frame."""
    sock = WebSocket(dial())
    peer = clients.raw(who("bob"), version=version, sock=sock)
    packet = p.connect(version, "phone", username=peer.user, password=peer.token)
    for index, byte in enumerate(packet):
        last = index == len(packet) - 1
        opcode = ws.BINARY if index == 0 else ws.CONTINUATION
        sock.send(ws.frame(opcode, bytes([byte]), fin=last) +
                  (b"" if last else ws.frame(ws.CONTINUATION, b"", fin=False)))
        if index % 50 == 25:
            sock.send(ws.frame(ws.PING, b"%d" % index))
            assert sock.control() == (ws.PONG, b"%d" % index)
    assert peer.take(p.CONNACK).reason == 0
    sock.sendall(p.subscribe(version, [("inbox/#", 1)], 1) +
                 b"".join(p.publish(version, f"to/u/{peer.user}", b"%d" % pid, 1, pid)
                          for pid in range(2, 52)))
    assert peer.take(p.SUBACK).codes == [1]
    assert [peer.take(p.PUBACK).reason for _ in range(50)] == [0] * 50


def test_frames_byte_by_byte(clients, dial, who):
    """Headers that come in pieces."""
    sock = WebSocket(dial())
    peer = clients.raw(who("bob"), sock=sock)
    packet = p.connect(p.V5, "phone", username=peer.user, password=peer.token)
    for byte in ws.frame(ws.BINARY, packet[:200]) + ws.frame(ws.BINARY, packet[200:]):
        sock.send(bytes([byte]))
    assert peer.take(p.CONNACK).reason == 0
    assert peer.alive()


def test_request_byte_by_byte(dial):
    sock = dial()
    for byte in ws.request():
        sock.sendall(bytes([byte]))
    assert b"101 Switching Protocols" in sock.recv(4096)


def test_large_message_of_one_frame(clients, dial, who, version):
    """64-bit lengths, both ways."""
    payload = os.urandom(LARGE)
    bob = clients.subscriber(who("bob"), version=version, sock=WebSocket(dial()))
    alice = clients.peer(who("alice"), version=version, sock=WebSocket(dial()))
    assert alice.publish(f"to/u/{bob.user}", payload) == 0
    assert bob.payloads() == [payload]
    assert max(bob.sock.frames) > LARGE


def test_a_packet_is_a_frame(clients, dial, who):
    """Not demanded by MQTT, and yet what some clients lean on: however many packets the server has
    to say at a time, none shares a frame."""
    peer = clients.peer(who("bob"), version=p.V311, sock=WebSocket(dial()))
    peer.sock.frames.clear()
    peer.send(b"".join(p.publish(p.V311, f"to/u/{peer.user}", b"", 1, pid) for pid in range(2, 52)))
    assert [peer.take(p.PUBACK).reason for _ in range(50)] == [0] * 50
    assert peer.sock.frames == [4] * 50


# --- requests that are refused ---------------------------------------------------------------------

@pytest.mark.parametrize("how,status,what", [
    ({"path": "/"}, 404, b"/mqtt"),
    ({"path": "/mqtt/x"}, 404, b"/mqtt"),
    ({"Sec_WebSocket_Protocol": None}, 400, b"subprotocol mqtt"),
    ({"Sec_WebSocket_Protocol": "chat, soap"}, 400, b"subprotocol mqtt"),
    ({"Sec_WebSocket_Version": "8"}, 426, b"13"),
    ({"Sec_WebSocket_Key": "short"}, 400, b"Sec-WebSocket-Key"),
    ({"Upgrade": None}, 426, b"Upgrade: websocket"),
    ({"Host": None}, 400, b"Host"),
])
def test_refused(dial, how, status, what):
    answer = ws.ask(dial(), ws.request(**how))
    assert answer.status == status
    assert what in answer.body
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert status != 426 or answer.headers["upgrade"] == "websocket"


def test_refusal_of_another_version_says_which(dial):
    answer = ws.ask(dial(), ws.request(Sec_WebSocket_Version="8"))
    assert answer.headers["sec-websocket-version"] == "13"


def test_mqtt_at_the_wrong_port(dial):
    """A client that has mistaken the port is told with its first packet."""
    answer = ws.ask(dial(), p.connect(p.V5, "phone"))
    assert answer.status == 400 and b"WebSocket" in answer.body


def test_query_and_older_protocol_name(dial):
    sock = WebSocket(dial(), path="/mqtt?version=5", Sec_WebSocket_Protocol="mqttv3.1")
    assert sock.response.headers["sec-websocket-protocol"] == "mqttv3.1"


def test_origins(clients, connector, dial, who):
    """Listed pages and clients that are no pages get in; SIGHUP changes the list."""
    door = connector('websocket.origins=( "https://chat.test" )')
    refused = ws.ask(dial(door.ws_port), ws.request(Origin="https://evil.test"))
    assert refused.status == 403 and b"websocket.origins" in refused.body
    for how in ({"Origin": "https://chat.test"}, {}):
        peer = clients.peer(who("bob"), sock=WebSocket(dial(door.ws_port), **how))
        assert peer.alive()
    assert "WebSocket request: expected an Origin" in door.log()


def test_origins_are_reloaded(connector, dial, stack, tmp_path):
    config = tmp_path / "connector.conf"
    base = (stack.var / "etc" / "connector.conf").read_text()
    config.write_text(base + 'websocket: { origins = ( "https://old.test" ); };')
    door = connector(config=config)
    assert ws.ask(dial(door.ws_port), ws.request(Origin="https://new.test")).status == 403
    config.write_text(base + 'websocket: { origins = ( "https://new.test" ); };')
    os.kill(door.process.pid, signal.SIGHUP)
    wait_until(lambda: "configuration reloaded" in door.log(), "the reload")
    WebSocket(dial(door.ws_port), Origin="https://new.test")
    assert ws.ask(dial(door.ws_port), ws.request(Origin="https://old.test")).status == 403
    config.write_text(base + 'websocket: { origins = ( "https://new.test/" ); };')
    os.kill(door.process.pid, signal.SIGHUP)
    wait_until(lambda: "could not reload" in door.log(), "the refusal")
    assert '"https://new.test/" is not an origin' in door.log()
    WebSocket(dial(door.ws_port), Origin="https://new.test")


def test_unfinished_request(connector, dial):
    """The time for CONNECT includes the request's."""
    door = connector("mqtt.connect_timeout_ms=300")
    sock = dial(door.ws_port)
    sock.sendall(ws.request()[:-2])
    assert sock.recv(100) == b""
    wait_until(lambda: "the WebSocket request is not complete" in door.log(), "the log says why")


def test_behind_a_load_balancer(clients, connector, dial, who):
    """A PROXY header comes before the request."""
    door = connector("listen.ws.proxy_protocol=true")
    addresses = socket.inet_aton("192.0.2.77") + socket.inet_aton("198.51.100.2")
    proxied = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + addresses + b"\x9c\x40\x1f\x93"
    sock = dial(door.ws_port)
    sock.sendall(proxied)
    assert clients.peer(who("bob"), sock=WebSocket(sock)).alive()
    sock = dial(door.ws_port)
    assert ws.ask(sock, proxied + ws.request(path="/")).status == 404
    assert "peer=192.0.2.77:40000" in door.log()


# --- ping, close -----------------------------------------------------------------------------------

def test_ping(clients, dial, who):
    peer = clients.peer(who("bob"), sock=WebSocket(dial()))
    for payload in (b"", b"are you there", bytes(125)):
        peer.sock.send(ws.frame(ws.PING, payload))
        assert peer.sock.control() == (ws.PONG, payload)
    peer.sock.send(ws.frame(ws.PONG, b"unasked"))
    assert peer.alive() and peer.sock.controls == []


def test_pings_of_a_client_that_does_not_read(clients, dial, who):
    """A flood of pings is not a queue of pongs: the newest is answered in the end."""
    peer = clients.peer(who("bob"), sock=WebSocket(dial()))
    flood = b"".join(ws.frame(ws.PING, bytes(125)) for _ in range(1000))
    for _ in range(100):
        peer.sock.send(flood)
    peer.sock.send(ws.frame(ws.PING, b"last"))
    pongs = []
    while not pongs or pongs[-1] != (ws.PONG, b"last"):
        pongs.append(peer.sock.control())
    assert peer.alive()


@pytest.mark.parametrize("raw,code", [
    (ws.frame(ws.TEXT, b"hello"), 1003),
    (ws.frame(ws.CONTINUATION, b"x"), 1002),
    (ws.frame(0x3, b"x"), 1002),
    (b"\x82\x01x", 1002),                                    # not masked
    (b"\xc2\x81\0\0\0\0x", 1002),                            # compressed, which was not agreed on
    (b"\x82\xfe\0\x01\0\0\0\0x", 1002),                      # a padded length
    (b"\x82\xff" + b"\x7f" * 8 + b"\0\0\0\0", 1009),
    (ws.frame(ws.PING, b"x", fin=False), 1002),
    (ws.frame(ws.PING, bytes(126)), 1002),
    (ws.frame(ws.CLOSE, b"\x03"), 1002),
    (ws.close(1005), 1002),
    (ws.close(1000, b"\xff"), 1007),
], ids=["text", "continuation", "reserved-opcode", "not-masked", "compressed", "padded-length",
        "huge", "ping-in-parts", "long-ping", "half-a-code", "code-1005", "reason-not-utf-8"])
def test_broken_frames(clients, dial, who, version, raw, code):
    """The code says what was wrong; what came before is done, nothing after it; the Will is sent."""
    bob = clients.subscriber(who("bob"))
    peer = clients.peer(who("alice"), version=version, sock=WebSocket(dial()),
                        will=p.Will(f"to/u/{bob.user}", b"will"))
    first, second = (p.publish(version, f"to/u/{bob.user}", text, 1, pid)
                     for pid, text in ((1, b"before"), (2, b"after")))
    peer.sock.send(ws.frame(ws.BINARY, first) + raw + ws.frame(ws.BINARY, second))
    assert peer.sock.closed() == code
    assert sorted(bob.payloads(2)) == [b"before", b"will"]
    bob.quiet()


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
def test_client_closes(clients, dial, who, code):
    """Its code comes back. It has not said DISCONNECT, so its Will is sent."""
    bob = clients.subscriber(who("bob"))
    peer = clients.peer(who("alice"), sock=WebSocket(dial()),
                        will=p.Will(f"to/u/{bob.user}", b"gone"))
    peer.sock.send(ws.close(code, b"bye"))
    assert peer.sock.closed() == code
    assert bob.payloads() == [b"gone"]


def test_client_closes_without_a_code(clients, dial, who):
    peer = clients.peer(who("alice"), sock=WebSocket(dial()))
    peer.sock.send(ws.frame(ws.CLOSE))
    assert peer.sock.closed() == 0


@pytest.mark.parametrize("together", [False, True], ids=["in-turn", "in-one-write"])
def test_client_says_goodbye(clients, dial, who, version, together):
    """DISCONNECT, then the closing handshake of WebSocket: no Will."""
    bob = clients.subscriber(who("bob"))
    peer = clients.peer(who("alice"), version=version, sock=WebSocket(dial()),
                        will=p.Will(f"to/u/{bob.user}", b"gone"))
    goodbye = ws.frame(ws.BINARY, p.disconnect(version))
    if together:
        peer.sock.send(goodbye + ws.close(1000))
    else:
        peer.sock.send(goodbye)
    assert peer.sock.control() == (ws.CLOSE, b"\x03\xe8")
    if not together:
        peer.sock.send(ws.close(1000))
    assert peer.sock.recv(1) == b"" and peer.sock.ended
    bob.quiet()


# --- the session -----------------------------------------------------------------------------------

def test_keep_alive(clients, dial, who, version):
    """WebSocket's pings are no heartbeat of MQTT."""
    peer = clients.peer(who("bob"), version=version, sock=WebSocket(dial()), keepalive=1)

    def over():
        if not peer.sock.ended and not peer.sock.controls:
            peer.sock.send(ws.frame(ws.PING, b"x"))
        return peer.sock.control()[0] == ws.CLOSE

    wait_until(over, "the silent client is cut", poll_s=0.2)
    seen = peer.end()
    assert [packet.reason for packet in seen] == ([0x8D] if version == p.V5 else [])


def test_takeover(clients, dial, who, version):
    """By a newer connection, from WebSocket to TCP and back."""
    bob = who("bob")
    older = clients.subscriber(bob, version=version, sock=WebSocket(dial()))
    newer = clients.subscriber(bob, version=version)
    assert [packet.reason for packet in older.end()] == ([0x8E] if version == p.V5 else [])
    assert older.sock.controls == [(ws.CLOSE, b"\x03\xe8")]
    newest = clients.subscriber(bob, version=version, sock=WebSocket(dial()))
    assert [packet.reason for packet in newer.end()] == ([0x8E] if version == p.V5 else [])
    assert clients.peer(who("alice")).publish(f"to/u/{bob}", b"x") == 0
    assert newest.payloads() == [b"x"]


def test_drain(clients, connector, dial, who, version):
    door = connector()
    peer = clients.peer(who("bob"), version=version, sock=WebSocket(dial(door.ws_port)))
    door.process.send_signal(signal.SIGTERM)
    assert [packet.reason for packet in peer.end()] == ([0x8B] if version == p.V5 else [])
    assert peer.sock.controls == [(ws.CLOSE, b"\x03\xe9")]
    peer.sock.send(ws.close(1000))
    assert door.process.wait(DEADLINE_S) == 0


def test_client_that_does_not_read(clients, connector, dial, who):
    """The limit of what waits for a client is the same."""
    door = connector("client.queue_bytes=65536")
    bob = clients.subscriber(who("bob"), sock=WebSocket(dial(door.ws_port)))
    alice = clients.peer(who("alice"))
    live = clients.subscriber(who("carol"), sock=WebSocket(dial(door.ws_port)))
    for number in range(200):
        alice.post(f"to/u/{bob.user}", bytes(50_000), qos=0)
        if number % 20 == 0:
            alice.post(f"to/u/{live.user}", b"%d" % number, qos=0)
    assert live.payloads(10) == [b"%d" % number for number in range(0, 200, 20)]
    wait_until(lambda: "client does not read fast enough" in door.log(), "it is cut off")
