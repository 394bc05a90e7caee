"""beckonctl trace: where a message is, and why it went that way."""
import json
import os
import re
import socket
import subprocess
import threading

import pytest

from support import packets as p
from support.http import Door
from support.pushes import LIVE_MS, register, state
from support.stack import HOST, free_port, program
from support.waiting import let_pass, wait_until

NO_MID = "018f0000-0001-7000-8000-000000000000"


def ctl(stack, *args, **environment):
    known = {name: stack.environment[name] for name in ("BECKON_HTTP", "BECKON_TOKEN_KEY")}
    done = subprocess.run([program("beckonctl"), "trace", *map(str, args)], capture_output=True,
                          text=True, timeout=40, check=False,
                          env={**os.environ, **known, **environment})
    return done


def events(device):
    """(step, outcome, reason) of each, oldest first."""
    return [(event["step"], event["outcome"], event["reason"]) for event in device["events"]]


# --- the way of a message --------------------------------------------------------------------------

@pytest.fixture
def door(route_stack):
    return Door(route_stack)


@pytest.fixture
def send(routes, who):
    """send(user, payload, **how): alice sends; returns the MID, from her other device's copy."""
    phone, desk = (routes.subscriber(who("alice"), device) for device in ("alice-phone", "desk"))

    def send(user, payload=b"m", **how):
        assert phone.publish(f"to/u/{user}", payload, **how) == 0
        return desk.receive()[0].mid
    return send


@pytest.fixture
def phone(routes, who):
    """bob's phone: connected, subscribed, registered for pushes. Its token is `push_token`."""
    peer = routes.subscriber(who("bob"), "bob-phone", session_expiry_s=3600)
    peer.push_token = register(peer)
    return peer


def test_delivered(door, route_stack, phone, send, who):
    """The ordinary case is one event; the sender's own copy is marked, and not acknowledged by the
    device it was sent from."""
    mid = send(phone.user)
    assert phone.receive()[0].mid == mid
    device = door.wait_state(mid, phone.user, phone.device, "acknowledged")
    assert events(device) == [("live", "acknowledged", "")]
    door.wait_state(mid, who("alice"), "desk", "acknowledged")
    document = door.trace(mid).json()
    assert document.keys() == {"mid", "from", "accepted", "recipients"}
    assert (document["mid"], document["from"]) == (mid, who("alice"))
    assert document["accepted"] == int(mid.replace("-", "")[:12], 16)
    bob, copy = document["recipients"]
    assert (bob["user"], bob["copy"], bob["expires"], bob["read"]) == (phone.user, False, None, False)
    assert bob["seq"] > 0 and 0 <= bob["devices"][0]["events"][0]["at"] - document["accepted"] < 60e3
    assert (copy["user"], copy["copy"]) == (who("alice"), True)
    assert {d["device"]: (d["state"], len(d["events"])) for d in copy["devices"]} == {
        "alice-phone": ("origin", 0), "desk": ("acknowledged", 1)}
    printed = ctl(route_stack, mid)
    assert printed.returncode == 0 and printed.stderr == ""
    lines = printed.stdout.splitlines()
    assert re.fullmatch(rf"{mid} from {who('alice')}, sent 20\d\d-\d\d-\d\dT[\d:]{{8}}\.\d{{3}}Z",
                        lines[0])
    assert lines[1] == f"  to {phone.user}, number {bob['seq']} in the inbox"
    assert lines[2] == "    bob-phone: acknowledged"
    assert re.fullmatch(r"      \+ +\d+\.\d{3} s  live +acknowledged", lines[3])
    assert lines[4].endswith(", the sender's copy")
    assert "    alice-phone: origin" in lines and "    desk: acknowledged" in lines


def test_json(door, route_stack, phone, send):
    """--json is the answer as it came."""
    mid = send(phone.user)
    phone.receive()
    door.wait_state(mid, phone.user, phone.device, "acknowledged")
    done = ctl(route_stack, mid, "--json")
    assert done.returncode == 0 and json.loads(done.stdout) == door.trace(mid).json()


def test_nobody_there_yet(door, route_stack, send, who):
    mid = send(who("nobody"))
    assert door.trace(mid).json()["recipients"][0]["devices"] == []
    assert "no device yet: it waits" in ctl(route_stack, mid).stdout


