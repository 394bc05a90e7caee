"""./dev bench edge: connects a second, publishes a second, and latency, over TCP, WebSocket, TLS and
both, beside mosquitto with the same client in the same run. docs/benchmarks.md says how to read it.

Each figure is the median of its rounds, in which the servers take turns, so that what else happens
on the machine meets both."""
import argparse
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

# pylint: disable=wrong-import-position
import harness
from support.stack import Stack

CONNECTS = {"tcp": 5000, "ws": 5000, "tls": 2000, "wss": 2000}
SOURCES = 8          # addresses: limit.address_connects_per_s is for one
PAIRS = 50
WINDOW = 16          # below mosquitto's default of 20 unacknowledged publishes
LATENCY_RATE = 1000  # a second in all: far from what either can do
SETTLE_S = 3.2       # alert.settle_ms after a start, and a little
PAYLOAD = 256

WRONGS = ("failed", "closed_by_server", "unanswered", "refused", "lost", "doubled", "swapped",
          "foreign")


class Beckon:
    name = "beckon"
    durable = "PUBACK after the commit in PostgreSQL; sessions too"

    def __init__(self):
        self.stack = Stack(connectors=2)
        try:
            self.stack.up()
        except BaseException:
            self.stack.destroy()
            raise
        time.sleep(SETTLE_S)

    def cpu_s(self):
        running = self.stack.ps()
        pids = {name: [pid for (other, _), pid in running.items() if other == name]
                for name in ("connector", "broker", "postgres")}
        pids["postgres"] += harness.children(running[("postgres", 0)])
        return {name: sum(map(harness.cpu_s, group)) for name, group in pids.items()}

    def options(self, transport):
        return harness.reach_beckon(self.stack, transport)

    def close(self):
        self.stack.destroy()


class Mosquitto:
    name = "mosquitto"
    durable = "nothing: all in memory, no tokens"

    def __init__(self, peer):
        self.peer = peer

    def cpu_s(self):
        return {"mosquitto": harness.cpu_s(self.peer.pid)}

    def options(self, transport):
        return self.peer.reach(transport)


class Bench:
    def __init__(self, servers, arguments):
        self.servers, self.arguments = servers, arguments
        self.runs = 0
        self.raw = []

    def run(self, server, transport, what, people=None, **options):
        """One run; each has people of its own, but for those that name some."""
        self.runs += 1
        cpu_before = server.cpu_s()
        found = harness.load(prefix=people or f"e{self.runs}", payload=PAYLOAD, source="127.0.9.1",
                             sources=SOURCES, **server.options(transport),
                             **options)
        done = found.get("sent", found["open"])
        found["cpu_us"] = {name: (after - cpu_before[name]) / max(done, 1) * 1e6
                           for name, after in server.cpu_s().items()}
        found["server_cpu_us"] = sum(found["cpu_us"].values())
        wrong = {key: found[key] for key in WRONGS if found.get(key)}
        self.raw.append({"server": server.name, "transport": transport, "what": what,
                         "wrong": wrong, **found})
        if wrong:
            print(f"  {server.name}, {transport}, {what}: {wrong} {found['first_failure']}")
        return found

    def figures(self, transport, what, figures, people=None, **options):
        """Runs it in turns and prints a row a figure. figures: {(name, unit): key of the result, or
        two}. people: the same name, the same people in the same round."""
        figures = {**figures, (f"{what}: processor time of the server", "us"): "server_cpu_us"}
        seen = {figure: {server.name: [] for server in self.servers} for figure in figures}
        for number in range(self.arguments.rounds):
            for server in self.servers:
                found = self.run(server, transport, what,
                                 people and f"{people}-{transport}-{number}", **options)
                for figure, key in figures.items():
                    value = found[key] if isinstance(key, str) else found[key[0]][key[1]]
                    seen[figure][server.name].append(value)
        return [self.row(transport, *figure, {server: statistics.median(values)
                                              for server, values in by_server.items()})
                for figure, by_server in seen.items()]

    def row(self, transport, name, unit, medians):
        ours, theirs = (medians[server.name] for server in self.servers)
        row = {"transport": transport, "figure": name, "unit": unit, **medians,
               "ratio": ours / theirs if theirs else None}
        ratio = f"{row['ratio']:.2f}" if theirs else "-"
        print(f"  {transport:<4} {name:<58} {ours:>10.1f} {theirs:>10.1f} {unit:<3} {ratio:>6}")
        return row

    def transport(self, transport):
        connect = {"scenario": "connect", "clients": CONNECTS[transport]}
        pairs = {"scenario": "pairs", "clients": 2 * PAIRS, "seconds": self.arguments.seconds}
        rate = "connects_per_s"
        kept = {"subscribe": True, "session_expiry": 3600}
        rows = []
        for again in ("", " again"):
            rows += self.figures(transport, f"clean connect{again}", {
                (f"clean connects{again}", "/s"): rate}, people="clean", **connect)
        for again in ("", " again"):
            rows += self.figures(transport, f"kept connect{again}", {
                (f"connects with session and subscription kept{again}", "/s"): rate},
                people="kept", **kept, **connect)
        rows += self.figures(transport, f"window {WINDOW}", {
            (f"publishes acknowledged, window {WINDOW}", "/s"): "acknowledged_per_s",
            ("the same, delivered", "/s"): "delivered_per_s"}, window=WINDOW, **pairs)
        rows += self.figures(transport, "window 1", {
            ("publishes acknowledged, window 1", "/s"): "acknowledged_per_s"}, window=1, **pairs)
        return rows + self.figures(transport, f"{LATENCY_RATE}/s", {
            (f"{what} after it was due, {LATENCY_RATE}/s, {share}", "us"): (what, f"{share}_us")
            for what in ("puback", "delivery") for share in ("p50", "p99")},
            rate=LATENCY_RATE, window=WINDOW, **pairs)


def main():
    parser = argparse.ArgumentParser(prog="./dev bench edge", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of each figure")
    parser.add_argument("--seconds", type=int, default=5, help="of each run that publishes")
    parser.add_argument("--transports", nargs="+", default=list(CONNECTS), choices=list(CONNECTS))
    parser.add_argument("--json", default=str(harness.ROOT / "build" / "bench" / "edge.json"))
    arguments = parser.parse_args()
    machine = harness.print_machine()
    rows = []
    beckon = Beckon()
    try:
        with harness.mosquitto() as peer:
            servers = (beckon, Mosquitto(peer))
            for server in servers:
                print(f"  {server.name} keeps: {server.durable}")
            bench = Bench(servers, arguments)
            print(f"  {'':<4} {'':<58} {'beckon':>10} {'mosquitto':>10} {'':<3} {'ratio':>6}")
            for transport in arguments.transports:
                rows += bench.transport(transport)
    finally:
        beckon.close()
    wrong = {key: sum(run["wrong"].get(key, 0) for run in bench.raw) for key in WRONGS}
    print("  in all runs: " + ", ".join(f"{count} {key.replace('_', ' ')}"
                                        for key, count in wrong.items()))
    harness.write_json(arguments.json, {
        "machine": machine, "durable": {server.name: server.durable for server in servers},
        "rows": rows, "runs": bench.raw})
    return 0


if __name__ == "__main__":
    sys.exit(harness.run(main))
