"""Three routes and the moments between them, from outside: what the phone gets, and what Apple was
asked to show (invariants I2, I3, I5, I6)."""
import json
import time

import pytest

from support import packets as p
from support.pushes import LIVE_MS, NOTIFY_MS, mid_of, register, state
from support.waiting import let_pass, wait_until

# Between what a route does "at once" and its deadline there is room for a busy machine.
AT_ONCE_S = 0.8


@pytest.fixture
def phone(routes, who):
    """bob's phone: connected, subscribed, registered for pushes. Its token is `push_token`."""
    peer = routes.subscriber(who("bob"), "bob-phone", session_expiry_s=3600)
    peer.push_token = register(peer)
    return peer


@pytest.fixture
def send(routes, who):
    """Sends from alice to a person; returns when it was accepted (monotonic)."""
    alice = routes.peer(who("alice"))

    def send(peer, payload, props=()):
        assert alice.publish(f"to/u/{peer.user}", payload, props=props) == 0
        return time.monotonic()
    return send


def back(routes, phone):
    """The phone connects again and goes on with its session."""
    token = phone.push_token
    peer = routes.persistent(phone.user, phone.device)
    peer.push_token = token
    return peer


# --- each route ----------------------------------------------------------------------------------

def test_foreground_gets_the_message(phone, send, apns):
    send(phone, b"hello")
    message, = phone.receive()
    assert message.payload == b"hello" and message.topic.startswith("inbox/u/")
    let_pass((LIVE_MS + 500) / 1000)   # acknowledged in time: nothing is pushed
    assert apns.pushes(phone.push_token) == []


def test_background_gets_the_document_and_apns_the_same(phone, send, apns):
    """Guide, Notifications: one document on both ways; the badge is the absolute unread count."""
    state(phone, "background 30")
    send(phone, b'{"text":"one"}', [(p.CONTENT_TYPE, "application/json")])
    note, = phone.receive()
    assert note.topic.startswith("inbox/notify/u/")
    document = json.loads(note.payload)
    assert document["aps"]["badge"] == 1
    assert document["beckon"]["mid"] == mid_of(note)
    assert document["beckon"]["data"] == {"text": "one"}
    phone.close()
    send(phone, b'{"text":"two"}', [(p.CONTENT_TYPE, "application/json")])
    push, = apns.wait(phone.push_token, 1)
    assert push["payload"]["aps"] == {**document["aps"], "badge": 2}
    assert push["payload"]["beckon"].keys() == document["beckon"].keys()
    assert push["headers"]["apns-collapse-id"] == push["payload"]["beckon"]["mid"]
    assert push["headers"]["apns-push-type"] == "alert"


def test_lease_end_with_an_open_socket(phone, send, apns):
    state(phone, "background 1")
    send(phone, b"in time")
    phone.receive()
    let_pass(1.2)
    sent = send(phone, b"too late")
    push, = apns.wait(phone.push_token, 1)
    assert time.monotonic() - sent < AT_ONCE_S and push["status"] == 200
    phone.quiet()


def test_lease_end_with_a_message_in_flight(phone, send, apns):
    """The next step starts at the earlier of the deadline and the end of the lease."""
    state(phone, "background 1")
    sent = send(phone, b"not answered")
    phone.receive(ack=False)
    apns.wait(phone.push_token, 1)
    assert 0.5 < time.monotonic() - sent < 1 + NOTIFY_MS / 1000 + AT_ONCE_S


def test_frozen_client_costs_one_deadline(phone, send, apns):
    """I6: the first push after one deadline, the next message without waiting."""
    sent = send(phone, b"one")
    push, = apns.wait(phone.push_token, 1)
    assert LIVE_MS / 1000 * 0.9 < time.monotonic() - sent < LIVE_MS / 1000 + AT_ONCE_S
    sent = send(phone, b"two")
    apns.wait(phone.push_token, 2)
    assert time.monotonic() - sent < AT_ONCE_S
    # it speaks again: both come over the socket, once each, and the third one at once
    one, = phone.receive()
    assert one.payload == b"one" and mid_of(one) == mid_of(push)
    assert phone.payloads() == [b"two"]
    send(phone, b"three")
    assert phone.payloads() == [b"three"]
    let_pass((LIVE_MS + 500) / 1000)
    assert len(apns.pushes(phone.push_token)) == 2


