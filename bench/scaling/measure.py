"""What ./dev bench scaling --measure measures: constants of bench/scaling/constants.h that no other
benchmark has. Processor time everywhere but in the hand-over, because it depends least on what else
the machine does: of all threads, from /proc/PID/task/TID/schedstat."""
import contextlib
import pathlib
import subprocess
import sys
import time
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

# pylint: disable=wrong-import-position
import harness
from support.stack import Stack
from support.waiting import wait_until

SETTLE_S = 3.2       # alert.settle_ms after a start, and a little
LATE_S = 3           # what rides late rides by then
STATISTICS_S = 11    # a server process that has nothing to do writes its statistics after ten
IDLE_S = 10
CONNECTORS = 9       # of the stack whose links are counted, against one of 1
BROKERS = 4          # the same of brokers
PEOPLE = 10000       # who are there when a broker dies
RESTART_S = 12       # from kill -9 until nothing is left to do
MOVES = 3
MOVE_S = 60          # a lease, and much more than what follows
LSN = "SELECT pg_current_wal_insert_lsn()"
# Whose rows are measured: of messages and those that they change; of people.
MESSAGES = ("inbox", "cursor_move", "device", "user_head", "conversation")
PERSONS = ("users", "device", "session", "subscription", "push")
COUNTED = (*MESSAGES, "trace", "dedupe", "users")


def psql(stack, statement):
    return subprocess.run(["psql", stack.environment["BECKON_DSN"], "-XAtc", statement], check=True,
                          capture_output=True, text=True).stdout.strip()


def cpu_us(pid):
    total = 0
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                total += int((thread / "schedstat").read_text(encoding="ascii").split()[0])
    return total / 1e3


class Meter:
    """Processor time by kind of process since it was made. A process that ended counts as long as
    it was seen; PostgreSQL's children are looked for again at the end."""

    def __init__(self, stack, without=()):
        self.stack = stack
        self.began = {pid: cpu_us(pid) for pid in self._pids(without)}

    def _pids(self, without=()):
        found = {}
        for (name, index), pid in self.stack.ps().items():
            if (name, index) not in without:
                found[pid] = name
        for pid in [pid for pid, name in found.items() if name == "postgres"]:
            found.update({child: "postgres" for child in harness.children(pid)})
        return found

    def read(self):
        spent = {"connector": 0, "broker": 0, "postgres": 0}
        for pid, name in self._pids().items():
            if name in spent:
                spent[name] += cpu_us(pid) - self.began.get(pid, 0)
        return spent


def rows_written(stack):
    """Rows inserted and updated by table; those of partitions are their parent's."""
    found = {}
    for line in psql(stack, "SELECT relname, n_tup_ins, n_tup_upd FROM pg_stat_user_tables").splitlines():
        name, *counts = line.split("|")
        parent = next((table for table in COUNTED
                       if name == table or name.startswith(table + "_")), None)
        if parent:
            inserted, updated = found.get(parent, (0, 0))
            found[parent] = (inserted + int(counts[0]), updated + int(counts[1]))
    return found


def spend(stack, **options):
    """Of one run of the load generator: messages, processor time by kind, WAL, rows by table."""
    before, rows, meter = psql(stack, LSN), rows_written(stack), Meter(stack)
    found = harness.load(scenario="pairs", payload=256, warm=0, **options,
                         **harness.reach_beckon(stack, "tcp"))
    time.sleep(STATISTICS_S)
    assert found["sent"] > 0, found
    return {"messages": found["sent"],
            **{f"cpu {name}": value for name, value in meter.read().items()},
            "wal bytes": int(psql(stack, f"SELECT pg_current_wal_insert_lsn() - '{before}'")),
            **{f"rows {name}": sum(counts) - sum(rows.get(name, (0, 0)))
               for name, counts in rows_written(stack).items()}}


