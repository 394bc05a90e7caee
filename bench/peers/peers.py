"""./dev bench peers: Beckon beside mosquitto, RabbitMQ and raw inserts into PostgreSQL, with the same
client on the same machine in the same run: rates, latencies, storms, and what kill -9 loses.
docs/benchmarks.md says how to read it.

Servers take turns within a round; a figure is the median of its rounds. RabbitMQ takes part in the
first round only. Everything that is started ends with this program, SIGTERM and Ctrl-C included."""
import argparse
import contextlib
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

# pylint: disable=wrong-import-position
import harness
import rows
import servers

SOURCES = 8   # addresses: one has 28,000 ports, and limit.address_connects_per_s is for one
LEVEL = 4     # RabbitMQ 3.10 knows no MQTT 5
WRONGS = ("failed", "closed_by_server", "unanswered", "refused", "lost", "doubled", "swapped",
          "foreign")
COLUMNS = ("beckon", "mosquitto", "rabbitmq", "postgres")


class Bench:
    def __init__(self, running, limit, arguments):
        self.servers, self.limit, self.arguments = running, limit, arguments
        self.runs, self.raw, self.rows = 0, [], []

    def options(self, server, options):
        """Each run has people of its own."""
        self.runs += 1
        return {"prefix": f"p{self.runs}", "payload": rows.PAYLOAD, "level": LEVEL,
                "session_expiry": rows.KEPT_S, "source": "127.0.9.1", "sources": SOURCES,
                "drain": 10, **options, **server.reach()}

    def note(self, server, what, found, wrongs=WRONGS):
        wrong = {key: found[key] for key in wrongs if found.get(key)}
        self.raw.append({"server": server.name, "what": what, "wrong": wrong, **found})
        if wrong:
            print(f"  {server.name}, {what}: {wrong} {found['first_failure']}")

    def run(self, server, experiment):
        """What beckon-load found; None when the server could not play."""
        before = {pid: harness.cpu_s(pid) for pid in server.pids()}
        try:
            if experiment.burst:
                harness.load(**self.options(server, {**experiment.options, "rate": 0, "seconds": 3}))
            found = harness.load(**self.options(server, experiment.options))
        except RuntimeError as error:   # beckon-load has said why
            print(f"  {server.name}, {experiment.key}: {error}")
            self.raw.append({"server": server.name, "what": experiment.key, "error": str(error)})
            return None
        used = sum(harness.cpu_s(pid) - before.get(pid, 0) for pid in server.pids())
        if not experiment.burst:
            found["server_cpu_us"] = used / max(experiment.operations(found), 1) * 1e6
        self.note(server, experiment.key, found)
        return found

    def takes_part(self, server, experiment, number):
        return (number < experiment.rounds and server.name not in experiment.without
                and (number == 0 or server.name != "rabbitmq"))

    def experiment(self, experiment):
        figures = list(experiment.figures)
        if not experiment.burst:
            figures.append(rows.Figure(f"processor time of the server, a {experiment.operation}",
                                       "us", ("server_cpu_us",)))
        seen = {figure: {} for figure in figures}
        for number in range(self.arguments.rounds):
            for server in self.servers:
                found = self.takes_part(server, experiment, number) and self.run(server, experiment)
                for figure in figures if found else ():
                    seen[figure].setdefault(server.name, []).append(figure.of(found))
        if experiment.limit:
            found = self.limit.rows_per_s(*experiment.limit, rows.PAYLOAD, self.arguments.seconds)
            self.raw.append({"server": self.limit.name, "what": experiment.key, **found})
            seen[figures[0]][self.limit.name] = [found["rows_per_s"]]
        for figure, by_server in seen.items():
            self.row(figure, {name: statistics.median(values)
                              for name, values in by_server.items()})

    def kill(self, server):
        """kill -9 in the middle of a burst; returns the messages that were acknowledged and are
        missing after a restart."""
        load = harness.Load(**self.options(server, rows.KILL))
        try:
            load.event()
            time.sleep(rows.KILL_AFTER_S)
            server.kill()
            stored = load.event()
            server.start()
            found = load.finish()
        finally:
            load.close()
        # That the server went away, and did not answer everything, was our doing.
        self.note(server, "kill -9", found, ("failed", "refused", "lost", "doubled", "swapped",
                                             "foreign"))
        print(f"  {server.name}: {found['lost']} of {stored['accepted']} acknowledged are lost after "
              "kill -9 of all its processes")
        return found

    def kills(self):
        lost = {}
        for server in self.servers:
            try:
                lost[server.name] = rows.KILL_FIGURE.of(self.kill(server))
            except (RuntimeError, AssertionError) as error:
                print(f"  {server.name}, kill -9: {error}")
                self.raw.append({"server": server.name, "what": "kill -9", "error": str(error)})
        self.row(rows.KILL_FIGURE, lost)

    def row(self, figure, medians):
        goal, met = figure.goal, figure.goal and figure.goal.met(medians)
        ratios = {name: medians["beckon"] / value for name, value in medians.items()
                  if name != "beckon" and value and "beckon" in medians}
        self.rows.append({"figure": figure.name, "unit": figure.unit, **medians, "ratios": ratios,
                          "goal": goal and goal.text(), "met": met})
        verdict = {None: "", True: "met", False: "MISSED"}[met]
        print(f"  {figure.name:<48}" + cells(medians, 11, figure.unit != "ms") + f" {figure.unit:<3}"
              + "".join(f"{ratios[name]:>7.2f}" if name in ratios else f"{'-':>7}"
                        for name in COLUMNS[1:])
              + (f"  {goal.text()}: {verdict or 'not measured'}" if goal else ""))

    def verdicts(self):
        judged = [row for row in self.rows if row["goal"]]
        met = sum(row["met"] is True for row in judged)
        unknown = sum(row["met"] is None for row in judged)
        print(f"\n  goals: {met} met, {len(judged) - met - unknown} missed"
              + (f", {unknown} not measured" if unknown else ""))


