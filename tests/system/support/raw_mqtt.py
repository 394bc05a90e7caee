"""A peer that speaks MQTT packet by packet, and so decides itself what it acknowledges and when."""
import select
import socket
import ssl
import struct
import time

from . import packets as p
from . import strict
from .waiting import DEADLINE_S, QUIET_S

READ_BYTES = 65536

# Payload of the message behind which settle() waits. Other devices of the person get copies of it,
# which they acknowledge and forget.
BARRIER = b"\0barrier"


class Closed(Exception):
    """The server closed the connection."""


class RawPeer:
    """One TCP connection, and the device that uses it."""

    def __init__(self, sock, version=p.V5, user="", device="", token=None):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock, self.version = sock, version
        self.user, self.device, self.token = user, device, token
        self.buffer = bytearray()
        self.pending = []   # packets read while waiting for another one, oldest first
        self.next_pid = 1
        self.connack = None
        self.order = strict.Order()

    # --- bytes ---------------------------------------------------------------------------------

    def send(self, raw):
        try:
            self.sock.sendall(raw)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed from error

    def cut(self):
        """The connection is lost without a word: RST, as from a network that gave up."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        """The socket is closed (FIN) without DISCONNECT."""
        self.sock.close()

    def _parse(self):
        """Takes one packet off the buffer, or returns None while it is incomplete."""
        size = shift = 0
        for index in range(1, len(self.buffer)):
            size |= (self.buffer[index] & 127) << shift
            shift += 7
            if not self.buffer[index] & 128:
                if index > 1 and not self.buffer[index]:
                    raise ValueError("padded Remaining Length from the server (MQTT-1.5.5-1)")
                end = index + 1 + size
                if len(self.buffer) < end:
                    return None
                body = bytes(self.buffer[index + 1:end])
                first = self.buffer[0]
                del self.buffer[:end]
                packet = p.decode(first, body, end, self.version)
                packet.at = time.monotonic()
                strict.check(packet, self.version)
                self.order.check(packet)
                return packet
            if index == 4:
                raise ValueError("Remaining Length from the server is over four bytes")
        return None

    def read(self, timeout_s=DEADLINE_S):
        """The next packet from the socket. Raises Closed, or TimeoutError."""
        deadline = time.monotonic() + timeout_s
        while True:
            packet = self._parse()
            if packet and packet.payload == BARRIER and packet.topic.startswith("inbox/sent/"):
                self.ack(packet)
                continue
            if packet:
                return packet
            left = deadline - time.monotonic()
            if left < 0 or not self._readable(left):
                raise TimeoutError(f"{self.user}/{self.device}: no packet within {timeout_s} s")
            try:
                raw = self.sock.recv(READ_BYTES)
            except ConnectionResetError as error:
                raise Closed from error
            if not raw:
                raise Closed
            self.buffer += raw

    def _readable(self, timeout_s):
        """A layer may hold bytes that the kernel knows nothing of any more."""
        if hasattr(self.sock, "readable"):
            return self.sock.readable(timeout_s)
        return bool(select.select([self.sock], [], [], timeout_s)[0])

    def take(self, kind, timeout_s=DEADLINE_S, pid=None):
        """The next packet of that kind (and identifier); others stay for later takes."""
        for index, packet in enumerate(self.pending):
            if packet.kind == kind and pid in (None, packet.pid):
                return self.pending.pop(index)
        deadline = time.monotonic() + timeout_s
        while True:
            packet = self.read(max(0.0, deadline - time.monotonic()))
            if packet.kind == kind and pid in (None, packet.pid):
                return packet
            self.pending.append(packet)

    def end(self, timeout_s=DEADLINE_S):
        """Waits until the server closes. Returns what it sent before, oldest first."""
        seen, self.pending = self.pending, []
        deadline = time.monotonic() + timeout_s
        try:
            while True:
                seen.append(self.read(max(0.0, deadline - time.monotonic())))
        except Closed:
            return seen

    # --- the protocol --------------------------------------------------------------------------

    def connect(self, **how):
        """Sends CONNECT as this device and returns the CONNACK, whatever it says."""
        how.setdefault("username", self.user)
        how.setdefault("password", self.token)
        self.order.limit = dict(how.get("props", ())).get(p.MAXIMUM_PACKET_SIZE)
        self.send(p.connect(self.version, how.pop("client_id", self.device), **how))
        self.connack = self.take(p.CONNACK)
        return self.connack

    def subscribe(self, filters="inbox/#", qos=1, props=()):
        """One filter, or (filter, options) pairs. Returns the codes of the SUBACK."""
        pairs = [(filters, qos)] if isinstance(filters, str) else filters
        pid = self.pid()
        self.send(p.subscribe(self.version, pairs, pid, props))
        return self.take(p.SUBACK, pid=pid).codes

    def unsubscribe(self, *filters):
        pid = self.pid()
        self.send(p.unsubscribe(self.version, filters, pid))
        return self.take(p.UNSUBACK, pid=pid).codes

    def pid(self):
        pid = self.next_pid
        self.next_pid = pid % 65535 + 1
        return pid

    def post(self, topic, payload=b"", qos=1, **how):
        """Sends PUBLISH and returns its packet identifier at once."""
        pid = how.pop("pid", None) or (self.pid() if qos else 0)
        self.send(p.publish(self.version, topic, payload, qos, pid, **how))
        return pid

    def publish(self, topic, payload=b"", **how):
        """QoS 1; returns the PUBACK's reason code (0 in 3.1.1)."""
        timeout_s = how.pop("timeout_s", DEADLINE_S)
        return self.take(p.PUBACK, timeout_s, self.post(topic, payload, **how)).reason

    def ping(self, timeout_s=DEADLINE_S):
        """The connector is through with everything sent before once this returns."""
        self.send(p.packet(p.PINGREQ, 0))
        self.take(p.PINGRESP, timeout_s)

    def disconnect(self, reason=0, props=()):
        self.send(p.disconnect(self.version, reason, props))
        if not isinstance(self.sock, ssl.SSLSocket):    # Python's would read on without TLS
            self.sock.shutdown(socket.SHUT_WR)
        self.end()
        self.sock.close()

    def ack(self, *messages):
        self.send(b"".join(p.puback(message.pid) for message in messages))

    def receive(self, count=1, ack=True, timeout_s=DEADLINE_S):
        """The next `count` PUBLISH packets, in order, acknowledged unless told otherwise."""
        out, deadline = [], time.monotonic() + timeout_s
        while len(out) < count:
            try:
                message = self.take(p.PUBLISH, max(0.0, deadline - time.monotonic()))
            except TimeoutError as error:
                raise AssertionError(f"{self.user}/{self.device}: {len(out)} of {count} messages"
                                     f" within {timeout_s} s") from error
            if ack and message.qos:
                self.ack(message)
            out.append(message)
        return out

    def payloads(self, count=1, **how):
        return [message.payload for message in self.receive(count, **how)]

    def settle(self, sink):
        """The broker has processed our acknowledgements once this returns: records of one
        connection are handled in order, so the PUBACK of a message to `sink` (someone nobody
        looks at) comes after them."""
        assert self.publish(f"to/u/{sink}", BARRIER) == 0

    def quiet(self, seconds=QUIET_S):
        """No PUBLISH arrives. Call behind a barrier: this only catches what is already due."""
        self.ping()
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                self.pending.append(self.read(left))
            except TimeoutError:
                break
        unwanted = [packet.topic for packet in self.pending if packet.kind == p.PUBLISH]
        assert not unwanted, f"{self.user}/{self.device} got {unwanted}"

    def alive(self):
        """The connection is up: it answers."""
        self.ping()
        return True
