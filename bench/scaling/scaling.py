"""./dev bench scaling: a simulation of connectors, brokers and failures at up to a billion devices,
from constants that were measured (bench/scaling/constants.h). docs/scaling.md says how to read it.

With --measure it measures what no other benchmark does, on a stack of its own: rows and WAL of a
message, and what a link between a connector and the broker costs while nothing happens."""
import argparse
import json
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

# pylint: disable=wrong-import-position
import harness
from support.stack import Stack, program

CONNECTORS = 9     # of the stack whose links are counted, against one of 1
IDLE_S = 10
SETTLE_S = 3.2     # alert.settle_ms after a start, and a little
TABLES = ("inbox", "cursor_move", "trace", "dedupe", "device", "conversation", "user_head")


def psql(stack, statement):
    return subprocess.run(["psql", stack.environment["BECKON_DSN"], "-XAtc", statement], check=True,
                          capture_output=True, text=True).stdout.strip()


def rows_written(stack):
    """Rows inserted and updated by table; partitions count for their parent."""
    lines = psql(stack, "SELECT relname, n_tup_ins, n_tup_upd FROM pg_stat_user_tables")
    found = {}
    for line in lines.splitlines():
        name, *counts = line.split("|")
        parent = next((table for table in TABLES if name == table or name.startswith(table + "_")),
                      None)
        if parent:
            inserted, updated = found.get(parent, (0, 0))
            found[parent] = (inserted + int(counts[0]), updated + int(counts[1]))
    return found


def message_cost(stack, what, **options):
    """Of one run of the load generator, without its connects (they come first and are few)."""
    psql(stack, "CHECKPOINT")
    wal, rows = psql(stack, "SELECT pg_current_wal_lsn()"), rows_written(stack)
    found = harness.load(scenario="pairs", clients=100, payload=256, warm=0, prefix=what[:4],
                         **options, **harness.reach_beckon(stack, "tcp"))
    time.sleep(2)  # statistics are written once a second, and what rides late rides by then
    sent = found["sent"]
    after = rows_written(stack)
    result = {"what": what, "messages": sent,
              "wal_bytes": int(psql(stack, f"SELECT pg_current_wal_lsn() - '{wal}'")) / sent,
              "rows": {name: [(after[name][i] - rows.get(name, (0, 0))[i]) / sent for i in (0, 1)]
                       for name in after}}
    print(f"  {what}: {sent} messages, {result['wal_bytes']:.0f} bytes of WAL each; rows inserted, "
          "updated: " + ", ".join(f"{name} {counts[0]:.2f} {counts[1]:.2f}"
                                  for name, counts in sorted(result["rows"].items()) if any(counts)))
    return result


def stored_bytes(stack):
    """Of a message in the inbox, index included, and of a row of cursor_move."""
    result = {}
    for table in ("inbox", "cursor_move"):
        size, count = psql(stack, f"""SELECT (SELECT sum(pg_total_relation_size(inhrelid)) FROM
            pg_inherits WHERE inhparent = '{table}'::regclass), (SELECT count(*) FROM {table})
            """).split("|")
        result[table] = int(size) / max(1, int(count))
    print("  on the disk: " + ", ".join(f"{key} {value:.0f} bytes a row" for key, value in
                                        result.items()))
    return result


def idle_broker(stack):
    pid = stack.pid("broker")
    before = harness.cpu_s(pid)
    time.sleep(IDLE_S)
    cpu = (harness.cpu_s(pid) - before) / IDLE_S
    smaps = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    anonymous = next(int(line.split()[1]) for line in smaps.splitlines()
                     if line.startswith("Anonymous:"))
    return cpu * 1e6, anonymous * 1024


def link_cost():
    found = {}
    for count in (1, CONNECTORS):
        stack = Stack(connectors=count)
        try:
            stack.up()
            time.sleep(SETTLE_S)
            found[count] = idle_broker(stack)
        finally:
            stack.destroy()
    more = CONNECTORS - 1
    result = {"cpu_us_per_s": (found[CONNECTORS][0] - found[1][0]) / more,
              "bytes": (found[CONNECTORS][1] - found[1][1]) / more}
    print(f"  an idle link costs the broker {result['cpu_us_per_s']:.0f} us a second and "
          f"{result['bytes']:.0f} bytes")
    return result


def measure():
    stack = Stack(connectors=2)
    try:
        stack.up()
        time.sleep(SETTLE_S)
        messages = [message_cost(stack, "window 16", window=16, seconds=4),
                    message_cost(stack, "1000/s", rate=1000, seconds=8)]
        stored = stored_bytes(stack)
    finally:
        stack.destroy()
    return {"messages": messages, "stored": stored, "link": link_cost()}


def show(row):
    kind = row.pop("row")
    if kind == "claim":
        print(f"  {'met   ' if row['met'] else 'MISSED'} {row['devices']:>13,}  {row['claim']:<58} "
              f"{row['found']:>12.4g}  limit {row['limit']:g}")
    else:
        print(f"  {kind}: " + ", ".join(f"{key} {value:,.4g}" if isinstance(value, float) else
                                        f"{key} {value:,}" for key, value in row.items()))


def simulate(words):
    """Returns the rows and whether all claims are met."""
    done = subprocess.run([program("beckon-scaling"), *words], stdout=subprocess.PIPE, text=True,
                          check=False)
    if done.returncode not in (0, 1):
        sys.exit(done.returncode)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    for row in rows:
        show(dict(row))
    return rows, done.returncode == 0


def main():
    parser = argparse.ArgumentParser(prog="./dev bench scaling", description=__doc__)
    parser.add_argument("--seed", default="1", help="of everything that is drawn")
    parser.add_argument("--set", action="append", default=[], metavar="CONSTANT=VALUE")
    parser.add_argument("--measure", action="store_true", help="constants, on a stack of its own")
    parser.add_argument("--json", default=str(harness.ROOT / "build" / "bench" / "scaling.json"))
    arguments = parser.parse_args()
    result = {"machine": harness.print_machine()}
    met = True
    if arguments.measure:
        result["measured"] = measure()
    else:
        words = ["--seed", arguments.seed]
        for change in arguments.set:
            words += ["--set", change]
        result["rows"], met = simulate(words)
    harness.write_json(arguments.json, result)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