def message_cost(stack, prefix, what, seconds, **options):
    """A long run less a short one of the same people: what is left has no connects in it. WAL is of
    the long one alone, for what vacuum writes now and then would be in the difference twice."""
    harness.load(scenario="pairs", payload=256, prefix=prefix, seconds=1, **options,
                 **harness.reach_beckon(stack, "tcp"))   # makes the people
    time.sleep(STATISTICS_S)
    short = spend(stack, prefix=prefix, seconds=1, **options)
    long = spend(stack, prefix=prefix, seconds=1 + seconds, **options)
    count = long["messages"] - short["messages"]
    result = {"what": what, "messages": count,
              **{name: (value - short.get(name, 0)) / count for name, value in long.items()
                 if name != "messages"}, "wal bytes": long["wal bytes"] / long["messages"]}
    print(f"  {what}: {count} messages; of each: " + ", ".join(
        f"{name} {value:.4g}" for name, value in result.items()
        if name not in ("what", "messages") and abs(value) > 0.0005))
    return result


def stored_bytes(stack, tables):
    """Of a row on the disk, heap and indexes."""
    result = {}
    for table in tables:
        size = psql(stack, f"""SELECT coalesce((SELECT sum(pg_relation_size(inhrelid)) FROM pg_inherits
            WHERE inhparent = '{table}'::regclass), pg_relation_size('{table}')),
            coalesce((SELECT sum(pg_indexes_size(inhrelid)) FROM pg_inherits
            WHERE inhparent = '{table}'::regclass), pg_indexes_size('{table}')),
            (SELECT count(*) FROM {table})""")
        heap, index, count = map(int, size.split("|"))
        result[table] = {"heap": heap / max(1, count), "index": index / max(1, count), "rows": count}
    print("  on the disk, bytes a row, heap + indexes: " + ", ".join(
        f"{name} {row['heap']:.0f} + {row['index']:.0f} ({row['rows']} rows)"
        for name, row in result.items()))
    return result


def measure_messages():
    stack = Stack(connectors=2)
    try:
        stack.up()
        time.sleep(SETTLE_S)
        # Each device gets a message now and then, as in life; many at once come last, because
        # vacuum has something to do after them.
        messages = [message_cost(stack, "few", "300/s, 2000 pairs", 10, clients=4000, rate=300),
                    message_cost(stack, "some", "1000/s, 50 pairs", 8, clients=100, rate=1000),
                    message_cost(stack, "many", "window 16", 4, clients=100, window=16)]
        return {"messages": messages, "stored": stored_bytes(stack, MESSAGES)}
    finally:
        stack.destroy()


def measure_spread():
    """The dearest messages with several brokers, where sender and recipient are seldom one's."""
    stack = Stack(connectors=2)
    try:
        stack.up()
        for index in range(1, BROKERS):
            stack.start("broker", index)
        time.sleep(SETTLE_S)
        return message_cost(stack, "spread", f"300/s, 2000 pairs, {BROKERS} brokers", 10,
                            clients=4000, rate=300)
    finally:
        stack.destroy()


# --- links ---

def anonymous(pid):
    smaps = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in smaps.splitlines()
                if line.startswith("Anonymous:")) * 1024


def idle(stack, name):
    """Processor time a second and memory of the first process of that name, while nothing happens."""
    time.sleep(SETTLE_S)
    pid = stack.pid(name)
    before = cpu_us(pid)
    time.sleep(IDLE_S)
    return (cpu_us(pid) - before) / IDLE_S, anonymous(pid)


def measure_links():
    """Of one link more, to the broker and to the connector."""
    found = {}
    for connectors, brokers in ((1, 1), (CONNECTORS, 1), (1, BROKERS)):
        stack = Stack(connectors=connectors)
        try:
            stack.up()
            for index in range(1, brokers):
                stack.start("broker", index)
            found[connectors, brokers] = idle(stack, "connector" if brokers > 1 else "broker")
            if (connectors, brokers) == (1, 1):
                alone = idle(stack, "connector")
        finally:
            stack.destroy()
    result = {
        "broker": [(more - one) / (CONNECTORS - 1)
                   for more, one in zip(found[CONNECTORS, 1], found[1, 1])],
        "connector": [(more - one) / (BROKERS - 1) for more, one in zip(found[1, BROKERS], alone)]}
    for name, (cpu, size) in result.items():
        print(f"  an idle link costs the {name} {cpu:.0f} us a second and {size:.0f} bytes")
    return result


