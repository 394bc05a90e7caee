"""./dev bench handover: how long from the send to the alert, on each route and at each hand-over,
and what is lost, doubled or late when processes die. docs/benchmarks.md says how to read it.

A stack of its own with the default configuration; phones are raw MQTT peers, Apple is the
simulator. All clocks are this machine's."""
import argparse
import json
import os
import pathlib
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

# pylint: disable=wrong-import-position
import harness
from support import packets as p
from support.clients import Clients
from support.pushes import Apns, register, state
from support.raw_mqtt import RawPeer
from support.rounds import PATIENCE_S, Phone, Sender, drained, tally
from support.stack import Stack, free_port, port_free
from support.waiting import wait_until

PHONES = 20          # side by side in each hand-over: as many samples
SAMPLES = 200        # of the plain routes
SEED = 20261124
SETTLE_S = 3.2       # alert.settle_ms after a start, and a little
DEADLINES_S = {"foreground": 4.0, "background": 2.0}


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Bench:
    def __init__(self):
        self.stack = Stack()
        self.stack.up()
        self.apns = Apns(self.stack)
        self.clients = Clients(self.stack)
        self.alice = self.clients.peer(f"alice-{uuid.uuid4().hex[:6]}", connector=0)
        self.cases = []
        time.sleep(SETTLE_S)

    def close(self):
        self.clients.close()
        self.stack.destroy()

    # --- people and messages -----------------------------------------------------------------------

    def phones(self, connector=None, text=None):
        made = []
        for _ in range(PHONES):
            phone = self.clients.subscriber(f"bob-{uuid.uuid4().hex[:8]}", "phone",
                                            session_expiry_s=3600, connector=connector)
            phone.push_token = register(phone)
            if text:
                state(phone, text)
            made.append(phone)
        return made

    def send(self, phone, payload=b"m"):
        """Returns the wall time before it."""
        before = time.time()
        assert self.alice.publish(f"to/u/{phone.user}", payload) == 0
        return before

    def send_all(self, phones):
        return {phone.push_token: self.send(phone) for phone in phones}

    def pushed(self, phones, since, nth=0, patience_s=60):
        """Milliseconds from since[token] to the phone's nth push."""
        out = []
        for phone in phones:
            push = self.apns.wait(phone.push_token, nth + 1, timeout_s=patience_s)[nth]
            out.append(push["at"] - since[phone.push_token] * 1000)
        return out

    def add(self, name, samples, note=""):
        row = {"case": name, "samples": len(samples), "p50_ms": round(statistics.median(samples), 1),
               "p99_ms": round(percentile(samples, 0.99), 1), "max_ms": round(max(samples), 1),
               "note": note}
        self.cases.append(row)
        print(f"  {name:<46} {row['samples']:>7} {row['p50_ms']:>10.1f} {row['p99_ms']:>10.1f} "
              f"{row['max_ms']:>10.1f}  {note}")

    # --- routes --------------------------------------------------------------------------------------

    def on_socket(self, name, text):
        phone = self.clients.subscriber(f"bob-{uuid.uuid4().hex[:8]}", "phone")
        if text:
            state(phone, text)
        samples = []
        for _ in range(SAMPLES):
            before = time.time()
            pid = self.alice.post(f"to/u/{phone.user}", b"m")
            message, = phone.receive()
            self.alice.take(p.PUBACK, pid=pid)
            samples.append((time.time() - before) * 1000)
            assert message.topic.startswith("inbox/notify" if text else "inbox/u")
        self.add(name, samples)

    def on_mosquitto(self):
        """What a broker that stores nothing needs for the same, on this machine and now."""
        program = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")
        if program is None:
            print("  mosquitto, the peer of the live route: not installed, not measured")
            return
        port = free_port()
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as config:
            config.write(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
            config.flush()
            peer = subprocess.Popen([program, "-c", config.name], stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL)
            try:
                self.on_peer(port)
            finally:
                peer.kill()
                peer.wait()

    def on_peer(self, port):
        wait_until(lambda: not port_free(port), "mosquitto listens")
        one, two = (RawPeer(socket.create_connection(("127.0.0.1", port)), p.V5, name, name, name)
                    for name in ("one", "two"))
        for peer in (one, two):
            assert peer.connect().reason == 0
        assert one.subscribe("t", 1) == [1]
        samples = []
        for _ in range(SAMPLES):
            before = time.time()
            pid = two.post("t", b"m")
            one.receive()
            two.take(p.PUBACK, pid=pid)
            samples.append((time.time() - before) * 1000)
        one.close()
        two.close()
        self.add("for comparison: mosquitto, from memory", samples, "nothing durable")

    def on_apns(self):
        phones = self.phones()
        for phone in phones:
            phone.disconnect()
        samples = []
        for nth in range(SAMPLES // PHONES):
            samples += self.pushed(phones, self.send_all(phones), nth)
        self.add("apns, phone away", samples)

    # --- hand-overs ------------------------------------------------------------------------------------

    def frozen(self, name, text):
        phones = self.phones(text=text)
        since = self.send_all(phones)
        wanted = DEADLINES_S["background" if text else "foreground"] * 1000
        self.add(f"{name}, socket dead: first message", self.pushed(phones, since),
                 f"deadline {wanted:.0f} ms")
        since = self.send_all(phones)
        self.add(f"{name}, socket dead: next message", self.pushed(phones, since, 1))

    def lease_end(self):
        phones = self.phones(text="background 1")
        time.sleep(1.2)
        self.add("background time over, socket open", self.pushed(phones, self.send_all(phones)))

    def socket_closed(self):
        phones = self.phones()
        since = self.send_all(phones)
        for phone in phones:
            phone.receive(ack=False)
        closed = {}
        for phone in phones:
            phone.close()
            closed[phone.push_token] = time.time()
        assert since
        self.add("socket closed with a message in flight", self.pushed(phones, closed),
                 "from the close")

    def connector_killed(self):
        phones = self.phones(connector=1)
        self.send_all(phones)
        for phone in phones:
            phone.receive(ack=False)
        killed = time.time()
        self.stack.kill("connector", 1)
        self.add("connector killed, messages in flight",
                 self.pushed(phones, {phone.push_token: killed for phone in phones}),
                 "from the kill")
        self.stack.start("connector", 1)

    def broker_killed(self):
        phones = self.phones(connector=0)
        since = self.send_all(phones)
        for phone in phones:
            phone.receive(ack=False)
        self.stack.kill("broker")
        self.stack.start("broker")
        self.add("broker killed between socket and deadline", self.pushed(phones, since),
                 "restart included")

    def apns_away(self):
        phones = self.phones()
        for phone in phones:
            phone.disconnect()
        self.stack.kill("apns-simulator")
        self.send_all(phones)
        time.sleep(5)
        self.stack.start("apns-simulator")
        back = time.time()
        self.add("apns away for 5 s", self.pushed(phones, {phone.push_token: back
                                                            for phone in phones}),
                 "from its return")

    def back_in_the_foreground(self):
        samples, count = [], 10
        for phone in self.phones():
            phone.disconnect()
            for number in range(count):
                self.send(phone, b"%d" % number)
            self.apns.wait(phone.push_token, count)
            before = time.time()
            again = self.clients.persistent(phone.user, "phone")
            assert again.payloads(count) == [b"%d" % number for number in range(count)]
            samples.append((time.time() - before) * 1000)
        self.add(f"back: {count} pushed messages over the socket", samples, "from the connect")

    # --- faults ----------------------------------------------------------------------------------------

    def faults(self, victim, rounds):
        phone = Phone(self.stack, f"bob-{uuid.uuid4().hex[:8]}")
        sender = Sender(self.stack, f"alice-{uuid.uuid4().hex[:8]}", phone.user)
        rng = random.Random(f"{SEED}{victim}")
        phone.start()
        sender.start()
        wait_until(lambda: phone.token or phone.failure, "the phone is registered")
        for _ in range(rounds):
            phone.wanted = rng.choice(["foreground", "background", "offline", "frozen"])
            time.sleep(rng.uniform(0, 0.05))
            sender.goal += rng.randrange(1, 4)
            time.sleep(rng.uniform(0, 0.03))
            self.kill(victim, rng)
            wait_until(lambda: sender.accepted == sender.goal or sender.failure, "accepted",
                       PATIENCE_S)
        wait_until(lambda: drained(phone, sender), "the phone has everything", PATIENCE_S)
        time.sleep(DEADLINES_S["foreground"])
        for thread in (phone, sender):
            thread.stopping.set()
            thread.join(PATIENCE_S)
        found = tally(phone, sender, self.apns.pushes(phone.token))
        row = {"killed": victim, "rounds": rounds, "sent": sender.accepted,
               **{key: value if isinstance(value, int) else len(value)
                  for key, value in found.items()},
               "failures": [text for text in (phone.failure, sender.failure) if text]}
        print(f"  {victim:<14} {rounds:>6} {row['sent']:>6} {row['lost']:>6} {row['several ids']:>12}"
              f" {row['swapped']:>8} {row['late']:>6} {row['repeated with the same id']:>26}"
              f"  {' '.join(row['failures'])}")
        return row

    def kill(self, victim, rng):
        if victim == "plugin-host":
            hosts = [pid for (name, _), pid in self.stack.ps().items() if name == victim]
            if hosts:
                self.stack.kill_pid(hosts[0])
            return
        index = rng.randrange(2) if victim == "connector" else 0
        self.stack.kill(victim, index)
        self.stack.start(victim, index)


def main():
    parser = argparse.ArgumentParser(prog="./dev bench handover", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="kills of each kind of process")
    parser.add_argument("--json", default=str(ROOT / "build" / "bench" / "handover.json"))
    arguments = parser.parse_args()
    bench = Bench()
    try:
        print(f"  {'from the send to the alert':<46} {'samples':>7} {'p50 ms':>10} {'p99 ms':>10} "
              f"{'max ms':>10}")
        bench.on_socket("live, foreground", None)
        bench.on_socket("local-push, background", "background 3600")
        bench.on_mosquitto()
        bench.on_apns()
        bench.frozen("foreground", None)
        bench.frozen("background", "background 3600")
        bench.lease_end()
        bench.socket_closed()
        bench.connector_killed()
        bench.broker_killed()
        bench.apns_away()
        bench.back_in_the_foreground()
        print(f"\n  {'killed':<14} {'rounds':>6} {'sent':>6} {'lost':>6} {'several ids':>12}"
              f" {'swapped':>8} {'late':>6} {'repeated with the same id':>26}")
        faults = [bench.faults(victim, arguments.rounds)
                  for victim in ("broker", "connector", "plugin-host")]
    finally:
        bench.close()
    path = pathlib.Path(arguments.json)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": harness.machine(), "routes": bench.cases, "faults": faults},
                               indent=2) + "\n", encoding="utf-8")
    print(f"\n  written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(harness.run(main))
