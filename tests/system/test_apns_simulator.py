"""The APNs simulator: Apple's rules and answers, HTTP/2, the program (its page in docs)."""
import contextlib
import json
import re
import signal
import socket
import subprocess
import uuid

import pytest

from support import h2_frames as h2
from support.apns import KID, TEAM, TOPIC, provider_token
from support.apns_fixtures import shared, simulator, start  # noqa: F401
from support.h2_frames import connected
from support.stack import HOST, ROOT, program
from support.waiting import DEADLINE_S, wait_until


# --- answers -------------------------------------------------------------------------------------

def test_accepted(simulator):
    """200: no body, the given id, and what only the sandbox tells."""
    given = str(uuid.uuid4())
    status, headers, body = simulator.ask(apns_id=given)
    assert (status, body) == (200, None)
    assert headers["apns-id"] == given
    assert uuid.UUID(headers["apns-unique-id"])


def test_generated_id(simulator):
    """Without an apns-id APNs makes one, in lower case."""
    made = simulator.ask()[1]["apns-id"]
    assert made == str(uuid.UUID(made))
    assert made != simulator.ask()[1]["apns-id"]


def test_production(start):
    """apns-unique-id is the sandbox's."""
    status, headers, _ = start("environment=production").ask()
    assert status == 200 and "apns-unique-id" not in headers


def test_der_signature(simulator):
    """Some clients send DER where JOSE wants R and S; Apple takes both."""
    token = provider_token(simulator.key, der=True)
    assert simulator.ask(authorization=f"bearer {token}")[0] == 200


REFUSALS = [  # what is changed, status, reason
    ({"method": "GET"}, 405, "MethodNotAllowed"),
    ({"path": "/4/device/ab"}, 404, "BadPath"),
    ({"authorization": None}, 403, "MissingProviderToken"),
    ({"authorization": "bearer e30.e30.e30"}, 403, "InvalidProviderToken"),
    ({"path": "/3/device/"}, 400, "MissingDeviceToken"),
    ({"path": "/3/device/xyz"}, 400, "BadDeviceToken"),
    ({"apns_topic": None}, 400, "MissingTopic"),
    ({"apns_topic": "a b"}, 400, "BadTopic"),
    ({"apns_push_type": "loud"}, 400, "InvalidPushType"),
    ({"apns_push_type": "voip"}, 400, "InvalidPushType"),
    ({"apns_push_type": "background"}, 400, "BadPriority"),
    ({"apns_push_type": "background", "apns_priority": "5"}, 400, "InvalidPushType"),
    ({"apns_priority": "3"}, 400, "BadPriority"),
    ({"apns_expiration": "soon"}, 400, "BadExpirationDate"),
    ({"apns_id": "UPPER"}, 400, "BadMessageId"),
    ({"apns_collapse_id": "x" * 65}, 400, "BadCollapseId"),
    ({"words": ["--header", "apns-topic: a"]}, 400, "DuplicateHeaders"),
    ({"body": b""}, 400, "PayloadEmpty"),
    ({"body": b"[]"}, 400, "PayloadEmpty"),
    ({"body": b'{"aps":{"alert":"' + b"x" * 4096 + b'"}}'}, 413, "PayloadTooLarge"),
]


@pytest.mark.parametrize("change,status,reason", REFUSALS)
def test_refusals(simulator, change, status, reason):
    """Each mistake gets Apple's status and reason, and an id of its own."""
    got, headers, body = simulator.ask(**change)
    assert (got, body) == (status, {"reason": reason})
    assert uuid.UUID(headers["apns-id"])
    [push] = simulator.pushes()
    assert (push["status"], push["reason"]) == (status, reason)


def test_topics(start, tmp_path):
    """Only configured bundle ids, whatever suffix their push type adds."""
    config = tmp_path / "sim.conf"
    config.write_text(f'topics = ( "com.second", "{TOPIC}" );\n')
    simulator = start(config=config)
    assert simulator.ask()[0] == 200
    assert simulator.ask(apns_topic=f"{TOPIC}.voip", apns_push_type="voip")[0] == 200
    assert simulator.ask(apns_topic="com.other")[2] == {"reason": "TopicDisallowed"}