def test_frozen_in_the_background(phone, send, apns):
    state(phone, "background 60")
    sent = send(phone, b"one")
    apns.wait(phone.push_token, 1)
    assert NOTIFY_MS / 1000 * 0.9 < time.monotonic() - sent < NOTIFY_MS / 1000 + AT_ONCE_S


def test_half_open_socket(routes, route_stack, who, send, apns):
    """Packets vanish and nobody closes anything."""
    from support.proxy import Proxy
    proxy = routes.keep(Proxy(route_stack.port))
    phone = routes.subscriber(who("bob"), "bob-phone", sock=proxy.dial())
    token = register(phone)
    proxy.frozen.set()
    sent = send(phone, b"one")
    apns.wait(token, 1)
    assert LIVE_MS / 1000 * 0.9 < time.monotonic() - sent < LIVE_MS / 1000 + AT_ONCE_S
    sent = send(phone, b"two")
    apns.wait(token, 2)
    assert time.monotonic() - sent < AT_ONCE_S
    proxy.frozen.clear()
    assert phone.payloads(2) == [b"one", b"two"]


# --- the moments between ---------------------------------------------------------------------------

@pytest.mark.parametrize("margin_ms,pushes", [(-250, 0), (250, 1)])
def test_acknowledged_around_the_deadline(phone, send, apns, margin_ms, pushes):
    """I5: in time, and nothing is pushed; too late, and it was, with the same id. The edge itself
    is tested where the clock is ours, in tests/unit/broker/test_alert.c."""
    sent = send(phone, b"m")
    message, = phone.receive(ack=False)
    let_pass(max(0, sent + (LIVE_MS + margin_ms) / 1000 - time.monotonic()))
    phone.ack(message)
    let_pass((LIVE_MS + 500) / 1000)
    found = apns.pushes(phone.push_token)
    assert [mid_of(push) for push in found] == [mid_of(message)] * pushes


def test_each_message_has_its_own_deadline(phone, send, apns):
    """One that is not answered does not get those pushed that are answered in time."""
    send(phone, b"lost")
    let_pass(LIVE_MS / 1000 * 0.7)
    send(phone, b"answered")
    messages = phone.receive(2, ack=False)
    apns.wait(phone.push_token, 1)      # the first one's deadline has passed
    phone.ack(messages[1])
    let_pass(LIVE_MS / 1000)
    assert [mid_of(push) for push in apns.pushes(phone.push_token)] == [mid_of(messages[0])]


def test_to_the_background_with_messages_in_flight(phone, send, apns):
    """What was PUBLISHed stays where it is; what comes after is a notification; order holds."""
    for number in range(3):
        send(phone, b"%d" % number)
    before = phone.receive(3, ack=False)
    state(phone, "background 60")
    send(phone, b"3")
    note, = phone.receive()
    assert note.topic.startswith("inbox/notify/")
    phone.ack(*before)
    phone.quiet()
    assert apns.pushes(phone.push_token) == []


def test_unanswered_at_the_switch_is_pushed(phone, send, apns):
    send(phone, b"0")
    phone.receive(ack=False)
    state(phone, "background 60")
    push, = apns.wait(phone.push_token, 1)
    assert push["payload"]["aps"]["badge"] == 1


def test_back_in_the_foreground_in_order(routes, phone, send, apns):
    """What was only pushed is delivered on the socket, in order."""
    phone.close()
    for number in range(5):
        send(phone, b"%d" % number)
    pushes = apns.wait(phone.push_token, 5)
    phone = back(routes, phone)
    messages = phone.receive(5)
    assert [m.payload for m in messages] == [b"%d" % n for n in range(5)]
    assert [mid_of(m) for m in messages] == [mid_of(push) for push in pushes]
    phone.quiet()


def test_truncated_document_is_followed_by_the_message(phone, send):
    """A PUBACK moves the cursor only if the document carried the whole message."""
    large = b"x" * 5000
    state(phone, "background 60")
    send(phone, b"small")
    send(phone, large)
    notes = phone.receive(2)
    documents = [json.loads(note.payload) for note in notes]
    assert [document["beckon"].get("truncated") for document in documents] == [None, True]
    state(phone, "foreground")
    message, = phone.receive()
    assert message.payload == large and message.topic.startswith("inbox/u/")
    assert mid_of(message) == mid_of(notes[1])
    phone.quiet()


