"""./dev bench scaling: a simulation of connectors, brokers and failures at up to a billion devices,
from constants that were measured (bench/scaling/constants.h). docs/scaling.md says how to read it.

With --measure it measures what no other benchmark does, on stacks of its own: rows, WAL and
processor time of a message that comes alone, an idle link, a person who is read after a broker died."""
import argparse
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

# pylint: disable=wrong-import-position
import harness
import measure
from support.stack import program


def text(value):
    if isinstance(value, float):
        return f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) else value


def show(row):
    kind = row.pop("row")
    if kind == "claim":
        print(f"  {'met   ' if row['met'] else 'MISSED'} {row['devices']:>13,}  {row['claim']:<58} "
              f"{row['found']:>12.4g}  limit {row['limit']:g}")
    else:
        print(f"  {kind}: " + ", ".join(f"{key} {text(value)}" for key, value in row.items()))


def simulate(words):
    """Returns the rows and whether all claims are met."""
    done = subprocess.run([program("beckon-scaling"), *words], stdout=subprocess.PIPE, text=True,
                          check=False)
    if done.returncode not in (0, 1):
        sys.exit(done.returncode)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    for row in rows:
        show(dict(row))
    met = [row["met"] for row in rows if row["row"] == "claim"]
    print(f"\n  {met.count(True)} claims met, {met.count(False)} missed")
    return rows, done.returncode == 0


def main():
    parser = argparse.ArgumentParser(prog="./dev bench scaling", description=__doc__)
    parser.add_argument("--seed", default="1", help="of everything that is drawn")
    parser.add_argument("--set", action="append", default=[], metavar="CONSTANT=VALUE",
                        help="another constant, repeatable")
    parser.add_argument("--layout", metavar="DEVICES:BROKERS:CONNECTORS",
                        help="of one cell (10^6 to 10^9 devices, in cells)")
    parser.add_argument("--measure", action="store_true", help="constants, on a stack of its own")
    parser.add_argument("--json", default=str(harness.ROOT / "build" / "bench" / "scaling.json"))
    arguments = parser.parse_args()
    result = {"machine": harness.print_machine()}
    met = True
    if arguments.measure:
        result["measured"] = measure.measure()
    else:
        words = ["--seed", arguments.seed]
        if arguments.layout:
            words += ["--layout", arguments.layout]
        for change in arguments.set:
            words += ["--set", change]
        result["rows"], met = simulate(words)
    harness.write_json(arguments.json, result)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(harness.run(main))
