"""A connection lives no longer than its token, unless it is renewed (guide, Connecting)."""
import json
import time

from support import packets as p
from support import tokens


def test_token_expires_while_connected(clients, who):
    """A token that expires while connected: DISCONNECT 0x87 after the configured grace."""
    door = clients.connector("auth.expiry_grace_s=1", "auth.leeway_s=0")
    user, started = who("alice"), time.monotonic()
    peer = clients.peer(user, sock=door.dial(), token=clients.stack.token(user, ttl_s=2))
    plain = clients.peer(who("bob"), version=4, sock=door.dial(),
                         token=clients.stack.token(who("bob"), ttl_s=2))
    assert [packet.reason for packet in peer.end()] == [0x87]
    # `exp` is whole seconds, so the token's 2 s may have been little more than 1.
    assert 2.0 <= time.monotonic() - started < 8
    assert plain.end() == []


def test_token_renewed(clients, who, version):
    """Publishing a fresh token to me/token keeps the connection beyond the first one's end."""
    door = clients.connector("auth.expiry_grace_s=0", "auth.leeway_s=0")
    user, other = who("alice"), who("bob")
    short = [clients.peer(name, version=version, sock=door.dial(),
                          token=clients.stack.token(name, ttl_s=2)) for name in (user, other)]
    assert short[0].publish("me/token", clients.stack.token(user).encode()) == 0
    short[1].end()   # the one that was not renewed ends: so the other's time has passed as well
    assert short[0].alive()


def test_bad_renewals(clients, who):
    """me/token is refused with 0x87 when the new token is not good for this connection, and the
    connection goes on with the old one."""
    user, secret = who("alice"), clients.stack.secret()
    peer = clients.peer(user)
    for text in ("", "garbage", tokens.token(user, b"0" * 64), tokens.token("x" + user, secret),
                 tokens.token(user, secret, -3600), tokens.token(user, secret, dev="tablet")):
        assert peer.publish("me/token", text.encode()) == 0x87, text
    assert peer.alive()


def test_a_bad_renewal_ends_a_3_1_1_connection(clients, who):
    """3.1.1 has no reason codes: a refused publish closes the connection."""
    peer = clients.peer(who("alice"), version=4)
    peer.post("me/token", b"garbage")
    assert [packet.kind for packet in peer.end()] == []


def title(receiver, sender):
    """The title of the notification of a message that asks for one, as only services may."""
    props = [(p.USER_PROPERTY, ("alert-title", "wanted"))]
    assert sender.publish(f"to/u/{receiver.user}", b"x", props=props) == 0
    notification, = receiver.receive()
    return json.loads(notification.payload)["aps"]["alert"]["title"]


def test_a_renewal_replaces_what_the_token_grants(clients, who):
    """A service that renews with a person's token is a service no longer, and the other way."""
    bob, user = who("bob"), who("alice")
    receiver = clients.subscriber(bob)
    assert receiver.publish("me/state", b"background") == 0
    receiver.settle(who("sink"))
    service, person = (clients.stack.token(user, svc=True), clients.stack.token(user))
    sender = clients.peer(user, token=service)
    assert title(receiver, sender) == "wanted"
    assert sender.publish("me/token", person.encode()) == 0
    assert title(receiver, sender) == user
    assert sender.publish("me/token", service.encode()) == 0
    assert title(receiver, sender) == "wanted"
