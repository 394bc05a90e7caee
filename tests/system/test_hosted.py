"""Plugins in processes of their own: what one does to itself costs its own deliveries a retry or
the next step, and nothing else (I8)."""
import os
import signal
import urllib.request
import uuid

import pytest

from support.clients import Clients
from support.pushes import Apns, mid_of, register
from support.stack import BUILD, Stack
from support.waiting import let_pass, wait_until

FAULTY = BUILD / "tests" / "plugins" / "faulty.so"


def settings(stack, mode, every=1):
    """A faulty plugin is the first step for a phone that is away, Apple the next."""
    apns = stack.var / "keys" / "apns"
    door = f"{{ host = \"localhost\"; port = {2197 + stack.offset}; }}"
    return ["broker:plugin_host.hang_ms=1000", "broker:plugin_host.answer_ms=1500",
            "broker:plugin_host.memory_mb=64", "broker:alert.settle_ms=0",
            "broker:plugins=( { name = \"live\"; file = \"live.so\"; },"
            " { name = \"local-push\"; file = \"local-push.so\"; },"
            f" {{ name = \"faulty\"; file = \"{FAULTY}\";"
            f" options = {{ mode = \"{mode}\"; every = {every}; }}; }},"
            " { name = \"apns\"; file = \"apns.so\"; options = { keys = ( { team = \"BECKONTEAM\";"
            f" kid = \"BECKONKEY1\"; file = \"{apns}/AuthKey_BECKONKEY1.p8\"; topics = ( \"*\" ); }} );"
            f" production = {door}; development = {door}; tls = {{ ca_file = \"{apns}/ca.pem\"; }}; }}; }} )",
            "broker:routing={ offline = ( { plugin = \"faulty\"; ack_ms = 3000; }, "
            "{ plugin = \"push\"; } ); }"]


@pytest.fixture
def faulty(request):
    """(stack, clients, apns) with the plugin in the mode that the test asks for."""
    stack = Stack()
    stack.sets = settings(stack, **request.param)
    try:
        stack.up()
        made = Clients(stack)
        yield stack, made, Apns(stack)
        made.close()
    finally:
        stack.destroy()


def offline(clients, name="bob"):
    phone = clients.peer(f"{name}-{uuid.uuid4().hex[:8]}", "phone")
    token = register(phone)
    phone.disconnect()
    return phone.user, token


def counter(stack, name):
    """One counter of the broker's metrics."""
    with urllib.request.urlopen(stack.environment["BECKON_HTTP"] + "/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return int(next(line.split()[1] for line in lines
                    if line.startswith(f"beckon_broker_{name}_total ")))


@pytest.mark.parametrize("faulty", [{"mode": "crashes", "every": 10}], indirect=True)
def test_crash_on_every_tenth(faulty):
    """Each message ends: at the plugin, or, when it keeps crashing on it, at the next step."""
    stack, clients, apns = faulty
    alice = clients.peer(f"alice-{uuid.uuid4().hex[:8]}")
    people = [offline(clients, f"bob{number}") for number in range(25)]
    live = clients.subscriber(f"carol-{uuid.uuid4().hex[:8]}")
    for user, _ in people:
        assert alice.publish(f"to/u/{user}", b"m") == 0
        assert alice.publish(f"to/u/{live.user}", b"live") == 0   # nobody else notices
        assert live.payloads() == [b"live"]
    wait_until(lambda: counter(stack, "pushed") >= len(people), "every message ended somewhere", 60)
    assert counter(stack, "pushed") == len(people)


@pytest.mark.parametrize("faulty", [{"mode": "hangs"}, {"mode": "silent"}],
                         indirect=True, ids=["hangs", "never answers"])
def test_next_step_after_the_deadline(faulty):
    """A plugin that hangs or never answers: Apple gets the alert, and a live device
    notices nothing."""
    stack, clients, apns = faulty
    alice = clients.peer(f"alice-{uuid.uuid4().hex[:8]}")
    live = clients.subscriber(f"carol-{uuid.uuid4().hex[:8]}")
    user, token = offline(clients)
    assert alice.publish(f"to/u/{user}", b"m") == 0
    assert alice.publish(f"to/u/{live.user}", b"live") == 0
    assert live.payloads() == [b"live"]
    apns.wait(token, 1, timeout_s=30)
    assert stack.pid("broker")


def test_frozen_host_is_restarted(routes, route_stack, apns, who):
    """SIGSTOP to the process of the apns plugin: it is replaced, and the alert goes out."""
    phone = routes.peer(who("bob"), "phone")
    token = register(phone)
    phone.disconnect()
    host = route_stack.pid("plugin-host")
    os.kill(host, signal.SIGSTOP)
    assert routes.peer(who("alice")).publish(f"to/u/{phone.user}", b"m") == 0
    push, = apns.wait(token, 1, timeout_s=30)
    assert push["status"] == 200
    wait_until(lambda: route_stack.ps().get(("plugin-host", 0)) not in (None, host),
               "another process runs the plugin")


def test_killed_during_a_request(routes, route_stack, apns, who):
    """The request is asked again, with the same collapse id."""
    phone = routes.peer(who("bob"), "phone")
    token = register(phone)
    phone.disconnect()
    apns.behave(hang=True)
    assert routes.peer(who("alice")).publish(f"to/u/{phone.user}", b"m") == 0
    hung, = apns.wait(token, 1, status=0)
    apns.behave()
    route_stack.kill_pid(route_stack.pid("plugin-host"))
    push, = apns.wait(token, 1, timeout_s=30)
    assert mid_of(push) == mid_of(hung)
    let_pass(1)
    assert len(apns.pushes(token)) == 1
