"""Clients under one roof: raw peers, paho (Python) and the mosquitto programs, all of which record
what they received and when, and are closed at the end of the test that made them."""
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from .packets import V5
from .raw_mqtt import RawPeer
from .stack import HOST, ExtraConnector
from .waiting import DEADLINE_S, wait_until


@dataclass
class Received:
    topic: str
    payload: bytes
    qos: int
    dup: bool
    at: float
    properties: object = None


class PahoClient:
    """paho-mqtt with its network thread. Reconnects by itself, as paho does."""

    def __init__(self, port, user, device, token, version=V5, clean=True, session_expiry_s=0,
                 keepalive_s=60, will=None, receive_maximum=None, tls=None, transport="tcp"):
        """will: keyword arguments of paho's will_set. tls: an SSLContext; None is without."""
        self.messages, self.granted, self.connects = [], {}, []
        self.disconnects, self.acknowledged, self.gone = [], set(), False
        self.lock = threading.Lock()
        self.port, self.keepalive_s, self.version = port, keepalive_s, version
        if version == V5:
            self.client = mqtt.Client(device, protocol=mqtt.MQTTv5, transport=transport)
            options = Properties(PacketTypes.CONNECT)
            options.SessionExpiryInterval = session_expiry_s
            if receive_maximum is not None:
                options.ReceiveMaximum = receive_maximum
            self.how = {"clean_start": clean, "properties": options}
        else:
            self.client = mqtt.Client(device, clean_session=clean, protocol=mqtt.MQTTv311,
                                      transport=transport)
            self.how = {}
        self.client.username_pw_set(user, token)
        if will:
            self.client.will_set(**will)
        if tls:
            self.client.tls_set_context(tls)
        self.client.on_connect = lambda _c, _u, flags, code, *_: self.connects.append(
            (code if isinstance(code, int) else code.value, bool(flags["session present"])))
        self.client.on_disconnect = lambda _c, _u, code, *_: self.disconnects.append(
            code if isinstance(code, int) else code.value)
        self.client.on_subscribe = lambda _c, _u, mid, codes, *_: self.granted.update(
            {mid: [code if isinstance(code, int) else code.value for code in codes]})
        self.client.on_publish = lambda _c, _u, mid: self.acknowledged.add(mid)
        self.client.on_message = self._on_message

    def _on_message(self, _client, _userdata, message):
        with self.lock:
            self.messages.append(Received(message.topic, bytes(message.payload), message.qos,
                                          bool(message.dup), time.monotonic(),
                                          getattr(message, "properties", None)))

    def connect(self):
        self.client.connect(HOST, self.port, self.keepalive_s, **self.how)
        self.client.loop_start()
        wait_until(lambda: self.connects, "CONNACK for paho")
        assert self.connects[0][0] == 0, f"refused with {self.connects[0][0]:#x}"
        return self

    def subscribe(self, topic="inbox/#", qos=1):
        _, mid = self.client.subscribe(topic, qos)
        wait_until(lambda: mid in self.granted, f"SUBACK for {topic}")
        return self.granted[mid]

    def publish(self, topic, payload=b"", qos=1, properties=None):
        """Returns at once, with the message's number in `acknowledged` later."""
        return self.client.publish(topic, payload, qos, properties=properties).mid

    def send(self, topic, payload=b"", properties=None):
        """QoS 1, returns once it is acknowledged."""
        mid = self.publish(topic, payload, 1, properties)
        wait_until(lambda: mid in self.acknowledged, f"PUBACK for {topic}", poll_s=0.002)

    def receive(self, count=1, timeout_s=DEADLINE_S):
        """The first `count` messages ever received."""
        wait_until(lambda: len(self.messages) >= count,
                   lambda_text(lambda: f"{len(self.messages)} of {count} messages for paho"),
                   timeout_s, 0.005)
        return self.messages[:count]

    def vanish(self):
        """The socket is closed without DISCONNECT, and it does not come back."""
        self.client.loop_stop()
        self.client.socket().close()
        self.gone = True

    def close(self):
        if not self.gone:
            self.client.disconnect()
        self.client.loop_stop()


