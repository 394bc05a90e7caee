"""Load for the crash tests: senders that repeat what was not answered, receivers that return.

Each sender numbers its messages to each recipient, gives each a KEY, keeps a window of them
unacknowledged and, after a lost connection, publishes what was not acknowledged again, in order,
before anything new. Receivers keep a persistent session and acknowledge at once. Afterwards the
records of both sides tell whether something was lost, doubled or swapped.
"""
import threading
import time

from . import packets as p
from .raw_mqtt import Closed, RawPeer

# Unacknowledged at once: enough that a crash always hits messages in every stage.
WINDOW = 16

# How long a client tries to get a connection, and waits for an answer on one: a crashed PostgreSQL
# recovers within a few seconds, even on a machine that is busy with something else.
PATIENCE_S = 60.0

# Between two attempts to connect: short enough to be refused while the server starts.
RETRY_S = 0.05


class Client(threading.Thread):
    """A thread that lives through lost connections. Subclasses do their work in `serve`, which
    returns True when all of it is done."""

    def __init__(self, stack, user, version, clean):
        super().__init__(daemon=True, name=user)
        self.stack, self.user, self.version, self.clean = stack, user, version, clean
        self.failure = None
        self.lost = 0   # connections
        self.stopping = threading.Event()

    def run(self):
        deadline = time.monotonic() + PATIENCE_S
        while not self.failure:
            peer = None
            try:
                peer = self.connect()
                if peer:
                    if self.serve(peer):
                        peer.disconnect()
                        return
                    deadline = time.monotonic() + PATIENCE_S
            except (Closed, OSError):
                self.lost += bool(peer)
                deadline = max(deadline, time.monotonic() + PATIENCE_S if peer else 0)
            except (AssertionError, ValueError) as error:
                self.failure = f"{self.user}: {error}"
            if time.monotonic() > deadline:
                self.failure = f"{self.user}: not connected within {PATIENCE_S} s"
            if peer:
                peer.close()
            self.stopping.wait(RETRY_S) if not self.stopping.is_set() else time.sleep(RETRY_S)

    def connect(self):
        """A connected peer, or None when the server says that it is not available."""
        peer = RawPeer(self.stack.dial(), self.version, self.user, "stream",
                       self.stack.token(self.user))
        props = [] if self.clean or self.version == p.V311 else [(p.SESSION_EXPIRY, 3600)]
        try:
            connack = peer.connect(clean=self.clean, props=props)
        except (Closed, OSError):
            peer.close()
            raise
        if connack.reason in (3, 0x88):
            peer.close()
            return None
        assert connack.reason == 0, f"refused with {connack.reason:#x}"
        return peer


class Sender(Client):
    """Sends to its recipients in turn until stopped; then waits for the last PUBACK."""

    def __init__(self, stack, user, version, recipients, per_second=400):
        super().__init__(stack, user, version, clean=True)
        self.recipients, self.interval_s = recipients, 1.0 / per_second
        self.sent = 0        # numbers handed out
        self.unacked = []    # numbers, oldest first
        self.next_at = 0.0   # when the next new message is due
        self.answers = 0
        self.misordered = 0  # PUBACKs that were not for the oldest one
        self.misordered_to_one = 0   # ... of those to the same recipient

    def number_and_recipient(self, serial):
        return serial // len(self.recipients), self.recipients[serial % len(self.recipients)]

    def post(self, peer, serial):
        number, recipient = self.number_and_recipient(serial)
        peer.send(p.publish(self.version, f"to/u/{recipient}/{number}", b"%d" % number,
                            pid=serial % 65535 + 1))

    def serve(self, peer):
        for serial in self.unacked:
            self.post(peer, serial)
        while True:
            if self.stopping.is_set() and not self.unacked:
                return True
            wait_s = PATIENCE_S
            if not self.stopping.is_set() and len(self.unacked) < WINDOW:
                wait_s = self.next_at - time.monotonic()
                if wait_s <= 0:
                    self.unacked.append(self.sent)
                    self.sent += 1
                    self.post(peer, self.unacked[-1])
                    self.next_at = max(self.next_at, time.monotonic() - 1) + self.interval_s
                    continue
            try:
                packet = peer.read(wait_s)
            except TimeoutError as error:
                assert wait_s < PATIENCE_S, f"no PUBACK within {PATIENCE_S} s: {error}"
                continue
            if packet.kind == p.DISCONNECT and packet.reason == p.SERVER_SHUTTING_DOWN:
                raise Closed
            assert packet.kind == p.PUBACK, f"packet type {packet.kind}, reason {packet.reason:#x}"
            assert packet.reason == 0, f"PUBACK {packet.reason:#x}"
            place = [serial % 65535 + 1 for serial in self.unacked].index(packet.pid)
            self.misordered += place != 0
            to = self.number_and_recipient(self.unacked[place])[1]
            self.misordered_to_one += any(self.number_and_recipient(serial)[1] == to
                                          for serial in self.unacked[:place])
            self.unacked.pop(place)
            self.answers += 1

    def sent_to(self, recipient):
        return [number for number, to in map(self.number_and_recipient, range(self.sent))
                if to == recipient]


class Receiver(Client):
    """Takes everything and acknowledges it, until stopped."""

    def __init__(self, stack, user, version):
        super().__init__(stack, user, version, clean=False)
        self.arrivals = []     # (connection, sender, number, mid, dup)
        self.subscribed = False
        self.ready = threading.Event()

    def serve(self, peer):
        if self.subscribed:
            assert peer.connack.session_present, "the persistent session was lost"
        else:
            assert peer.subscribe() == [1]
            self.subscribed = True
            self.ready.set()
        while not self.stopping.is_set():
            try:
                message = peer.take(p.PUBLISH, 0.2)
            except TimeoutError:
                continue
            _, _, sender, mid = message.topic.split("/")
            self.arrivals.append((self.lost, sender, int(message.payload), mid, message.dup))
            peer.ack(message)
        return True


def check(senders, receivers, brokers=1):
    """Nothing lost, nothing stored twice, nothing swapped, nothing repeated on one connection.
    PUBACKs come in the order of the publishes, from each of several brokers."""
    for receiver in receivers:
        for sender in senders:
            got = [(connection, number, mid) for connection, name, number, mid, _
                   in receiver.arrivals if name == sender.user]
            sent = sender.sent_to(receiver.user)
            numbers = list(dict.fromkeys(number for _, number, _ in got))
            missing = sorted(set(sent) - set(numbers))
            where = f"{sender.user} to {receiver.user}"
            assert not missing, f"{where}: lost {missing[:20]} of {len(sent)}"
            assert numbers == sent, f"{where}: swapped, {first_swap(numbers)}"
            stored = {(number, mid) for _, number, mid in got}
            assert len(stored) == len(sent), f"{where}: stored twice {doubled(stored)[:20]}"
            once = {(connection, mid) for connection, _, mid in got}
            assert len(once) == len(got), f"{where}: repeated on one connection"
    # MQTT-4.6.0-2 binds clients; one broker keeps it all the same.
    swapped = [sender.misordered if brokers == 1 else sender.misordered_to_one
               for sender in senders]
    assert not any(swapped), f"PUBACKs swapped: {swapped}"


def first_swap(numbers):
    return next(numbers[max(0, index - 3):index + 4] for index in range(1, len(numbers))
                if numbers[index] != numbers[index - 1] + 1)


def doubled(stored):
    seen, twice = set(), []
    for number, _ in sorted(stored):
        if number in seen:
            twice.append(number)
        seen.add(number)
    return twice
