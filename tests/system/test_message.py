"""One person sends to another: what arrives, where, and how it looks."""
import re
import time

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from support import packets as p
from support.waiting import let_pass

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

PAYLOADS = [b"hello", b"", bytes(range(256)) * 4, "grüße 🙂".encode(), b"\0" * 1000]


def mid_time_ms(mid):
    return int(mid.replace("-", "")[:12], 16)


@pytest.mark.parametrize("receiver_version", [4, 5], ids=["to-v3.1.1", "to-v5"])
@pytest.mark.parametrize("sender_version", [4, 5], ids=["from-v3.1.1", "from-v5"])
def test_one_to_one(clients, who, sender_version, receiver_version):
    """Guide, Receiving: a message arrives on inbox/u/FROM/MID with the payload as it was sent, once
    and in order, whichever protocol version either side speaks. MID is a UUIDv7 of now."""
    alice, bob = who("alice"), who("bob")
    receiver = clients.paho(bob, "phone", receiver_version)
    assert receiver.subscribe("inbox/#", 1) == [1]
    sender = clients.paho(alice, "phone", sender_version)
    for payload in PAYLOADS:
        sender.send(f"to/u/{bob}", payload)
    got = receiver.receive(len(PAYLOADS))
    assert [message.payload for message in got] == PAYLOADS
    for message in got:
        mid = message.topic.removeprefix(f"inbox/u/{alice}/")
        assert UUID7.fullmatch(mid), message.topic
        assert abs(mid_time_ms(mid) - time.time() * 1000) < 60_000
        assert (message.qos, message.dup) == (1, False)
    assert len({message.topic for message in got}) == len(PAYLOADS)


def test_mids_ascend(clients, who):
    """Guide, Receiving: MIDs name the time of sending, so those of one sender ascend."""
    alice, bob = who("alice"), who("bob")
    sender = clients.peer(alice)
    pids = [sender.post(f"to/u/{bob}", str(number).encode()) for number in range(100)]
    for pid in pids:
        assert sender.take(p.PUBACK, pid=pid).reason == 0
    mids = [message.mid for message in clients.subscriber(bob).receive(100)]
    assert mids == sorted(mids)


def test_message_to_oneself(clients, who):
    """Guide, Sending: any person may be written to, oneself included."""
    alice = who("alice")
    peer = clients.subscriber(alice)
    assert peer.publish(f"to/u/{alice}", b"note") == 0
    message, = peer.receive()
    assert (message.topic.rsplit("/", 1)[0], message.payload) == (f"inbox/u/{alice}", b"note")


@pytest.mark.parametrize("name", ["a", "u@example.org", "x:y~z._-", "U" * 64])
def test_all_characters_of_a_user_id(clients, who, name):
    """Guide, Connecting: user ids are 1 to 64 of A-Z a-z 0-9 . _ ~ @ : -"""
    receiver = clients.subscriber(name, who("d"))
    assert clients.peer(who("alice")).publish(f"to/u/{name}", b"hi") == 0
    # Nobody else uses the fixed names, but an earlier run of this test on the same stack might.
    assert receiver.receive()[-1].payload == b"hi"


@pytest.mark.parametrize("receiver_version", [4, 5], ids=["to-v3.1.1", "to-v5"])
def test_largest_packet(clients, who, receiver_version):
    """Guide, Sending: a PUBLISH of exactly the announced Maximum Packet Size is carried; one byte
    more is refused with 0x95."""
    bob = who("bob")
    receiver = clients.subscriber(bob, version=receiver_version)
    sender = clients.peer(who("alice"))
    limit = sender.connack.prop(p.MAXIMUM_PACKET_SIZE)
    assert limit and limit >= 65536
    overhead = len(p.publish(5, f"to/u/{bob}", b"x" * 100000)) - 100000
    payload = bytes(number * 7 & 255 for number in range(limit - overhead))
    assert sender.publish(f"to/u/{bob}", payload) == 0
    assert receiver.receive()[0].payload == payload
    sender.post(f"to/u/{bob}", payload + b"x")
    assert [packet.reason for packet in sender.end()] == [0x95]
    receiver.quiet()


