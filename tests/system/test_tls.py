"""MQTT over TLS, with clients that we did not write."""
import os
import signal
import socket
import ssl
import subprocess

import pytest

from support import packets as p
from support.clients import MosquittoSub
from support.pki import Pki
from support.raw_mqtt import Closed
from support.stack import HOST
from support.tls import TlsConnector
from support.waiting import DEADLINE_S, wait_until

VERSIONS = pytest.mark.parametrize("tls", ["tlsv1.2", "tlsv1.3"])
S_CLIENT_VERSIONS = pytest.mark.parametrize("flag", ["-tls1_2", "-tls1_3"])
PYTHON_VERSION = {"tlsv1.2": ssl.TLSVersion.TLSv1_2, "tlsv1.3": ssl.TLSVersion.TLSv1_3}


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    made = Pki(tmp_path_factory.mktemp("pki"))
    made.authority()
    made.issue("server")
    made.issue("a", "DNS:a.test,IP:127.0.0.1")
    made.issue("b", "DNS:b.test,DNS:*.b.test")
    made.issue("exact", "DNS:exact.b.test")
    made.issue("renewed")
    return made


@pytest.fixture(scope="module")
def door(stack, pki):
    """A connector with TLS and nothing special."""
    made = TlsConnector(stack, pki.certificates("server"))
    yield made
    made.close()


@pytest.fixture
def connector(stack):
    """connector(*sets): one with options of its own."""
    made = []

    def make(*sets):
        made.append(TlsConnector(stack, *sets))
        return made[-1]
    yield make
    for one in made:
        one.close()


def counter(connector, name):
    """Of the counters that SIGUSR1 logs."""
    before = connector.log().count("counters:")
    os.kill(connector.process.pid, signal.SIGUSR1)
    wait_until(lambda: connector.log().count("counters:") > before, "counters are logged")
    line = [line for line in connector.log().splitlines() if "counters:" in line][-1]
    return int(line.split(f" {name}=")[1].split(" ")[0].rstrip('"'))


def works(clients, connector, pki, who, **how):
    """A message to oneself, through TLS both ways."""
    bob = clients.subscriber(who("bob"), sock=connector.dial_tls(pki.pem("ca"), **how))
    alice = clients.peer(who("alice"), sock=connector.dial_tls(pki.pem("ca"), **how))
    assert alice.publish(f"to/u/{bob.user}", b"through") == 0
    assert bob.payloads(1) == [b"through"]
    bob.close()
    alice.close()


# --- clients ---------------------------------------------------------------------------------------

@VERSIONS
@pytest.mark.parametrize("mqtt", ["311", "5"])
def test_mosquitto(stack, clients, door, pki, who, tls, mqtt):
    bob, alice = who("bob"), who("alice")
    how = ("--cafile", str(pki.pem("ca")), "--tls-version", tls, "-V", mqtt)
    sub = clients.keep(MosquittoSub(door.tls_port, bob, "phone", stack.token(bob), "-d", *how))
    sub.subscribed()
    subprocess.run(["mosquitto_pub", "-h", HOST, "-p", str(door.tls_port), "-i", "laptop", "-u",
                    alice, "-P", stack.token(alice), "-q", "1", "-t", f"to/u/{bob}", "-m",
                    "hello over TLS", *how], check=True, timeout=DEADLINE_S, capture_output=True)
    wait_until(lambda: "hello over TLS" in sub.texts(), "the message")
    sub.stop()


def test_mosquitto_with_another_authority(stack, door, pki, who, tmp_path):
    """The client refuses us, and says so; we count it."""
    Pki(tmp_path).authority()
    failed = counter(door, "tls_failed")
    alice = who("alice")
    done = subprocess.run(["mosquitto_pub", "-h", HOST, "-p", str(door.tls_port), "-i", "laptop",
                           "-u", alice, "-P", stack.token(alice), "-q", "1", "-t",
                           "to/u/x", "-m", "x", "--cafile", str(tmp_path / "ca.pem")],
                          timeout=DEADLINE_S, capture_output=True, check=False)
    assert done.returncode != 0
    wait_until(lambda: counter(door, "tls_failed") == failed + 1, "a failed handshake is counted")
    assert f"peer={HOST}:" in door.log() and "TLS: tlsv1 alert unknown ca" in door.log()


