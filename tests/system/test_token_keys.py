"""The keys of tokens: all three algorithms, auth.key_dir and its rotation, and what is counted of
refused tokens (operations guide, Keys of tokens)."""
import base64
import json
import signal

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from support import packets as p
from support import tokens
from support.http import Door
from support.waiting import wait_until

SECRETS = {"a": b"a" * 32, "b": b"b" * 32}
NO_MID = "018f0000-0001-7000-8000-000000000000"


def b64(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class KeyPair:
    """An RSA or P-256 key that signs tokens as a backend would."""

    def __init__(self, algorithm):
        self.algorithm = algorithm
        self.key = rsa.generate_private_key(65537, 2048) if algorithm == "RS256" \
            else ec.generate_private_key(ec.SECP256R1())

    def public(self):
        return self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def sign(self, claims, kid):
        head = {"typ": "JWT", "alg": self.algorithm, "kid": kid}
        text = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(claims).encode())}"
        if self.algorithm == "RS256":
            raw = self.key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        else:
            pair = decode_dss_signature(self.key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
            raw = b"".join(number.to_bytes(32, "big") for number in pair)
        return f"{text}.{b64(raw)}"


@pytest.fixture
def folder(tmp_path):
    keys = tmp_path / "keys"
    keys.mkdir()
    return keys


def connects(clients, door, user, token, device="phone"):
    """The reason of the CONNACK."""
    return clients.raw(user, device, sock=door.dial(), token=token).connect().reason


def hs256(user, kid, **more):
    return tokens.sign(tokens.claims_for(user, **more), SECRETS[kid], kid=kid)


def reload(door, outcome):
    """SIGHUP, and waits until the log says how it went."""
    before = door.log().count(outcome)
    door.process.send_signal(signal.SIGHUP)
    wait_until(lambda: door.log().count(outcome) > before, f"\"{outcome}\" in the log")


def counters(door):
    """The connector's counters, as it logs them on SIGUSR1."""
    before = door.log().count("counters: ")
    door.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: door.log().count("counters: ") > before, "the counters are logged")
    line = [line for line in door.log().splitlines() if "counters: " in line][-1]
    words = line.split("counters: ")[1].rstrip('"').split()
    return {name: int(value) for name, _, value in (word.partition("=") for word in words)}


def test_all_algorithms(clients, who, folder):
    """HS256, RS256 and ES256 side by side, picked by kid; a token under another key's kid, or a
    public key used as an HMAC secret (algorithm confusion), is 0x86."""
    pairs = {"r": KeyPair("RS256"), "e": KeyPair("ES256")}
    (folder / "a.hs256").write_bytes(SECRETS["a"] + b"\n")
    for kid, pair in pairs.items():
        (folder / f"{kid}.{pair.algorithm.lower()}.pem").write_bytes(pair.public())
    door, user = clients.connector(f"auth.key_dir={folder}"), who("alice")
    claims = tokens.claims_for(user)
    assert connects(clients, door, user, hs256(user, "a")) == 0
    for kid, other in (("r", "e"), ("e", "r")):
        assert connects(clients, door, user, pairs[kid].sign(claims, kid)) == 0
        assert connects(clients, door, user, pairs[kid].sign(claims, other)) == 0x86
        assert connects(clients, door, user, pairs[kid].sign(claims, "a")) == 0x86
        confused = tokens.sign(claims, pairs[kid].public(), kid=kid)
        assert connects(clients, door, user, confused) == 0x86
        impostor = KeyPair(pairs[kid].algorithm)
        assert connects(clients, door, user, impostor.sign(claims, kid)) == 0x86
    # The list's key goes on beside the folder's.
    assert connects(clients, door, user, clients.stack.token(user)) == 0


def test_rotation(clients, who, folder):
    """A key is put beside the old one, used after SIGHUP, and the old one taken away: its tokens
    are refused then, connections that it let in live on."""
    (folder / "a.hs256").write_bytes(SECRETS["a"])
    door, user = clients.connector(f"auth.key_dir={folder}"), who("alice")
    old = clients.peer(user, "old", sock=door.dial(), token=hs256(user, "a"))
    (folder / "b.hs256").write_bytes(SECRETS["b"])
    assert connects(clients, door, user, hs256(user, "b")) == 0x86   # not read yet
    reload(door, "configuration reloaded")
    assert connects(clients, door, user, hs256(user, "a"), "one") == 0
    assert connects(clients, door, user, hs256(user, "b"), "two") == 0
    (folder / "a.hs256").unlink()
    reload(door, "configuration reloaded")
    assert connects(clients, door, user, hs256(user, "a"), "three") == 0x86
    assert connects(clients, door, user, hs256(user, "b"), "four") == 0
    assert old.publish("me/token", hs256(user, "a").encode()) == 0x87
    assert old.publish("me/token", hs256(user, "b").encode()) == 0


@pytest.mark.parametrize("name,content", [
    ("b.hs256", b"short"), ("b.es256.pem", b"no PEM"), ("b.key", SECRETS["b"]),
    ("a.rs256.pem", KeyPair("RS256").public())], ids=["short", "no-pem", "no-kind", "kid-twice"])
