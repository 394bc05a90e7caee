"""The link between connectors and brokers with keys (CURVE): who gets in, who does not, and what
either side says about it."""
import re
import signal
import subprocess
import uuid

import pytest

from support import packets as p
from support.clients import Clients
from support.http import Door
from support.keys import Keys, keygen
from support.proxy import Proxy
from support.stack import BUILD, Stack, free_port, program
from support.waiting import wait_until

NOT_KNOWN = "the broker does not know this key"


@pytest.fixture(scope="module")
def keys():
    made = Keys()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def curve_stack(keys):
    stack = Stack(sets=keys.stack())
    try:
        yield stack.up()
    finally:
        stack.destroy()


@pytest.fixture
def curve(curve_stack):
    """Clients of a stack whose link has keys."""
    made = Clients(curve_stack)
    yield made
    made.close()
    curve_stack.heal()


def reload_broker(stack):
    before = stack.log("broker").count("configuration reloaded")
    stack.signal("broker", 0, signal.SIGHUP)
    wait_until(lambda: stack.log("broker").count("configuration reloaded") > before, "SIGHUP")


def let_in(clients, who, door):
    """A client comes through that connector, so it is linked."""
    wait_until(lambda: "linked to broker-0" in door.log(), f"a link:\n{door.log()}")
    return clients.peer(who, sock=door.dial())


def says(door, text):
    wait_until(lambda: text in door.log(), f'"{text}" in the log:\n{door.log()}')


def shut_out(clients, who, door):
    """The connector takes clients and has no broker for them."""
    assert clients.raw(who, sock=door.dial()).connect().reason == 0x88
    assert "linked to" not in door.log()


def counter(stack, name):
    return Door(stack).metrics()[f"beckon_broker_{name}_total", ""]


def check(name, *words):
    return subprocess.run([program(name), *map(str, words), "--check-config"],
                          capture_output=True, text=True, timeout=20, check=False)


def test_messages_flow(curve, curve_stack, who, version):
    """Two connectors with keys: messages, in order, from one to the other."""
    bob = who("bob")
    receiver = curve.subscriber(bob, version=version, connector=0)
    sender = curve.peer(who("alice"), version=version, connector=1)
    for number in range(50):
        assert sender.publish(f"to/u/{bob}", b"%d" % number) == 0
    assert receiver.payloads(50) == [b"%d" % number for number in range(50)]
    assert 'key=connector msg="connector linked"' in curve_stack.log("broker")
    assert counter(curve_stack, "keys_accepted") >= 2


def test_nothing_in_clear(curve, curve_stack, keys, stack, who):
    """What a stranger on the way gets to see: neither payloads nor names. The same way without
    keys shows that he would find them."""
    found = {}
    for name, of, sets in (("keys", curve_stack, keys.connector()), ("plain", stack, [])):
        clients = Clients(of)
        wire = clients.keep(Proxy(7400 + of.offset, record=True))
        door = clients.connector(*sets, f'broker.endpoints=( "tcp://127.0.0.1:{wire.port}" )')
        bob, secret = who("bob"), uuid.uuid4().hex.encode()
        receiver = clients.subscriber(bob, sock=let_in(clients, who("first"), door) and door.dial())
        for _ in range(20):
            assert clients.peer(who("alice"), sock=door.dial()).publish(f"to/u/{bob}", secret) == 0
        assert receiver.payloads(20) == [secret] * 20
        seen = bytes(wire.recorded)
        clients.close()
        assert len(seen) > 20 * 2 * len(secret)   # it went that way, there and back
        found[name] = [seen.count(text) for text in (secret, bob.encode(), b"connector/90")]
    assert found["keys"] == [0, 0, 0], found
    assert min(found["plain"]) > 0 and found["plain"][0] >= 40, found