# --- hand-over ---

def sessions(stack, index):
    """Of one broker, by its /metrics; -1: it is not up yet."""
    door = urllib.parse.urlsplit(stack.environment["BECKON_HTTP"])
    try:
        with urllib.request.urlopen(f"http://{door.hostname}:{door.port + index}/metrics",
                                    timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return -1
    return next(int(line.split()[1]) for line in lines if line.startswith("beckon_broker_sessions "))


def kill_and_start(stack, held):
    """kill -9 of the broker and its start: processor time of everything until nothing is left to do.
    held: the sessions that come back."""
    meter = Meter(stack, without=(("broker", 0),))
    began = time.monotonic()
    stack.kill("broker")
    stack.start("broker")
    wait_until(lambda: sessions(stack, 0) == held, f"{held} sessions are back", MOVE_S)
    back_s = time.monotonic() - began
    time.sleep(max(0, RESTART_S - back_s))
    return meter.read(), back_s


def people(stack, stay):
    """Connects all with kept sessions; who stays is returned as a running load."""
    load = harness.Load(scenario="idle", clients=PEOPLE, prefix="people", subscribe=True,
                        session_expiry=3600, connect_timeout=300, **harness.reach_beckon(stack, "tcp"))
    try:
        held = load.event()
        assert held["open"] == PEOPLE, held
        if not stay:
            load.finish()
            wait_until(lambda: sessions(stack, 0) == 0, "all have left", MOVE_S)
        return load
    except BaseException:
        load.close()
        raise


def share(after, before, what):
    return {name: (after[name] - before[name]) / PEOPLE for name in what}


def measure_handover():
    """A broker that starts again with nobody in the database, with PEOPLE who are away, with PEOPLE
    who are there: the differences are what one costs. Then one of two brokers dies for good."""
    stack = Stack(connectors=2)
    load = None
    try:
        stack.up()
        time.sleep(SETTLE_S)
        nobody, _ = kill_and_start(stack, 0)
        people(stack, stay=False)
        # Each can be pushed to, and so is looked for in the inbox.
        psql(stack, """INSERT INTO push SELECT user_no, device_no, 'apns', device_no, 'x', 'x', now()
                       FROM device""")
        time.sleep(LATE_S)
        away, _ = kill_and_start(stack, 0)
        load = people(stack, stay=True)
        time.sleep(LATE_S)
        there, back_s = kill_and_start(stack, PEOPLE)
        moves = [move(stack) for _ in range(MOVES)]
        result = {"persons_stored": stored_bytes(stack, PERSONS),
                  "recover_us": share(away, nobody, ("postgres",)),
                  "announce_us": share(there, away, ("connector", "broker", "postgres")),
                  "in_place_s": back_s, "moves": moves}
    finally:
        if load:
            load.close()
        stack.destroy()
    print(f"  after a start: {result['recover_us']['postgres']:.1f} us of PostgreSQL for each who is "
          "looked at, and for each who is connected: " + ", ".join(
              f"{name} {value:.1f}" for name, value in result["announce_us"].items())
          + f"; {PEOPLE} were back after {back_s:.1f} s\n"
          "  one of two brokers killed, its people served after: " + ", ".join(
              f"{people} {seconds:.1f} s" for people, seconds in moves))
    return result


def move(stack):
    """A second broker gets its share, and dies for good. Returns its people, and the seconds until
    they are served."""
    stack.start("broker", 1)
    wait_until(lambda: sessions(stack, 1) > 0 and
               sessions(stack, 0) + sessions(stack, 1) == PEOPLE, "the second broker has its share",
               MOVE_S)
    time.sleep(SETTLE_S)
    moved, pid = sessions(stack, 1), stack.pid("broker", 1)
    began = time.monotonic()
    stack.kill_pid(pid)
    wait_until(lambda: sessions(stack, 0) == PEOPLE, "the first one serves all of them", MOVE_S)
    return moved, time.monotonic() - began


def measure():
    return {**measure_messages(), "spread": measure_spread(), "links": measure_links(), "handover": measure_handover()}
