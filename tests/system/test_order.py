"""Order: a person's inbox is one sequence, and what one connection sends is never swapped."""
import threading

import pytest

from support import packets as p
from support.raw_mqtt import Closed

MESSAGES = 10_000
WINDOW = 64          # unacknowledged publishes of the sender, within the server's Receive Maximum
CUT_EVERY = 1_500    # messages that the receiver takes before its connection is lost


def send_numbered(peer, recipient, count, window=WINDOW):
    """Keeps `window` publishes unacknowledged; PUBACKs must come in the order of sending."""
    sent = acked = 0
    while acked < count:
        burst = []
        while sent < count and sent - acked < window:
            burst.append(p.publish(peer.version, f"to/u/{recipient}", b"%d" % sent,
                                   pid=sent % 60000 + 1))
            sent += 1
        if burst:
            peer.send(b"".join(burst))
        answer = peer.take(p.PUBACK)
        assert (answer.pid, answer.reason) == (acked % 60000 + 1, 0)
        acked += 1


def receive_numbered(clients, user, version, count):
    """Takes `count` different numbers over as many connections as it takes, each of which is cut
    with messages in flight. Returns the numbers of each connection in the order of arrival."""
    connections, seen = [], 0
    while seen < count:
        peer = clients.persistent(user, version=version)
        if connections:
            assert peer.connack.session_present
        else:
            peer.subscribe()
        numbers, goal = [], min(seen + CUT_EVERY, count)
        while not numbers or numbers[-1] + 1 < goal:
            message, = peer.receive()
            numbers.append(int(message.payload))
            assert message.dup or numbers[-1] >= seen, "a repeat without DUP"
        connections.append(numbers)
        seen = goal
        peer.cut()
    return connections


def check_sequence(connections, count):
    """Within a connection no gap and no repeat; over all of them everything, first in order."""
    expected = 0
    for numbers in connections:
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert numbers[0] <= expected, f"gap: {expected} to {numbers[0]} never came"
        expected = max(expected, numbers[-1] + 1)
    assert expected == count


def test_ten_thousand_in_order(clients, who, version):
    """Order (I3): 10,000 messages of one sender arrive as one ascending sequence through the
    receiver's lost connections; no gap, and no repeat within a connection."""
    bob = who("bob")
    sender = clients.peer(who("alice"), "sender")
    failure = []

    def run():
        try:
            send_numbered(sender, bob, MESSAGES)
        except (AssertionError, Closed, TimeoutError) as error:
            failure.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        connections = receive_numbered(clients, bob, version, MESSAGES)
    finally:
        thread.join()
    assert not failure
    check_sequence(connections, MESSAGES)
    assert len(connections) >= MESSAGES // CUT_EVERY


def test_order_of_each_sender_among_many(clients, who):
    """Order (I3): with several senders at once, each one's messages stay in order, and both devices
    of the recipient see the same sequence."""
    bob, senders = who("bob"), [who(f"sender{index}") for index in range(4)]
    phone, tablet = clients.subscriber(bob, "phone"), clients.subscriber(bob, "tablet")
    threads = [threading.Thread(target=send_numbered, args=(clients.peer(name), bob, 250, 16))
               for name in senders]
    for thread in threads:
        thread.start()
    seen = []
    try:
        for peer in (phone, tablet):
            seen.append([(m.topic, int(m.payload)) for m in peer.receive(1000)])
    finally:
        for thread in threads:
            thread.join()
    assert seen[0] == seen[1]
    for name in senders:
        numbers = [number for topic, number in seen[0] if topic.startswith(f"inbox/u/{name}/")]
        assert numbers == list(range(250))


def test_paho_order(clients, who):
    """The same through a client we did not write, with its own window and its own repeats."""
    bob = who("bob")
    receiver = clients.paho(bob)
    receiver.subscribe()
    sender = clients.paho(who("alice"), version=4)
    sender.client.max_inflight_messages_set(50)
    for number in range(1000):
        sender.publish(f"to/u/{bob}", b"%d" % number)
    got = [int(message.payload) for message in receiver.receive(1000, timeout_s=30)]
    assert got == list(range(1000))


@pytest.mark.parametrize("restart", [False, True], ids=["steady", "broker-restarted"])
def test_pubacks_in_the_order_of_the_publishes(own_clients, own_stack, who, version, restart):
    """MQTT-4.6.0-2: PUBACKs come in the order of the publishes, also when some recipients are new
    to the broker, or to a broker that has just started, and others are not."""
    known = [who(f"known{index}") for index in range(4)]
    sender = own_clients.peer(who("alice"), version=version)
    for user in known:
        assert sender.publish(f"to/u/{user}", b"x") == 0
    if restart:
        own_stack.kill("broker")
    pids = []
    for index in range(40):
        new = who(f"new{index}")
        pids += [sender.post(f"to/u/{user}", b"x") for user in (new, known[index % 4], new)]
    if restart:
        own_stack.start("broker")
    assert [sender.take(p.PUBACK, 30).pid for _ in pids] == pids