@VERSIONS
def test_paho(clients, door, pki, who, version, tls):
    how = ssl.create_default_context(cafile=str(pki.pem("ca")))
    how.minimum_version = how.maximum_version = PYTHON_VERSION[tls]
    clients.stack.port, port = door.tls_port, clients.stack.port
    try:
        bob = clients.paho(who("bob"), version=version, tls=how)
        alice = clients.paho(who("alice"), version=version, tls=how)
    finally:
        clients.stack.port = port
    bob.subscribe()
    alice.send(f"to/u/{who('bob')}", b"hello")
    assert bob.receive(1)[0].payload == b"hello"


@VERSIONS
def test_much_both_ways(clients, door, pki, who, tls):
    """Packets over many records, and many packets in one."""
    how = {"minimum_version": PYTHON_VERSION[tls], "maximum_version": PYTHON_VERSION[tls]}
    bob = clients.subscriber(who("bob"), sock=door.dial_tls(pki.pem("ca"), **how))
    alice = clients.peer(who("alice"), sock=door.dial_tls(pki.pem("ca"), **how))
    assert bob.sock.version() == {"tlsv1.2": "TLSv1.2", "tlsv1.3": "TLSv1.3"}[tls]
    large = [os.urandom(200_000) for _ in range(8)]
    for payload in large:
        assert alice.publish(f"to/u/{bob.user}", payload) == 0
    assert bob.payloads(8) == large
    small = [b"%d" % number for number in range(100)]
    pids = [alice.pid() for _ in small]
    alice.send(b"".join(p.publish(alice.version, f"to/u/{bob.user}", payload, 1, pid)
                        for pid, payload in zip(pids, small)))
    for pid in pids:
        assert alice.take(p.PUBACK, pid=pid).reason == 0
    assert bob.payloads(100) == small


def test_a_client_that_reads_late(clients, door, pki, who):
    """What the socket does not take waits, in the order of its bytes."""
    payloads = [os.urandom(100_000) for _ in range(30)]
    alice = clients.peer(who("alice"), sock=door.dial_tls(pki.pem("ca")))
    bob = clients.subscriber(who("bob"), sock=door.dial_tls(pki.pem("ca")))
    bob.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    for payload in payloads:
        assert alice.publish(f"to/u/{bob.user}", payload) == 0
    assert bob.payloads(30) == payloads


# --- the end of a connection -----------------------------------------------------------------------

def test_close_notify(clients, door, pki, who):
    """Whoever is disconnected learns that nothing was cut off."""
    old = clients.peer(who("bob"), sock=door.dial_tls(pki.pem("ca")))
    old.sock.suppress_ragged_eofs = False
    clients.peer(who("bob"), sock=door.dial_tls(pki.pem("ca")))
    assert old.end()[-1].reason == 0x8E     # and no SSLEOFError
    left = clients.peer(who("carol"), sock=door.dial_tls(pki.pem("ca")))
    left.sock.suppress_ragged_eofs = False
    left.send(p.disconnect(left.version))
    assert left.end() == []


def test_a_client_that_only_says_close_notify(clients, door, pki, who):
    """It is gone, though its TCP connection is not: its Will is due."""
    bob = clients.subscriber(who("bob"), sock=door.dial_tls(pki.pem("ca")))
    alice = clients.peer(who("alice"), sock=door.dial_tls(pki.pem("ca")),
                         will=p.Will(f"to/u/{bob.user}", b"gone"))
    alice.sock.settimeout(DEADLINE_S)
    alice.sock = alice.sock.unwrap()
    assert bob.payloads(1) == [b"gone"]


def test_a_connection_that_breaks(clients, door, pki, who):
    """RST in the middle: the Will is sent."""
    bob = clients.subscriber(who("bob"), sock=door.dial_tls(pki.pem("ca")))
    alice = clients.peer(who("alice"), sock=door.dial_tls(pki.pem("ca")),
                         will=p.Will(f"to/u/{bob.user}", b"broken"))
    alice.cut()
    assert bob.payloads(1) == [b"broken"]


def test_drain(clients, connector, pki, who):
    """A connector that stops says so inside TLS, and ends TLS in order."""
    door = connector(pki.certificates("server"))
    bob = clients.peer(who("bob"), sock=door.dial_tls(pki.pem("ca")))
    bob.sock.suppress_ragged_eofs = False
    door.process.terminate()
    assert bob.end()[-1].reason == 0x8B
    assert door.process.wait(DEADLINE_S) == 0


