"""Too fast: publishes and connects of one device, connects of one address, and that others are not
concerned (I10). Rates are so low here that the time a test takes hardly matters."""
import socket
import time

import pytest

from support import packets as p
from support.raw_mqtt import Closed
from support.stack import HOST
from support.waiting import let_pass

# A burst, and then one a second: a test that takes a second more gets one more.
ONE_A_SECOND = 1


def publish_limit(per_s, burst, abuse_s=60):
    return (f"limit.publishes_per_s={per_s}", f"limit.publishes_burst={burst}",
            f"limit.abuse_s={abuse_s}")


def test_mqtt_5_is_told(clients, who):
    """Guide, Errors: PUBACK 0x97, the message is not stored, and what is sent in time goes on."""
    door = clients.connector(*publish_limit(ONE_A_SECOND, 5))
    bob = who("bob")
    sender = clients.peer(who("alice"), "desk", sock=door.dial())
    other = clients.peer(who("alice"), "other-desk", sock=door.dial())
    pids = [sender.post(f"to/u/{bob}", b"%d" % number) for number in range(20)]
    reasons = [sender.take(p.PUBACK, pid=pid).reason for pid in pids]
    assert reasons[:5] == [0] * 5 and set(reasons[5:]) >= {0x97} and set(reasons) == {0, 0x97}
    assert other.publish(f"to/u/{bob}", b"other") == 0
    let_pass(1.1)
    assert sender.publish(f"to/u/{bob}", b"last") == 0
    stored = [b"%d" % number for number, reason in enumerate(reasons) if reason == 0]
    got = clients.subscriber(bob).payloads(len(stored) + 2)
    assert got == [*stored, b"other", b"last"]
    address = "{}:{}".format(*sender.sock.getsockname())
    line = next(line for line in door.log().splitlines() if "publishes too fast" in line)
    assert address in line and "client=desk" in line and who("alice") in line
    assert door.counters()["limited_publishes"] == reasons.count(0x97)


def test_mqtt_3_1_1_waits(clients, who):
    """Its PUBACKs come later, in order, and nothing is lost; other clients do not wait."""
    door = clients.connector(*publish_limit(20, 5))
    bob = who("bob")
    sender = clients.peer(who("alice"), version=4, sock=door.dial())
    other = clients.peer(who("carol"), version=4, sock=door.dial())
    started = time.monotonic()
    pids = [sender.post(f"to/u/{bob}", b"%d" % number) for number in range(25)]
    assert other.publish(f"to/u/{who('dave')}", b"x") == 0
    assert time.monotonic() - started < 0.7   # the others need a second
    assert [sender.take(p.PUBACK).pid for _ in pids] == pids
    assert 0.9 <= time.monotonic() - started < 5
    assert sender.alive()
    assert clients.subscriber(bob).payloads(25) == [b"%d" % number for number in range(25)]
    counters = door.counters()
    assert counters["limited_publishes_delayed"] > 0 and counters["limited_publishes"] == 0


def test_qos_0_is_dropped(clients, who, version):
    door = clients.connector(*publish_limit(ONE_A_SECOND, 3))
    receiver = clients.subscriber(who("bob"))
    sender = clients.peer(who("alice"), version=version, sock=door.dial())
    for number in range(50):
        sender.post(f"to/u/{receiver.user}", b"%d" % number, qos=0)
    assert sender.alive()
    assert receiver.payloads(3) == [b"0", b"1", b"2"]
    assert 40 <= door.counters()["limited_publishes_dropped"] <= 47


@pytest.mark.parametrize("qos", [0, 1])
def test_lasting_abuse(clients, who, version, qos):
    """It ends the connection, with 0x97 (MQTT 5) or by closing; a 3.1.1 client that is only not
    read can't abuse anything."""
    door = clients.connector(*publish_limit(2, 4, abuse_s=1))
    sender = clients.peer(who("alice"), version=version, sock=door.dial())
    started, seen = time.monotonic(), []
    try:
        while time.monotonic() - started < (2 if (version, qos) == (4, 1) else 10):
            sender.post(f"to/u/{who('bob')}", b"x", qos=qos)
            try:
                seen.append(sender.read(0.02))
            except TimeoutError:
                pass
    except Closed:
        pass
    if (version, qos) == (4, 1):
        assert time.monotonic() - started >= 2
        assert door.counters()["closed_too_fast"] == 0
        return
    assert 1 <= time.monotonic() - started < 5
    assert door.counters()["closed_too_fast"] == 1
    goodbye = [packet.reason for packet in seen if packet.kind == p.DISCONNECT]
    assert goodbye == ([0x97] if version == p.V5 else [])


