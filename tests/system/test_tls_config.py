"""What is wrong with TLS in a connector's configuration is refused before anything is touched."""
import socket
import ssl
import subprocess

import pytest

from support.pki import NEW_KEY, Pki, openssl
from support.stack import HOST, free_port, port_free, program
from support.tls import TlsConnector
from support.waiting import DEADLINE_S, wait_until


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """ca, server, other (another key), old (expired), and files that are none of these."""
    made = Pki(tmp_path_factory.mktemp("pki"))
    made.authority()
    made.issue("server")
    made.issue("other")
    made.expired("old")
    openssl("pkey", "-in", made.key("server"), "-aes256", "-passout", "pass:secret", "-out",
            made.key("locked"))
    openssl("req", "-x509", "-newkey", "rsa:1024", "-nodes", "-keyout", made.key("weak"), "-out",
            made.pem("weak"), "-days", "2", "-subj", "/CN=weak")
    (made.folder / "empty").write_bytes(b"")
    (made.folder / "noise").write_bytes(bytes(range(256)) * 100)
    (made.folder / "79").write_bytes(bytes(79))
    (made.folder / "nine").write_bytes(bytes(9 * 80))
    made.pem("cut").write_bytes(made.pem("server").read_bytes() + b"-----BEGIN CERTIFICATE-----\n")
    return made


def start(stack, sets, check):
    words = [word for item in sets for word in ("--set", item)]
    return subprocess.run([program("beckon-connector"), "--config",
                           stack.var / "etc" / "connector.conf", "--set",
                           f"listen.tcp.port={free_port()}", "--set", "listen.tls.enabled=true",
                           "--set", f"listen.tls.port={free_port()}", *words,
                           *(["--check-config"] if check else [])],
                          capture_output=True, text=True, timeout=DEADLINE_S, check=False)


def refused(stack, sets, *fragments):
    """By --check-config and by a start: exit status 2, and one line that is no information."""
    for check in (True, False):
        done = start(stack, sets, check)
        assert done.returncode == 2, (done.returncode, done.stderr)
        lines = [line for line in done.stderr.splitlines() if " info " not in line]
        assert len(lines) == 1, done.stderr
        text = lines[0].replace('\\"', '"')     # as the log escapes it
        for fragment in fragments:
            assert fragment in text, done.stderr


def pair(certificate, key):
    return f'tls.certificates=( {{ certificate = "{certificate}"; key = "{key}"; }} )'