# --- who comes in and is not wanted ----------------------------------------------------------------

def test_plain_bytes(clients, door, pki, who):
    """MQTT without TLS, noise, and nothing at all on the TLS port."""
    before = counter(door, "tls_failed")
    for text in (p.connect(p.V5, "phone"), b"GET / HTTP/1.1\r\n\r\n", bytes(range(256))):
        with socket.create_connection((HOST, door.tls_port), timeout=DEADLINE_S) as sock:
            sock.sendall(text)
            while sock.recv(4096):     # an alert, perhaps; then the end, and no reset
                pass
    socket.create_connection((HOST, door.tls_port), timeout=DEADLINE_S).close()
    wait_until(lambda: counter(door, "tls_failed") == before + 3, "three failed handshakes")
    assert "TLS: wrong version number" in door.log() and "TLS: http request" in door.log()
    works(clients, door, pki, who)


def test_half_a_handshake(clients, connector, pki, who):
    """Silence in it ends with mqtt.connect_timeout_ms; others come in meanwhile."""
    door = connector(pki.certificates("server"), "mqtt.connect_timeout_ms=700")
    hello = client_hello()
    with socket.create_connection((HOST, door.tls_port), timeout=DEADLINE_S) as whole, \
            socket.create_connection((HOST, door.tls_port), timeout=DEADLINE_S) as half, \
            socket.create_connection((HOST, door.tls_port), timeout=DEADLINE_S) as mute:
        whole.sendall(hello)
        half.sendall(hello[:50])
        works(clients, door, pki, who)
        while whole.recv(4096):     # ServerHello and what follows, then the end
            pass
        assert half.recv(1) == b"" and mute.recv(1) == b""
    assert "no CONNECT in time: TLS: the handshake is not finished" in door.log()
    assert "no CONNECT in time: TLS: no handshake has begun" in door.log()
    wait_until(lambda: counter(door, "tls_failed") == 2, "both are counted")


def client_hello():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="a.test")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def test_listeners_share_the_limit(clients, connector, pki, who):
    """listen.max_connections counts them all."""
    door = connector(pki.certificates("server"), "listen.max_connections=2")
    plain = clients.peer(who("bob"), sock=door.dial())
    secret = clients.peer(who("alice"), sock=door.dial_tls(pki.pem("ca")))
    for port in (door.port, door.tls_port):
        with socket.create_connection((HOST, port), timeout=DEADLINE_S) as sock:
            assert sock.recv(1) == b""
    assert plain.alive() and secret.alive()


def test_a_handshake_byte_by_byte(door):
    """However it comes."""
    hello = client_hello()
    with socket.create_connection((HOST, door.tls_port), timeout=DEADLINE_S) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in hello:
            sock.sendall(bytes([byte]))
        assert sock.recv(1) == b"\x16"     # a handshake record


def test_no_renegotiation(door, pki):
    said = door.s_client("-tls1_2", "-CAfile", pki.pem("ca"), text="R\n")
    assert "RENEGOTIATING" in said and "no renegotiation" in said


# --- what is negotiated ----------------------------------------------------------------------------

def test_versions(connector, door, pki):
    """1.1 never; 1.2 unless tls.min_version says otherwise."""
    assert "alert protocol version" in door.s_client("-brief", "-tls1_1", "-cipher", "ALL@SECLEVEL=0")
    assert "Protocol version: TLSv1.2" in door.s_client("-brief", "-tls1_2")
    strict = connector(pki.certificates("server"), "tls.min_version=1.3")
    assert "alert protocol version" in strict.s_client("-brief", "-tls1_2")
    assert "Protocol version: TLSv1.3" in strict.s_client("-brief")


def test_ciphers(connector, door, pki):
    assert "handshake failure" in door.s_client("-brief", "-tls1_2", "-cipher", "ECDHE+AES+SHA1")
    chosen = connector(pki.certificates("server"), "tls.ciphers=ECDHE-ECDSA-CHACHA20-POLY1305",
                       "tls.ciphersuites=TLS_CHACHA20_POLY1305_SHA256")
    assert "CHACHA20" in chosen.s_client("-brief", "-tls1_2")
    assert "handshake failure" in chosen.s_client("-brief", "-tls1_2", "-cipher", "ECDHE+AESGCM")
    assert "handshake failure" in chosen.s_client("-brief", "-tls1_3", "-ciphersuites",
                                                  "TLS_AES_128_GCM_SHA256")


