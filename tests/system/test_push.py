"""Push registrations and what Apple answers, from outside (guide, Push registration)."""
import json
import time

import pytest

from support import packets as p
from support.pushes import TOPIC, mid_of, register
from support.waiting import let_pass, wait_until


def publish(peer, body):
    """The PUBACK of me/push."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return peer.take(p.PUBACK, pid=peer.post("me/push", raw))


GOOD = {"provider": "apns", "token": "ab" * 32, "topic": TOPIC, "environment": "development"}


@pytest.mark.parametrize("change,says", [
    ({"token": "xyz"}, "token"), ({"token": "abc"}, "token"), ({"token": ""}, "token"),
    ({"token": "ab" * 600}, "token"), ({"token": 7}, "token"),
    ({"environment": "staging"}, "environment"), ({"environment": None}, "environment"),
    ({"topic": ""}, "topic"), ({"topic": "no spaces"}, "topic"),
    ({"provider": "Apns"}, "provider"), ({"extra": 1}, "unknown member")])
def test_malformed_registration(routes, who, change, says):
    """0x99 with what is wrong and what was expected; the connection goes on."""
    peer = routes.peer(who("bob"))
    answer = publish(peer, {**GOOD, **change})
    assert answer.reason == 0x99 and says in answer.prop(p.REASON_STRING)
    assert peer.alive()


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b'{"provider":"apns","provider":"x"}'])
def test_not_json(routes, who, raw):
    assert publish(routes.peer(who("bob")), raw).reason == 0x99


def test_unknown_provider(routes, who):
    answer = publish(routes.peer(who("bob")), {**GOOD, "provider": "fcm"})
    assert answer.reason == 0x83 and "no push plugin" in answer.prop(p.REASON_STRING)


def test_registration_makes_the_device(routes, who, apns):
    """A device exists from its first inbox subscription or me/push."""
    phone = routes.peer(who("bob"), "phone")
    token = register(phone)
    phone.disconnect()
    assert routes.peer(who("alice")).publish(f"to/u/{phone.user}", b"m") == 0
    apns.wait(token, 1)


def test_none_forgets(routes, who, apns):
    phone, alice = routes.subscriber(who("bob"), "phone"), routes.peer(who("alice"))
    token = register(phone)
    assert publish(phone, {"provider": "none"}).reason == 0
    phone.disconnect()
    assert alice.publish(f"to/u/{phone.user}", b"m") == 0
    let_pass(1)
    assert apns.pushes(token, None) == []


def test_token_belongs_to_the_latest(routes, who, apns):
    """A phone that changed accounts shows nothing of the former one."""
    bob, carol = (routes.subscriber(who(name), "phone") for name in ("bob", "carol"))
    token = register(bob)
    register(carol, token)
    for peer in (bob, carol):
        peer.disconnect()
    alice = routes.peer(who("alice"))
    assert alice.publish(f"to/u/{bob.user}", b"not for this phone") == 0
    assert alice.publish(f"to/u/{carol.user}", b"m") == 0
    push, = apns.wait(token, 1)
    let_pass(1)
    assert len(apns.pushes(token, None)) == 1
    assert push["payload"]["aps"]["badge"] == 1


def test_registration_survives_a_restart(routes, route_stack, who, apns):
    phone = routes.subscriber(who("bob"), "phone")
    token = register(phone)
    phone.disconnect()
    route_stack.kill("broker")
    route_stack.start("broker")
    assert routes.peer(who("alice")).publish(f"to/u/{phone.user}", b"m") == 0
    apns.wait(token, 1)


# --- what Apple says -------------------------------------------------------------------------------

@pytest.fixture
def offline(routes, who):
    """bob's phone has registered and gone; returns (token, send)."""
    phone, alice = routes.subscriber(who("bob"), "phone"), routes.peer(who("alice"))
    token = register(phone)
    phone.disconnect()

    def send(payload=b"m"):
        assert alice.publish(f"to/u/{phone.user}", payload) == 0
    return token, send


@pytest.mark.parametrize("reason", ["Unregistered", "ExpiredToken"])
def test_dead_token(offline, apns, reason):
    """410: forgotten, and not asked again."""
    token, send = offline
    apns.answer(token, status=410, reason=reason, timestamp=int(time.time() * 1000) + 1000)
    send()
    apns.wait(token, 1, status=410)
    send()
    let_pass(1)
    assert len(apns.pushes(token, None)) == 1