def test_stranger(curve, curve_stack, keys, who, tmp_path):
    """A connector whose key the broker does not know is refused: both logs say so, the broker's
    with address and key; others notice nothing. Let in and shut out again with SIGHUP."""
    assert keygen(tmp_path, "--client", "stranger").returncode == 0
    own = (tmp_path / "stranger.key").read_text()
    refused = counter(curve_stack, "keys_refused")
    bob = who("bob")
    receiver, sender = curve.subscriber(bob), curve.peer(who("alice"))
    door = curve.connector(keys.connector()[0], f"broker.curve.secret_key={tmp_path}/stranger.key")
    says(door, NOT_KNOWN)
    shut_out(curve, who("carol"), door)
    public = re.search(r'public-key = "(.*)"', own).group(1)
    wait_until(lambda: "refused a connection from 127.0.0.1: its key " + public
               in curve_stack.log("broker"), "the refusal in the broker's log")
    assert counter(curve_stack, "keys_refused") > refused
    assert door.log().count(NOT_KNOWN) == 1   # tried again and again, said once
    assert sender.publish(f"to/u/{bob}", b"x") == 0 and receiver.payloads() == [b"x"]

    (tmp_path / "clients" / "stranger.pub").rename(keys.clients / "stranger.pub")
    reload_broker(curve_stack)
    carol = let_in(curve, who("carol"), door)
    assert carol.publish(f"to/u/{bob}", b"y") == 0 and receiver.payloads() == [b"y"]

    (keys.clients / "stranger.pub").unlink()
    reload_broker(curve_stack)
    says(door, "lost the broker")
    pid = carol.post(f"to/u/{bob}", b"z")
    with pytest.raises(TimeoutError):
        carol.take(p.PUBACK, 2.5, pid)
    assert carol.alive()
    receiver.quiet()
    assert sender.publish(f"to/u/{bob}", b"w") == 0 and receiver.payloads() == [b"w"]


def test_key_taken_away_and_given_back(curve, curve_stack, keys, who):
    """A link whose key is taken away ends at once; its clients stay, what they published waits,
    and what was sent to them comes when the key is back: once, in order."""
    keys.add("second")
    reload_broker(curve_stack)
    door = curve.connector(*keys.connector("second"))
    bob, carol = who("bob"), who("carol")
    receiver, sender = curve.subscriber(bob), curve.peer(who("alice"))
    inside = let_in(curve, carol, door)
    inside.subscribe()
    keys.take_away("second")
    reload_broker(curve_stack)
    says(door, "lost the broker: refused by the broker")
    assert re.search(r'key=second msg="lost the connector: its key is not among',
                     curve_stack.log("broker"))
    pids = [inside.post(f"to/u/{bob}", b"%d" % number) for number in range(10)]
    for number in range(10):
        assert sender.publish(f"to/u/{carol}", b"%d" % number) == 0
    says(door, NOT_KNOWN)
    assert inside.alive()
    inside.quiet()
    receiver.quiet()
    keys.give_back("second")
    reload_broker(curve_stack)
    assert [inside.take(p.PUBACK, 30, pid).reason for pid in pids] == [0] * 10
    assert receiver.payloads(10) == [b"%d" % number for number in range(10)]
    assert inside.payloads(10) == [b"%d" % number for number in range(10)]
    receiver.quiet()
    inside.quiet()


def test_wrong_server_key(curve, curve_stack, keys, who, tmp_path):
    """A connector that expects another broker does not talk to this one, and takes the right key
    at SIGHUP."""
    assert keygen(tmp_path).returncode == 0
    failed = counter(curve_stack, "handshakes_failed")
    door = curve.connector(f"broker.curve.server_key={tmp_path}/broker.pub", keys.connector()[1])
    says(door, "most likely broker.curve.server_key is not its key")
    shut_out(curve, who("alice"), door)
    wait_until(lambda: "its broker.curve.server_key is not this broker's key"
               in curve_stack.log("broker"), "the broker's log")
    assert counter(curve_stack, "handshakes_failed") > failed
    (tmp_path / "broker.pub").write_text((keys.folder / "broker.pub").read_text())
    door.process.send_signal(signal.SIGHUP)
    let_in(curve, who("alice"), door)


