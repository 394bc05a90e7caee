"""The APNs simulator's control door: what was pushed, and bad days (its page in docs)."""
import concurrent.futures
import contextlib
import http.client
import json
import time

import pytest

from support import h2_frames as h2
from support.apns import DEVICE
from support.apns_fixtures import shared, simulator, start  # noqa: F401
from support.h2_frames import connected
from support.stack import HOST
from support.waiting import DEADLINE_S, wait_until


# --- the control door ----------------------------------------------------------------------------

def test_pushes(simulator):
    """What was received, in order, for all and for one device."""
    before = time.time() * 1000 - 1000
    simulator.ask(path="/3/device/aa01", body=b'{"aps":{"alert":"1"},"n":[1, 2.5, "\xc3\xa4"]}',
                  apns_collapse_id="one", apns_priority="5")
    simulator.ask(path="/3/device/aa02")
    simulator.ask(path="/3/device/AA01", apns_topic=None)
    first, second, third = simulator.pushes()
    assert list(first) == ["at", "device", "headers", "payload", "status", "reason"]
    assert before < first["at"] < time.time() * 1000 + 1000
    assert first["headers"]["apns-collapse-id"] == "one"
    assert first["headers"]["apns-priority"] == "5"
    assert simulator.token not in json.dumps(first)
    assert first["payload"] == {"aps": {"alert": "1"}, "n": [1, 2.5, "ä"]}
    assert (first["status"], first["reason"]) == (200, None)
    assert second["device"] == "aa02"
    assert simulator.pushes("aa01") == [first, third]
    assert simulator.pushes("bb") == []
    assert simulator.control("DELETE", "/pushes")[0] == 204
    assert simulator.pushes() == []


def test_push_stream(simulator):
    """Each push as it arrives, to everybody who listens; a listener that leaves harms nobody."""
    def listen(query=""):
        door = http.client.HTTPConnection(HOST, simulator.control_port, timeout=DEADLINE_S)
        door.request("GET", f"/pushes/stream{query}")
        answer = door.getresponse()
        assert answer.status == 200 and answer.getheader("Content-Type") == "text/event-stream"
        assert answer.readline().startswith(b":") and answer.readline() == b"\n"
        return door, answer

    def event(answer):
        line = answer.readline()
        assert line.startswith(b"data: ") and answer.readline() == b"\n"
        return json.loads(line[6:])

    simulator.ask(path="/3/device/aa00")
    door, every = listen()
    filtered_door, filtered = listen("?device=aa02")
    leaving_door, leaving = listen()
    leaving.close()
    leaving_door.close()
    for device in ("aa01", "aa02", "aa03"):
        assert simulator.ask(path=f"/3/device/{device}")[0] == 200
    assert [event(every)["device"] for _ in range(3)] == ["aa01", "aa02", "aa03"]
    assert event(filtered) == simulator.pushes("aa02")[0]
    for one in (every, door, filtered, filtered_door):
        one.close()


def test_push_stream_ends_with_the_program(start):
    """A listener does not keep it from ending."""
    simulator = start()
    door = http.client.HTTPConnection(HOST, simulator.control_port, timeout=DEADLINE_S)
    door.request("GET", "/pushes/stream")
    answer = door.getresponse()
    assert answer.readline().startswith(b":")
    assert simulator.stop() == 0, simulator.log_path.read_text()
    with contextlib.suppress(http.client.IncompleteRead, ConnectionResetError):
        assert answer.read() == b"\n"
    answer.close()
    door.close()


def test_store_limit(start):
    """The oldest are dropped."""
    simulator = start("store.max_pushes=2")
    for device in ("aa01", "aa02", "aa03"):
        simulator.ask(path=f"/3/device/{device}")
    assert [push["device"] for push in simulator.pushes()] == ["aa02", "aa03"]


def test_device_rules(simulator):
    """An answer for one device token, until it is undone."""
    rule = {"status": 410, "reason": "Unregistered", "timestamp": 1780000000000}
    assert simulator.control("PUT", f"/tokens/{DEVICE.upper()}", rule)[0] == 204
    status, _, body = simulator.ask()
    assert (status, body) == (410, {"reason": "Unregistered", "timestamp": 1780000000000})
    assert simulator.ask(path="/3/device/aa")[0] == 200
    assert simulator.control("DELETE", f"/tokens/{DEVICE}")[0] == 204
    assert simulator.control("DELETE", f"/tokens/{DEVICE}")[0] == 204
    assert simulator.ask()[0] == 200
    assert simulator.control("PUT", f"/tokens/{DEVICE}", {"topic": "com.other"})[0] == 204
    assert simulator.ask()[2] == {"reason": "DeviceTokenNotForTopic"}
    assert simulator.control("PUT", f"/tokens/{DEVICE}", {"environment": "production"})[0] == 204
    assert simulator.ask()[2] == {"reason": "BadDeviceToken"}


PROBLEMS = [("PUT", "/behaviour", {"delay": 1}, 400, "delay"),
            ("PUT", "/behaviour", {"delay_ms": "1"}, 400, "delay_ms"),
            ("PUT", "/behaviour", b"{", 400, None), ("PUT", "/behaviour", b"", 400, None),
            ("PUT", "/tokens/abcd", {"state": 410}, 400, "state"),
            ("PUT", "/tokens/xyz", {"status": 410, "reason": "Unregistered"}, 400, None),
            ("DELETE", "/tokens/xyz", None, 400, None),
            ("PUT", "/behaviour", b"x" * 70000, 413, None),
            ("GET", "/push", None, 404, None), ("GET", "/tokens/abcd", None, 405, None)]


