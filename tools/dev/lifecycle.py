"""Up, down and everything between: which processes a stack has, in which order they come and go."""

import shutil
import signal

import interrupt
import programs
from failure import Failure, UsageError
from layout import BROKER_DOORS, MAX_BROKERS, MQTT_DOORS, build_dir
from postgres import END_STEPS as POSTGRES_END_STEPS
from postgres import Postgres
from process import children
from programs import Program


class Stack:
    def __init__(self, layout):
        self.layout = layout
        settings = layout.settings or {"brokers": [0], "connectors": []}
        self.postgres = Postgres(layout)
        self.apns = Program(layout, "apns-simulator", 0)
        self.brokers = [Program(layout, "broker", index) for index in settings.get("brokers", [0])]
        self.connectors = [Program(layout, "connector", index) for index in settings["connectors"]]
        self._started = []  # by this ./dev, oldest first: what a failed start takes away again

    def processes(self):
        """In the order they start."""
        return [self.postgres, self.apns, *self.brokers, *self.connectors]

    def running(self):
        return [process for process in self.processes() if process.pid() is not None]

    def plugin_hosts(self):
        """Pids of the processes that brokers run their hosted plugins in, and restart themselves."""
        return [pid for broker in self.brokers
                for pid in children(broker.pid(), "beckon-plugin-host")]

    def up(self, broker_overrides=()):
        """Starts what does not run. On failure nothing that this call started stays behind."""
        try:
            if self.postgres.pid() is None:
                self._started.append(self.postgres)
                self.postgres.start()
            self.postgres.create_database()
            programs.migrate(self.layout)
            self.layout.make_token_key()
            if self.apns.pid() is None:
                self._start_apns()
            for broker in self.brokers:
                if broker.pid() is None:
                    self._start_broker(broker, broker_overrides)
            missing = [connector for connector in self.connectors if connector.pid() is None]
            if missing and len(missing) == len(self.connectors):
                self._require_free_mqtt_ports()
            self._start_connectors(missing)
            programs.ping(self.layout)
        except BaseException:
            interrupt.ignore()
            for process in reversed(self._started):
                end(process)
            raise

    def down(self):
        """Sockets first, the truth last. Returns what ran."""
        ended = self.running()
        for process in reversed(ended):
            end(process)
        return ended

    def find(self, name, index):
        """The process that ./dev start and stop name; a further broker or connector is added."""
        if name in ("broker", "connector"):
            for process in (*self.brokers, *self.connectors):
                if (process.name, process.index) == (name, index):
                    return process
            if name == "broker" and index >= MAX_BROKERS:
                raise UsageError(f"broker {index}: a stack has {MAX_BROKERS} brokers at most")
            return Program(self.layout, name, index)
        for process in (self.postgres, self.apns):
            if name == process.name and index != 0:
                raise UsageError(f"there is only {name} 0")
            if name == process.name:
                return process
        if name == "plugin-host":
            raise UsageError("the broker starts its plugin-hosts, and starts them again; "
                             "./dev ps prints their pids")
        raise UsageError(f'there is no process "{name}"; expected postgres, apns-simulator, broker '
                         "or connector")

    def start_one(self, process):
        self._started = []
        try:
            if process is self.postgres:
                self._started.append(process)
                process.start()
            elif process is self.apns:
                self._start_apns()
            elif process.name == "broker":
                self._start_broker(process, ())
                self._remember(process)
            else:
                if not any(connector.pid() for connector in self.connectors):
                    self._require_free_mqtt_ports()
                self._start_connectors([process],
                                       linked=any(broker.pid() for broker in self.brokers))
                self._remember(process)
        except BaseException:
            interrupt.ignore()
            for started in self._started:
                end(started)
            raise

    def _start_apns(self):
        for door in ("apns", "apns control"):
            self.layout.require_free_port(door)
        self._started.append(self.apns)
        self.apns.launch()
        self.apns.await_ready()

    def _require_free_mqtt_ports(self):
        """Before the first connector: the others share its ports."""
        for door in MQTT_DOORS:
            self.layout.require_free_port(door)

    def _start_broker(self, broker, overrides):
        for door in BROKER_DOORS:
            self.layout.require_free_port(door, broker.index)
        self._started.append(broker)
        broker.launch(overrides)
        broker.await_ready()

    def _start_connectors(self, connectors, linked=True):
        for connector in connectors:
            self._started.append(connector)
            connector.launch()
        for connector in connectors:
            connector.await_ready()
            if linked:
                connector.await_linked()

    def _remember(self, process):
        settings = self.layout.settings
        key = process.name + "s"
        known = settings.get(key, [0])
        if process.index not in known:
            self.layout.save({**settings, key: sorted([*known, process.index])})


def end(process):
    """Ends one process; says so when it had to be forced. Returns whether it ran."""
    steps = POSTGRES_END_STEPS if process.name == "postgres" else programs.END_STEPS
    ran = process.pid() is not None
    last = process.end(steps)
    if process.pid() is not None:
        raise Failure(f"{process} (pid {process.pid()}) could not be ended")
    if last is not None and last != steps[0][0]:
        print(f"{process} did not end within {steps[0][1]} s of {steps[0][0].name}; "
              f"ended by {signal.Signals(last).name}")
    return ran


def require_programs():
    for name in ("apns-simulator", "beckon-broker", "beckon-connector", "beckon-plugin-host",
                 "beckonctl"):
        if not (build_dir() / "bin" / name).exists():
            raise Failure(f"{build_dir()}/bin/{name} does not exist; ./dev up builds it, "
                          "unless BECKON_BUILD names another build folder")


def wipe(layout):
    """Removes what a stack made, and the folder when nothing else lies in it."""
    for folder in (layout.postgres_dir, layout.log_dir, layout.etc_dir, layout.keys_dir):
        if folder.exists():
            shutil.rmtree(folder)
    (layout.var / "postgres.initialised").unlink(missing_ok=True)
    shutil.rmtree(layout.run_dir)
    layout.forget()
    if not any(layout.var.iterdir()):
        layout.var.rmdir()