def cells(medians, width, coarse):
    """Numbers of very different sizes in columns."""
    text = ""
    for name in COLUMNS:
        value = medians.get(name)
        if value is None:
            text += f"{'-':>{width}}"
        else:
            text += f"{value:>{width},.{0 if coarse and value >= 100 else 2}f}"
    return text


def read_arguments():
    parser = argparse.ArgumentParser(prog="./dev bench peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of each figure (3)")
    parser.add_argument("--seconds", type=int, default=3, help="of each run that publishes (3)")
    parser.add_argument("--minute", type=int, default=60, metavar="SECONDS",
                        help="of the open loop after a burst (60)")
    parser.add_argument("--peers", nargs="*", default=["mosquitto", "rabbitmq"],
                        choices=["mosquitto", "rabbitmq"], help="besides PostgreSQL (both)")
    known = [experiment.key for experiment in rows.experiments(1, 1)] + ["kill"]
    parser.add_argument("--only", nargs="+", default=known, choices=known, metavar="ROW",
                        help="of " + ", ".join(known))
    parser.add_argument("--json", default=str(harness.ROOT / "build" / "bench" / "peers.json"))
    arguments = parser.parse_args()
    if min(arguments.rounds, arguments.seconds, arguments.minute) < 1:
        parser.error("--rounds, --seconds and --minute: expected 1 or more")
    return arguments


def measure(arguments, machine, cleanup):
    running, limit = servers.started(arguments.peers, cleanup)
    for server in (*running, limit):
        print(f"  {server.name} keeps: {server.durable}")
    print(f"\n  {'':<48}" + "".join(f"{name:>11}" for name in COLUMNS) + "    "
          + "".join(f"{'/ ' + name[:4]:>7}" for name in COLUMNS[1:]) + "  goal")
    bench = Bench(running, limit, arguments)
    complete = False
    try:
        for experiment in rows.experiments(arguments.seconds, arguments.minute):
            if experiment.key in arguments.only:
                bench.experiment(experiment)
        if "kill" in arguments.only:
            bench.kills()
        complete = True
    finally:   # an interrupted one has minutes of figures too
        bench.verdicts()
        print(f"  {rows.FANOUT_NOTE}")
        harness.write_json(arguments.json, {
            "machine": machine, "load_average_after": harness.machine()["load_average"],
            "complete": complete,
            "durable": {server.name: server.durable for server in (*running, limit)},
            "fanout": rows.FANOUT_NOTE, "rows": bench.rows, "runs": bench.raw})


def main():
    arguments = read_arguments()
    machine = harness.print_machine()
    with contextlib.ExitStack() as cleanup:
        measure(arguments, machine, cleanup)
    return 0


if __name__ == "__main__":
    sys.exit(harness.run(main))
