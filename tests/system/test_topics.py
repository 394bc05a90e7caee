"""The topics a client may use, and the answers for all others (guide, Topics)."""
import pytest

from support import packets as p

FOREIGN_TOPICS = ["a", "/", "to", "to/", "to/u", "to/u/", "to/u//k", "to/x/y", "to/u/a b", "to/u/ä",
                  "to/u/bob/", "to/u/bob/bad key", "to/u/bob/k/more", "to/u/" + "x" * 65,
                  "to/u/bob/" + "k" * 65, "to/u/bob/k:1", "inbox", "inbox/u/a/b", "inbox/live/u/a",
                  "receipt/x", "presence/u/a", "$SYS/broker/uptime", "me", "me/other", "TO/u/bob"]
NOT_SERVED_YET = ["send"]


@pytest.mark.parametrize("topic", FOREIGN_TOPICS, ids=ascii)
def test_forbidden_topic(clients, who, topic):
    """A topic that is not in the table: PUBACK 0x90, and the connection goes on."""
    peer = clients.peer(who("mallory"))
    assert peer.publish(topic, b"x") == 0x90
    assert peer.alive()


@pytest.mark.parametrize("topic", FOREIGN_TOPICS[:6] + NOT_SERVED_YET, ids=ascii)
def test_forbidden_topic_in_3_1_1(clients, who, topic):
    """3.1.1 has no reason codes: a refused publish closes the connection, unacknowledged."""
    peer = clients.peer(who("mallory"), version=4)
    peer.post(topic, b"x")
    assert peer.end() == []


def test_forbidden_topic_with_qos_0(clients, who, version):
    """A refused QoS 0 publish is dropped; the connection goes on."""
    peer = clients.peer(who("mallory"), version=version)
    for topic in FOREIGN_TOPICS + NOT_SERVED_YET:
        peer.post(topic, b"x", qos=0)
    assert peer.alive()


@pytest.mark.parametrize("topic", NOT_SERVED_YET)
def test_topic_of_a_later_release(clients, who, topic):
    """What this release does not serve is refused with 0x83, and says so."""
    peer = clients.peer(who("alice"))
    pid = peer.post(topic, b"{}")
    answer = peer.take(p.PUBACK, pid=pid)
    assert answer.reason == 0x83 and answer.prop(p.REASON_STRING)


FILTERS = [("inbox/#", 1, 1), ("inbox/#", 2, 1), ("inbox/#", 0, 0), ("#", 1, 0x8F), ("+", 1, 0x8F),
           ("inbox/+", 1, 0x8F), ("inbox", 1, 0x8F), ("inbox/u/#", 1, 0x8F), ("+/#", 1, 0x8F),
           ("$SYS/#", 1, 0x8F), ("to/u/bob", 1, 0x8F), ("inbox/+/a", 1, 0x8F), ("/", 1, 0x8F),
           ("$share/g/inbox/#", 1, 0x9E), ("receipt/#", 1, 0x83), ("presence/u/bob", 1, 0x87)]


@pytest.mark.parametrize("text,qos,code", FILTERS, ids=[f"{f[0]}-qos{f[1]}" for f in FILTERS])
def test_filter(clients, who, version, text, qos, code):
    """SUBACK: the granted QoS (at most 1); 0x8F for a filter that is not in the table, 0x9E for a
    shared one; what is not served yet 0x83, presence without permission 0x87. 3.1.1: 0x80."""
    peer = clients.peer(who("bob"), version=version)
    assert peer.subscribe([(text, qos)]) == [code if version == p.V5 or code < 0x80 else 0x80]
    assert peer.alive()


def test_several_filters(clients, who, version):
    """MQTT-3.9.3-1: one code a filter, in the order of the filters; a refused one does not spoil
    the others."""
    bob = who("bob")
    peer = clients.peer(bob, version=version)
    refused = [0x8F, 0x9E, 0x8F] if version == p.V5 else [0x80] * 3
    codes = peer.subscribe([("foo", 1), ("inbox/#", 1), ("$share/g/x", 1), ("bar/#", 0)])
    assert codes == [refused[0], 1, *refused[1:]]
    assert clients.peer(who("alice")).publish(f"to/u/{bob}", b"x") == 0
    assert peer.payloads() == [b"x"]


def test_unsubscribe_what_was_never_subscribed(clients, who, version):
    """MQTT 5: 0x11, no subscription existed. 3.1.1: an UNSUBACK all the same (MQTT-3.10.4-5)."""
    codes = clients.peer(who("bob"), version=version).unsubscribe("inbox/#", "foo", "$share/g/x")
    assert codes == ([0x11] * 3 if version == p.V5 else [])


def test_payload_that_is_not_the_promised_utf8(clients, who):
    """MQTT 5.0 section 3.3.2.3.2: Payload Format 1 with a payload that is not UTF-8: 0x99."""
    peer = clients.peer(who("alice"))
    props = [(p.PAYLOAD_FORMAT, 1)]
    assert peer.publish(f"to/u/{who('bob')}", b"\xff\xfe", props=props) == 0x99
    assert peer.publish(f"to/u/{who('bob')}", "ü".encode(), props=props) == 0


@pytest.mark.parametrize("payload", [b"", b"foo", b"background x", b"background -1",
                                     b"foreground 5", b"background 99999999999", b"\xff"], ids=repr)
def test_bad_state(clients, who, payload):
    """me/state takes foreground, background, or background SECONDS; anything else is 0x99."""
    peer = clients.peer(who("alice"))
    assert peer.publish("me/state", payload) == 0x99
    assert peer.alive()


@pytest.mark.parametrize("payload", [b"background", b"background 30", b"foreground"], ids=repr)
def test_good_state(clients, who, version, payload):
    """The three forms of me/state."""
    assert clients.peer(who("alice"), version=version).publish("me/state", payload) == 0