WRONG = {   # certificate, key, what the error names
    "missing-certificate": ("absent.pem", "server.key", "could not open", "absent.pem"),
    "missing-key": ("server.pem", "absent.key", "could not open", "absent.key"),
    "empty-certificate": ("empty", "server.key", "has no certificate", "empty"),
    "noise-key": ("server.pem", "noise", "has no private key", "noise"),
    "folder": (".", "server.key", "directory"),
    "another-key": ("server.pem", "other.key", "is not the key of", "server.pem"),
    "encrypted-key": ("server.pem", "locked.key", "without a passphrase", "locked.key"),
    "key-too-small": ("weak.pem", "weak.key", "key too small", "weak.pem"),
    "broken-chain": ("cut.pem", "server.key", "certificate 2", "cut.pem"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_files(stack, pki, wrong):
    certificate, key, *fragments = WRONG[wrong]
    refused(stack, [pair(pki.folder / certificate, pki.folder / key)], "tls.certificates",
            *fragments)


OPTIONS = {     # a setting beside a good certificate, what the error says
    "min_version": ("tls.min_version=1.1", "1.2 or 1.3"),
    "ciphers": ("tls.ciphers=NONSENSE", '"NONSENSE"'),
    "ciphersuites": ("tls.ciphersuites=TLS_NONSENSE", '"TLS_NONSENSE"'),
    "client_ca": ("tls.client_ca=/absent/ca.pem", "could not open", "/absent/ca.pem"),
    "client_ca-key": ("tls.client_ca={folder}/server.key", "has no certificates", "server.key"),
    "ticket_keys": ("tls.ticket_keys=/absent/tickets", "could not open", "/absent/tickets"),
    "ticket_keys-empty": ("tls.ticket_keys={folder}/empty", "0 bytes", "80 random bytes"),
    "ticket_keys-short": ("tls.ticket_keys={folder}/79", "79 bytes"),
    "ticket_keys-many": ("tls.ticket_keys={folder}/nine", "641 bytes or more"),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_wrong_options(stack, pki, option):
    setting, *fragments = OPTIONS[option]
    refused(stack, [pki.certificates("server"), setting.format(folder=pki.folder)],
            option.split("-")[0], *fragments)


SHAPES = {
    "none": ("tls.certificates=( )", "listen.tls", "without a certificate"),
    "no-list": ('tls.certificates={ certificate = "a"; key = "b"; }', "is not a list"),
    "no-group": ('tls.certificates=( "a" )', "is not a group"),
    "no-key": ('tls.certificates=( { certificate = "a"; } )', 'has no "key"'),
    "unknown": ('tls.certificates=( { certificate = "a"; key = "b"; password = "c"; } )',
                '"password"', "expected certificate and key"),
    "many": ("tls.certificates=( %s )" % ", ".join(['{ certificate = "a"; key = "b"; }'] * 65),
             "65 elements", "at most 64"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_wrong_shapes(stack, shape):
    setting, *fragments = SHAPES[shape]
    refused(stack, [setting], *fragments)


def test_no_listener(stack):
    refused(stack, [*(f"listen.{name}.enabled=false" for name in ("tcp", "tls", "ws", "wss")),
                    "tls.certificates=( )"], "no listener")


def test_wrong_address(stack, pki):
    refused(stack, [pki.certificates("server"), "listen.tls.address=localhost"],
            '"listen.tls.address" is "localhost"', "an IP address")


def test_expired_certificate(stack, pki):
    """A warning: who pins it goes on."""
    certificates = pki.certificates("old")
    done = start(stack, [certificates], True)
    assert done.returncode == 0 and "has expired" in done.stderr and "old.pem" in done.stderr
    door = TlsConnector(stack, certificates)
    try:
        assert "certificate has expired" in door.s_client("-CAfile", pki.pem("old"))
        assert door.log().count("has expired") == 1
    finally:
        door.close()


def test_certificates_without_a_listener(stack, pki):
    done = start(stack, [pki.certificates("server"), "listen.tls.enabled=false",
                         "listen.wss.enabled=false"], True)
    assert done.returncode == 0 and "no listener with TLS" in done.stderr


def test_only_tls(stack, pki, clients, who):
    """Plain TCP can be switched off. Files relative to the configuration's are found there."""
    lines = (stack.var / "etc" / "connector.conf").read_text().splitlines()
    config, port = pki.folder / "relative.conf", free_port()
    config.write_text("\n".join([
        *(line for line in lines if line.startswith(("broker:", "auth:"))),
        'listen: { tcp: { enabled = false; }; ws: { enabled = false; }; '
        f'tls: {{ enabled = true; address = "{HOST}"; '
        f'port = {port}; }}; }};',
        'tls: { certificates = ( { certificate = "server.pem"; key = "server.key"; } ); };']))
    with subprocess.Popen([program("beckon-connector"), "--config", config, "--set", "index=91"],
                          cwd="/") as process:
        try:
            wait_until(lambda: not port_free(port), "it listens")
            context = ssl.create_default_context(cafile=str(pki.pem("ca")))
            raw = socket.create_connection((HOST, port), timeout=DEADLINE_S)
            bob = clients.raw(who("bob"), sock=context.wrap_socket(raw, server_hostname=HOST))
            assert bob.connect().reason == 0
        finally:
            process.kill()