def test_reconnect_during_a_push_request(routes, phone, send, apns):
    """The request is under way when the phone comes back: it is shown once with one id, and the
    message arrives."""
    apns.behave(delay_ms=1200)
    phone.close()
    send(phone, b"m")
    wait_until(lambda: apns.connections()["open"] > 0, "the request is on its way")
    phone = back(routes, phone)
    message, = phone.receive()
    push, = apns.wait(phone.push_token, 1)
    assert mid_of(push) == mid_of(message)
    let_pass(1.5)
    assert len(apns.pushes(phone.push_token)) == 1


def test_takeover_pushes_nothing(routes, phone, send, apns):
    """The same device connects again while a message is in flight: it is delivered, not pushed."""
    send(phone, b"m")
    phone.receive(ack=False)
    phone = back(routes, phone)
    assert phone.payloads() == [b"m"]
    let_pass((LIVE_MS + 500) / 1000)
    assert apns.pushes(phone.push_token) == []


def test_keepalive_lost(routes, who, send, apns):
    """Silence for one and a half keepalives ends the connection; then it is offline."""
    phone = routes.subscriber(who("bob"), "bob-phone", keepalive=1)
    token = register(phone)
    phone.end()
    sent = send(phone, b"m")
    apns.wait(token, 1)
    assert time.monotonic() - sent < AT_ONCE_S


# --- people with several devices --------------------------------------------------------------------

def test_hold_while_another_device_is_in_use(routes, phone, send, apns):
    """The person is at another device: the alert waits, and goes out when nothing is read."""
    desk = routes.subscriber(phone.user, "desk")
    phone.close()
    sent = send(phone, b"m")
    assert desk.payloads() == [b"m"]
    apns.wait(phone.push_token, 1)
    assert time.monotonic() - sent > 1.0


def test_read_elsewhere_cancels_the_alert(routes, phone, send, apns, who):
    desk = routes.subscriber(phone.user, "desk")
    phone.close()
    send(phone, b"m")
    message, = desk.receive()
    read = {"conversation": f"u/{who('alice')}", "mid": mid_of(message)}
    assert desk.publish("me/read", json.dumps(read).encode()) == 0
    let_pass(2.5)
    assert apns.pushes(phone.push_token) == []
    desk.disconnect()
    send(phone, b"n")
    push, = apns.wait(phone.push_token, 1)
    assert push["payload"]["aps"]["badge"] == 1


def test_badge_follows_reading(routes, phone, send, apns, who):
    phone.close()
    for number in range(3):
        send(phone, b"%d" % number)
    pushes = apns.wait(phone.push_token, 3)
    assert [push["payload"]["aps"]["badge"] for push in pushes] == [1, 2, 3]
    phone = back(routes, phone)
    messages = phone.receive(3)
    read = {"conversation": f"u/{who('alice')}", "mid": mid_of(messages[1])}
    assert phone.publish("me/read", json.dumps(read).encode()) == 0
    phone.close()
    send(phone, b"3")
    assert apns.wait(phone.push_token, 4)[3]["payload"]["aps"]["badge"] == 2


def test_alert_none_is_never_alerted(routes, phone, send, apns):
    state(phone, "background 60")
    send(phone, b"silent", [(p.USER_PROPERTY, ("alert-none", "1"))])
    send(phone, b"loud")
    note, = phone.receive()
    assert json.loads(note.payload)["beckon"]["data_base64"] == "bG91ZA=="
    state(phone, "foreground")
    assert phone.payloads() == [b"silent"]
    phone.close()
    send(phone, b"silent", [(p.USER_PROPERTY, ("alert-none", "1"))])
    send(phone, b"loud")
    apns.wait(phone.push_token, 1)
    assert len(apns.pushes(phone.push_token, None)) == 1


def test_without_a_registration_the_socket_is_kept(routes, who, send):
    """A browser tab in the background has no lease, and nothing else to hand over to."""
    tab = routes.subscriber(who("bob"), "tab")
    state(tab, "background 1")
    let_pass(1.3)
    send(tab, b"m")
    note, = tab.receive(ack=False)
    assert note.topic.startswith("inbox/notify/")
    let_pass((NOTIFY_MS + 300) / 1000)
    send(tab, b"n")
    assert len(tab.receive()) == 1
