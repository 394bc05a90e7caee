"""./dev bench idle: what a connection costs that does nothing: memory of connector, broker and
kernel, and processor time. docs/benchmarks.md says how to read it.

A stack of its own; every client has a persistent session and a subscription to its inbox. The peer
is mosquitto, with as many clients as one process can hold."""
import argparse
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

# pylint: disable=wrong-import-position
import harness
from support.stack import Stack

# Of one source address: the kernel gives it ports of one parity first, 14,116 with the usual range,
# and then searches longer for each of the others than anything else here takes.
CLIENTS_MAX = 14000
WARM_CLIENTS = 200   # what is loaded or made once is not a connection's
SETTLE_S = 3         # after the last SUBACK, until nothing is under way any more
PAGE = os.sysconf("SC_PAGE_SIZE")
# One of each for a socket that epoll watches; a socket's file needs an inode and a dentry too.
SOCKET_CACHES = ("TCP", "sock_inode_cache", "filp", "dentry", "lsm_inode_cache", "lsm_file_cache",
                 "eventpoll_epi", "eventpoll_pwq")
GOALS = {"tcp": 1024, "ws": 1024, "tls": 12 * 1024}
GOAL_BROKER = 1024
MEMORY = ("own", "pss", "rss")


def memory(pid):
    """In bytes: what it allocated (anonymous: not shared with anybody), and all that is resident."""
    rows = (line.split() for line in
            pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:])
    sizes = {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows}
    return {"own": sizes["Anonymous"], "pss": sizes["Pss"], "rss": sizes["Rss"]}


def total(pids, read, key=None):
    found = [read(pid) for pid in pids]
    return sum(value[key] if key else value for value in found)


def socket_bytes():
    """What the kernel keeps for one idle socket, from the sizes of its objects; None when
    /proc/slabinfo is not ours to read."""
    try:
        lines = pathlib.Path("/proc/slabinfo").read_text(encoding="ascii").splitlines()
    except PermissionError:
        return None
    sizes = {row[0]: int(row[3]) for row in map(str.split, lines[2:])}
    return sum(sizes.get(name, 0) for name in SOCKET_CACHES)


def sockstat_tcp():
    """(sockets, bytes of their buffers), both ends of each connection on this machine."""
    for line in pathlib.Path("/proc/net/sockstat").read_text(encoding="ascii").splitlines():
        if line.startswith("TCP:"):
            words = line.split()
            return int(words[words.index("alloc") + 1]), int(words[words.index("mem") + 1]) * PAGE
    raise RuntimeError("/proc/net/sockstat has no line TCP")


class Clients:
    """Load processes that hold connections, each from a source address of its own."""

    def __init__(self, counts, **options):
        self.loads = []
        try:
            for number, count in enumerate(counts):
                self.loads.append(harness.Load(
                    scenario="idle", clients=count, source=f"127.0.{number + 1}.1",
                    prefix=f"idle{number}", subscribe=True, session_expiry=3600,
                    connect_timeout=600, **options))
            held = [load.event() for load in self.loads]
        except BaseException:
            self.close()
            raise
        self.open = sum(event["open"] for event in held)
        self.failed = sum(event["failed"] for event in held)

    def finish(self):
        return [load.finish() for load in self.loads]

    def close(self):
        for load in self.loads:
            load.close()