def test_connector_without_keys(curve, curve_stack, who):
    """A plain connector at a broker with keys: refused, with the reason on both sides."""
    door = curve.connector("broker.curve.server_key=", "broker.curve.secret_key=")
    says(door, "most likely it asks for keys (CURVE), and there are none here")
    shut_out(curve, who("alice"), door)
    wait_until(lambda: "it came without keys (CURVE)" in curve_stack.log("broker"), "its log")
    assert "handshakes_failed=" in metrics_line(door)


def metrics_line(door):
    door.process.send_signal(signal.SIGUSR1)
    return wait_until(lambda: next((line for line in door.log().splitlines()
                                    if re.search(r"handshakes_failed=[1-9]", line)), None),
                      "the counter")


def test_broker_without_keys(clients, stack, keys, who):
    """And the other way round."""
    door = clients.connector(*keys.connector())
    wait_until(lambda: re.search("the broker has no keys|or it has none", door.log()),
               f"the reason in the log:\n{door.log()}")
    shut_out(clients, who("alice"), door)
    wait_until(lambda: "it came with keys (CURVE), and there are none here" in stack.log("broker"),
               "the broker's log")


def test_broker_killed(curve, curve_stack, who):
    """Keys change nothing about a broker that dies: publishes wait, each is stored once."""
    bob = who("bob")
    receiver, sender = curve.subscriber(bob), curve.peer(who("alice"))
    assert sender.publish(f"to/u/{bob}", b"0") == 0
    curve_stack.kill("broker")
    pids = [sender.post(f"to/u/{bob}", b"%d" % number) for number in range(1, 11)]
    curve_stack.start("broker")
    assert [sender.take(p.PUBACK, 30, pid).reason for pid in pids] == [0] * 10
    assert receiver.payloads(11) == [b"%d" % number for number in range(11)]
    receiver.quiet()


def test_no_broker_is_said_once(curve, keys, who):
    """A connector that finds nobody says so, and does not fill the log with it."""
    door = curve.connector(*keys.connector(), f'broker.endpoints=( "tcp://127.0.0.1:{free_port()}" )')
    says(door, "could not link to tcp://127.0.0.1")
    shut_out(curve, who("alice"), door)
    assert door.log().count("could not link to") == 1


def test_bad_key_at_reload(curve, curve_stack, keys, who):
    """A file with no key in it refuses the reload whole; who is linked stays linked."""
    bad = keys.clients / "bad.pub"
    bad.write_text("curve\n    public-key = \"nonsense\"\n")
    curve_stack.signal("broker", 0, signal.SIGHUP)
    try:
        wait_until(lambda: "could not reload, the configuration in force stays: "
                   f"listen.curve.clients: {bad}:2:".replace('"', "") in curve_stack.log("broker"),
                   "the error in the log")
    finally:
        bad.unlink()
    bob = who("bob")
    receiver = curve.subscriber(bob)
    assert curve.peer(who("alice")).publish(f"to/u/{bob}", b"x") == 0
    assert receiver.payloads() == [b"x"]


def test_health_check(curve_stack, keys, tmp_path):
    """beckonctl ping proves itself as a connector does, and says why it was not let in."""
    endpoint = f"tcp://127.0.0.1:{7400 + curve_stack.offset}"

    def ping(*words):
        return subprocess.run([program("beckonctl"), "ping", "--broker", endpoint, *map(str, words)],
                              capture_output=True, text=True, timeout=20, check=False)

    good = ("--server-key", keys.folder / "broker.pub", "--secret-key")
    assert ping(*good, keys.folder / "connector.key").returncode == 0
    done = ping()
    assert done.returncode == 1 and "most likely it asks for keys" in done.stderr
    keygen(tmp_path, "--client", "x")
    done = ping(*good, tmp_path / "x.key")
    assert done.returncode == 1 and NOT_KNOWN in done.stderr
    assert ping(*good[:2]).returncode == 2


