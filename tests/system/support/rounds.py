"""A phone that goes through states while the world breaks, its friend who writes to it, and what the
person saw: lost, doubled, swapped, alerted too late. For the crash tests and `./dev bench handover`."""
import base64
import json
import threading
import time

from . import packets as p
from .pushes import mid_of, register
from .raw_mqtt import Closed, RawPeer

PATIENCE_S = 60
# An alert that was under way when the acknowledgement came can't be taken back.
CROSSING_S = 0.5


class Phone(threading.Thread):
    """bob's phone: goes through states, records what it was shown, acknowledges unless frozen."""

    def __init__(self, stack, user):
        super().__init__(daemon=True)
        self.stack, self.user, self.token = stack, user, None
        self.lock = threading.Lock()
        self.messages = []    # (MID, payload, how, wall time, connection)
        self.acked = {}       # MID: (wall time, connection) of the first acknowledgement
        self.ended = {}       # connection: wall time of its end
        self.wanted = "foreground"
        self.stopping = threading.Event()
        self.failure = None
        self.connection = 0

    def run(self):
        try:
            while not self.stopping.is_set():
                if self.wanted == "offline":
                    time.sleep(0.01)
                    continue
                self.connection += 1
                try:
                    self.serve()
                except (Closed, OSError, TimeoutError):
                    pass
                self.ended[self.connection] = time.time()
                time.sleep(0.02)
        except Exception as error:   # the test reports it: a thread has nobody else to tell
            self.failure = repr(error)

    def serve(self):
        peer = RawPeer(self.stack.dial(), p.V5, self.user, "phone", self.stack.token(self.user))
        try:
            if peer.connect(clean=False, props=[(17, 3600)]).reason != 0:
                return
            peer.subscribe("inbox/#", 1)
            if not self.token:
                self.token = register(peer)
            state = "foreground"
            while not self.stopping.is_set() and self.wanted != "offline":
                wanted = self.wanted
                if wanted in ("foreground", "background") and wanted != state:
                    peer.post("me/state", wanted.encode() + (b" 60" if wanted == "background"
                                                             else b""))
                    state = wanted
                self.look(peer, frozen=wanted == "frozen")
        finally:
            peer.close()

    def look(self, peer, frozen):
        if frozen:
            time.sleep(0.01)
            return
        try:
            packet = peer.take(p.PUBLISH, 0.05)
        except TimeoutError:
            return
        mid, now = mid_of(packet), time.time()
        with self.lock:
            self.messages.append((mid, packet.payload, packet.topic.split("/")[1], now,
                                  self.connection))
        peer.ack(packet)
        self.acked.setdefault(mid, (now, self.connection))


class Sender(threading.Thread):
    """alice: sends numbers with a KEY, again and again until each was accepted, in order."""

    def __init__(self, stack, user, to):
        super().__init__(daemon=True)
        self.stack, self.user, self.to = stack, user, to
        self.goal, self.accepted = 0, 0
        self.stopping = threading.Event()
        self.failure = None

    def run(self):
        deadline = time.monotonic() + PATIENCE_S
        while not self.stopping.is_set() and not self.failure:
            try:
                peer = RawPeer(self.stack.dial(), p.V5, self.user, "desk",
                               self.stack.token(self.user))
                try:
                    if peer.connect().reason == 0:
                        deadline = time.monotonic() + PATIENCE_S
                        self.serve(peer)
                finally:
                    peer.close()
            except (Closed, OSError, TimeoutError):
                pass
            if time.monotonic() > deadline:
                self.failure = f"not connected within {PATIENCE_S} s"
            time.sleep(0.02)

    def serve(self, peer):
        while not self.stopping.is_set():
            if self.accepted == self.goal:
                time.sleep(0.002)
                continue
            number = self.accepted
            reason = peer.publish(f"to/u/{self.to}/{number}", b"%d" % number, timeout_s=5)
            if reason != 0:
                self.failure = f"{number} refused with {reason:#x}"
                return
            self.accepted += 1


def number_in(document):
    """A number as beckon.data or data_base64 carries it."""
    data = document["beckon"]
    return int(base64.b64decode(data["data_base64"]) if "data_base64" in data else data["data"])


def number_of(payload, how):
    return number_in(json.loads(payload)) if how == "notify" else int(payload)


def seen_numbers(phone):
    return {number_of(payload, how) for _, payload, how, _, _ in list(phone.messages)}


def ids_by_number(phone, pushes):
    """{number: MIDs} of everything the person was shown, however it came."""
    found = {}
    for mid, payload, how, _, _ in list(phone.messages):
        found.setdefault(number_of(payload, how), set()).add(mid)
    for push in pushes:
        found.setdefault(number_in(push["payload"]), set()).add(mid_of(push))
    return found


def swapped(phone):
    """On each connection and under each topic the numbers only rise."""
    last, found = {}, []
    for _, payload, how, _, connection in phone.messages:
        number = number_of(payload, how)
        if number <= last.get((connection, how), -1):
            found.append((number, last[(connection, how)]))
        last[(connection, how)] = number
    return found


def late_alerts(phone, pushes):
    """I5: pushed although it was acknowledged before, on a connection that lived on."""
    found = []
    for push in pushes:
        mid, at = mid_of(push), push["at"] / 1000
        if mid not in phone.acked:
            continue
        acked, connection = phone.acked[mid]
        alive = phone.ended.get(connection, at) >= acked + CROSSING_S
        if alive and at >= acked + CROSSING_S:
            found.append((mid, at - acked))
    return found


def tally(phone, sender, pushes):
    """What went wrong, by kind; and how much was shown more than once with the same id, which is
    allowed."""
    ids = ids_by_number(phone, pushes)
    shown = [mid for mid, *_ in phone.messages] + [mid_of(push) for push in pushes]
    return {"lost": sorted(set(range(sender.accepted)) - ids.keys()),
            "several ids": {number: mids for number, mids in ids.items() if len(mids) > 1},
            "swapped": swapped(phone), "late": late_alerts(phone, pushes),
            "repeated with the same id": len(shown) - len(set(shown))}


def drained(phone, sender):
    phone.wanted = "foreground"
    return seen_numbers(phone) >= set(range(sender.accepted)) or phone.failure