# --- provider tokens -----------------------------------------------------------------------------

def test_expired_token(simulator):
    """Older than an hour: refused, and that connection stays of no use."""
    with connected(simulator) as connection:
        old = f"bearer {provider_token(simulator.key, age_s=3700)}"
        assert connection.ask(authorization=old) == "ExpiredProviderToken"
        assert connection.ask() == "ExpiredProviderToken"
    with connected(simulator) as connection:
        assert connection.ask() == ""


@pytest.mark.parametrize("how", [{"kid": "UNKNOWN123"}, {"team": "OTHERTEAM1"}])
def test_token_of_somebody_else(simulator, how):
    token = provider_token(simulator.key, **how)
    assert simulator.ask(authorization=f"bearer {token}")[2] == {"reason": "InvalidProviderToken"}


def test_too_many_token_updates(start):
    """A second token within 20 minutes is refused; the first one stays good elsewhere."""
    simulator = start()
    assert simulator.ask()[0] == 200
    newer = provider_token(simulator.key)
    status, _, body = simulator.ask(authorization=f"bearer {newer}")
    assert (status, body) == (429, {"reason": "TooManyProviderTokenUpdates"})
    assert simulator.ask()[0] == 200


def test_configured_keys(start, tmp_path):
    """Public keys as Apple keeps them; one team and one key a connection."""
    keys = {}
    for kid, team in (("KEYNUMBER1", "TEAMALPHA1"), ("KEYNUMBER2", "TEAMALPHA1"),
                      ("KEYNUMBER3", "TEAMBETA01")):
        private, public = tmp_path / f"{kid}.p8", tmp_path / f"{kid}.pem"
        subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-out", private], check=True)
        subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
        keys[kid] = f"bearer {provider_token(private, kid=kid, team=team)}"
    config = tmp_path / "sim.conf"
    config.write_text("auth = { min_token_interval_s = 0; keys = (\n"
                      '  { team = "TEAMALPHA1"; kid = "KEYNUMBER1"; file = "KEYNUMBER1.pem"; },\n'
                      '  { team = "TEAMALPHA1"; kid = "KEYNUMBER2"; file = "KEYNUMBER2.pem"; },\n'
                      '  { team = "TEAMBETA01"; kid = "KEYNUMBER3"; file = "KEYNUMBER3.pem"; } );'
                      " };\n")
    simulator = start(config=config)
    assert not simulator.key.exists()
    with connected(simulator) as connection:
        assert connection.ask(authorization=keys["KEYNUMBER1"]) == ""
        assert connection.ask(authorization=keys["KEYNUMBER2"]) == "UnrelatedKeyIdInToken"
        assert connection.ask(authorization=keys["KEYNUMBER3"]) == "InvalidProviderToken"
        assert connection.ask(authorization=keys["KEYNUMBER1"]) == ""


# --- HTTP/2 --------------------------------------------------------------------------------------

def test_streams_before_and_after_a_token(simulator):
    """One stream at a time until a token was accepted, then the configured number."""
    with connected(simulator) as connection:
        seen = connection.ping()
        stream = connection.request(authorization=None)
        seen += connection.until(lambda f: f.stream == stream and f.type == h2.DATA)
        seen += connection.ping()
        assert h2.settings(seen, h2.MAX_CONCURRENT_STREAMS) == [1]
        stream = connection.request()
        seen = connection.until(lambda f: f.stream == stream) + connection.ping()
        assert h2.settings(seen, h2.MAX_CONCURRENT_STREAMS) == [1000]


def test_ends_of_answers(simulator):
    """END_STREAM is on the last frame with content: no empty DATA frame follows."""
    with connected(simulator) as connection:
        stream = connection.request()
        last = connection.until(lambda f: f.stream == stream)[-1]
        assert last.type == h2.HEADERS and last.flags & h2.END_STREAM
        stream = connection.request(apns_topic=None)
        got = connection.until(lambda f: f.stream == stream and f.flags & h2.END_STREAM)
        frames = [f for f in got if f.stream == stream]
        assert [f.type for f in frames] == [h2.HEADERS, h2.DATA]
        assert json.loads(frames[1].payload) == {"reason": "MissingTopic"}


