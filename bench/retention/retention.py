"""./dev bench retention: do tables and latency stay flat over weeks of traffic? docs/benchmarks.md says
how to read it.

A stack whose clocks are moved by a day at a time (tests/support/moved_clock.c), with a short retention
time, so that partitions are made, filled and dropped many times within minutes. Each day the same
traffic: pairs that publish and acknowledge, and messages for people who never come and see them end."""
import argparse
import contextlib
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "system"), str(ROOT / "bench")]

# pylint: disable=wrong-import-position
import harness
from support.clients import Clients
from support.moved_clock import MovedStack
from support.waiting import wait_until

RETENTION_DAYS, TRACE_DAYS = 3, 2
FILLING_DAYS = 24     # the first schema made weeks, three of them ahead: then the days of now are in turn
ABSENT, FOR_ABSENT = 20, 10
WRONGS = ("failed", "closed_by_server", "unanswered", "refused", "lost", "doubled", "swapped", "foreign")
GROWN, SLOWER = 1.25, 1.5   # of the first third: above it, it is not flat
LIVING = ("device", "user_head", "conversation", "session", "subscription", "users")


@contextlib.contextmanager
def on_its_clock(stack):
    """Processes that are started here have the stack's time."""
    before = dict(os.environ)
    os.environ.update(stack.more_environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def growing_bytes(stack):
    """All partitions of inbox, dedupe, trace and cursor_move, with their indexes."""
    return int(stack.sql("SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent IN"
                         " ('inbox'::regclass, 'dedupe'::regclass, 'trace'::regclass,"
                         " 'cursor_move'::regclass)")[0][0])


def living(stack):
    """{table: (bytes, dead rows, updates so far, of these HOT)}"""
    rows = stack.sql("SELECT relname::text, pg_total_relation_size(relid), n_dead_tup, n_tup_upd,"
                     " n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = ANY (%s)", list(LIVING))
    return {name: tuple(values) for name, *values in rows}


class Days:
    def __init__(self, stack, arguments):
        self.stack, self.arguments = stack, arguments
        self.clients = Clients(stack)
        self.rows = []

    def absent(self):
        """People who were here once; their messages end in the inbox, some by a time to live."""
        sender = self.clients.peer("bench-sender")
        for person in range(ABSENT):
            if not self.rows:
                self.clients.subscriber(f"absent-{person}").disconnect()
            pids = [sender.post(f"to/u/absent-{person}", b"x" * 256,
                                props=[(2, 3600)] if number % 2 else []) for number in range(FOR_ABSENT)]
            for pid in pids:
                sender.take(4, pid=pid)
        sender.disconnect()

    def run(self, number):
        before = living(self.stack)
        self.absent()
        with on_its_clock(self.stack):
            found = harness.load(scenario="pairs", clients=2 * self.arguments.pairs, session_expiry=86400,
                                 rate=self.arguments.rate, seconds=self.arguments.seconds,
                                 **harness.reach_beckon(self.stack, "tcp"))
        self.stack.move(1)
        self.stack.clean_up(RETENTION_DAYS, TRACE_DAYS)
        wait_until(lambda: self.stack.metric("partitions_ahead_seconds") > 2 * 86400, "partitions are ahead")
        after = living(self.stack)
        updates = {name: (now[2] - before[name][2], now[3] - before[name][3])
                   for name, now in after.items()}
        self.rows.append({
            "day": number, "growing_bytes": growing_bytes(self.stack),
            "living_bytes": sum(now[0] for now in after.values()),
            "dead_rows": sum(now[1] for now in after.values()),
            "partitions": len(self.stack.partitions()),
            "hot": {name: hot / all_ if all_ else None for name, (all_, hot) in updates.items()},
            "puback": found["puback"],
            "wrong": {key: found[key] for key in WRONGS if found.get(key)}})
        return self.rows[-1]


def show(row):
    latency = row["puback"]
    hot = " ".join(f"{row['hot'].get(name) or 0:8.2f}" for name in ("device", "user_head", "conversation"))
    print(f"  {row['day']:4} {row['growing_bytes'] / 1e6:9.2f} {row['partitions']:6}"
          f" {row['living_bytes'] / 1e6:9.2f} {row['dead_rows']:8} {hot}"
          f" {latency['p50_us'] / 1000:9.2f} {latency['p99_us'] / 1000:9.2f}")


def mean(rows, of):
    return sum(map(of, rows)) / len(rows)


def verdict(rows):
    """Last third against first third of the days in which partitions came and went."""
    third = len(rows) // 3
    first, last = rows[:third], rows[-third:]
    ratios = {"size of partitions": (mean(last, lambda row: row["growing_bytes"])
                                     / mean(first, lambda row: row["growing_bytes"]), GROWN),
              "size of tables that live on": (mean(last, lambda row: row["living_bytes"])
                                              / mean(first, lambda row: row["living_bytes"]), GROWN),
              "PUBACK p50": (mean(last, lambda row: row["puback"]["p50_us"])
                             / mean(first, lambda row: row["puback"]["p50_us"]), SLOWER)}
    print()
    for what, (ratio, most) in ratios.items():
        print(f"  {what}: last third / first third {ratio:.2f}, {'flat' if ratio <= most else 'NOT FLAT'}"
              f" (at most {most})")
    wrong = {key: value for row in rows for key, value in row["wrong"].items() if value}
    print(f"  messages lost, doubled or swapped: {wrong or 'none'}")
    return {what: {"ratio": ratio, "flat": ratio <= most} for what, (ratio, most) in ratios.items()}


def main():
    parser = argparse.ArgumentParser(prog="./dev bench retention", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--days", type=int, default=15, help="measured, after the first 24 (15)")
    parser.add_argument("--seconds", type=int, default=3, help="of traffic a day (3)")
    parser.add_argument("--rate", type=int, default=300, help="messages a second (300)")
    parser.add_argument("--pairs", type=int, default=50, help="of people who write (50)")
    parser.add_argument("--json", default=str(ROOT / "build" / "bench" / "retention.json"))
    arguments = parser.parse_args()
    if arguments.days < 3:
        parser.error("--days is a third for the beginning and a third for the end: 3 at least")
    machine = harness.print_machine()
    stack = MovedStack(sets=[f"broker:retention.days={RETENTION_DAYS}", f"broker:trace.days={TRACE_DAYS}",
                             "connector:limit.publishes_per_s=0"])
    try:
        stack.up()
        days = Days(stack, arguments)
        print("\n   day  parts MB  parts  lives MB     dead      HOT of device, head, conversation"
              "  p50 ms    p99 ms")
        for number in range(1, FILLING_DAYS + arguments.days + 1):
            show(days.run(number))
        days.clients.close()
    finally:
        stack.destroy()
    harness.write_json(arguments.json, {"machine": machine, "days": days.rows,
                                        "verdict": verdict(days.rows[FILLING_DAYS:])})


if __name__ == "__main__":
    sys.exit(harness.run(main))