class lambda_text:   # noqa: N801  a text that is made only when it is printed
    def __init__(self, make):
        self.make = make

    def __str__(self):
        return self.make()


class MosquittoSub:
    """mosquitto_sub; its lines are recorded with the time they came."""

    def __init__(self, port, user, device, token, *args):
        # stdbuf: into a pipe the program would hold its debug lines back, the SUBACK among them.
        command = ["stdbuf", "-oL", "mosquitto_sub", "-h", HOST, "-p", str(port), "-i", device,
                   "-u", user, "-P", token, "-q", "1", "-t", "inbox/#", *args]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.lines = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append((time.monotonic(), line.decode(errors="replace").rstrip("\n")))

    def texts(self):
        return [text for _, text in self.lines]

    def subscribed(self):
        """Needs -d among the arguments."""
        wait_until(lambda: any("Subscribed" in text for text in self.texts()),
                   lambda_text(lambda: f"mosquitto_sub subscribed, it said {self.texts()}"))
        return self

    def wait_lines(self, count, timeout_s=DEADLINE_S):
        wait_until(lambda: len(self.lines) >= count,
                   lambda_text(lambda: f"{count} lines of mosquitto_sub, got {self.texts()}"),
                   timeout_s)
        return self.texts()

    def signal(self, number):
        os.kill(self.process.pid, number)

    def finish(self, timeout_s=DEADLINE_S):
        """Waits for it to end by itself (-C), returns its lines."""
        self.process.wait(timeout_s)
        self._thread.join()
        return self.texts()

    def stop(self):
        """As Ctrl-C does: it says DISCONNECT and ends."""
        self.signal(signal.SIGINT)
        return self.finish()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._thread.join()
        self.process.stdout.close()


@dataclass
class Clients:
    """Makes clients of one stack and closes them all."""
    stack: object
    made: list = field(default_factory=list)

    def keep(self, thing):
        self.made.append(thing)
        return thing

    def raw(self, user, device="phone", version=V5, connector=None, sock=None, token=None):
        """A raw peer that has a TCP connection and has not sent CONNECT yet."""
        sock = sock or self.stack.dial(connector)
        return self.keep(RawPeer(sock, version, user, device, token or self.stack.token(user)))

    def peer(self, user, device="phone", version=V5, connector=None, sock=None, **how):
        """A raw peer whose CONNECT was accepted. `session_expiry_s` and `clean` mean the same in
        both versions."""
        expiry_s = how.pop("session_expiry_s", None)
        if version == V5 and expiry_s is not None:
            how["props"] = [(17, expiry_s), *how.get("props", ())]
        peer = self.raw(user, device, version, connector, sock, how.pop("token", None))
        connack = peer.connect(**how)
        assert connack.reason == 0, f"{user}/{device} refused with {connack.reason:#x}"
        return peer

    def subscriber(self, user, device="phone", version=V5, qos=1, **how):
        """A connected raw peer with its inbox subscribed."""
        peer = self.peer(user, device, version, **how)
        assert peer.subscribe("inbox/#", qos) == [qos]
        return peer

    def persistent(self, user, device="phone", version=V5, **how):
        """A raw peer with a session that outlives its connection (kept if there is one)."""
        return self.peer(user, device, version, clean=False, session_expiry_s=3600, **how)

    def paho(self, user, device="phone", version=V5, **how):
        return self.keep(PahoClient(self.stack.port, user, device, self.stack.token(user),
                                    version, **how)).connect()

    def mosquitto_sub(self, user, device, *args):
        return self.keep(MosquittoSub(self.stack.port, user, device, self.stack.token(user),
                                      *args))

    def mosquitto_pub(self, user, device, topic, message, *args):
        subprocess.run(["mosquitto_pub", "-h", HOST, "-p", str(self.stack.port), "-i", device,
                        "-u", user, "-P", self.stack.token(user), "-q", "1", "-t", topic,
                        "-m", message, *args], check=True, timeout=DEADLINE_S,
                       capture_output=True)

    def connector(self, *sets, **how):
        """A connector of our own with options of its own."""
        return self.keep(ExtraConnector(self.stack, *sets, **how))

    def close(self):
        while self.made:
            self.made.pop().close()