def test_410_for_a_token_registered_again_meanwhile(routes, who, apns):
    """The late answer is about the former registration: the new one stays, and gets the alert."""
    phone, alice = routes.subscriber(who("bob"), "phone"), routes.peer(who("alice"))
    token = register(phone)
    apns.answer(token, status=410, reason="Unregistered", timestamp=int(time.time() * 1000))
    apns.behave(delay_ms=1000)
    phone.disconnect()
    assert alice.publish(f"to/u/{phone.user}", b"m") == 0
    again = routes.peer(phone.user, "phone")
    wait_until(lambda: apns.connections()["open"], "the request is on its way")
    register(again, token)
    again.disconnect()
    apns.wait(token, 1, status=410)
    apns.answer(token)
    apns.wait(token, 1)


def test_bad_device_token_forgets_only_that_registration(routes, who, apns):
    phone, alice = routes.subscriber(who("bob"), "phone"), routes.peer(who("alice"))
    old = register(phone)
    apns.answer(old, status=400, reason="BadDeviceToken")
    apns.behave(delay_ms=800)
    phone.disconnect()
    assert alice.publish(f"to/u/{phone.user}", b"m") == 0
    again = routes.peer(phone.user, "phone")
    new = register(again)
    again.disconnect()
    apns.wait(new, 1)


@pytest.mark.parametrize("status,reason", [(500, "InternalServerError"),
                                           (503, "ServiceUnavailable"), (429, "TooManyRequests")])
def test_passing_fault_is_retried(offline, apns, status, reason):
    token, send = offline
    apns.answer(token, status=status, reason=reason)
    send()
    apns.wait(token, 1, status=status)
    apns.answer(token)
    push, = apns.wait(token, 1, timeout_s=40)
    ids = {mid_of(push) for push in apns.pushes(token, None)}
    assert ids == {mid_of(push)}


def test_goaway_loses_nothing(routes, who, apns):
    """Apple says goodbye after every third answer: each message is pushed, each once."""
    apns.behave(goaway_after=3)
    alice, tokens = routes.peer(who("alice")), []
    for number in range(20):
        phone = routes.peer(who(f"bob{number}"), "phone")
        tokens.append(register(phone))
        phone.disconnect()
    for number in range(20):
        alice.post(f"to/u/{who(f'bob{number}')}", b"m")
    for token in tokens:
        apns.wait(token, 1, timeout_s=40)
    assert [len(apns.pushes(token)) for token in tokens] == [1] * 20


def test_apns_away_and_back(offline, apns, route_stack):
    """No process listens for a while: alerts wait, and then go out in order."""
    token, send = offline
    route_stack.kill("apns-simulator")
    for number in range(5):
        send(b"%d" % number)
    let_pass(3)
    route_stack.start("apns-simulator")
    pushes = apns.wait(token, 5, timeout_s=60)
    assert pushes[-1]["payload"]["aps"]["badge"] == 5
    mids = [mid_of(push) for push in pushes]
    assert mids == sorted(set(mids))   # one sender, one connector: ids rise with time


def test_connections_dropped_and_back(offline, apns):
    token, send = offline
    apns.behave(drop_connections=True)
    for number in range(3):
        send(b"%d" % number)
    let_pass(2)
    apns.behave()
    pushes = apns.wait(token, 3, timeout_s=60)
    assert len({mid_of(push) for push in pushes}) == 3


def test_expired_is_not_pushed(routes, who, apns, route_stack):
    """What expires while Apple is away is dropped, the rest goes out."""
    phone, alice = routes.subscriber(who("bob"), "phone"), routes.peer(who("alice"))
    token = register(phone)
    phone.disconnect()
    route_stack.kill("apns-simulator")
    assert alice.publish(f"to/u/{phone.user}", b"short", props=[(p.MESSAGE_EXPIRY, 1)]) == 0
    assert alice.publish(f"to/u/{phone.user}", b"long") == 0
    let_pass(2)
    route_stack.start("apns-simulator")
    apns.wait(token, 1, timeout_s=60)
    let_pass(1)
    assert len(apns.pushes(token)) == 1


def test_headers(routes, who, apns):
    """priority 5, expiration from the time to live."""
    phone, alice = routes.subscriber(who("bob"), "phone"), routes.peer(who("alice"))
    token = register(phone)
    phone.disconnect()
    assert alice.publish(f"to/u/{phone.user}", b"m", props=[
        (p.MESSAGE_EXPIRY, 100), (p.USER_PROPERTY, ("priority", "5"))]) == 0
    headers = apns.wait(token, 1)[0]["headers"]
    assert headers["apns-priority"] == "5" and headers["apns-topic"] == TOPIC
    assert abs(int(headers["apns-expiration"]) - time.time() - 100) < 5