def test_all_or_nothing(clients, who, folder, name, content):
    """One unfit file and nothing of a reload counts, not even a good key beside it; the log names
    the file. Once it is gone the next SIGHUP takes the rest."""
    (folder / "a.hs256").write_bytes(SECRETS["a"])
    door, user = clients.connector(f"auth.key_dir={folder}"), who("alice")
    (folder / name).write_bytes(content)
    (folder / "c.hs256").write_bytes(SECRETS["b"])
    token = tokens.sign(tokens.claims_for(user), SECRETS["b"], kid="c")
    reload(door, "could not reload")
    assert name in [line for line in door.log().splitlines() if "key file" in line][-1]
    assert connects(clients, door, user, hs256(user, "a")) == 0
    assert connects(clients, door, user, token) == 0x86
    (folder / name).unlink()
    reload(door, "configuration reloaded")
    assert connects(clients, door, user, token) == 0


def test_refused_tokens_are_counted_by_kind(clients, who, folder):
    """Each refusal, at CONNECT or at me/token, in the counter of what was wrong."""
    (folder / "a.hs256").write_bytes(SECRETS["a"])
    door, user = clients.connector(f"auth.key_dir={folder}", "auth.audience=us"), who("alice")
    good = {"aud": "us"}
    refused = {
        "missing": "", "malformed": "no token", "unknown_key": hs256(user, "b", **good),
        "algorithm": tokens.sign(tokens.claims_for(user, **good), b"", "a", "none", None) + "xxxx",
        "signature": tokens.sign(tokens.claims_for(user, **good), SECRETS["b"], "a"),
        "expired": hs256(user, "a", ttl_s=-10, **good),
        "early": hs256(user, "a", nbf=4_000_000_000, **good),
        "audience": hs256(user, "a", aud="them"), "user": hs256(who("eve"), "a", **good),
        "device": hs256(user, "a", dev="tablet", **good)}
    peer = clients.peer(user, sock=door.dial(), token=hs256(user, "a", **good))
    for kind, token in refused.items():
        before = counters(door)
        raw = clients.raw(user, "other", sock=door.dial())
        reason = 0x87 if kind in ("expired", "early", "audience", "user", "device") else 0x86
        assert raw.connect(password=token).reason == reason, kind
        assert peer.publish("me/token", token.encode()) == 0x87, kind
        after = counters(door)
        changed = {name: after[name] - before[name] for name in after
                   if name.startswith("tokens_") and after[name] != before[name]}
        assert changed == {f"tokens_{kind}": 2}


def test_folder_for_the_http_door(own_stack, folder):
    """The broker's auth.key_dir: read at SIGHUP, all or nothing, beside its auth.keys."""
    config, door = own_stack.var / "etc" / "broker.conf", Door(own_stack)
    before = config.read_text(encoding="utf-8")
    path = f"/v1/messages/{NO_MID}/trace"
    token = hs256("operator", "a", svc=True)

    def hang_up(outcome):
        seen = own_stack.log("broker").count(outcome)
        own_stack.signal("broker", 0, signal.SIGHUP)
        wait_until(lambda: own_stack.log("broker").count(outcome) > seen, outcome)

    def refused_for(kind):
        return door.metrics()[f"beckon_broker_http_tokens_{kind}_total", ""]

    try:
        assert "auth: {" in before
        config.write_text(before.replace("auth: {", f'auth: {{ key_dir = "{folder}";'),
                          encoding="utf-8")
        unknown, missing = refused_for("unknown_key"), refused_for("missing")
        assert door.call(path, token=token).status == 401
        assert door.call(path).status == 401
        assert refused_for("unknown_key") == unknown + 1 and refused_for("missing") == missing + 1
        hang_up("could not reload")   # the folder is empty
        (folder / "a.hs256").write_bytes(SECRETS["a"])
        hang_up("configuration reloaded")
        assert door.call(path, token=token).status == 404   # let in: there is no such message
        assert door.call(path, token=door.service()).status == 404
        (folder / "b.hs256").write_bytes(b"short")
        hang_up("could not reload")
        assert door.call(path, token=token).status == 404
    finally:
        config.write_text(before, encoding="utf-8")
        hang_up("configuration reloaded")
    assert door.call(path, token=token).status == 401


def test_bad_folders(clients):
    """At start and in --check-config a folder that is not there, or empty, is an error."""
    with pytest.raises(AssertionError, match="/absent/keys"):
        clients.connector("auth.key_dir=/absent/keys")


def test_expired_token_of_any_algorithm(clients, who, folder):
    """The grace of an expiring connection is the same whichever key signed its token."""
    pair = KeyPair("ES256")
    (folder / "e.es256.pem").write_bytes(pair.public())
    door = clients.connector(f"auth.key_dir={folder}", "auth.expiry_grace_s=0")
    user = who("alice")
    token = pair.sign(tokens.claims_for(user, ttl_s=2), "e")
    peer = clients.peer(user, sock=door.dial(), token=token)
    assert [(packet.kind, packet.reason) for packet in peer.end()] == [(p.DISCONNECT, 0x87)]
