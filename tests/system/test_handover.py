"""The routes as other people's clients see them: mosquitto's programs and paho, no code of ours."""
import json
import signal
import time
import uuid

from support.clients import V5
from support.pushes import LIVE_MS, TOPIC
from support.waiting import wait_until

# Between what a route does "at once" and its deadline there is room for a busy machine.
AT_ONCE_S = 0.8


def registered(routes, user):
    token = uuid.uuid4().hex * 2
    routes.mosquitto_pub(user, "bob-phone", "me/push", json.dumps(
        {"provider": "apns", "token": token, "topic": TOPIC, "environment": "development"}),
        "-V", "5")
    return token


def phone_of(routes, user, *args):
    return routes.mosquitto_sub(user, "bob-phone", "-V", "5", "-c", "-x", "3600", "-d",
                                "-F", "got %t %p", *args).subscribed()


def got(phone):
    """[(topic, payload)] as mosquitto_sub printed them."""
    return [tuple(text.split(" ", 2)[1:]) for text in phone.texts() if text.startswith("got ")]


def wait_got(phone, count):
    wait_until(lambda: len(got(phone)) >= count, f"{count} messages")
    return got(phone)


def test_from_the_socket_to_apns_with_mosquitto(routes, who, apns):
    bob, alice = who("bob"), who("alice")
    token = registered(routes, bob)

    def send(text):
        routes.mosquitto_pub(alice, "desk", f"to/u/{bob}", text, "-V", "5")
        return time.monotonic()

    phone = phone_of(routes, bob)
    send("in the foreground")
    (topic, payload), = wait_got(phone, 1)
    assert topic.startswith(f"inbox/u/{alice}/") and payload == "in the foreground"
    phone.stop()

    phone = phone_of(routes, bob, "-D", "connect", "user-property", "state", "background 2")
    send("in the background")
    (topic, payload), = wait_got(phone, 1)
    assert topic.startswith(f"inbox/notify/u/{alice}/")
    document = json.loads(payload)
    assert document["beckon"]["data_base64"] and document["aps"]["badge"] == 2
    assert apns.pushes(token) == []

    time.sleep(2.2)   # what the phone's system granted it is over
    send("asleep")
    push, = apns.wait(token, 1)
    assert push["status"] == 200 and push["payload"]["aps"] == {**document["aps"], "badge": 3}
    assert len(got(phone)) == 1
    phone.stop()


def test_frozen_mosquitto_costs_one_deadline(routes, who, apns):
    bob, alice = who("bob"), who("alice")
    token = registered(routes, bob)
    phone = phone_of(routes, bob)
    phone.signal(signal.SIGSTOP)
    sent = time.monotonic()
    routes.mosquitto_pub(alice, "desk", f"to/u/{bob}", "one", "-V", "5")
    apns.wait(token, 1)
    assert LIVE_MS / 1000 * 0.9 < time.monotonic() - sent < LIVE_MS / 1000 + AT_ONCE_S
    sent = time.monotonic()
    routes.mosquitto_pub(alice, "desk", f"to/u/{bob}", "two", "-V", "5")
    apns.wait(token, 2)
    assert time.monotonic() - sent < AT_ONCE_S
    phone.signal(signal.SIGCONT)
    assert [payload for _, payload in wait_got(phone, 2)] == ["one", "two"]
    phone.stop()
    assert len(apns.pushes(token)) == 2


def test_state_told_by_paho(routes, who, apns):
    """me/state on the connection that it is about."""
    bob, alice = who("bob"), who("alice")
    token = registered(routes, bob)
    phone = routes.paho(bob, "bob-phone", V5, clean=False, session_expiry_s=3600)
    phone.subscribe()
    phone.send("me/state", b"background 30")
    routes.mosquitto_pub(alice, "desk", f"to/u/{bob}", "one", "-V", "5")
    message, = phone.receive()
    assert message.topic.startswith(f"inbox/notify/u/{alice}/")
    phone.send("me/state", b"foreground")
    routes.mosquitto_pub(alice, "desk", f"to/u/{bob}", "two", "-V", "5")
    message, = phone.receive(2)[1:]
    assert message.topic.startswith(f"inbox/u/{alice}/") and message.payload == b"two"
    time.sleep(LIVE_MS / 1000 + 0.5)
    assert apns.pushes(token) == []
