"""RabbitMQ with its MQTT plugin, as Debian packages both: an ordinary process of whoever runs this, in
a private folder, with a node name, a cookie, an epmd and ports of its own, all on loopback."""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

# pylint: disable=wrong-import-position
import harness
from support.stack import free_port, port_free
from support.waiting import wait_until

# Debian's /usr/sbin/rabbitmq-server would change to the user rabbitmq.
PROGRAM = pathlib.Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
HOW_TO_INSTALL = "apt-get install --no-install-recommends rabbitmq-server"
START_S = 180   # the Erlang machine takes ten seconds, and a minute on a busy machine
CONFIG = """listeners.tcp = none
mqtt.listeners.tcp.1 = 127.0.0.1:{port}
mqtt.tcp_listen_options.nodelay = true
mqtt.tcp_listen_options.backlog = 4096
mqtt.allow_anonymous = true
mqtt.subscription_ttl = 86400000
mqtt.durable_queue_type = classic
log.file.level = warning
"""
# Idle schedulers that spin would take time from whoever is measured at that moment.
ERL_ARGS = ("-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false "
            "+sbwt none +sbwtdcpu none +sbwtdio none")


def installed():
    return PROGRAM.exists() and shutil.which("epmd") is not None


class RabbitMQ:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.port, self.epmd_port, self.dist_port = free_port(), free_port(), free_port()
        self.process = self.epmd = None
        (self.folder / "rabbitmq.conf").write_text(CONFIG.format(port=self.port), encoding="ascii")
        (self.folder / "enabled_plugins").write_text("[rabbitmq_mqtt].\n", encoding="ascii")
        try:
            self._start_epmd()
            self.start()
        except BaseException:
            self.close()
            raise

    def _environment(self):
        names = {"CONFIG_FILE": "rabbitmq.conf", "ENABLED_PLUGINS_FILE": "enabled_plugins",
                 "ADVANCED_CONFIG_FILE": "advanced.config", "CONF_ENV_FILE": "env.conf",
                 "LOG_BASE": "log", "MNESIA_BASE": "mnesia", "PID_FILE": "pid",
                 "PLUGINS_EXPAND_DIR": "expand", "GENERATED_CONFIG_DIR": "generated"}
        paths = {f"RABBITMQ_{name}": str(self.folder / path) for name, path in names.items()}
        # The cookie is made in HOME.
        return {**os.environ, **paths, "HOME": str(self.folder),
                "RABBITMQ_NODENAME": f"beckon-bench-{self.port}@localhost",
                "RABBITMQ_DIST_PORT": str(self.dist_port),
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ERL_ARGS,
                "ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_EPMD_PORT": str(self.epmd_port)}

    def _spawn(self, command, name):
        with open(self.folder / f"{name}.log", "ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                    env=self._environment(), cwd=self.folder,
                                    start_new_session=True)

    def _start_epmd(self):
        self.epmd = self._spawn([shutil.which("epmd"), "-address", "127.0.0.1", "-port",
                                 str(self.epmd_port)], "epmd")
        wait_until(lambda: not port_free(self.epmd_port), "epmd listens")

    def start(self):
        self.process = self._spawn([str(PROGRAM)], "server")
        deadline = time.monotonic() + START_S
        while port_free(self.port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                log = (self.folder / "server.log").read_text(errors="replace")
                raise RuntimeError(f"RabbitMQ did not start:\n{log[-2000:]}")
            time.sleep(0.1)

    def pids(self):
        """A shell, the Erlang machine, its helpers."""
        return harness.descendants(self.process.pid)

    def kill(self):
        harness.kill_all(self.pids())
        self.process.wait()

    def close(self):
        if self.process is not None:
            self.kill()
        if self.epmd is not None:
            with contextlib.suppress(ProcessLookupError):
                self.epmd.send_signal(signal.SIGTERM)
            self.epmd.wait()
