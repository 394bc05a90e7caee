"""The broker's HTTP door from outside: docs/http-api.md, line by line."""
import os
import select
import signal
import socket
import time

import pytest

from support import packets as p
from support import tokens
from support.http import Door
from support.waiting import DEADLINE_S, wait_until

NO_MID = "018f0000-0001-7000-8000-000000000000"
TRACE = f"/v1/messages/{NO_MID}/trace"
MAX_CONNECTIONS = 256   # default of http.max_connections
IDLE_S = 30             # how long the door keeps a silent client


@pytest.fixture
def door(stack):
    return Door(stack)


@pytest.fixture
def own_door(own_stack):
    return Door(own_stack)


def raw(door, request, timeout_s=DEADLINE_S):
    """Sends bytes as they are and returns all that comes until the door closes."""
    with socket.create_connection((door.host, door.port), timeout=timeout_s) as sock:
        sock.sendall(request)
        answer = b""
        while chunk := sock.recv(65536):
            answer += chunk
        return answer


# --- health --------------------------------------------------------------------------------------

def test_healthz(door):
    answer = door.call("/healthz")
    assert (answer.status, answer.body) == (200, b"ok\n")
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["cache-control"] == "no-store"


def test_readyz(door):
    answer = door.call("/readyz")
    assert answer.status == 200 and answer.headers["content-type"] == "application/json"
    assert answer.json() == {"ready": True, "database": True, "plugins": True,
                             "connectors_door": True, "member": True}


def test_stopped_database(own_door, own_stack):
    """Alive, not ready; a trace is a 503 at once; all of it comes back by itself."""
    own_stack.stop("postgres")
    wait_until(lambda: own_door.call("/readyz").status == 503, "not ready")
    # its lease lasts longer than its connection, by how much is not this test's business
    assert own_door.call("/readyz").json().items() >= {
        "ready": False, "database": False, "plugins": True, "connectors_door": True}.items()
    assert own_door.call("/healthz").status == 200
    assert own_door.metrics()["beckon_broker_ready", ""] == 0
    assert "database" in own_door.call(TRACE, token=own_door.service()).problem(503)
    own_stack.start("postgres")
    wait_until(lambda: own_door.call("/readyz").status == 200, "ready again")
    wait_until(lambda: own_door.call(TRACE, token=own_door.service()).status == 404, "traces again")


def test_frozen_database(own_door, own_stack):
    """A question that is not answered holds up nobody else, and is answered in the end."""
    pid = own_stack.pid("postgres")
    workers = [int(name) for name in os.listdir("/proc") if name.isdigit() and parent(name) == pid]
    try:
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        connection = own_door.connect()
        connection.request("GET", TRACE, headers={"Authorization": f"Bearer {own_door.service()}"})
        for _ in range(20):
            assert own_door.call("/healthz", timeout_s=2).status == 200
        assert not select.select([connection.sock], [], [], 0)[0]
    finally:
        for worker in workers:
            os.kill(worker, signal.SIGCONT)
    assert connection.getresponse().status == 404
    connection.close()


