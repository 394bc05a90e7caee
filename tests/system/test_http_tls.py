"""The HTTP door's TLS and the configuration it refuses, before anything else has happened."""
import shutil
import ssl
import subprocess

import pytest

from support.http import Door
from support.stack import HOST, free_port, port_free, program
from support.waiting import DEADLINE_S, wait_until


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """certificate.pem and key.pem for 127.0.0.1, other.pem (another key), locked.pem (encrypted)."""
    folder = tmp_path_factory.mktemp("pki")

    def openssl(*words):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=30)
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", folder / "key.pem", "-out", folder / "certificate.pem", "-days", "2",
            "-subj", "/CN=door", "-addext", "subjectAltName=IP:127.0.0.1")
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out",
            folder / "other.pem")
    openssl("pkey", "-in", folder / "key.pem", "-aes256", "-passout", "pass:secret", "-out",
            folder / "locked.pem")
    (folder / "empty.pem").write_bytes(b"")
    (folder / "noise.pem").write_bytes(bytes(range(256)) * 100)
    (folder / "large.pem").write_bytes(b"-" * 70_000)
    return folder


def start(stack, *sets, config=None, check=False):
    """A broker with the stack's configuration and these settings, which must be refused."""
    words = [word for item in sets for word in ("--set", item)]
    return subprocess.run([program("beckon-broker"), "--config",
                           config or stack.var / "etc" / "broker.conf", *words,
                           *(["--check-config"] if check else [])],
                          capture_output=True, text=True, timeout=DEADLINE_S, check=False)


WRONG = {   # certificate, key, what the error names
    "missing-certificate": ("absent.pem", "key.pem", ("http.tls_certificate", "absent.pem")),
    "missing-key": ("certificate.pem", "absent.pem", ("http.tls_key", "absent.pem")),
    "empty-certificate": ("empty.pem", "key.pem", ("http.tls_certificate", "PEM")),
    "noise-certificate": ("noise.pem", "key.pem", ("http.tls_certificate", "PEM")),
    "large-certificate": ("large.pem", "key.pem", ("http.tls_certificate", "large.pem")),
    "folder": (".", "key.pem", ("http.tls_certificate", "directory")),
    "key-as-certificate": ("key.pem", "key.pem", ("http.tls_certificate", "PEM")),
    "certificate-as-key": ("certificate.pem", "certificate.pem", ("http.tls_key", "PEM")),
    "another-key": ("certificate.pem", "other.pem", ("http.tls_key", "is not the key")),
    "encrypted-key": ("certificate.pem", "locked.pem", ("http.tls_key", "passphrase")),
}


def refused(stack, sets, fragments):
    """By --check-config and by a start: exit status 2, one line, and the running broker of the
    same database has not noticed (a start that came as far would have ended it)."""
    generation = Door(stack).metrics()["beckon_broker_generation", ""]
    for check in (True, False):
        done = start(stack, *sets, check=check)
        assert done.returncode == 2, (done.returncode, done.stderr)
        lines = [line for line in done.stderr.splitlines() if " info " not in line]
        assert len(lines) == 1, done.stderr
        for fragment in fragments:
            assert fragment in lines[0], done.stderr
    assert Door(stack).metrics()["beckon_broker_generation", ""] == generation


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_certificate_or_key(stack, pki, wrong):
    certificate, key, fragments = WRONG[wrong]
    refused(stack, [f"http.listen={HOST}:{free_port()}",
                    f"http.tls_certificate={pki / certificate}", f"http.tls_key={pki / key}"],
            fragments)


@pytest.mark.parametrize("option", ["tls_certificate", "tls_key"])
def test_one_without_the_other(stack, pki, option):
    refused(stack, [f"http.{option}={pki / 'key.pem'}"], ["http.tls_certificate", "http.tls_key"])


@pytest.mark.parametrize("listen", ["7480", "localhost:7480", "127.0.0.1", "127.0.0.1:0", ":7480",
                                    "127.0.0.1:65536", "127.0.0.1: 80", "127.0.0.1:80x", "::1:80",
                                    "[::1]", "[127.0.0.1]:80", "[]:80", "127.0.0.1:+80"])
def test_wrong_address(stack, listen):
    refused(stack, [f"http.listen={listen}"], ["http.listen", f'"{listen}"', "ADDRESS:PORT"])


def test_wrong_token_keys(stack):
    refused(stack, ['auth.keys=( { kid = "x"; algorithm = "HS256"; file = "/absent.key"; } )'],
            ["/absent.key"])


@pytest.fixture
def broker(own_stack):
    """broker(*sets): the stack's broker with other settings; it is ended after the test."""
    running = []

    def run(*sets, config=None):
        words = [word for item in sets for word in ("--set", item)]
        config = config or own_stack.var / "etc" / "broker.conf"
        with open(own_stack.var / "log" / "broker-other.log", "wb") as log:
            running.append(subprocess.Popen([program("beckon-broker"), "--config", config, *words],
                                            stderr=log))
        return running[-1]
    if ("broker", 0) in own_stack.ps():
        own_stack.stop("broker")
    yield run
    for process in running:
        process.terminate()
        process.wait(DEADLINE_S)


def test_port_in_use(own_stack, broker):
    """Exit status 1, and the address; not to be taken for a wrong certificate."""
    process = broker(f"http.listen={HOST}:{own_stack.port}")    # the connectors'
    assert process.wait(DEADLINE_S) == 1
    log = (own_stack.var / "log" / "broker-other.log").read_text()
    assert f"{HOST}:{own_stack.port}" in log and "in use" in log


def test_tls(own_stack, own_clients, broker, pki, who):
    """Files named relative to the configuration file; calls over TLS, none without; beckonctl."""
    port = free_port()
    folder = own_stack.var / "etc" / "tls"
    folder.mkdir()
    for name in ("certificate.pem", "key.pem"):
        shutil.copy(pki / name, folder / name)
    text = (own_stack.var / "etc" / "broker.conf").read_text()
    line = next(line for line in text.splitlines() if line.startswith("http:"))
    config = own_stack.var / "etc" / "broker-tls.conf"
    config.write_text(text.replace(
        line, f'http: {{ listen = "{HOST}:{port}"; tls_certificate = "tls/certificate.pem"; '
              f'tls_key = "tls/key.pem"; }};'))
    broker(config=config)
    wait_until(lambda: not port_free(port), "the door is there")
    door = Door(own_stack, f"https://{HOST}:{port}", pki / "certificate.pem")
    wait_until(lambda: door.call("/readyz").status == 200, "ready")
    wait_until(lambda: own_clients.raw(who("alice")).connect().reason == 0, "clients come in")
    bob, alice = own_clients.subscriber(who("bob")), own_clients.peer(who("alice"))
    assert alice.publish(f"to/u/{bob.user}", b"m") == 0
    mid = bob.receive()[0].mid
    door.wait_state(mid, bob.user, bob.device, "acknowledged")
    with pytest.raises(ssl.SSLCertVerificationError):
        Door(own_stack, f"https://{HOST}:{port}").call("/healthz")
    with pytest.raises((ConnectionError, TimeoutError)):
        Door(own_stack, f"http://{HOST}:{port}").call("/healthz")
    command = [program("beckonctl"), "trace", mid, "--url", f"https://{HOST}:{port}", "--key",
               own_stack.environment["BECKON_TOKEN_KEY"]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1 and "certificate" in done.stderr
    done = subprocess.run([*command, "--ca", pki / "certificate.pem"], capture_output=True,
                          text=True, timeout=30, check=False)
    assert done.returncode == 0 and "acknowledged" in done.stdout, done.stderr