def test_printed_configuration(stack, tmp_path):
    """What beckonctl keygen prints, put into files, is valid for an address that others reach."""
    printed = keygen(tmp_path / "curve").stdout
    blocks = re.findall(r"^    ((?:listen|broker): \{.*?\}; \};)$", printed,
                        re.DOTALL | re.MULTILINE)
    assert [block.split(":")[0] for block in blocks] == ["listen", "broker"]
    broker = tmp_path / "broker.conf"
    broker.write_text(blocks[0])
    done = check("beckon-broker", "--config", broker, "--set", "listen.endpoint=tcp://*:7400",
                 "--set", "listen.advertise=tcp://broker.example.org:7400",
                 "--set", f"plugin_dir={BUILD}/plugins")
    assert done.returncode == 0, done.stderr
    connector = tmp_path / "connector.conf"
    connector.write_text(blocks[1] + 'auth: { keys = ( { kid = "dev"; algorithm = "HS256"; '
                         f'file = "{stack.environment["BECKON_TOKEN_KEY"]}"; }} ); }};')
    done = check("beckon-connector", "--config", connector, "--set",
                 'broker.endpoints=( "tcp://broker.example.org:7400" )')
    assert done.returncode == 0, done.stderr


FAR = {"beckon-broker": "listen.endpoint=tcp://*:7400",
       "beckon-connector": 'broker.endpoints=( "tcp://broker.example.org:7400" )'}
GROUP = {"beckon-broker": "listen", "beckon-connector": "broker"}


def config_of(stack, name):
    return stack.var / "etc" / f"{name.removeprefix('beckon-')}.conf"


@pytest.mark.parametrize("name", FAR)
@pytest.mark.parametrize("how", ["--check-config", "start"])
def test_refuses_to_go_out_without_keys(stack, name, how):
    """Beyond the machine there is no link without keys: neither checked as good nor started. The
    line that says so says what to do."""
    words = [program(name), "--config", config_of(stack, name), "--set", FAR[name]]
    if how != "start":
        words.append(how)
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert "beckonctl keygen" in done.stderr and f"{GROUP[name]}.plain" in done.stderr


@pytest.mark.parametrize("name", FAR)
def test_plain_must_be_said(stack, keys, name):
    """A network that encrypts by itself: said so, it is taken; said so beside keys, it is not."""
    words = ["--config", config_of(stack, name), "--set", FAR[name], "--set",
             f"{GROUP[name]}.plain=true"]
    if name == "beckon-broker":   # nobody can connect to its wildcard
        words += ["--set", "listen.advertise=tcp://broker.example.org:7400"]
    done = check(name, *words)
    assert done.returncode == 0, done.stderr
    for item in keys.broker() if name == "beckon-broker" else keys.connector():
        words += ["--set", item]
    done = check(name, *words)
    assert done.returncode == 2 and "expected one of them" in done.stderr


@pytest.mark.parametrize("name", FAR)
@pytest.mark.parametrize("fault", ["missing", "malformed", "readable", "public"])
def test_bad_key_files(stack, name, fault, tmp_path):
    """Files of keys are looked at before anything starts; the error names option and file."""
    keygen(tmp_path)
    own = tmp_path / ("broker.key" if name == "beckon-broker" else "connector.key")
    text = {"missing": "could not open", "malformed": ":6: \"secret-key\" is no key",
            "readable": "has mode 0644", "public": "has no secret key"}[fault]
    if fault == "missing":
        own.unlink()
    elif fault == "malformed":
        own.write_text(own.read_text().replace("secret-key = \"", "secret-key = \"x"))
    elif fault == "readable":
        own.chmod(0o644)
    else:
        own.write_text((tmp_path / "broker.pub").read_text())
    mine = Keys.__new__(Keys)
    mine.folder, mine.clients = tmp_path, tmp_path / "clients"
    sets = mine.broker() if name == "beckon-broker" else mine.connector()
    done = check(name, "--config", config_of(stack, name),
                 *[word for item in sets for word in ("--set", item)])
    assert done.returncode == 2
    assert f"{GROUP[name]}.curve.secret_key" in done.stderr and str(own) in done.stderr
    assert text in done.stderr, done.stderr
