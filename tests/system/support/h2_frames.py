"""An HTTP/2 client that shows frames: for what curl hides (settings, GOAWAY, END_STREAM).

Requests are encoded without compression, answers are not decoded: a 200 of the simulator is HEADERS
with END_STREAM, everything else says why in DATA."""
import collections
import contextlib
import json
import socket
import ssl
import struct

from .stack import HOST
from .waiting import DEADLINE_S

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, ACK, END_HEADERS = 1, 1, 4
MAX_CONCURRENT_STREAMS = 3
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

Frame = collections.namedtuple("Frame", "type flags stream payload")


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">IBI", len(payload) << 8 | kind, flags, stream) + payload


def text(value):
    """A string literal of HPACK, not Huffman-coded."""
    data = value.encode()
    if len(data) < 127:
        return bytes([len(data)]) + data
    rest, size = len(data) - 127, b"\x7f"
    while rest >= 128:
        size += bytes([rest % 128 + 128])
        rest //= 128
    return size + bytes([rest]) + data


def header_block(fields):
    return b"".join(b"\0" + text(name) + text(value) for name, value in fields)


class Connection:
    def __init__(self, simulator, alpn="h2"):
        context = ssl.create_default_context(cafile=str(simulator.ca))
        if alpn:
            context.set_alpn_protocols([alpn])
        raw = socket.create_connection((HOST, simulator.port), timeout=DEADLINE_S)
        self.sock = context.wrap_socket(raw, server_hostname=HOST)
        self.simulator, self.buffer, self.next_stream = simulator, b"", 1
        self.send(PREFACE + frame(SETTINGS))

    def send(self, data):
        self.sock.sendall(data)

    def request(self, body=b'{"aps":{"alert":"hi"}}', device="ab" * 32, end=True, more=(),
                **headers):
        """Sends one; returns its stream."""
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        fields = [(":method", "POST"), (":scheme", "https"), (":path", f"/3/device/{device}"),
                  (":authority", HOST), *self.simulator.headers(**headers).items(), *more]
        self.send(frame(HEADERS, END_HEADERS, stream, header_block(fields)) +
                  frame(DATA, END_STREAM if end else 0, stream, body))
        return stream

    def receive(self):
        """The next frame, acknowledged if it asks for that; None at the end."""
        while len(self.buffer) < 9 or len(self.buffer) < 9 + self._size():
            try:
                data = self.sock.recv(65536)
            except (ConnectionResetError, ssl.SSLEOFError):
                data = b""
            if not data:
                return None
            self.buffer += data
        size = self._size()
        _, _, kind, flags, stream = struct.unpack(">HBBBI", self.buffer[:9])
        got = Frame(kind, flags, stream, self.buffer[9:9 + size])
        self.buffer = self.buffer[9 + size:]
        if kind == SETTINGS and not flags & ACK:
            self.send(frame(SETTINGS, ACK))
        return got

    def _size(self):
        return int.from_bytes(self.buffer[:3], "big")

    def until(self, condition):
        """Frames up to the first one for which condition holds, that one last."""
        got = []
        while not got or not condition(got[-1]):
            got.append(self.receive())
            assert got[-1] is not None, f"the connection ended after {got[:-1]}"
        return got

    def answer(self, stream):
        """"" for a 200, else the reason."""
        last = self.until(lambda f: f.stream == stream and (
            f.type == RST_STREAM or f.type in (DATA, HEADERS) and f.flags & END_STREAM))[-1]
        assert last.type != RST_STREAM, last
        return json.loads(last.payload)["reason"] if last.type == DATA else ""

    def ask(self, **how):
        return self.answer(self.request(**how))

    def rest(self):
        """All frames up to the end of the connection."""
        return list(iter(self.receive, None))

    def ping(self):
        """Returns when the server has looked at everything sent so far."""
        self.send(frame(PING, payload=b"12345678"))
        return self.until(lambda f: f.type == PING and f.flags & ACK)

    def close(self):
        self.sock.close()


def settings(frames, identifier):
    """The values of one setting, in order."""
    values = []
    for got in frames:
        if got.type == SETTINGS and not got.flags & ACK:
            pairs = struct.iter_unpack(">HI", got.payload)
            values += [value for name, value in pairs if name == identifier]
    return values


def goaway(got):
    """(last stream, error code, debug data) of a GOAWAY frame."""
    last, code = struct.unpack(">II", got.payload[:8])
    return last, code, json.loads(got.payload[8:])


@contextlib.contextmanager
def connected(simulator, **how):
    connection = Connection(simulator, **how)
    try:
        yield connection
    finally:
        connection.close()