def parent(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return int(stat.read().rsplit(")", 1)[1].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None


# --- metrics -------------------------------------------------------------------------------------

def test_metrics_are_openmetrics(door):
    """Every line by the letter of the format; counters, gauges, plugins and the process."""
    answer = door.call("/metrics")
    assert answer.headers["content-type"] == \
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    metrics = door.metrics()
    for name in ("beckon_broker_accepted_total", "beckon_broker_timed_out_total",
                 "beckon_broker_pushed_total", "process_cpu_seconds_total",
                 "process_resident_memory_bytes", "process_open_fds"):
        assert (name, "") in metrics, name
    assert metrics["beckon_broker_ready", ""] == 1
    assert metrics["beckon_broker_connectors", ""] == 2
    assert metrics["beckon_plugin_up", 'plugin="live",hosted="false"'] == 1
    assert metrics["beckon_plugin_up", 'plugin="apns",hosted="true"'] == 1


def test_metrics_count(door, clients, who):
    """What happens is counted: a message accepted, delivered and acknowledged."""
    bob = clients.subscriber(who("bob"))
    before = door.metrics()
    assert clients.peer(who("alice")).publish(f"to/u/{bob.user}", b"m") == 0
    bob.receive()

    def grown(name):
        return door.metrics()[name, ""] - before[name, ""]
    wait_until(lambda: grown("beckon_broker_acknowledged_total") >= 1, "acknowledged")
    assert grown("beckon_broker_accepted_total") >= 1
    assert grown("beckon_broker_deliveries_total") >= 1
    assert grown("beckon_broker_sessions_opened_total") >= 1


# --- tokens --------------------------------------------------------------------------------------

def sent(clients, sender, recipient, payload=b"m", **how):
    """A message that nobody has got yet; returns its MID, which a device of the recipient saw."""
    assert clients.peer(sender, "sender").publish(f"to/u/{recipient}", payload, **how) == 0
    reader = clients.subscriber(recipient, "reader")
    return reader.receive()[-1].mid


BAD_TOKENS = {
    "malformed": lambda secret: "no.token.here",
    "one-part": lambda secret: "x",
    "empty": lambda secret: "",
    "other-key": lambda secret: tokens.token("u", b"x" * 32, svc=True),
    "other-kid": lambda secret: tokens.sign(tokens.claims_for("u", svc=True), secret, kid="nobody"),
    "no-signature": lambda secret: tokens.sign(tokens.claims_for("u", svc=True), secret,
                                               alg="none", digest=None),
    "expired": lambda secret: tokens.token("u", secret, ttl_s=-10, svc=True),
    "not-yet": lambda secret: tokens.token("u", secret, svc=True, nbf=int(time.time()) + 1000),
    "no-expiry": lambda secret: tokens.sign({"sub": "u", "svc": True}, secret),
    "spaces": lambda secret: " " + tokens.token("u", secret, svc=True) + " x",
}


@pytest.mark.parametrize("bad", BAD_TOKENS)
def test_bad_token(door, stack, bad):
    """401 with what is wrong, and a line in the log with the address, without the token."""
    answer = door.call(TRACE, token=BAD_TOKENS[bad](stack.secret()))
    assert answer.problem(401)
    assert answer.headers["www-authenticate"].startswith("Bearer")
    if bad == "expired":
        assert "expired" in answer.problem(401)
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
        assert "expired" in stack.log("broker") and "peer=127.0.0.1:" in stack.log("broker")


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic dTpw"},
                                     {"Authorization": "Bearer"}, {"Authorization": ""}],
                         ids=["none", "basic", "no-token", "empty"])
def test_no_token(door, headers):
    answer = door.call(TRACE, headers=headers)
    assert "Bearer" in answer.problem(401)
    assert answer.headers["www-authenticate"] == "Bearer"


def test_who_may_ask(door, stack, clients, who):
    """The sender and services; for everybody else, the recipient included, there is no message."""
    mid = sent(clients, who("alice"), who("bob"))
    assert door.trace(mid, stack.token(who("alice"))).status == 200
    assert door.trace(mid, stack.token("backend", svc=True)).status == 200
    nothing = door.trace(NO_MID, stack.token("backend", svc=True)).problem(404)
    for user in (who("bob"), who("mallory")):
        assert door.trace(mid, stack.token(user)).problem(404) == nothing
        assert door.trace(mid, stack.token(user, svc=False)).problem(404) == nothing


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer"])
def test_scheme_in_any_case(door, scheme):
    """RFC 7235 section 2.1."""
    headers = {"Authorization": f"{scheme} {door.service()}"}
    door.call(TRACE, headers=headers).problem(404)


def test_reloaded_keys(own_door, own_stack, tmp_path):
    """SIGHUP: a key that was added counts, one that was removed no longer does; a file that can't
    be read changes nothing."""
    config = own_stack.var / "etc" / "broker.conf"
    good, secret = config.read_text(), b"n" * 40
    (tmp_path / "new.key").write_bytes(secret)
    new = tokens.sign(tokens.claims_for("s", svc=True), secret, kid="new")
    old = own_door.service()
    line = next(line for line in good.splitlines() if line.startswith("auth:"))

    def reload(keys):
        seen = own_stack.log("broker").count("reload")
        config.write_text(good.replace(line, f"auth: {{ keys = ( {keys} ); }};"))
        own_stack.signal("broker", 0, signal.SIGHUP)
        wait_until(lambda: own_stack.log("broker").count("reload") > seen, "reloaded")
    try:
        own_door.call(TRACE, token=new).problem(401)
        reload('{ kid = "new"; algorithm = "HS256"; file = "%s"; }' % (tmp_path / "new.key"))
        own_door.call(TRACE, token=new).problem(404)
        own_door.call(TRACE, token=old).problem(401)
        reload('{ kid = "new"; algorithm = "HS256"; file = "%s"; }' % (tmp_path / "absent.key"))
        own_door.call(TRACE, token=new).problem(404)
        assert "absent.key" in own_stack.log("broker")
    finally:
        config.write_text(good)
        own_stack.signal("broker", 0, signal.SIGHUP)
    wait_until(lambda: own_door.call(TRACE, token=old).status == 404, "the old keys count again")


