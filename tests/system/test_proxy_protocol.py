"""Behind a load balancer: where clients are comes in a PROXY header, and only there."""
import signal
import socket
import ssl
import struct

import pytest

from support import packets as p
from support.pki import Pki
from support.stack import HOST
from support.tls import TlsConnector
from support.waiting import DEADLINE_S, wait_until
from support.websocket import WebSocket

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
PORTS = struct.pack(">HH", 40000, 8883)


def header(rest, command=1, family=0x11, version=2):
    return SIGNATURE + bytes([version << 4 | command, family]) + struct.pack(">H", len(rest)) + rest


def ipv4(address="192.0.2.77"):
    return header(socket.inet_aton(address) + socket.inet_aton("198.51.100.2") + PORTS)


GOOD = {    # the header, and where the log says that the client is
    "ipv4": (ipv4(), "192.0.2.77:40000"),
    "ipv4-tlv": (header(ipv4()[16:] + b"\x02\x00\x09mqtt.test" + b"\x04\x01\x00" + bytes(256)),
                 "192.0.2.77:40000"),
    "ipv6": (header(socket.inet_pton(socket.AF_INET6, "2001:db8::77") * 2 + PORTS, family=0x21),
             "[2001:db8::77]:40000"),
    "unix": (header(b"/run/a".ljust(108, b"\0") * 2, family=0x31), f"{HOST}:"),
    "unspecified": (header(b"", family=0), f"{HOST}:"),
    "local": (header(b"", command=0, family=0), f"{HOST}:"),
    "local-with-addresses": (header(ipv4()[16:], command=0), f"{HOST}:"),
    "longest": (header(ipv4()[16:] + bytes(8192 - 16 - 12)), "192.0.2.77:40000"),
}
BAD = {     # what comes, and what the log says
    "none": (p.connect(p.V5, "phone"), "there is none"),
    "version-1": (b"PROXY TCP4 192.0.2.1 198.51.100.2 40000 8883\r\n", "it has version 1"),
    "version-3": (header(ipv4()[16:], version=3), "its version is unknown"),
    "command": (header(ipv4()[16:], command=2), "its command is unknown"),
    "family": (header(ipv4()[16:], family=0x41), "its address family is unknown"),
    "short": (header(ipv4()[16:27]), "too short for its addresses"),
    "long": (SIGNATURE + b"\x21\x11\xff\xff", "it is too long"),
}


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    made = Pki(tmp_path_factory.mktemp("pki"))
    made.authority()
    made.issue("server")
    return made


@pytest.fixture(scope="module")
def door(stack, pki):
    made = TlsConnector(stack, pki.certificates("server"), "listen.tcp.proxy_protocol=true",
                        "listen.tls.proxy_protocol=true", "log.level=debug",
                        "mqtt.connect_timeout_ms=2000")
    yield made
    made.close()


