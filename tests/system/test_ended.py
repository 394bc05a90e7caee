"""What a client acknowledged, and who hears of it when its connection ends at the wrong moment
(invariants I1, I5): the broker is away, dies before it has written it, or is cut off."""
import contextlib
import os
import signal

import psycopg2
import pytest

from support import packets as p
from support.pushes import LIVE_MS, mid_of, register
from support.waiting import let_pass, wait_until

# alert.settle_ms of the route stack: a broker that has just started pushes nothing before.
SETTLE_S = 1.5


@pytest.fixture
def phone(routes, who):
    peer = routes.subscriber(who("bob"), "bob-phone", session_expiry_s=3600)
    peer.push_token = register(peer)
    return peer


@pytest.fixture
def send(routes, who):
    alice = routes.peer(who("alice"))

    def send(peer, payload):
        assert alice.publish(f"to/u/{peer.user}", payload) == 0
    return send


LOST, LINKED, NO_HEARTBEAT = "lost the broker", "linked to broker", "no heartbeat"


def count(stack, process, line):
    return stack.log(*process).count(line)


def nothing_is_pushed(phone, apns):
    let_pass(SETTLE_S + LIVE_MS / 1000 + 1)
    assert apns.pushes(phone.push_token) == []


def comes_back(routes, phone):
    return routes.persistent(phone.user, phone.device)


@pytest.mark.parametrize("goodbye", [True, False])
def test_acknowledged_while_the_broker_is_away(routes, route_stack, phone, send, apns, goodbye):
    broker = route_stack.pid("broker")   # asked before, since the deadline runs from the send
    send(phone, b"seen")
    message, = phone.receive(ack=False)
    route_stack.kill_pid(broker)
    phone.ack(message)
    phone.ping()   # the connector has it
    if goodbye:
        phone.disconnect()
    phone.close()
    route_stack.start("broker")
    nothing_is_pushed(phone, apns)
    again = comes_back(routes, phone)
    send(phone, b"next")
    assert again.payloads() == [b"next"]


def test_acknowledged_beyond_a_gap_while_the_broker_is_away(routes, route_stack, phone, send, apns):
    """What was not acknowledged is pushed, and comes again with DUP; the rest is not."""
    broker = route_stack.pid("broker")
    for payload in (b"1", b"2", b"3"):
        send(phone, payload)
    one, two, three = phone.receive(3, ack=False)
    route_stack.kill_pid(broker)
    phone.ack(one, three)
    phone.ping()
    phone.close()
    route_stack.start("broker")
    push, = apns.wait(phone.push_token, 1)
    assert mid_of(push) == mid_of(two)
    let_pass(LIVE_MS / 1000)
    assert len(apns.pushes(phone.push_token)) == 1
    message, = comes_back(routes, phone).receive()
    assert (message.payload, message.dup) == (b"2", True)


def test_broker_dies_before_it_has_written_it(routes, route_stack, phone, send, apns):
    """ACK and CLOSE reach a broker that is killed at once: its cursors are not in the database."""
    broker = route_stack.pid("broker")
    send(phone, b"seen")
    message, = phone.receive(ack=False)
    os.kill(broker, signal.SIGSTOP)
    phone.ack(message)
    phone.ping()
    phone.disconnect()
    phone.close()
    route_stack.kill_pid(broker)
    route_stack.start("broker")
    nothing_is_pushed(phone, apns)


def test_acknowledged_while_the_link_is_cut(routes, route_stack, phone, send, apns):
    """The broker lives, hears nothing for three heartbeats, and gives the sessions up."""
    lost = [count(route_stack, ("connector", index), LOST) for index in (0, 1)]
    frozen = route_stack.frozen("broker")
    send(phone, b"seen")
    message, = phone.receive(ack=False)
    with frozen:
        phone.ack(message)
        phone.ping()
        phone.close()
        wait_until(lambda: all(count(route_stack, ("connector", index), LOST) > lost[index]
                               for index in (0, 1)), "the connectors give the link up", 30)
    nothing_is_pushed(phone, apns)


def test_session_that_ended_while_the_broker_is_away(routes, route_stack, who):
    """DISCONNECT may end the session (MQTT 5, section 3.14.2.2.2): also when nobody is told."""
    phone = routes.subscriber(who("bob"), "bob-phone", session_expiry_s=3600, connector=0)
    other = routes.subscriber(who("carol"), "carol-phone", session_expiry_s=3600, connector=0)
    route_stack.kill("broker")
    phone.disconnect(props=[(p.SESSION_EXPIRY, 0)])
    other.disconnect()
    route_stack.start("broker")
    # on the same connector: it has told everything before it asks for this
    assert not reconnect(routes, phone).connack.session_present
    assert reconnect(routes, other).connack.session_present