def test_many_streams(simulator):
    """A thousand requests at once on one connection, all answered, in the order they came."""
    with connected(simulator) as connection:
        assert connection.ask() == ""
        devices = [f"{n:08x}" for n in range(1000)]
        simulator.behave(delay_ms=1)
        streams = {connection.request(device=device) for device in devices}
        while streams:
            got = connection.receive()
            if got.type == h2.HEADERS:
                assert got.flags & h2.END_STREAM
                streams.discard(got.stream)
    assert [push["device"] for push in simulator.pushes()][1:] == devices


def test_http1_is_refused(simulator):
    """No HTTP/2 offered, no connection."""
    assert simulator.curl(words=["--http1.1"]).returncode != 0
    assert simulator.ask()[0] == 200


def test_malformed_clients(simulator):
    """Garbage before TLS, inside it, headers and bodies without end: nobody else is harmed."""
    with connected(simulator) as good:
        assert good.ask() == ""
        with contextlib.closing(socket.create_connection((HOST, simulator.port))) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
            raw.settimeout(DEADLINE_S)
            with contextlib.suppress(ConnectionResetError):
                while raw.recv(4096):
                    pass
        with connected(simulator) as bad:
            bad.send(h2.frame(h2.HEADERS, h2.END_HEADERS, 1, b"\xff" * 100))
            assert [f for f in bad.rest() if f.type == h2.GOAWAY]
        with connected(simulator) as bad:
            stream = bad.request(more=[("x-filler", "x" * 8000)])
            assert bad.until(lambda f: f.stream == stream)[-1].type == h2.RST_STREAM
        assert good.ask() == ""
    assert simulator.curl(body=b"x" * 2_000_000).returncode != 0
    assert simulator.ask(body=b"x" * 20_000)[2] == {"reason": "PayloadTooLarge"}


def test_connection_limit(start):
    """Above listen.max_connections a new one is closed; the others live on."""
    simulator = start("listen.max_connections=1")
    with connected(simulator) as first:
        assert first.ask() == ""
        assert simulator.curl().returncode != 0
        assert first.ask() == ""
    wait_until(lambda: simulator.control("GET", "/connections")[1]["open"] == 0, "it is closed")
    assert simulator.ask()[0] == 200


def test_handshake_timeout(start):
    """Who connects and says nothing is closed."""
    simulator = start("listen.handshake_timeout_ms=100")
    with contextlib.closing(socket.create_connection((HOST, simulator.port))) as silent:
        silent.settimeout(DEADLINE_S)
        assert silent.recv(1) == b""


def test_idle_timeout(start):
    """A connection that asks nothing is told so."""
    with connected(start("listen.idle_timeout_s=1")) as connection:
        assert connection.ask() == ""
        [end] = [f for f in connection.rest() if f.type == h2.GOAWAY]
        assert h2.goaway(end) == (1, 0, {"reason": "IdleTimeout"})


def test_shutdown(start):
    """SIGTERM: what is under way is answered, GOAWAY says why, the exit is clean."""
    simulator = start()
    with connected(simulator) as connection:
        assert connection.ask() == ""
        simulator.behave(delay_ms=300)
        stream = connection.request()
        connection.ping()
        simulator.process.send_signal(signal.SIGTERM)
        frames = connection.rest()
        [end] = [f for f in frames if f.type == h2.GOAWAY]
        assert h2.goaway(end) == (stream, 0, {"reason": "Shutdown"})
        assert any(f.stream == stream and f.flags & h2.END_STREAM for f in frames)
    assert simulator.stop() == 0


# --- the program ---------------------------------------------------------------------------------

