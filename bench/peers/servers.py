"""The servers that ./dev bench peers compares, each with the same handles: how to reach it, what its
processes have used, kill -9 of all of it, start it again."""
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

# pylint: disable=wrong-import-position
import harness
import rabbitmq
from support.stack import Stack, program

SETTLE_S = 3.2   # alert.settle_ms after a start, and a little


class Beckon:
    name = "beckon"
    durable = ("PUBACK after the commit in PostgreSQL, which has called fsync; sessions, "
               "subscriptions and cursors too")

    def __init__(self):
        self.stack = Stack(connectors=2)
        try:
            self.stack.up()
        except BaseException:
            self.stack.destroy()
            raise
        time.sleep(SETTLE_S)

    def reach(self):
        return harness.reach_beckon(self.stack, "tcp")

    def pids(self):
        """All but Apple's stand-in, which is nobody's part of Beckon."""
        running = self.stack.ps()
        return [pid for (name, _), own in running.items() if name != "apns-simulator"
                for pid in harness.descendants(own)]

    def kill(self):
        # The broker's hosted plugins are its children and in ps too.
        harness.kill_all(list(dict.fromkeys(self.pids())))

    def start(self):
        self.stack.dev("up")
        time.sleep(SETTLE_S)

    def close(self):
        self.stack.destroy()


class Mosquitto:
    name = "mosquitto"
    durable = "nothing: PUBACK from memory, the store is written to a file every 30 minutes"

    def __init__(self, peer):
        self.peer = peer

    def reach(self):
        return self.peer.reach("tcp")

    def pids(self):
        return [self.peer.pid]

    def kill(self):
        harness.kill_all(self.pids())
        self.peer.process.wait()

    def start(self):
        self.peer.start()


class RabbitMQ:
    name = "rabbitmq"
    durable = ("PUBACK after its durable classic queue has confirmed, which is after fsync; "
               "queues and bindings are durable too")

    def __init__(self, peer):
        self.peer = peer

    def reach(self):
        return {"port": self.peer.port, "topics": "plain"}

    def pids(self):
        return self.peer.pids()

    def kill(self):
        self.peer.kill()

    def start(self):
        self.peer.start()


class RawPostgres:
    """The limit: Beckon's own database, while nothing else is asked of it."""
    name = "postgres"
    durable = "as Beckon, and nothing else is done: no clients, no sequences, no delivery"

    def __init__(self, stack):
        self.stack = stack

    def rows_per_s(self, in_flight, inboxes, payload, seconds):
        """in_flight rows in two batches, as a closed loop with that window would give them."""
        done = subprocess.run(
            [str(program("beckon-raw-postgres")), "--rows", str(max(1, in_flight // 2)), "--depth",
             "2", "--inboxes", str(inboxes), "--payload", str(payload), "--seconds", str(seconds)],
            env={**os.environ, "BECKON_DSN": self.stack.environment["BECKON_DSN"]},
            stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"beckon-raw-postgres exited with {done.returncode}")
        return json.loads(done.stdout)


@contextlib.contextmanager
def rabbitmq_server():
    with tempfile.TemporaryDirectory(prefix="beckon-bench-") as folder:
        peer = rabbitmq.RabbitMQ(folder)
        try:
            yield RabbitMQ(peer)
        finally:
            peer.close()


def started(names, cleanup):
    """Starts the named ones, in this order, and the limit. cleanup: an ExitStack that ends them."""
    servers = [Beckon()]
    cleanup.callback(servers[0].close)
    if "mosquitto" in names:
        servers.append(Mosquitto(cleanup.enter_context(harness.mosquitto(persistent=True))))
    if "rabbitmq" in names and not rabbitmq.installed():
        print("  rabbitmq is left out: it is not installed; as root: "
              f"{rabbitmq.HOW_TO_INSTALL}")
    elif "rabbitmq" in names:
        servers.append(cleanup.enter_context(rabbitmq_server()))
    return servers, RawPostgres(servers[0].stack)
