"""A TCP proxy whose network can fail: frozen, it forwards nothing and closes nothing, as a phone's
network does when it goes away. What went through it can be kept, as a stranger on the way would."""
import selectors
import socket
import threading

from .stack import HOST


class Proxy:
    def __init__(self, port, record=False, host=HOST):
        self.target = port
        self.recorded = bytearray() if record else None
        self.listener = socket.create_server((host, 0))
        self.port = self.listener.getsockname()[1]
        self.frozen = threading.Event()
        self._stop = threading.Event()
        self._pairs = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def dial(self):
        return socket.create_connection((HOST, self.port))

    def _run(self):
        while not self._stop.is_set():
            for key, _ in self._selector.select(0.05):
                if key.fileobj is self.listener:
                    self._accept()
                elif self.frozen.is_set():
                    self._stop.wait(0.05)   # leave the bytes where they are, and do not spin
                else:
                    self._forward(key.fileobj)

    def _accept(self):
        client = self.listener.accept()[0]
        server = socket.create_connection((HOST, self.target))
        for sock, other in ((client, server), (server, client)):
            self._pairs[sock] = other
            self._selector.register(sock, selectors.EVENT_READ)

    def _forward(self, sock):
        other = self._pairs.get(sock)
        if other is None:
            return
        try:
            raw = sock.recv(65536)
            if raw:
                if self.recorded is not None:
                    self.recorded += raw
                other.sendall(raw)
                return
        except OSError:
            pass   # a reset ends the pair just as an end of file does
        for end in (sock, other):
            self._selector.unregister(end)
            del self._pairs[end]
            end.close()

    def close(self):
        self._stop.set()
        self._thread.join()
        for sock in self._pairs:
            sock.close()
        self.listener.close()
        self._selector.close()