# --- paths and methods -----------------------------------------------------------------------------

@pytest.mark.parametrize("path", [
    "/", "/healthz/", "/health", "//healthz", "/metrics/x", "/v1", "/v1/messages",
    f"/v1/messages/{NO_MID}", f"/v1/messages/{NO_MID}/trace/", "/v1/messages//trace",
    f"/v1/messages/{NO_MID}/x/trace", f"/V1/messages/{NO_MID}/trace",
    f"/v1/messages/{NO_MID}%2Ftrace/trace", "/v1/messages/%00/trace"])
def test_no_such_path(door, path):
    assert "path" in door.call(path, token=door.service()).problem(404)


@pytest.mark.parametrize("path", ["/healthz?x=1", "/%68ealthz", "/healthz#part"])
def test_same_path(door, path):
    """A query that nobody asked for, escapes: the same path."""
    assert door.call(path).status == (404 if "#" in path else 200)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"])
@pytest.mark.parametrize("path", ["/healthz", "/metrics", TRACE])
def test_wrong_method(door, method, path):
    """405 says which methods there are, whether or not there is a token or a body."""
    answer = door.call(path, method, body=b"x" * 100 if method in ("POST", "PUT") else None)
    answer.problem(405)
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", TRACE, "/nothing"])
def test_head(door, path):
    """HEAD is GET without the body."""
    token = door.service()
    head, get = door.call(path, "HEAD", token), door.call(path, "GET", token)
    assert head.status == get.status and head.body == b""
    assert head.headers["content-type"] == get.headers["content-type"]
    if path != "/metrics":
        assert head.headers["content-length"] == get.headers["content-length"]


@pytest.mark.parametrize("mid", [
    "x", NO_MID[:-1], NO_MID + "0", NO_MID.replace("-7", "-4"), NO_MID.replace("-", ""),
    "g" + NO_MID[1:], "'%20OR%201=1", "c9beaf69-c47b-4f67-a2c5-5660f5dcb2b4", "a" * 1000])
def test_bad_mid(door, mid):
    assert "UUIDv7" in door.call(f"/v1/messages/{mid}/trace", token=door.service()).problem(400)


@pytest.mark.parametrize("mid", [NO_MID, "00000000-0000-7000-8000-000000000000",
                                 "ffffffff-ffff-7fff-bfff-ffffffffffff"])
def test_unknown_mid(door, mid):
    """Of long ago, of the epoch, of the end of time."""
    door.trace(mid).problem(404)


# --- what a client can fill ------------------------------------------------------------------------

