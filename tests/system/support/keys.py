"""Keys between connectors and brokers, made with beckonctl, and the options that use them."""
import pathlib
import shutil
import subprocess
import tempfile

from .stack import program


def keygen(folder, *words):
    return subprocess.run([program("beckonctl"), "keygen", "--dir", str(folder), *words],
                          capture_output=True, text=True, timeout=20, check=False)


class Keys:
    """A folder of keys, with those of one connector in it."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="beckon-keys-"))
        self.clients = self.folder / "clients"
        assert keygen(self.folder).returncode == 0

    def add(self, name):
        """One more connector's keys; the broker knows them after its next SIGHUP."""
        assert keygen(self.folder, "--client", name).returncode == 0

    def take_away(self, name):
        (self.clients / f"{name}.pub").rename(self.folder / f"{name}.pub")

    def give_back(self, name):
        (self.folder / f"{name}.pub").rename(self.clients / f"{name}.pub")

    def broker(self):
        return [f"listen.curve.secret_key={self.folder}/broker.key",
                f"listen.curve.clients={self.clients}"]

    def connector(self, name="connector"):
        return [f"broker.curve.server_key={self.folder}/broker.pub",
                f"broker.curve.secret_key={self.folder}/{name}.key"]

    def stack(self):
        """Options of a whole stack, as ./dev takes them."""
        return ([f"broker:{item}" for item in self.broker()] +
                [f"connector:{item}" for item in self.connector()])

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)
