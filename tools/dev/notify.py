"""sd_notify's other end: how a process of the stack says that it is ready.

Each process gets a socket of its own, so that what an earlier process of the same name still says
can't be mistaken for the new one. The name is abstract: a socket file's path may not exceed 107
bytes, and test folders do.
"""

import os
import secrets
import socket
import time


class NotifySocket:
    def __init__(self):
        self.name = f"@beckon-dev-{os.getpid()}-{secrets.token_hex(8)}"
        self.state = {}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.bind("\0" + self.name[1:])

    def close(self):
        self._socket.close()

    def wait(self, key, value, seconds):
        """Waits up to `seconds` until the process has said key=value. Returns whether it has."""
        deadline = time.monotonic() + seconds
        while self.state.get(key) != value:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._socket.settimeout(left)
            try:
                text = self._socket.recv(4096).decode("utf-8", "replace")
            except socket.timeout:
                return False
            self.state.update(line.split("=", 1) for line in text.split("\n") if "=" in line)
        return True
