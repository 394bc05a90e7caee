"""A network namespace as another machine: two cables to this one, each of which can be unplugged."""
import os
import subprocess

import pytest


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=20)


class Cable:
    """A pair of virtual interfaces. `here` and `there` are the addresses of its ends."""

    def __init__(self, namespace, letter, network):
        self.outer = f"bk{os.getpid() % 100000}{letter}"
        inner = f"{self.outer}n"
        self.here, self.there = f"{network}.1", f"{network}.2"
        ip("link", "add", self.outer, "type", "veth", "peer", "name", inner)
        ip("link", "set", inner, "netns", namespace)
        ip("address", "add", f"{self.here}/30", "dev", self.outer)
        ip("-n", namespace, "address", "add", f"{self.there}/30", "dev", inner)
        ip("-n", namespace, "link", "set", inner, "up")
        self.plug()

    def unplug(self):
        """What is sent is lost; nothing is closed and nobody is told."""
        ip("link", "set", self.outer, "down")

    def plug(self):
        ip("link", "set", self.outer, "up")


class Machine:
    """The namespace, with a cable to the database's side and one to connectors and brokers."""

    def __init__(self):
        self.name = f"beckon-test-{os.getpid()}"
        number = os.getpid() % 200
        try:
            ip("netns", "add", self.name)
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no right to make network namespaces: {error}")
        try:
            ip("-n", self.name, "link", "set", "lo", "up")
            self.database = Cable(self.name, "d", f"10.77.{number}")
            self.bus = Cable(self.name, "b", f"10.78.{number}")
        except BaseException:
            self.remove()
            raise

    def wrapper(self):
        """The words that run a program there."""
        return ["ip", "netns", "exec", self.name]

    def remove(self):
        ip("netns", "delete", self.name)   # the cables go with it