def rich_properties():
    options = Properties(PacketTypes.PUBLISH)
    options.PayloadFormatIndicator = 1
    options.ContentType = "text/plain; charset=utf-8"
    options.ResponseTopic = "to/u/alice"
    options.CorrelationData = bytes(range(256))
    options.UserProperty = [("z", "1"), ("a", "2"), ("z", "1"), ("", ""), ("ключ", "値"), ("a", "0")]
    return options


def test_properties_are_carried(clients, who):
    """Guide, Sending: Payload Format Indicator, Content Type, Response Topic, Correlation Data and
    all user properties reach an MQTT 5 receiver unchanged and in order, duplicates included."""
    bob = who("bob")
    receiver = clients.paho(bob)
    receiver.subscribe()
    sent = rich_properties()
    clients.paho(who("alice")).send(f"to/u/{bob}", "text ü".encode(), sent)
    got = receiver.receive()[0].properties
    for name in ("PayloadFormatIndicator", "ContentType", "ResponseTopic", "CorrelationData",
                 "UserProperty"):
        assert getattr(got, name) == getattr(sent, name), name
    assert not hasattr(got, "MessageExpiryInterval"), "the sender set none"


def test_properties_survive_storage(clients, who):
    """The same for a message that waited in the inbox; a 3.1.1 device of the person gets the
    payload alone."""
    alice, bob = who("alice"), who("bob")
    props = [(p.USER_PROPERTY, ("b", "1")), (p.CONTENT_TYPE, "a/b"), (p.USER_PROPERTY, ("a", "2")),
             (p.CORRELATION_DATA, b"\0\xff"), (p.USER_PROPERTY, ("b", "1")), (p.PAYLOAD_FORMAT, 0)]
    assert clients.peer(alice).publish(f"to/u/{bob}", b"\xff", props=props) == 0
    plain = clients.subscriber(bob, "old-phone", version=4)
    assert plain.receive(ack=False)[0].payload == b"\xff"
    message, = clients.subscriber(bob, "phone").receive(ack=False)
    assert message.user_properties() == [("b", "1"), ("a", "2"), ("b", "1")]
    assert message.prop(p.CONTENT_TYPE) == "a/b"
    assert message.prop(p.CORRELATION_DATA) == b"\0\xff"
    assert message.prop(p.MESSAGE_EXPIRY) is None


def test_subscription_identifier(clients, who):
    """MQTT 5.0 section 3.8.2.1.2: what a subscription with an identifier causes carries it."""
    bob = who("bob")
    receiver = clients.peer(bob)
    assert receiver.subscribe("inbox/#", 1, props=[(p.SUBSCRIPTION_ID, 268_435_455)]) == [1]
    assert clients.peer(who("alice")).publish(f"to/u/{bob}", b"x") == 0
    assert receiver.receive()[0].prop(p.SUBSCRIPTION_ID) == 268_435_455


def test_expiry(clients, who):
    """Guide, Sending: Message Expiry Interval arrives less the time that the message waited; one
    that expired while it waited is not delivered, and does not hold up what came after it."""
    bob = who("bob")
    sender = clients.peer(who("alice"))
    for payload, expiry_s in ((b"long", 100), (b"short", 1), (b"long too", 4_000_000)):
        props = [(p.MESSAGE_EXPIRY, expiry_s)]
        assert sender.publish(f"to/u/{bob}", payload, props=props) == 0
    assert sender.publish(f"to/u/{bob}", b"for ever") == 0
    let_pass(2.2)
    got = clients.subscriber(bob).receive(3)
    assert [message.payload for message in got] == [b"long", b"long too", b"for ever"]
    # 100 less 2.2 and more, rounded either way.
    assert 100 - 20 < got[0].prop(p.MESSAGE_EXPIRY) <= 98
    assert got[2].prop(p.MESSAGE_EXPIRY) is None


def test_message_expiry_does_not_grow_with_a_new_device(clients, who):
    """The interval counts from the sending, not from the first delivery."""
    bob = who("bob")
    props = [(p.MESSAGE_EXPIRY, 100)]
    assert clients.peer(who("alice")).publish(f"to/u/{bob}", b"x", props=props) == 0
    first, = clients.subscriber(bob, "one").receive(ack=False)
    let_pass(2.1)
    second, = clients.subscriber(bob, "two").receive(ack=False)
    assert second.prop(p.MESSAGE_EXPIRY) <= first.prop(p.MESSAGE_EXPIRY) - 2
    assert second.topic == first.topic


