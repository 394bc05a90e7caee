"""KEY: a send that is repeated is stored once and answered as the first one was (I4)."""
import threading

import pytest

from support import packets as p


def burst(peer, recipient, pairs):
    """Publishes (key, payload) pairs in one write; returns the reasons in their order."""
    pids = [peer.pid() for _ in pairs]
    peer.send(b"".join(p.publish(peer.version, f"to/u/{recipient}/{key}", payload, pid=pid)
                       for pid, (key, payload) in zip(pids, pairs)))
    return [peer.take(p.PUBACK, pid=pid).reason for pid in pids]


def inbox_of(clients, user, sentinel=b"the end"):
    """All that waits for `user`, up to a message that is sent last."""
    assert clients.peer("sentinel").publish(f"to/u/{user}", sentinel) == 0
    peer, out = clients.subscriber(user, "reader"), []
    while not out or out[-1] != sentinel:
        out += peer.payloads()
    return out[:-1]


def test_same_key_same_content(clients, who, version):
    """Guide, Sending: the same KEY with the same content is acknowledged again and not stored
    again: at once, later, after a reconnect, and from another device of the sender."""
    alice, bob = who("alice"), who("bob")
    peer = clients.peer(alice, version=version)
    for _ in range(3):
        assert peer.publish(f"to/u/{bob}/k1", b"hello") == 0
    peer.cut()
    assert clients.peer(alice, version=version).publish(f"to/u/{bob}/k1", b"hello", dup=True) == 0
    assert clients.peer(alice, "tablet", connector=1).publish(f"to/u/{bob}/k1", b"hello") == 0
    assert inbox_of(clients, bob) == [b"hello"]


def test_same_key_other_content(clients, who):
    """Guide, Sending: with other content: PUBACK 0x83, and the first one stands."""
    alice, bob = who("alice"), who("bob")
    peer = clients.peer(alice)
    assert peer.publish(f"to/u/{bob}/k1", b"hello") == 0
    assert peer.publish(f"to/u/{bob}/k1", b"hello!") == 0x83
    assert peer.publish(f"to/u/{bob}/k1", b"") == 0x83
    props = [(p.CONTENT_TYPE, "text/plain")]
    assert peer.publish(f"to/u/{bob}/k1", b"hello", props=props) == 0x83
    assert peer.publish(f"to/u/{bob}/k1", b"hello") == 0
    assert inbox_of(clients, bob) == [b"hello"]


def test_same_key_other_content_in_3_1_1(clients, who):
    """3.1.1: a refused publish closes the connection."""
    bob, peer = who("bob"), clients.peer(who("alice"), version=4)
    assert peer.publish(f"to/u/{bob}/k1", b"hello") == 0
    peer.post(f"to/u/{bob}/k1", b"other")
    assert peer.end() == []
    assert inbox_of(clients, bob) == [b"hello"]


def test_scope_of_a_key(clients, who):
    """KEY counts for one sender and one recipient: from someone else, or to someone else, the same
    KEY is another message; and KEYs differ by case."""
    alice, bob, carol = who("alice"), who("bob"), who("carol")
    first, second = clients.peer(alice), clients.peer(carol)
    assert first.publish(f"to/u/{bob}/k1", b"from alice") == 0
    assert second.publish(f"to/u/{bob}/k1", b"from carol") == 0
    assert first.publish(f"to/u/{bob}/K1", b"other case") == 0
    assert first.publish(f"to/u/{carol}/k1", b"to carol") == 0
    assert inbox_of(clients, bob) == [b"from alice", b"from carol", b"other case"]
    assert inbox_of(clients, carol) == [b"to carol"]


def test_without_a_key(clients, who):
    """Without a KEY equal messages are different messages."""
    bob, peer = who("bob"), clients.peer(who("alice"))
    assert [peer.publish(f"to/u/{bob}", b"again") for _ in range(3)] == [0, 0, 0]
    assert inbox_of(clients, bob) == [b"again"] * 3


@pytest.mark.parametrize("key", ["a", "k" * 64, "A.b_c~d-9"])
def test_forms_of_a_key(clients, who, key):
    """KEY is 1 to 64 of A-Z a-z 0-9 . _ ~ -"""
    bob, peer = who("bob"), clients.peer(who("alice"))
    assert [peer.publish(f"to/u/{bob}/{key}", b"x") for _ in range(2)] == [0, 0]
    assert inbox_of(clients, bob) == [b"x"]


def test_duplicates_in_one_write(clients, who):
    """Repeats that are stored in the same transaction as the original are found as well."""
    bob, peer = who("bob"), clients.peer(who("alice"))
    reasons = burst(peer, bob, [("a", b"1"), ("a", b"1"), ("b", b"2"), ("a", b"other"), ("a", b"1"),
                                ("b", b"2"), ("c", b"3"), ("c", b"other")])
    assert reasons == [0, 0, 0, 0x83, 0, 0, 0, 0x83]
    assert inbox_of(clients, bob) == [b"1", b"2", b"3"]


def concurrently(peers, publish):
    """publish(peer, index) on all peers at once; returns the reasons."""
    gate, reasons = threading.Barrier(len(peers)), [None] * len(peers)

    def run(index):
        gate.wait()
        reasons[index] = publish(peers[index], index)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(peers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return reasons


def test_concurrent_duplicates(clients, who):
    """The same KEY and content from eight devices of the sender at once, over both connectors:
    stored once, acknowledged eight times."""
    alice, bob = who("alice"), who("bob")
    peers = [clients.peer(alice, f"d{index}", connector=index % 2) for index in range(8)]
    for key in range(10):
        reasons = concurrently(
            peers, lambda peer, _: peer.publish(f"to/u/{bob}/k{key}", b"%d" % key))
        assert reasons == [0] * 8
    assert inbox_of(clients, bob) == [b"%d" % key for key in range(10)]


def test_concurrent_contradictions(clients, who):
    """The same KEY with different contents at once: one wins, the others hear 0x83."""
    alice, bob = who("alice"), who("bob")
    peers = [clients.peer(alice, f"d{index}", connector=index % 2) for index in range(6)]
    winners = []
    for key in range(10):
        reasons = concurrently(
            peers, lambda peer, index: peer.publish(f"to/u/{bob}/k{key}", b"%d" % index))
        assert sorted(reasons) == [0] + [0x83] * 5
        winners.append(b"%d" % reasons.index(0))
    assert inbox_of(clients, bob) == winners


def test_key_after_a_broker_restart(own_clients, own_stack, who):
    """KEYs are remembered in the database, not in a process."""
    alice, bob = who("alice"), who("bob")
    peer = own_clients.peer(alice)
    assert peer.publish(f"to/u/{bob}/k1", b"hello") == 0
    own_stack.kill("broker")
    own_stack.start("broker")
    assert peer.publish(f"to/u/{bob}/k1", b"hello", timeout_s=30) == 0
    assert peer.publish(f"to/u/{bob}/k1", b"other") == 0x83
    assert inbox_of(own_clients, bob) == [b"hello"]