def test_alpn(door, pki):
    """Ours is chosen, wherever it stands in the list; none is as good; others are refused."""
    sock = door.dial_tls(pki.pem("ca"), alpn=["x", "mqtt"])
    assert sock.selected_alpn_protocol() == "mqtt"
    sock.close()
    with pytest.raises(ssl.SSLError, match="no application protocol"):
        door.dial_tls(pki.pem("ca"), alpn=["h2", "http/1.1", "mqtt1"])


@pytest.mark.parametrize("name,subject", [
    ("a.test", "a"), ("b.test", "b"), ("x.b.test", "b"), ("exact.b.test", "exact"),
    ("EXACT.B.TEST", "exact"), ("x.y.b.test", "a"), ("unknown.test", "a"), (None, "a")])
def test_server_names(connector, pki, name, subject):
    """The certificate with the name that is asked for, an exact one before a wildcard, whatever
    their order; the first one for any other."""
    door = connector(pki.certificates("a", "b", "exact"))
    for flag in ("-tls1_2", "-tls1_3"):
        said = door.s_client("-brief", flag, *(("-servername", name) if name else ("-noservername",)))
        assert f"Peer certificate: CN = {subject}\n" in said, said


# --- sessions --------------------------------------------------------------------------------------

class Resuming:
    """s_client that keeps its session in a file."""

    def __init__(self, flag, path, *words):
        self.words = (flag, "-ign_eof", *words)
        self.path = path

    def first(self, door):
        # No MQTT: the connector closes, and what it had to send before (the ticket) has come.
        return "Reused" in door.s_client(*self.words, "-sess_out", self.path, text="??")

    def again(self, door):
        return "Reused" in door.s_client(*self.words, "-sess_in", self.path, text="??")


@S_CLIENT_VERSIONS
def test_resumption(door, tmp_path, flag):
    client = Resuming(flag, tmp_path / "session")
    resumed = counter(door, "tls_resumed")
    assert not client.first(door)
    assert client.again(door)
    assert counter(door, "tls_resumed") == resumed + 1


@S_CLIENT_VERSIONS
def test_tickets_of_our_own(connector, pki, tmp_path, flag):
    """Without a file of keys a reload makes new ones."""
    door = connector(pki.certificates("server"))
    client = Resuming(flag, tmp_path / "session")
    assert not client.first(door)
    assert client.again(door)
    reload(door)
    assert not client.again(door)


@S_CLIENT_VERSIONS
def test_resumption_at_another_connector(connector, door, pki, tmp_path, flag):
    """With keys in common; the newest key's tickets, and those of older ones."""
    old, new = os.urandom(80), os.urandom(80)
    (tmp_path / "old").write_bytes(old)
    (tmp_path / "both").write_bytes(new + old)
    (tmp_path / "new").write_bytes(new)
    first, second, third = (
        connector(pki.certificates("server"), f"tls.ticket_keys={tmp_path / name}")
        for name in ("old", "both", "new"))
    client = Resuming(flag, tmp_path / "session")
    assert not client.first(first)
    assert client.again(second)
    assert not client.again(third)
    assert not client.again(door)
    client = Resuming(flag, tmp_path / "session")
    assert not client.first(second)
    assert client.again(third)
    assert not client.again(first)


# --- clients' certificates -------------------------------------------------------------------------