def reconnect(routes, phone):
    peers = []

    def connected():
        peers.append(routes.raw(phone.user, phone.device, connector=0))
        return peers[-1].connect(clean=False, props=[(p.SESSION_EXPIRY, 3600)]).reason == 0
    wait_until(connected, "the broker is back")
    return peers[-1]


def test_late_word_of_an_older_connection(routes, route_stack, who, send):
    """Its acknowledgement and the end of its session are told when a newer connection is there:
    that one goes on as if nothing had been said (I9)."""
    away = routes.connector()
    phone = routes.subscriber(who("bob"), "bob-phone", session_expiry_s=3600, sock=away.dial())
    send(phone, b"1")
    message, = phone.receive(ack=False)
    lost = count(route_stack, ("broker", 0), NO_HEARTBEAT)
    os.kill(away.process.pid, signal.SIGSTOP)
    phone.ack(message)
    phone.send(p.disconnect(p.V5, 0, [(p.SESSION_EXPIRY, 0)]))
    wait_until(lambda: count(route_stack, ("broker", 0), NO_HEARTBEAT) > lost,
               "the broker gives the connector up", 30)
    again = routes.persistent(phone.user, phone.device)
    repeated, = again.receive(ack=False)
    assert (repeated.payload, repeated.dup) == (b"1", True)
    os.kill(away.process.pid, signal.SIGCONT)
    wait_until(lambda: away.log().count(LINKED) > 1, "it is linked again")
    again.ack(repeated)
    send(phone, b"2")
    assert again.payloads() == [b"2"]
    again.close()
    assert comes_back(routes, phone).connack.session_present


def stored_session(route_stack, user):
    """What the database says of a person's sessions: (filters subscribed to, whether it ends)."""
    with contextlib.closing(psycopg2.connect(route_stack.environment["BECKON_DSN"])) as database:
        with database.cursor() as cursor:
            cursor.execute("""SELECT s.expires_at IS NOT NULL, (SELECT array_agg(filter)
                FROM subscription t WHERE (t.user_no, t.device_id) = (s.user_no, s.device_id))
                FROM session s JOIN users u USING (user_no) WHERE u.user_id = %s""", (user,))
            return cursor.fetchall()


KEPT = [(False, ["inbox/#"])]


def test_word_of_an_older_connection_comes_first(routes, route_stack, who, send):
    """Three faults: a connector that is cut off, whose client then ended its session there and came
    back elsewhere; a broker that dies, and with it what it knew of the newer connection; the cut
    off connector is the first to tell the new broker. The newer session goes on, on disk too."""
    away = routes.connector()
    phone = routes.subscriber(who("bob"), "bob-phone", session_expiry_s=3600, sock=away.dial())
    lost = count(route_stack, ("broker", 0), NO_HEARTBEAT)
    os.kill(away.process.pid, signal.SIGSTOP)
    phone.send(p.disconnect(p.V5, 0, [(p.SESSION_EXPIRY, 0)]))
    wait_until(lambda: count(route_stack, ("broker", 0), NO_HEARTBEAT) > lost,
               "the broker gives the connector up", 30)
    again = routes.persistent(phone.user, phone.device, connector=1)
    assert stored_session(route_stack, phone.user) == KEPT
    with route_stack.frozen("connector", 1):
        route_stack.kill("broker")
        os.kill(away.process.pid, signal.SIGCONT)
        route_stack.start("broker")
        wait_until(lambda: stored_session(route_stack, phone.user) == [], "the older one's end", 30)
    wait_until(lambda: stored_session(route_stack, phone.user) == KEPT, "the newer one's rows", 30)
    send(phone, b"x")
    assert again.payloads() == [b"x"]


def test_connector_that_was_given_up_and_comes_back(routes, route_stack, who):
    """The end that was recorded when its heartbeat failed is taken back."""
    away = routes.connector()
    phone = routes.subscriber(who("bob"), "bob-phone", session_expiry_s=3600, sock=away.dial())
    os.kill(away.process.pid, signal.SIGSTOP)
    wait_until(lambda: stored_session(route_stack, phone.user) == [(True, ["inbox/#"])],
               "the session has an end", 30)
    os.kill(away.process.pid, signal.SIGCONT)
    wait_until(lambda: stored_session(route_stack, phone.user) == KEPT, "it has none", 30)
    phone.ping()