def test_waiting(door, routes, send, who):
    """A device that is away and has no push registration."""
    tablet = routes.subscriber(who("bob"), "tablet", session_expiry_s=3600)
    tablet.close()
    assert door.wait_state(send(who("bob")), who("bob"), "tablet", "waiting")


def test_pushed(door, routes, route_stack, phone, send, apns):
    """Accepted by the push service is not acknowledged; later it is, and both are told."""
    phone.close()
    mid = send(phone.user)
    apns.wait(phone.push_token, 1)
    device = door.wait_state(mid, phone.user, phone.device, "alerted")
    assert [event[:2] for event in events(device)] == [("apns", "accepted")]
    assert "bob-phone: alerted" in ctl(route_stack, mid).stdout
    assert routes.persistent(phone.user, phone.device).receive()[0].mid == mid
    device = door.wait_state(mid, phone.user, phone.device, "acknowledged")
    assert [event[:2] for event in events(device)] == [("apns", "accepted"),
                                                       ("live", "acknowledged")]


def test_timed_out(door, route_stack, phone, send, apns):
    """The deadline of the first step passed: how long it took, then the push."""
    mid = send(phone.user)
    phone.receive(ack=False)
    apns.wait(phone.push_token, 1)
    device = door.wait_state(mid, phone.user, phone.device, "alerted")
    assert [event[:2] for event in events(device)] == [("live", "timed-out"), ("apns", "accepted")]
    assert LIVE_MS * 0.9 < device["events"][0]["ms"] < LIVE_MS + 2000
    assert re.search(r"live +timed-out after \d{4} ms", ctl(route_stack, mid).stdout)


@pytest.mark.parametrize("answer,outcome", [
    ({"status": 410, "reason": "Unregistered", "timestamp": 1 << 42}, "device-gone"),
    ({"status": 400, "reason": "BadCollapseId"}, "failed")])
def test_refused_push(door, route_stack, phone, send, apns, answer, outcome):
    """The push service's own reason is shown."""
    apns.answer(phone.push_token, **answer)
    phone.close()
    mid = send(phone.user)
    apns.wait(phone.push_token, 1, status=answer["status"])

    def found():
        device = door.devices(mid, phone.user).get(phone.device, {"events": []})
        return ("apns", outcome, answer["reason"]) in events(device)
    wait_until(found, f"{outcome}, {answer['reason']}")
    assert f"{outcome} ({answer['reason']})" in ctl(route_stack, mid).stdout


def test_expired(door, routes, route_stack, send, who):
    """Its time was over before the device came back: expired, never acknowledged, unlike the one
    after it that the same cursor move passed."""
    tablet = routes.subscriber(who("bob"), "tablet", session_expiry_s=3600)
    tablet.close()
    expired = send(who("bob"), b"1", props=[(p.MESSAGE_EXPIRY, 1)])
    kept = send(who("bob"), b"2")
    let_pass(1.2)
    assert routes.persistent(who("bob"), "tablet").payloads() == [b"2"]
    door.wait_state(kept, who("bob"), "tablet", "acknowledged")
    device = door.wait_state(expired, who("bob"), "tablet", "expired")
    assert events(device) == [("", "expired", "")]
    recipient = door.trace(expired).json()["recipients"][0]
    assert 900 < recipient["expires"] - door.trace(expired).json()["accepted"] < 1100
    assert "tablet: expired" in ctl(route_stack, expired).stdout


def test_too_large(door, routes, route_stack, send, who):
    """Skipped for the device whose packets are too small, delivered to the other one."""
    watch = routes.peer(who("bob"), "watch", props=[(p.MAXIMUM_PACKET_SIZE, 300)])
    watch.subscribe()
    tablet = routes.subscriber(who("bob"), "tablet")
    large, small = send(who("bob"), b"L" * 1000), send(who("bob"), b"S")
    assert watch.payloads() == [b"S"]
    assert tablet.payloads(2) == [b"L" * 1000, b"S"]
    door.wait_state(small, who("bob"), "watch", "acknowledged")
    device = door.wait_state(large, who("bob"), "watch", "too-large")
    assert events(device) == [("live", "failed", "too-large")]
    door.wait_state(large, who("bob"), "tablet", "acknowledged")
    assert re.search(r"live +failed \(too-large\)", ctl(route_stack, large).stdout)


def test_notification(door, phone, send):
    """Acknowledged by a device in the background."""
    state(phone, "background 60")
    mid = send(phone.user)
    phone.receive()
    device = door.wait_state(mid, phone.user, phone.device, "acknowledged")
    assert "local-push" in {event[0] for event in events(device)}