def shares(count):
    """As many processes as count needs."""
    processes = -(-count // CLIENTS_MAX)
    return [count // processes + (number < count % processes) for number in range(processes)]


def measure(name, transport, count, idle_s, groups, **options):
    """groups: {what: [pid, ...]} of the server's processes."""
    harness.load(scenario="connect", clients=WARM_CLIENTS, prefix="warm", subscribe=True,
                 session_expiry=3600, **options)
    time.sleep(SETTLE_S)
    before = {what: {key: total(pids, memory, key) for key in MEMORY}
              for what, pids in groups.items()}
    sockets_before, buffers_before = sockstat_tcp()
    began = time.monotonic()
    clients = Clients(shares(count), **options)
    try:
        connected_s = time.monotonic() - began
        time.sleep(SETTLE_S)
        cpu_before = {what: total(pids, harness.cpu_s) for what, pids in groups.items()}
        time.sleep(idle_s)
        row = {"server": name, "transport": transport, "connections": clients.open,
               "failed": clients.failed, "connected_s": round(connected_s, 1)}
        sockets, buffers = sockstat_tcp()
        row["kernel_sockets_per_connection"] = round((sockets - sockets_before) / clients.open, 2)
        row["kernel_bytes"] = socket_bytes()
        row["kernel_buffer_bytes"] = max(0, buffers - buffers_before) / 2 / clients.open
        for what, pids in groups.items():
            row[what] = {
                "processes": len(pids),
                **{f"{key}_bytes": (total(pids, memory, key) - before[what][key]) / clients.open
                   for key in MEMORY},
                "idle_cpu_percent": (total(pids, harness.cpu_s) - cpu_before[what]) / idle_s * 100}
        row["closed_by_server"] = sum(result["closed_by_server"] for result in clients.finish())
        return row
    finally:
        clients.close()


def show(row):
    for what in ("connector", "broker", "mosquitto"):
        if what not in row:
            continue
        goal = GOAL_BROKER if what == "broker" else GOALS[row["transport"]]
        cost = row[what]
        kernel = "not readable" if row["kernel_bytes"] is None else f"{row['kernel_bytes']:.0f}"
        print(f"  {row['transport']:<5} {what:<10} {row['connections']:>11} {row['failed']:>6} "
              f"{cost['own_bytes']:>10.0f} {cost['rss_bytes']:>10.0f} "
              f"{goal if what != 'mosquitto' else '':>8} {cost['idle_cpu_percent']:>10.2f} "
              f"{kernel if what != 'broker' else '':>13}"
              + (f"  {row['closed_by_server']} CLOSED" if row["closed_by_server"] else ""))


def measure_beckon(transport, count, idle_s, connectors):
    stack = Stack(connectors=connectors)
    try:
        stack.up()
        running = stack.ps()
        groups = {"connector": [pid for (name, _), pid in running.items() if name == "connector"],
                  "broker": [running[("broker", 0)]]}
        return measure("beckon", transport, count, idle_s, groups,
                       **harness.reach_beckon(stack, transport))
    finally:
        stack.destroy()


def measure_mosquitto(transport, count, idle_s):
    with harness.mosquitto() as peer:
        return measure("mosquitto", transport, count, idle_s, {"mosquitto": [peer.pid]},
                       **peer.reach(transport))


def main():
    parser = argparse.ArgumentParser(prog="./dev bench idle", description=__doc__)
    parser.add_argument("--connectors", type=int, default=3)
    parser.add_argument("--connections", type=int, help="over TCP, all connectors together (as many "
                        "as they have descriptors for)")
    parser.add_argument("--ws-connections", type=int, help="the same over WebSocket")
    parser.add_argument("--tls-connections", type=int, default=15000)
    parser.add_argument("--idle-seconds", type=int, default=30, help="how long nothing happens")
    parser.add_argument("--no-peer", action="store_true", help="without mosquitto")
    parser.add_argument("--json", default=str(harness.ROOT / "build" / "bench" / "idle.json"))
    arguments = parser.parse_args()
    most = harness.CONNECTIONS_MAX
    counts = {"tcp": arguments.connections, "ws": arguments.ws_connections,
              "tls": arguments.tls_connections}
    counts = {transport: arguments.connectors * most if count is None else count
              for transport, count in counts.items()}
    machine = harness.print_machine()
    print(f"  a connection that idles {arguments.idle_seconds} s costs so many bytes\n"
          f"  {'':<5} {'':<10} {'connections':>11} {'failed':>6} {'own':>10} {'resident':>10} "
          f"{'goal':>8} {'CPU %':>10} {'kernel socket':>13}")
    rows = []
    for transport, count in counts.items():
        if count == 0:
            continue
        rows.append(measure_beckon(transport, count, arguments.idle_seconds,
                                   arguments.connectors))
        show(rows[-1])
        if arguments.no_peer:
            continue
        rows.append(measure_mosquitto(transport, min(count, most), arguments.idle_seconds))
        show(rows[-1])
    harness.write_json(arguments.json, {
        "machine": machine, "idle_s": arguments.idle_seconds,
        "goals": {**GOALS, "broker": GOAL_BROKER}, "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(harness.run(main))
