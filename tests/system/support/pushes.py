"""What reaches the phone through Apple's push service: the simulator's control door, and phones
that have registered there."""
import json
import urllib.error
import urllib.request
import uuid

from .waiting import DEADLINE_S, wait_until

# ack_ms of the route stack's routing table.
LIVE_MS, NOTIFY_MS = 1500, 1000
TOPIC = "com.example.chat"


class Apns:
    """The simulator's control door."""

    def __init__(self, stack):
        self.stack = stack

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.stack.environment["BECKON_APNS_CONTROL"] + path,
                                         data, method=method)
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            return answer.read()

    def pushes(self, token, status=200):
        """Those for one device, oldest first; status None: with any answer."""
        found = json.loads(self.call("GET", f"/pushes?device={token}"))
        return [push for push in found if status in (None, push["status"])]

    def wait(self, token, count, timeout_s=DEADLINE_S, status=200):
        wait_until(lambda: len(self.pushes(token, status)) >= count,
                   f"{count} pushes to {token}", timeout_s)
        return self.pushes(token, status)

    def behave(self, **behaviour):
        self.call("PUT", "/behaviour", behaviour)

    def answer(self, token, **answer):
        """What the service says to that token; nothing: as usual."""
        if answer:
            self.call("PUT", f"/tokens/{token}", answer)
        else:
            self.call("DELETE", f"/tokens/{token}")

    def connections(self):
        return json.loads(self.call("GET", "/connections"))


def mid_of(message):
    """The MID of a PUBLISH (by its topic) or of a push (by its collapse id)."""
    if isinstance(message, dict):
        return message["headers"]["apns-collapse-id"]
    return message.topic.rsplit("/", 1)[1]


def register(peer, token=None, **members):
    """me/push for this device; returns its token."""
    token = token or uuid.uuid4().hex + uuid.uuid4().hex
    body = {"provider": "apns", "token": token, "topic": TOPIC, "environment": "development"}
    body.update(members)
    assert peer.publish("me/push", json.dumps(body).encode()) == 0
    return token


def state(peer, text):
    assert peer.publish("me/state", text.encode()) == 0
