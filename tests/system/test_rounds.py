"""kill -9 at random moments, round after round, while a phone changes its state: what the person
sees at the end (invariants I1 to I6, I8, I9). The seed is fixed, so a failure can be repeated;
BECKON_ROUNDS makes it longer."""
import os
import random
import time

import pytest

from support.pushes import LIVE_MS, mid_of, register
from support.rounds import PATIENCE_S, Phone, Sender, drained, tally
from support.waiting import wait_until

ROUNDS = int(os.environ.get("BECKON_ROUNDS", "40"))
SEED = 20261124


@pytest.fixture
def pair(route_stack, who):
    phone, sender = Phone(route_stack, who("bob")), None
    sender = Sender(route_stack, who("alice"), phone.user)
    phone.start()
    sender.start()
    wait_until(lambda: phone.token or phone.failure, "the phone is registered")
    yield phone, sender
    for thread in (phone, sender):
        thread.stopping.set()
    for thread in (phone, sender):
        thread.join(PATIENCE_S)


def kill_and_start(stack, rng, name):
    index = rng.randrange(2) if name == "connector" else 0
    if name == "plugin-host":   # its broker starts it again
        hosts = [pid for (process, _), pid in stack.ps().items() if process == name]
        if hosts:
            stack.kill_pid(hosts[0])
        return
    stack.kill(name, index)
    stack.start(name, index)


@pytest.mark.parametrize("victim", ["broker", "connector", "plugin-host"])
@pytest.mark.timeout(900)
def test_killed_at_random_moments(route_stack, routes, apns, pair, victim):
    """Nothing lost, order kept, no alert for what was acknowledged in time, doubles only with the
    same id."""
    phone, sender = pair
    rng = random.Random(f"{SEED}{victim}")
    for _ in range(ROUNDS):
        phone.wanted = rng.choice(["foreground", "background", "offline", "frozen"])
        time.sleep(rng.uniform(0, 0.05))
        sender.goal += rng.randrange(1, 4)
        time.sleep(rng.uniform(0, 0.03))
        kill_and_start(route_stack, rng, victim)
        wait_until(lambda: sender.accepted == sender.goal or sender.failure, "all are accepted",
                   PATIENCE_S)
        assert not sender.failure and not phone.failure, (sender.failure, phone.failure)
    wait_until(lambda: drained(phone, sender), "the phone has everything", PATIENCE_S)
    time.sleep(LIVE_MS / 1000)   # what is wrongly pushed is pushed by then
    assert not phone.failure
    found = tally(phone, sender, apns.pushes(phone.token))
    found.pop("repeated with the same id")
    assert not any(found.values()), found


def test_broker_dies_between_socket_and_deadline(routes, route_stack, who, apns):
    """Deadlines are rebuilt: a message that a dead broker had PUBLISHed to a ghost is pushed."""
    phone = routes.subscriber(who("bob"), "phone", session_expiry_s=3600)
    token = register(phone)
    alice = routes.peer(who("alice"))
    assert alice.publish(f"to/u/{phone.user}", b"m") == 0
    message, = phone.receive(ack=False)
    route_stack.kill("broker")
    route_stack.start("broker")
    push, = apns.wait(token, 1)
    assert mid_of(push) == mid_of(message)


def test_broker_dies_before_the_push(routes, route_stack, who, apns):
    """Accepted, and the broker dies before it asks Apple: the next one does, although nobody
    speaks."""
    phone = routes.subscriber(who("bob"), "phone", session_expiry_s=3600)
    token = register(phone)
    phone.disconnect()
    apns.behave(hang=True)
    alice = routes.peer(who("alice"))
    assert alice.publish(f"to/u/{phone.user}", b"m") == 0
    alice.disconnect()
    route_stack.kill("broker")
    apns.behave()
    route_stack.start("broker")
    apns.wait(token, 1)


def test_connector_dies(routes, route_stack, who, apns):
    """All its devices are offline within seconds, and what they did not acknowledge is pushed."""
    phone = routes.subscriber(who("bob"), "phone", connector=1)
    token = register(phone)
    alice = routes.peer(who("alice"), connector=0)
    assert alice.publish(f"to/u/{phone.user}", b"1") == 0
    phone.receive(ack=False)
    route_stack.kill("connector", 1)
    assert alice.publish(f"to/u/{phone.user}", b"2") == 0
    assert [push["status"] for push in apns.wait(token, 2, timeout_s=8)] == [200, 200]