def test_two_devices_of_one_person(clients, who):
    """Guide, Sessions and cursors: every device of a person gets every message, under the same
    MID, and each has a cursor of its own."""
    alice, bob = who("alice"), who("bob")
    phone, tablet = clients.subscriber(bob, "phone"), clients.subscriber(bob, "tablet", version=4)
    sender = clients.peer(alice)
    for number in range(5):
        assert sender.publish(f"to/u/{bob}", b"%d" % number) == 0
    on_phone, on_tablet = phone.receive(5), tablet.receive(5)
    assert [m.payload for m in on_phone] == [b"0", b"1", b"2", b"3", b"4"]
    assert [m.topic for m in on_phone] == [m.topic for m in on_tablet]

    tablet.settle(who("sink"))
    tablet.disconnect()
    for number in range(5, 8):
        assert sender.publish(f"to/u/{bob}", b"%d" % number) == 0
    assert phone.payloads(3) == [b"5", b"6", b"7"]
    phone.settle(who("sink"))
    assert clients.subscriber(bob, "tablet", version=4).payloads(3) == [b"5", b"6", b"7"]


def test_unsubscribe_stops_delivery(clients, who):
    """Guide, Receiving: after UNSUBSCRIBE nothing is delivered; what came meanwhile waits."""
    bob = who("bob")
    receiver, sender = clients.subscriber(bob), clients.peer(who("alice"))
    assert receiver.unsubscribe("inbox/#", "inbox/other") == [0x00, 0x11]
    assert sender.publish(f"to/u/{bob}", b"later") == 0
    receiver.quiet()
    assert receiver.subscribe() == [1]
    assert receiver.payloads() == [b"later"]


def test_copies_of_what_was_sent(clients, who, version):
    """Guide, Receiving: what a person sends reaches their other devices on inbox/sent/u/TO/MID,
    under the MID that the recipient sees, in order with what they receive; not the device it was
    sent from."""
    alice, bob = who("alice"), who("bob")
    phone = clients.subscriber(alice, "phone", version=version)
    tablet = clients.subscriber(alice, "tablet", version=version)
    other = clients.subscriber(bob)
    assert phone.publish(f"to/u/{bob}/k1", b"question") == 0
    assert phone.publish(f"to/u/{bob}/k1", b"question") == 0
    question, = other.receive()
    assert other.publish(f"to/u/{alice}", b"answer") == 0
    got = tablet.receive(2)
    assert [(m.topic, m.payload) for m in got] == [
        (f"inbox/sent/u/{bob}/{question.mid}", b"question"),
        (f"inbox/u/{bob}/{got[1].mid}", b"answer")]
    assert phone.payloads() == [b"answer"]
    phone.quiet()
    tablet.quiet()


def test_no_copies_with_a_single_device(clients, who):
    """Copies are made only when the sender has two devices or more; what a client that never
    subscribed sends is not copied back to where it came from."""
    alice, bob = who("alice"), who("bob")
    phone = clients.subscriber(alice)
    assert phone.publish(f"to/u/{bob}", b"x") == 0
    phone.quiet()


def test_copies_carry_properties_and_wait(clients, who):
    """A copy is stored like a message: it waits for a device that is away."""
    alice, bob = who("alice"), who("bob")
    phone, tablet = clients.subscriber(alice, "phone"), clients.subscriber(alice, "tablet")
    tablet.disconnect()
    props = [(p.CONTENT_TYPE, "a/b"), (p.USER_PROPERTY, ("x", "1"))]
    assert phone.publish(f"to/u/{bob}", b"x", props=props) == 0
    copy, = clients.subscriber(alice, "tablet").receive()
    assert copy.topic.startswith(f"inbox/sent/u/{bob}/") and copy.payload == b"x"
    assert copy.prop(p.CONTENT_TYPE) == "a/b" and copy.user_properties() == [("x", "1")]