@pytest.mark.parametrize("method,path,body,status,key", PROBLEMS)
def test_control_problems(simulator, method, path, body, status, key):
    """A problem document that names the key to blame."""
    got, problem, headers = simulator.control(method, path, body)
    assert got == problem["status"] == status
    assert headers["Content-Type"] == "application/problem+json"
    assert problem.get("key") == key and (key or "") in problem["detail"]
    if status == 405:
        assert headers["Allow"] == "PUT, DELETE"


def test_health_and_connections(simulator):
    assert simulator.control("GET", "/healthz")[:2] == (200, {"status": "ok"})
    before = simulator.control("GET", "/connections")[1]
    with connected(simulator) as connection:
        simulator.behave(hang=True)
        connection.request()
        connection.ping()
        now = simulator.control("GET", "/connections")[1]
        assert now["accepted"] == before["accepted"] + 1
        assert now["open"] >= 1 and now["requests"] >= 1


# --- behaviours ----------------------------------------------------------------------------------

def test_status_for_all(simulator):
    """A status for every request that breaks no rule, with Retry-After."""
    simulator.behave(status=503, reason="ServiceUnavailable", retry_after=7)
    status, headers, body = simulator.ask()
    assert (status, body) == (503, {"reason": "ServiceUnavailable"})
    assert headers["retry-after"] == "7"
    assert simulator.ask(apns_topic=None)[2] == {"reason": "MissingTopic"}
    simulator.behave()
    assert simulator.ask()[0] == 200


def test_delay(simulator):
    """Answers come late, those of other connections too, but not one after the other."""
    simulator.behave(delay_ms=500)
    started = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert [one[0] for one in pool.map(lambda _: simulator.ask(), range(4))] == [200] * 4
    assert 0.5 <= time.monotonic() - started


def test_unanswered_is_recorded_so(simulator):
    """A client that leaves before its delayed answer: status 0."""
    simulator.behave(delay_ms=600000)
    with connected(simulator) as connection:
        connection.request()
        connection.ping()
        assert simulator.pushes()[0]["status"] == 200
    wait_until(lambda: simulator.pushes()[0]["status"] == 0, "the loss is recorded")


def test_hang(simulator):
    """Requests are taken and never answered; pings still are."""
    with connected(simulator) as connection:
        assert connection.ask() == ""
        simulator.behave(hang=True)
        hung = connection.request()
        assert not [f for f in connection.ping() if f.stream == hung]
        assert [push["status"] for push in simulator.pushes()] == [200, 0]
        simulator.behave()
        assert connection.ask() == ""


def test_goaway(simulator):
    """After N answers GOAWAY; streams above the last id are not answered, and it ends."""
    simulator.behave(goaway_after=2, reason="InternalServerError")
    with connected(simulator) as connection:
        assert connection.ask() == ""
        two = [connection.request(device="aa01"), connection.request(device="aa02")]
        frames = connection.rest()
        [end] = [f for f in frames if f.type == h2.GOAWAY]
        assert h2.goaway(end) == (two[0], 0, {"reason": "InternalServerError"})
        assert [f.stream for f in frames if f.type == h2.HEADERS] == two[:1]
        assert not [f for f in frames if f.stream == two[1]]
    assert all(push["status"] == 0 for push in simulator.pushes("aa02"))
    with connected(simulator) as connection:
        assert connection.ask() == ""


def test_goaway_lets_lower_streams_finish(simulator):
    """Streams at or below the last id still get their answers, later ones included."""
    with connected(simulator) as connection:
        assert connection.ask() == ""
        connection.ping()
        slow = connection.request(end=False)
        fast = connection.request()
        assert connection.answer(fast) == ""
        simulator.behave(goaway_after=1)
        last = connection.request()
        seen = connection.until(lambda f: f.type == h2.GOAWAY)
        assert h2.goaway(seen[-1])[0] == last
        connection.send(h2.frame(h2.DATA, h2.END_STREAM, slow))
        assert [f for f in connection.rest() if f.stream == slow and f.flags & h2.END_STREAM]


def test_drop_connections(simulator):
    """All there are are cut without a word, and each new one."""
    with connected(simulator) as connection:
        assert connection.ask() == ""
        simulator.behave(hang=True)
        connection.request()
        connection.ping()
        simulator.behave(drop_connections=True)
        assert not [f for f in connection.rest() if f.type == h2.GOAWAY]
    assert simulator.curl().returncode != 0
    assert simulator.pushes()[-1]["status"] == 0
    simulator.behave()
    assert simulator.ask()[0] == 200


def test_max_concurrent_streams(simulator):
    """The limit changes on open connections, and goes back."""
    with connected(simulator) as connection:
        assert connection.ask() == ""
        connection.ping()
        simulator.behave(max_concurrent_streams=3)
        assert h2.settings(connection.ping(), h2.MAX_CONCURRENT_STREAMS) == [3]
        simulator.behave()
        assert h2.settings(connection.ping(), h2.MAX_CONCURRENT_STREAMS) == [1000]