def test_oversize_headers(door):
    """431 and the end of the connection; the next client is served."""
    for headers in (b"X: " + b"a" * 100_000, b"\r\n".join(b"X%d: y" % n for n in range(20_000))):
        try:
            answer = raw(door, b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n\r\n")
        except (ConnectionResetError, BrokenPipeError):
            answer = b""    # closed while we were still sending: the answer may be lost
        assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")
        assert door.call("/healthz").status == 200
    long = raw(door, b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 33_000 + b"\r\n\r\n")
    assert long.startswith(b"HTTP/1.1 431 ")
    assert not door.call("/" + "a" * 40_000).status < 400


def test_oversize_body(door):
    """One that is announced is refused before it is sent; one that grows ends the connection."""
    answer = raw(door, b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ") and b"1048576" in answer
    answer = raw(door, b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    with socket.create_connection((door.host, door.port), timeout=DEADLINE_S) as sock:
        sock.sendall(b"POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            for _ in range(10_000):
                sock.sendall(chunk)
    assert door.call("/healthz", "POST", body=b"x" * 1048576).status == 405


@pytest.mark.parametrize("noise", [
    b"\r\n" * 100, b"\0" * 1000, b"GET\r\n\r\n", b"GET /healthz\r\n\r\n", bytes(range(256)) * 10,
    b"GET /healthz HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"])
def test_noise(door, noise):
    """Whatever it is, the door stays open for others."""
    with socket.create_connection((door.host, door.port), timeout=DEADLINE_S) as sock:
        sock.sendall(noise)
        assert door.call("/healthz").status == 200


def test_keep_alive_and_pipelining(door):
    """Several calls on one connection; several sent at once are answered in order."""
    connection = door.connect()
    for _ in range(3):
        connection.request("GET", TRACE, headers={"Authorization": f"Bearer {door.service()}"})
        answer = connection.getresponse()
        assert (answer.status, bool(answer.read())) == (404, True)
    connection.close()
    call = b"GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n%s\r\n"
    token = door.service().encode()
    answer = raw(door, call % (TRACE.encode(), token, b"") + call % (b"/healthz", token, b"") +
                 call % (b"/nothing", token, b"Connection: close\r\n"))
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"404", b"200", b"404"]


def test_gone_before_the_answer(door):
    """Clients that ask and leave."""
    request = (f"GET {TRACE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {door.service()}\r\n\r\n"
               .encode())
    for _ in range(200):
        with socket.create_connection((door.host, door.port), timeout=DEADLINE_S) as sock:
            sock.sendall(request)
    wait_until(lambda: door.trace(NO_MID).status == 404, "none of their questions waits any more")


def test_many_questions_at_once(door):
    """Each is answered: with its answer, or with 503 when too many wait for the database."""
    connections = [door.connect() for _ in range(100)]
    headers = {"Authorization": f"Bearer {door.service()}"}
    for connection in connections:
        connection.request("GET", TRACE, headers=headers)
    statuses = [connection.getresponse().status for connection in connections]
    for connection in connections:
        connection.close()
    assert set(statuses) <= {404, 503} and 404 in statuses


def rounds(clients, sender, receiver, count):
    """Deliveries one after the other; the slowest one's seconds."""
    slowest = 0
    for number in range(count):
        began = time.monotonic()
        assert sender.publish(f"to/u/{receiver.user}", b"%d" % number) == 0
        assert receiver.payloads() == [b"%d" % number]
        slowest = max(slowest, time.monotonic() - began)
    return slowest


def test_slow_client(door, clients, who):
    """A request that comes byte by byte is answered, and slows nobody else down."""
    bob, alice = clients.subscriber(who("bob")), clients.peer(who("alice"))
    with socket.create_connection((door.host, door.port), timeout=DEADLINE_S) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n":
            sock.sendall(bytes([byte]))
            assert door.call("/healthz", timeout_s=2).status == 200
            assert rounds(clients, alice, bob, 1) < 2
        assert sock.recv(100).startswith(b"HTTP/1.1 200 ")


def test_client_that_does_not_read(door, clients, who):
    """Answers pile up in the kernel, then calls are no longer read; nobody else notices."""
    bob, alice = clients.subscriber(who("bob")), clients.peer(who("alice"))
    with socket.create_connection((door.host, door.port)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        try:
            for _ in range(20_000):
                sock.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        except BlockingIOError:
            pass
        assert door.call("/healthz").status == 200
        assert rounds(clients, alice, bob, 20) < 2


def cpu_s(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_idle_connections(own_door, own_stack, own_clients, who):
    """More idle clients than the door takes: messages flow as ever, and when the silent ones are
    closed, whoever waited is served."""
    bob, alice = own_clients.subscriber(who("bob")), own_clients.peer(who("alice"))
    idle = [socket.create_connection((own_door.host, own_door.port)) for _ in range(300)]
    began = time.monotonic()
    try:
        before = cpu_s(own_stack.pid("broker"))
        assert rounds(own_clients, alice, bob, 50) < 2
        assert cpu_s(own_stack.pid("broker")) - before < 2, "the broker turns and turns"
        waiting = own_door.connect(timeout_s=IDLE_S + DEADLINE_S)
        waiting.request("GET", "/healthz")
        assert waiting.getresponse().status == 200
        assert time.monotonic() - began > IDLE_S / 2    # the door was full
        waiting.close()
        gone = [sock for sock in idle[:MAX_CONNECTIONS] if select.select([sock], [], [], 0)[0]]
        assert len(gone) == MAX_CONNECTIONS and all(sock.recv(1) == b"" for sock in gone)
    finally:
        for sock in idle:
            sock.close()
    wait_until(lambda: own_door.call("/healthz").status == 200, "the door is open")
