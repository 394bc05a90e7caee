"""WebSocket written down once more, from RFC 6455, so that tests decide how each byte is framed.

WebSocket has the part of a socket's interface that RawPeer uses: RawPeer(WebSocket(sock)) speaks
MQTT over it, a frame for each send."""
import base64
import hashlib
import os
import select
import socket
import struct

from .waiting import DEADLINE_S

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FIN = 0x80
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def header(first, size):
    """Of a client's frame, without its key."""
    if size < 126:
        return bytes([first, 0x80 | size])
    if size < 65536:
        return struct.pack(">BBH", first, 0x80 | 126, size)
    return struct.pack(">BBQ", first, 0x80 | 127, size)


def frame(opcode, payload=b"", fin=True):
    """Masked, as a client's frames are."""
    key = os.urandom(4)
    return header((FIN if fin else 0) | opcode, len(payload)) + key + masked(payload, key)


def masked(payload, key):
    pad = (key * (len(payload) // 4 + 1))[:len(payload)]
    size = len(payload)
    return (int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")


def close(code, reason=b""):
    return frame(CLOSE, struct.pack(">H", code) + reason)


def request(path="/mqtt", **changes):
    """A good request; changes replace headers (underscores for dashes), None leaves one out."""
    headers = {"Host": "localhost", "Upgrade": "websocket", "Connection": "Upgrade",
               "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
               "Sec-WebSocket-Version": "13", "Sec-WebSocket-Protocol": "mqtt"}
    headers.update({name.replace("_", "-"): value for name, value in changes.items()})
    lines = [f"GET {path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([*lines, "", ""]).encode()


class Response:
    """What a server answers to a request."""

    def __init__(self, raw):
        head, self.body = raw.split(b"\r\n\r\n", 1)
        status, *lines = head.decode().split("\r\n")
        self.status = int(status.split(" ")[1])
        self.headers = {name.lower(): value for name, value in
                        (line.split(": ", 1) for line in lines)}


def ask(sock, raw):
    """Sends a request that is to be refused; reads the answer to its end."""
    sock.settimeout(DEADLINE_S)
    sock.sendall(raw)
    answer = b""
    while chunk := sock.recv(4096):
        answer += chunk
    return Response(answer)


class WebSocket:
    """An open WebSocket on a connected socket."""

    def __init__(self, sock, **changes):
        self.sock = sock
        self.raw = bytearray()      # read and not parsed
        self.data = bytearray()     # payload of data frames that was not given away
        self.controls = []          # (opcode, payload), oldest first
        self.frames = []            # sizes of the data frames
        self.ended = False
        asked = request(**changes)
        sock.settimeout(DEADLINE_S)
        sock.sendall(asked)
        while b"\r\n\r\n" not in self.raw:
            chunk = sock.recv(4096)
            assert chunk, f"the server closed: {bytes(self.raw)}"
            self.raw += chunk
        end = self.raw.index(b"\r\n\r\n") + 4
        self.response = Response(bytes(self.raw[:end]))
        del self.raw[:end]
        assert self.response.status == 101, self.response.body
        key = asked.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
        assert self.response.headers["sec-websocket-accept"] == accept
        assert self.response.headers["upgrade"] == "websocket"
        assert self.response.headers["connection"] == "Upgrade"

    def _parse(self):
        """Takes one frame off. False while it is incomplete. A server's frames are whole, unmasked
        and binary."""
        if len(self.raw) < 2:
            return False
        opcode, size, at = self.raw[0] & 0x0F, self.raw[1], 2
        assert self.raw[0] & 0xF0 == FIN, f"first byte {self.raw[0]:#x}"
        assert size < 128, "a masked frame from a server"
        if size > 125:
            more = 2 if size == 126 else 8
            if len(self.raw) < at + more:
                return False
            size, at = int.from_bytes(self.raw[at:at + more], "big"), at + more
            assert size > (125 if more == 2 else 65535), "a padded length"
        if len(self.raw) < at + size:
            return False
        payload = bytes(self.raw[at:at + size])
        del self.raw[:at + size]
        if opcode == BINARY:
            self.data += payload
            self.frames.append(size)
        else:
            assert opcode in (CLOSE, PING, PONG), f"opcode {opcode}"
            self.controls.append((opcode, payload))
        return True

    def _read(self):
        """One read from the socket. False at the end of the stream."""
        try:
            chunk = self.sock.recv(65536)
        except ConnectionResetError:
            chunk = b""
        self.raw += chunk
        while self._parse():
            pass
        self.ended = self.ended or not chunk
        return bool(chunk)

    # --- frames --------------------------------------------------------------------------------

    def send(self, raw):
        """Bytes as they are."""
        self.sock.sendall(raw)

    def control(self):
        """The next control frame, as (opcode, payload)."""
        while not self.controls:
            assert self._read(), "the server closed without a control frame"
        return self.controls.pop(0)

    def closed(self):
        """The code of the server's Close frame, after which it has closed the connection."""
        opcode, payload = self.control()
        while opcode != CLOSE:
            opcode, payload = self.control()
        while self._read():
            pass
        return int.from_bytes(payload[:2], "big")

    # --- a socket for RawPeer --------------------------------------------------------------------

    def sendall(self, payload):
        self.sock.sendall(frame(BINARY, payload))

    def recv(self, _size):
        """All there is; waits for some. RawPeer's deadlines are on its select."""
        while not self.data and not self.ended:
            self._read()
        data = bytes(self.data)
        self.data.clear()
        return data

    def fileno(self):
        return self.sock.fileno()

    def readable(self, timeout_s):
        return bool(self.data or select.select([self.sock], [], [], timeout_s)[0])

    def setsockopt(self, *words):
        self.sock.setsockopt(*words)

    def settimeout(self, seconds):
        self.sock.settimeout(seconds)

    def shutdown(self, how):
        assert how == socket.SHUT_WR
        self.send(close(1000))

    def close(self):
        self.sock.close()