def dial(port, raw=b""):
    sock = socket.create_connection((HOST, port), timeout=DEADLINE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(raw)
    return sock


def comes_in(clients, door, sock, user, where):
    """CONNECT is answered, and the log knows the client's address."""
    sock.settimeout(None)
    peer = clients.raw(user, sock=sock)
    assert peer.connect().reason == 0
    peer.disconnect()
    wait_until(lambda: f"peer={where}" in line_of(door, user).replace('"', ""),
               f"{where} in the log of {user}")


def line_of(door, user):
    return "".join(line for line in door.log().splitlines() if f"user={user}" in line)


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
def test_good_headers(clients, door, pki, who, kind, tls):
    raw, where = GOOD[kind]
    sock = dial(door.tls_port if tls else door.port, raw)
    if tls:
        context = ssl.create_default_context(cafile=str(pki.pem("ca")))
        sock = context.wrap_socket(sock, server_hostname=HOST)
    comes_in(clients, door, sock, who("bob"), where)


def test_header_and_connect_in_one(door, stack, who):
    """The client's own bytes begin right behind the header."""
    bob = who("bob")
    connect = p.connect(p.V5, "phone", bob, stack.token(bob))
    with dial(door.port, ipv4() + connect + p.packet(p.PINGREQ, 0)) as sock:
        assert sock.recv(1) == bytes([p.CONNACK << 4])
    wait_until(lambda: "peer=192.0.2.77:40000" in line_of(door, bob), "its address")


def test_header_in_pieces(clients, door, who):
    raw, where = GOOD["ipv6"]
    sock = dial(door.port)
    for byte in raw:
        sock.sendall(bytes([byte]))
    comes_in(clients, door, sock, who("bob"), where)


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
def test_bad_headers(clients, door, who, kind, tls):
    """Closed at once, with the load balancer's own address in the log; others are not touched."""
    raw, why = BAD[kind]

    def refused():
        """Its line in the log; none when there were ten of them within the second."""
        with dial(door.tls_port if tls else door.port, raw) as sock:
            port = sock.getsockname()[1]
            assert sock.recv(1) == b""
        return [line for line in door.log().splitlines() if f"peer={HOST}:{port} " in line]
    line, = wait_until(refused, "a line in the log")
    assert "bad transport: PROXY header: " in line and why in line
    comes_in(clients, door, dial(door.port, ipv4()), who("bob"), "192.0.2.77:40000")


def test_tls_that_fails_behind_a_header(door):
    """It is the client's fault, and the log has the client's address."""
    with dial(door.tls_port, ipv4("192.0.2.99") + p.connect(p.V5, "phone")) as sock:
        assert sock.recv(1) == b""
    wait_until(lambda: 'peer=192.0.2.99:40000 msg="bad transport: TLS: wrong version number"'
               in door.log(), "a line in the log")


def test_silence(door):
    """Nothing, or half a header, until mqtt.connect_timeout_ms is over."""
    with dial(door.port) as mute, dial(door.port, ipv4()[:20]) as half:
        assert mute.recv(1) == b"" and half.recv(1) == b""
    assert "no CONNECT in time: PROXY header: it is not complete" in door.log()


def test_looking_at_the_port(door):
    """A load balancer's check: it connects and leaves, or says LOCAL before it does."""
    for raw in (b"", header(b"", command=0, family=0)):
        with dial(door.tls_port, raw) as sock:
            port = sock.getsockname()[1]
        wait_until(lambda: any(f"peer={HOST}:{port} " in line and "connection lost" in line
                               for line in door.log().splitlines()), "it is gone, quietly")


def test_only_where_it_is_switched_on(stack, pki):
    """Elsewhere a header is what it looks like: no MQTT, and no TLS."""
    plain = TlsConnector(stack, pki.certificates("server"))
    try:
        for port in (plain.port, plain.tls_port):
            with dial(port, ipv4()) as sock:
                assert sock.recv(1) == b""
        assert "bad first packet" in plain.log() and "TLS: wrong version number" in plain.log()
    finally:
        plain.close()


def closed_at_once(port):
    """What is not trusted gets no answer, whatever it sends."""
    with dial(port) as sock:
        try:
            sock.sendall(ipv4())
            return sock.recv(1) == b""
        except (ConnectionResetError, BrokenPipeError):   # it was faster than our header
            return True


def test_trusted(clients, who):
    door = clients.connector("listen.tcp.proxy_protocol=true",
                             'proxy.trusted=( "192.0.2.1", "127.0.0.0/8" )', "log.level=debug")
    comes_in(clients, door, dial(door.port, ipv4()), who("bob"), "192.0.2.77:40000")
    assert door.counters()["proxy_untrusted"] == 0


def test_not_trusted(clients, who):
    """A listener without the header is none of the list's business."""
    door = clients.connector("listen.tcp.proxy_protocol=true", 'proxy.trusted=( "192.0.2.77" )')
    assert closed_at_once(door.port)
    assert "closed a connection from 127.0.0.1: it is not in proxy.trusted (listen.tcp)" \
        in door.log()
    assert door.counters()["proxy_untrusted"] == 1
    clients.peer(who("bob"), sock=WebSocket(dial(door.ws_port)))


def test_trust_is_read_again(clients, stack, tmp_path, who):
    config = tmp_path / "connector.conf"
    base = (stack.var / "etc" / "connector.conf").read_text()
    config.write_text(base + 'proxy: { trusted = ( "::1" ); };')
    door = clients.connector("listen.tcp.proxy_protocol=true", "log.level=debug", config=config)
    assert closed_at_once(door.port)
    config.write_text(base + 'proxy: { trusted = ( "127.0.0.1" ); };')
    door.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "configuration reloaded" in door.log(), "the reload")
    comes_in(clients, door, dial(door.port, ipv4()), who("bob"), "192.0.2.77:40000")