def test_files_are_used_again(start):
    """Certificate and key are made once; both private halves are for their owner only."""
    first = start()
    folder = first.ca.parent
    files = sorted(path.name for path in folder.iterdir())
    assert files == [f"AuthKey_{KID}.p8", "ca.pem", "server.key", "server.pem"]
    content = {path: path.read_bytes() for path in folder.iterdir()}
    for name in (f"AuthKey_{KID}.p8", "server.key"):
        assert (folder / name).stat().st_mode & 0o077 == 0
    assert b"BEGIN PRIVATE KEY" in content[first.key]
    assert first.stop() == 0
    second = start()
    assert {path: path.read_bytes() for path in folder.iterdir()} == content
    assert second.ask()[0] == 200
    assert second.stop() == 0
    # together or not at all
    (folder / "server.pem").unlink()
    assert start().ask()[0] == 200
    assert (folder / "ca.pem").read_bytes() != content[first.ca]


def test_own_certificate(start, tmp_path):
    """A configured certificate is used, and no other is made."""
    first = start()
    first.stop()
    for name in ("server.pem", "server.key"):
        (first.ca.parent / name).rename(tmp_path / name)
    second = start(f"tls.certificate={tmp_path}/server.pem", f"tls.key={tmp_path}/server.key")
    assert second.ask()[0] == 200
    assert not (first.ca.parent / "server.pem").exists()


def run(*words, cwd):
    return subprocess.run([str(program("apns-simulator")), *words], capture_output=True, text=True,
                          timeout=DEADLINE_S, check=False, cwd=cwd)


BAD_SETTINGS = [("listen.port=0", "listen.port"), ("environment=sandbox", "sandbox"),
                ("auth.kid=short", "auth.kid"), ("log.level=loud", "loud"),
                ("tls.key=x", "tls.certificate"), ("no.such=1", "no.such")]


@pytest.mark.parametrize("setting,named", BAD_SETTINGS)
def test_bad_settings(tmp_path, setting, named):
    """What is wrong is named; nothing is made."""
    done = run("--set", setting, "--check-config", cwd=tmp_path)
    assert done.returncode == 2 and named in done.stderr, done
    assert run("--set", setting, cwd=tmp_path).returncode == 2
    assert not list(tmp_path.iterdir())


BAD_FILES = [("topics = 5;", "topics"), ('topics = ( "a b" );', "a b"),
             ("topics = ( 5 );", "topics"),
             ('auth = { keys = ( { team = "x"; } ); };', "team"),
             (f'auth = {{ keys = ( {{ team = "{TEAM}"; kid = "{KID}"; file = "absent"; }} ); }};',
              "absent"),
             (f'auth = {{ keys = ( {{ team = "{TEAM}"; kid = "{KID}"; file = "bad.conf"; }} ); }};',
              "bad.conf")]


@pytest.mark.parametrize("text,named", BAD_FILES)
def test_bad_files(tmp_path, text, named):
    (tmp_path / "bad.conf").write_text(text)
    done = run("--config", "bad.conf", "--check-config", cwd=tmp_path)
    assert done.returncode == 2 and named in done.stderr, done


def test_port_in_use(simulator, tmp_path):
    done = run("--set", f"listen.port={simulator.port}", cwd=tmp_path)
    assert done.returncode == 1 and str(simulator.port) in done.stderr


def test_sample(tmp_path):
    """The sample file shows every option, and is the same as no file at all."""
    sample = ROOT / "etc" / "apns-simulator.conf"
    defaults = run("--print-config", cwd=tmp_path).stdout
    assert run("--config", sample, "--print-config", cwd=tmp_path).stdout == defaults
    shown = re.sub(r"^#.*\n\n?", "", sample.read_text(), count=2, flags=re.MULTILINE)
    assert shown.strip() == defaults.strip()
    assert run("--config", sample, "--check-config", cwd=tmp_path).returncode == 0


def test_command_line(tmp_path):
    assert run("--version", cwd=tmp_path).stdout.startswith("apns-simulator ")
    assert "apns-simulator" in run("--help", cwd=tmp_path).stdout
    done = run("--no-such", cwd=tmp_path)
    assert done.returncode == 2 and "--no-such" in done.stderr