def test_who_slows_down_stays(clients, who):
    """Too fast for a moment, again and again, with pauses of a second: that is not abuse."""
    door = clients.connector(*publish_limit(ONE_A_SECOND, 2, abuse_s=1))
    sender = clients.peer(who("alice"), sock=door.dial())
    refused, started = 0, time.monotonic()
    while time.monotonic() - started < 4:
        for _ in range(5):
            refused += sender.publish(f"to/u/{who('bob')}", b"x") == 0x97
        let_pass(1.1)
    assert refused > 0 and sender.alive()


def test_another_connection_does_not_help(clients, who):
    """The limit is the device's: it goes on where the last connection left it."""
    door = clients.connector(*publish_limit(ONE_A_SECOND, 5))
    sender = clients.peer(who("alice"), sock=door.dial())
    assert [sender.publish(f"to/u/{who('bob')}", b"x") for _ in range(5)] == [0] * 5
    sender.disconnect()
    again = clients.peer(who("alice"), sock=door.dial())
    reasons = [again.publish(f"to/u/{who('bob')}", b"x") for _ in range(5)]
    assert reasons.count(0x97) >= 3   # a second or two may have passed


def test_device_connects(clients, who, version):
    """Refused with 3 / 0x9F; the person's other devices are not, and nobody without a good token
    can use a device's share up."""
    door = clients.connector("limit.device_connects_per_s=1", "limit.device_connects_burst=3")
    alice = who("alice")
    for _ in range(3):
        assert clients.raw(alice, sock=door.dial(), token="bad").connect().reason in (4, 0x86)
    reasons = [clients.raw(alice, version=version, sock=door.dial()).connect().reason
               for _ in range(10)]
    refused = 0x9F if version == p.V5 else 3
    assert reasons[:3] == [0] * 3 and reasons.count(refused) >= 4
    assert set(reasons) == {0, refused}
    assert clients.peer(alice, "tablet", version, sock=door.dial()).alive()
    line = next(line for line in door.log().splitlines() if "device connects too often" in line)
    assert alice in line and "client=phone" in line and f"peer={HOST}:" in line
    assert door.counters()["limited_device_connects"] == reasons.count(refused)


def dial_from(door, address):
    return socket.create_connection((HOST, door.port), timeout=10, source_address=(address, 0))


def test_address_connects(clients, who):
    """Closed when they come; other addresses are served."""
    door = clients.connector("limit.address_connects_per_s=1", "limit.address_connects_burst=3")
    served, closed = 0, 0
    for number in range(10):
        peer = clients.raw(who(f"u{number}"), sock=dial_from(door, "127.0.0.5"))
        try:
            served += peer.connect().reason == 0
        except (Closed, OSError):
            closed += 1
    assert served >= 3 and closed >= 4 and served + closed == 10
    sock = dial_from(door, "127.0.0.6")
    sock.settimeout(None)
    assert clients.peer(who("bob"), sock=sock).alive()
    assert "127.0.0.5 connects too often" in door.log()
    assert door.counters()["limited_address_connects"] == closed


def test_off(clients, who):
    """0 is no limit."""
    door = clients.connector("limit.publishes_per_s=0", "limit.publishes_burst=1",
                             "limit.device_connects_per_s=0", "limit.device_connects_burst=1",
                             "limit.address_connects_per_s=0", "limit.address_connects_burst=1",
                             "listen.accepts_per_s=0", "listen.accepts_burst=1")
    for _ in range(5):
        sender = clients.peer(who("alice"), sock=door.dial())
    pids = [sender.post(f"to/u/{who('bob')}", b"x") for _ in range(50)]
    assert all(sender.take(p.PUBACK, pid=pid).reason == 0 for pid in pids)
