"""./dev bench link: what keys (CURVE) between connectors and broker cost. docs/benchmarks.md says how
to read it.

Two stacks side by side, one connector each, one with keys and one without. They take turns, so that
what else the machine does hits both. Clients send prepared PUBLISH packets with QoS 1 and count
PUBACKs, as many as there are; each is committed by PostgreSQL, as always."""
import argparse
import json
import os
import pathlib
import selectors
import statistics
import struct
import sys
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

# pylint: disable=wrong-import-position
import harness
from support import packets as p
from support.clients import Clients
from support.keys import Keys
from support.stack import Stack

SENDERS = 8
BATCH = 250          # messages; each sender has two batches under way
RECIPIENTS = 200
ROUND_S = 5.0
PATIENCE_S = 60.0
SIZES = (256, 4096)
LATENCIES = 500
PUBACK_BYTES = 4     # of MQTT 3.1.1
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def cpu_s(pid):
    """User and system time of all threads, ZeroMQ's among them."""
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(stat[11]) + int(stat[12])) * TICK_S


def publish(pid, topic, payload):
    body = struct.pack(">H", len(topic)) + topic + struct.pack(">H", pid) + payload
    size, length = len(body), b""
    while True:
        length += bytes([size % 128 | (128 if size > 127 else 0)])
        size //= 128
        if size == 0:
            return b"\x32" + length + body


class Sender:
    """Two batches of packets that are sent in turn, each when the other's PUBACKs have come."""

    def __init__(self, clients, run, size):
        self.sock = clients.peer(f"bench-{uuid.uuid4().hex[:8]}", version=p.V311).sock
        payload = os.urandom(size)
        self.batches = [b"".join(publish(1 + half * BATCH + number,
                                         b"to/u/%s-%d" % (run, number % RECIPIENTS), payload)
                                 for number in range(BATCH)) for half in (0, 1)]
        self.sock.setblocking(False)
        self.left, self.acked, self.turn, self.open = b"", 0, 0, 0

    def step(self, more):
        """Sends and receives what goes. Returns how many PUBACKs came."""
        while more and self.open < 2:
            self.left += self.batches[self.turn]
            self.turn, self.open = 1 - self.turn, self.open + 1
        try:
            if self.left:
                self.left = self.left[self.sock.send(self.left):]
        except BlockingIOError:
            pass
        try:
            got = len(self.sock.recv(65536))
        except BlockingIOError:
            return 0
        if got == 0:
            raise ConnectionError("the connector closed a sender's connection")
        before = self.acked // PUBACK_BYTES
        self.acked += got
        count = self.acked // PUBACK_BYTES
        self.open -= count // BATCH - before // BATCH
        return count - before


class Side:
    """One of the two stacks."""

    def __init__(self, name, sets):
        self.name = name
        self.stack = Stack(connectors=1, sets=["connector:mqtt.receive_max=1000", *sets])
        self.stack.up()
        self.pids = {what: self.stack.pid(what) for what in ("connector", "broker")}

    def round(self, size):
        clients = Clients(self.stack)
        run = uuid.uuid4().hex[:8].encode()
        selector = selectors.DefaultSelector()
        senders = [Sender(clients, run, size) for _ in range(SENDERS)]
        for sender in senders:
            selector.register(sender.sock, selectors.EVENT_READ, sender)
            sender.step(True)
        before = {what: cpu_s(pid) for what, pid in self.pids.items()}
        started = time.monotonic()
        count = 0
        while time.monotonic() < started + ROUND_S or any(sender.open for sender in senders):
            now = time.monotonic()
            more = now < started + ROUND_S
            assert now < started + PATIENCE_S, "PUBACKs are missing"
            ready = {key.data for key, _ in selector.select(0.02)}
            for sender in senders:
                if sender in ready or sender.left or (more and sender.open < 2):
                    count += sender.step(more)
        took = time.monotonic() - started
        selector.close()
        clients.close()
        return {"per_s": count / took,
                **{f"{what}_us": (cpu_s(pid) - before[what]) / count * 1e6
                   for what, pid in self.pids.items()}}

    def latencies(self):
        """Milliseconds from PUBLISH to PUBACK, one message at a time."""
        clients = Clients(self.stack)
        peer, user = clients.peer(f"bench-{uuid.uuid4().hex[:8]}"), uuid.uuid4().hex[:8]
        samples = []
        for _ in range(LATENCIES):
            before = time.perf_counter()
            assert peer.publish(f"to/u/{user}", b"x" * SIZES[0]) == 0
            samples.append((time.perf_counter() - before) * 1000)
        clients.close()
        return samples


def measure(sides, rounds):
    rows = []
    print(f"  {'':<8} {'bytes':>6} {'messages/s':>11} {'lowest':>8} {'highest':>8} "
          f"{'connector us':>13} {'broker us':>10}")
    for size in SIZES:
        results = {side.name: [] for side in sides}
        for number in range(rounds + 1):
            for side in sides if number % 2 else reversed(sides):
                result = side.round(size)
                if number:   # the first one warms up
                    results[side.name].append(result)
        for name, found in results.items():
            rates = [result["per_s"] for result in found]
            row = {"link": name, "bytes": size, "rounds": rounds, "per_s": round(statistics.median(rates)),
                   "lowest": round(min(rates)), "highest": round(max(rates)),
                   **{key: round(statistics.median(result[key] for result in found), 2)
                      for key in ("connector_us", "broker_us")}}
            rows.append(row)
            print(f"  {name:<8} {size:>6} {row['per_s']:>11} {row['lowest']:>8} {row['highest']:>8} "
                  f"{row['connector_us']:>13} {row['broker_us']:>10}")
    return rows


def main():
    parser = argparse.ArgumentParser(prog="./dev bench link", description=__doc__)
    parser.add_argument("--rounds", type=int, default=6, help="of each size, on each side")
    parser.add_argument("--json", default=str(ROOT / "build" / "bench" / "link.json"))
    arguments = parser.parse_args()
    keys, sides = Keys(), []
    try:
        for name, sets in (("plain", []), ("keys", keys.stack())):
            sides.append(Side(name, sets))
        rows = measure(sides, arguments.rounds)
        latencies = {}
        for _ in range(2):   # in turn here too
            for side in sides:
                latencies.setdefault(side.name, []).extend(side.latencies())
        for name, samples in latencies.items():
            print(f"  {name:<8} PUBLISH to PUBACK, one at a time: median "
                  f"{statistics.median(samples):.2f} ms of {len(samples)}")
    finally:
        for side in sides:
            side.stack.destroy()
        keys.remove()
    path = pathlib.Path(arguments.json)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": harness.machine(), "throughput": rows,
                                "latency_ms": {name: round(statistics.median(samples), 3)
                                               for name, samples in latencies.items()}},
                               indent=2) + "\n", encoding="utf-8")
    print(f"\n  written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(harness.run(main))
