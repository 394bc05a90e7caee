"""The database sees batches that grow with load, not a round trip a message."""
import re
import signal

from support import packets as p
from support.waiting import wait_until

SENDERS, MESSAGES, WINDOW = 4, 1500, 100


def counters(stack):
    """The broker's counters, as it logs them on SIGUSR1."""
    before = stack.log("broker").count("counters ")
    stack.signal("broker", 0, signal.SIGUSR1)
    wait_until(lambda: stack.log("broker").count("counters ") > before, "the counters are logged")
    line = [line for line in stack.log("broker").splitlines() if "counters " in line][-1]
    return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", line)}


def test_batches_grow_with_load(own_stack, own_clients, who):
    """One transaction at a time takes all that came during the one before. Everything is accepted,
    and there are far fewer transactions than messages."""
    before = counters(own_stack)
    peers = [own_clients.peer(who(f"sender{index}")) for index in range(SENDERS)]
    for start in range(0, MESSAGES, WINDOW):
        for index, peer in enumerate(peers):
            posted = [p.publish(peer.version, f"to/u/{who(f'to{index}')}", b"x" * 256, 1, pid)
                      for pid in range(1 + start, 1 + start + WINDOW)]
            peer.send(b"".join(posted))
        for peer in peers:
            for pid in range(1 + start, 1 + start + WINDOW):
                assert peer.take(p.PUBACK, pid=pid).reason == 0
    after = counters(own_stack)
    rows = after["batch_rows"] - before["batch_rows"]
    batches = after["batches"] - before["batches"]
    assert rows == SENDERS * MESSAGES
    assert batches * 4 < rows, f"{rows} rows in {batches} transactions"