def test_read(door, route_stack, phone, send, who):
    mid = send(phone.user)
    phone.receive()
    read = {"conversation": f"u/{who('alice')}", "mid": mid}
    assert phone.publish("me/read", json.dumps(read).encode()) == 0
    wait_until(lambda: door.trace(mid).json()["recipients"][0]["read"], "read")
    assert re.search(r"in the inbox, read$", ctl(route_stack, mid).stdout, re.M)


def test_to_oneself(door, routes, who):
    """One recipient, whose device both sent it and acknowledged it."""
    alice = routes.subscriber(who("alice"))
    assert alice.publish(f"to/u/{alice.user}", b"note") == 0
    mid = alice.receive()[0].mid
    device = door.wait_state(mid, alice.user, alice.device, "acknowledged")
    assert events(device) == [("live", "acknowledged", "")]


# --- errors ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("args,words", [
    ((), "expected a message id"), (("x",), "UUIDv7"), (("--json",), "expected a message id"),
    ((NO_MID, "--jsn"), '"--jsn"'), ((NO_MID, "more"), '"more"'), ((NO_MID, "--url"), "--url"),
    ((NO_MID, "--json=1"), "takes no value"), ((NO_MID.replace("-7", "-4"),), "UUIDv7")])
def test_wrong_arguments(stack, args, words):
    done = ctl(stack, *args)
    assert done.returncode == 2 and words in done.stderr and done.stdout == ""


def test_help(stack):
    for args in (("--help",), (NO_MID, "--help")):
        done = ctl(stack, *args)
        assert done.returncode == 0 and "usage: beckonctl trace MID" in done.stdout


def failed(done, *words):
    assert done.returncode == 1 and done.stdout == "", (done.returncode, done.stdout)
    assert done.stderr.startswith("beckonctl trace: ") and len(done.stderr.splitlines()) == 1
    for word in words:
        assert str(word) in done.stderr, done.stderr


def test_refusals(stack, tmp_path):
    """What the broker says is passed on; so is what is wrong with the key."""
    failed(ctl(stack, NO_MID), "404", "no such message")
    failed(ctl(stack, NO_MID, "--token", stack.token("bob")), "404", "no such message")
    failed(ctl(stack, NO_MID, "--token", "no.token.here"), "401", "malformed")
    failed(ctl(stack, NO_MID, "--token", stack.token("bob", exp=1)), "401", "expired")
    failed(ctl(stack, NO_MID, "--kid", "other"), "401", "key")
    failed(ctl(stack, NO_MID, "--key", tmp_path / "absent.key"), "absent.key")
    (tmp_path / "short.key").write_bytes(b"short")
    failed(ctl(stack, NO_MID, "--key", tmp_path / "short.key"), "short.key", "32")
    environment = {name: value for name, value in os.environ.items() if name != "BECKON_TOKEN_KEY"}
    done = subprocess.run([program("beckonctl"), "trace", NO_MID], capture_output=True, text=True,
                          timeout=40, check=False, env=environment)
    assert done.returncode == 2 and "BECKON_TOKEN_KEY" in done.stderr


def test_trailing_slash(stack):
    failed(ctl(stack, NO_MID, "--url", stack.environment["BECKON_HTTP"] + "/"), "no such message")


@pytest.mark.parametrize("url", ["nonsense://x", "file:///etc/passwd", "http://", ""])
def test_wrong_url(stack, url):
    failed(ctl(stack, NO_MID, "--url", url))


def test_nobody_listens(stack):
    port = free_port()
    failed(ctl(stack, NO_MID, "--url", f"http://{HOST}:{port}"), port)


ANSWERS = {   # from something that is no broker
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi": "not a trace",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]": "not a trace",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}": "not a trace",
    b"HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\noops": "status 500",
    b"HTTP/1.1 302 Go\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n": "status 302",
    b"220 mail\r\n": "", b"": "",
}


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: str(answer[9:12]))
def test_not_a_broker(stack, answer):
    with socket.create_server((HOST, 0)) as server:
        def serve():
            with server.accept()[0] as sock:
                sock.recv(65536)
                sock.sendall(answer)
        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://{HOST}:{server.getsockname()[1]}"
        done = ctl(stack, NO_MID, "--url", url)
        thread.join()
    failed(done, url, ANSWERS[answer])