@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Certificates of clients, of two authorities."""
    made = Pki(tmp_path_factory.mktemp("people"))
    for authority in ("good-ca", "bad-ca"):
        made.authority(authority)
    made.issue("good", None, "good-ca")
    made.issue("bad", None, "bad-ca")
    return made


@VERSIONS
@pytest.mark.parametrize("required", ["true", "false"])
def test_client_certificates(connector, clients, pki, people, who, tls, required):
    door = connector(pki.certificates("server"), f"tls.client_ca={people.pem('good-ca')}",
                     f"tls.client_required={required}")
    how = {"maximum_version": PYTHON_VERSION[tls]}

    def enter(name=None):
        load = (people.pem(name), people.key(name)) if name else None
        peer = clients.raw(who("bob"), sock=door.dial_tls(pki.pem("ca"), load=load, **how))
        assert peer.connect().reason == 0     # TLS 1.3: a client learns that it is refused later
    enter("good")
    with pytest.raises((ssl.SSLError, Closed, ConnectionResetError)):
        enter("bad")
    if required == "true":
        with pytest.raises((ssl.SSLError, Closed, ConnectionResetError)):
            enter()
        wait_until(lambda: "TLS: peer did not return a certificate" in door.log(), "a line of it")
    else:
        enter()
    wait_until(lambda: "TLS: the client's certificate is refused: unable to get local issuer"
               in door.log(), "a line of that, too")


@S_CLIENT_VERSIONS
def test_tickets_do_not_outlive_their_authority(connector, pki, people, tmp_path, flag):
    """A session that began under an authority that is no longer trusted is not taken up."""
    authority = tmp_path / "clients.pem"
    authority.write_bytes(people.pem("good-ca").read_bytes())
    (tmp_path / "tickets").write_bytes(os.urandom(80))
    door = connector(pki.certificates("server"), f"tls.client_ca={authority}",
                     f"tls.ticket_keys={tmp_path / 'tickets'}")
    client = Resuming(flag, tmp_path / "session", "-cert", people.pem("good"), "-key",
                      people.key("good"))
    assert not client.first(door)
    assert client.again(door)
    authority.write_bytes(people.pem("bad-ca").read_bytes())
    reload(door)
    assert not client.again(door)


# --- reload ----------------------------------------------------------------------------------------

def reload(connector, word="configuration reloaded"):
    before = connector.log().count(word)
    os.kill(connector.process.pid, signal.SIGHUP)
    wait_until(lambda: connector.log().count(word) > before, word)


def subject(connector):
    said = connector.s_client("-brief")
    return said.split("Peer certificate: CN = ")[1].split("\n")[0]


def test_reload(connector, clients, pki, who, tmp_path):
    """New connections get the new certificate; old ones live on; what is bad changes nothing."""
    files = Pki(tmp_path)

    def put(name, key=None):
        files.pem("live").write_bytes(pki.pem(name).read_bytes())
        files.key("live").write_bytes(pki.key(key or name).read_bytes())
    put("server")
    door = connector(files.certificates("live"))
    bob = clients.subscriber(who("bob"), sock=door.dial_tls(pki.pem("ca")))
    half = socket.create_connection((HOST, door.tls_port), timeout=DEADLINE_S)
    hello = client_hello()
    half.sendall(hello[:50])
    put("renewed")
    assert subject(door) == "server"
    reload(door)
    assert subject(door) == "renewed"
    half.sendall(hello[50:])     # began before, goes on with what it began with
    assert half.recv(1) == b"\x16"
    half.close()
    put("renewed", "server")
    reload(door, "could not reload")
    assert str(files.key("live")) in door.log() and "is not the key of" in door.log()
    files.pem("live").unlink()
    reload(door, "could not reload")
    assert subject(door) == "renewed"
    alice = clients.peer(who("alice"), sock=door.dial_tls(pki.pem("ca")))
    assert alice.publish(f"to/u/{bob.user}", b"still here") == 0
    assert bob.payloads(1) == [b"still here"]


def test_a_storm_of_handshakes(connector, pki):
    """All of them begin within one turn, which goes on with eight (TLS_STEPS_PER_TURN): the others
    are put off, and all are done in the end."""
    clients, per_turn = 100, 8
    door = connector(pki.certificates("server"), "limit.address_connects_per_s=0")
    context = ssl.create_default_context(cafile=str(pki.pem("ca")))
    door.process.send_signal(signal.SIGSTOP)
    try:
        storm = [Handshake(context, door.tls_port) for _ in range(clients)]
    finally:
        door.process.send_signal(signal.SIGCONT)
    for handshake in storm:
        handshake.finish()
    wait_until(lambda: door.counters()["tls_handshakes"] == clients, "the last one's end is read")
    assert door.counters()["tls_deferred"] >= clients - per_turn


class Handshake:
    """One that has begun: the client's first flight is sent."""

    def __init__(self, context, port):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=HOST)
        self.sock = socket.create_connection((HOST, port), timeout=DEADLINE_S)
        self._step()

    def _step(self):
        try:
            self.tls.do_handshake()
            done = True
        except ssl.SSLWantReadError:
            done = False
        self.sock.sendall(self.outgoing.read())
        return done

    def finish(self):
        """The socket stays open, so that nothing is left to chance."""
        while not self._step():
            answer = self.sock.recv(4096)
            assert answer, "the server closed"
            self.incoming.write(answer)
