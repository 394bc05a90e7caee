"""What ./dev bench peers plays, which figures of it are printed, and what is wanted of them."""
import dataclasses

PAIRS = 200
RATE_LATENCY = 2000    # a second: what one small installation has at its busiest
RATE_BUSY = 10000
INBOXES = 1000
SENDERS = 50
MESSAGES = 20          # to each inbox
RECEIVERS = 500
FANOUT_WINDOW = 128    # Beckon's mqtt.receive_max; brokers with topics have one publish a message
STORM = 10000
KILL_INBOXES = 200
KEPT_S = 3600          # sessions: with clean ones RabbitMQ's queues would not be durable
PAYLOAD = 256


@dataclasses.dataclass(frozen=True)
class Goal:
    """ratio: ours divided by that peer's, at least or at most; else our own figure, at most."""
    at_least: float = None
    at_most: float = None
    peer: str = None

    def text(self):
        bound = f"≥ {self.at_least:g}" if self.at_least is not None else f"≤ {self.at_most:g}"
        return f"{bound} × {self.peer}" if self.peer else bound

    def met(self, medians):
        """None when nothing was measured that could tell."""
        value = medians.get("beckon")
        if self.peer:
            theirs = medians.get(self.peer)
            value = value / theirs if value is not None and theirs else None
        if value is None:
            return None
        return value >= self.at_least if self.at_least is not None else value <= self.at_most


@dataclasses.dataclass(frozen=True)
class Figure:
    name: str
    unit: str
    path: tuple            # into what beckon-load printed
    goal: Goal = None
    scale: float = 1

    def of(self, found):
        for key in self.path:
            found = found[key]
        return found * self.scale


@dataclasses.dataclass(frozen=True)
class Experiment:
    key: str
    options: dict          # of beckon-load
    figures: tuple
    operation: str         # what processor time is divided by
    operations: object     # how many of them, from what beckon-load printed
    rounds: int = 99       # at most so many
    without: tuple = ()    # peers that take no part
    limit: tuple = None    # (rows in flight, inboxes) of the raw inserts that stand beside it
    burst: bool = False    # a closed loop before it, as hard as it gets


def at_most(value):
    return Goal(at_most=value)


def pairs(key, figures, **options):
    more = {name: options.pop(name) for name in ("rounds", "without", "limit", "burst")
            if name in options}
    return Experiment(key, {"scenario": "pairs", "clients": 2 * PAIRS, "window": 16, **options},
                      figures, "message", lambda found: found["sent"], **more)


def latency(what, share, text, goal):
    return Figure(text, "ms", (what, f"{share}_us"), goal, 1e-3)


def per_s(text, path, goal=None):
    return Figure(text, "/s", path, goal)


def experiments(seconds, minute_s):
    """seconds: of each run that publishes; minute_s: of the long one."""
    acknowledged, mosquitto = ("acknowledged_per_s",), "mosquitto"
    return (
        pairs("window 16", (
            per_s(f"1:1, {PAIRS} pairs, window 16, acknowledged", acknowledged,
                  Goal(at_least=2.0, peer=mosquitto)),
            per_s("the same, delivered", ("delivered_per_s",))),
            seconds=seconds, limit=(PAIRS * 16, PAIRS)),
        pairs("window 1", (
            per_s(f"1:1, {PAIRS} pairs, window 1, acknowledged", acknowledged,
                  Goal(at_least=0.9, peer=mosquitto)),
            latency("puback", "p99", "the same, PUBACK p99", Goal(at_most=1.0, peer=mosquitto))),
            seconds=seconds, window=1, limit=(PAIRS, PAIRS)),
        pairs("minute", (
            latency("puback", "p50", f"PUBACK at {RATE_LATENCY}/s after a burst, p50", at_most(0.4)),
            latency("puback", "p99", "the same, p99", at_most(1.4)),
            latency("puback", "max", "the same, longest wait", at_most(50)),
            Figure("the same, longest time without any", "ms", ("longest_silence_us",), None, 1e-3)),
            seconds=minute_s, rate=RATE_LATENCY, burst=True, rounds=1, without=("rabbitmq",)),
        pairs("10000/s", (
            latency("delivery", "p50", f"end to end at {RATE_BUSY}/s, p50", at_most(0.6)),
            latency("delivery", "p99", "the same, p99", at_most(3))),
            seconds=seconds, rate=RATE_BUSY),
        Experiment("offline", {"scenario": "offline", "clients": SENDERS + INBOXES,
                               "senders": SENDERS, "messages": MESSAGES, "window": 16}, (
            per_s(f"offline store, {INBOXES} inboxes", ("store", "per_s"),
                  Goal(at_least=1.3, peer=mosquitto)),
            per_s("drain of these", ("drain", "per_s"), Goal(at_least=1.0, peer=mosquitto))),
            "message", lambda found: found["sent"],
            limit=(SENDERS * 16, INBOXES)),
        Experiment("fanout", {"scenario": "fanout", "clients": 1 + RECEIVERS, "seconds": seconds,
                              "window": FANOUT_WINDOW}, (
            per_s(f"fan-out to {RECEIVERS} *, deliveries", ("delivered_per_s",),
                  Goal(at_least=1.0, peer=mosquitto)),
            latency("last", "p50", "until the last has it, p50", None),
            latency("last", "p99", "until the last has it, p99", None)),
            "delivery", lambda found: found["messages"] * found["receivers"]),
        Experiment("storm", {"scenario": "storm", "clients": STORM, "connect_timeout": 60}, (
            Figure(f"{STORM} devices reconnect at once", "s", ("storm_s",),
                   Goal(at_most=1.0, peer=mosquitto)),),
            "connect (two each)", lambda found: 2 * found["clients"], rounds=2))


KILL = {"scenario": "offline", "clients": SENDERS + KILL_INBOXES, "senders": SENDERS,
        "messages": 100000, "window": 16, "hold": True, "drain": 5}
KILL_AFTER_S = 1.5   # of storing
KILL_FIGURE = Figure("lost after kill -9, of those acknowledged", "", ("lost",), at_most(0))
FANOUT_NOTE = ("* Beckon has no groups in this release: a backend publishes to each of the "
               f"{RECEIVERS} inboxes, and each is committed by itself. The peers get one publish on "
               "a topic with as many subscribers.")
