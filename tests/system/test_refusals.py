"""Who is let in: device names, tokens, protocol levels (guide, Connecting)."""
import hashlib
import time

import pytest

from support import packets as p
from support import tokens

BAD_CREDENTIALS = (4, 0x86)   # CONNACK code in 3.1.1, reason in MQTT 5
NOT_AUTHORIZED = (5, 0x87)
BAD_DEVICE = (2, 0x85)
DEVICE = "phone"


def refused(peer, expected, **how):
    """CONNECT is answered with the refusal of this protocol version, and the socket is closed."""
    connack = peer.connect(**how)
    assert connack.reason == expected[peer.version - 4], f"{connack.reason:#x}"
    assert not connack.session_present
    assert peer.end() == []


def swap_signature(good):
    """The signature's first character changed (the last one carries bits that are ignored)."""
    head, _, signature = good.rpartition(".")
    return f"{head}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


# name -> (token of (user, secret), refusal)
BAD_TOKENS = {
    "none": (lambda user, secret: None, BAD_CREDENTIALS),
    "empty": (lambda user, secret: "", BAD_CREDENTIALS),
    "no-jwt": (lambda user, secret: "secret", BAD_CREDENTIALS),
    "three-dots": (lambda user, secret: "a.b.c", BAD_CREDENTIALS),
    "nul": (lambda user, secret: "\0" * 20, BAD_CREDENTIALS),
    "not-utf8": (lambda user, secret: b"\xff\xfe.\x80.\x80", BAD_CREDENTIALS),
    "huge": (lambda user, secret: "a" * 60_000, BAD_CREDENTIALS),
    "tampered": (lambda user, secret: swap_signature(tokens.token(user, secret)),
                 BAD_CREDENTIALS),
    "other-key": (lambda user, secret: tokens.token(user, b"0" * 64), BAD_CREDENTIALS),
    "unknown-kid": (lambda user, secret: tokens.sign(tokens.claims_for(user), secret, kid="old"),
                    BAD_CREDENTIALS),
    "alg-none": (lambda user, secret: tokens.sign(tokens.claims_for(user), secret, alg="none",
                                                  digest=None), BAD_CREDENTIALS),
    "alg-hs512": (lambda user, secret: tokens.sign(tokens.claims_for(user), secret, alg="HS512",
                                                   digest=hashlib.sha512), BAD_CREDENTIALS),
    "alg-rs256": (lambda user, secret: tokens.sign(tokens.claims_for(user), secret, alg="RS256"),
                  BAD_CREDENTIALS),
    "expired": (lambda user, secret: tokens.token(user, secret, -3600), NOT_AUTHORIZED),
    "not-yet": (lambda user, secret: tokens.token(user, secret, nbf=int(time.time()) + 3600),
                NOT_AUTHORIZED),
    "other-user": (lambda user, secret: tokens.token("x" + user, secret), NOT_AUTHORIZED),
    "other-device": (lambda user, secret: tokens.token(user, secret, dev="tablet"),
                     NOT_AUTHORIZED),
}


@pytest.mark.parametrize("case", BAD_TOKENS)
def test_bad_token(clients, who, version, case):
    """Missing, malformed and unverifiable credentials are 4 / 0x86; a valid signature over claims
    that do not let this client in, 5 / 0x87."""
    make, expected = BAD_TOKENS[case]
    user = who("mallory")
    password = make(user, clients.stack.secret())
    refused(clients.raw(user, DEVICE, version), expected, password=password)


@pytest.mark.parametrize("claims", [{"exp": None}, {"sub": None}, {"sub": 7}, {"exp": "soon"},
                                    {"sub": "a/b"}, {"dev": 7}], ids=str)
def test_claims_missing_or_of_the_wrong_kind(clients, who, version, claims):
    """`sub` and `exp` are required; a token without them, or with something else in their place,
    opens no door."""
    user = who("mallory")
    full = {**tokens.claims_for(user), **claims}
    full = {name: value for name, value in full.items() if value is not None}
    peer = clients.raw(user, DEVICE, version)
    connack = peer.connect(password=tokens.sign(full, clients.stack.secret()))
    assert connack.reason in ({4, 5} if version == p.V311 else {0x86, 0x87})
    assert peer.end() == []


def test_no_credentials_at_all(clients, who, version):
    """Neither username nor password: 4 / 0x86."""
    peer = clients.raw(who("mallory"), DEVICE, version)
    refused(peer, BAD_CREDENTIALS, username=None, password=None)


def test_password_without_username(clients, who):
    """MQTT 5 allows the form, but it names nobody: 0x86."""
    peer = clients.raw(who("mallory"), DEVICE)
    refused(peer, BAD_CREDENTIALS, username=None)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a+b", "a#", "ä", "x" * 65], ids=ascii)
def test_bad_user_id(clients, who, version, name):
    """A username outside the grammar can be nobody's: 4 / 0x86."""
    secret = clients.stack.secret()
    refused(clients.raw(name, DEVICE, version), BAD_CREDENTIALS,
            password=tokens.token(name, secret))


@pytest.mark.parametrize("device", ["", "a b", "a/b", "a:b", "a@b", "ä", "#", "x" * 65], ids=ascii)
def test_bad_device_id(clients, who, version, device):
    """The client identifier is the device id; an empty or ill-formed one: 2 / 0x85."""
    refused(clients.raw(who("mallory"), DEVICE, version), BAD_DEVICE, client_id=device)


def test_empty_device_id_with_a_kept_session(clients, who):
    """MQTT-3.1.3-8: 3.1.1, empty client identifier and clean session 0: code 2."""
    refused(clients.raw(who("mallory"), DEVICE, p.V311), BAD_DEVICE, client_id="", clean=False)


@pytest.mark.parametrize("device", ["a", "A.b_c~d-9", "x" * 64])
def test_good_device_id(clients, who, version, device):
    """Device ids are 1 to 64 of A-Z a-z 0-9 . _ ~ -"""
    assert clients.raw(who("alice"), DEVICE, version).connect(client_id=device).reason == 0


def test_token_for_this_device(clients, who, version):
    """A token may be good for one device: `dev`."""
    user = who("alice")
    clients.peer(user, DEVICE, version, token=clients.stack.token(user, dev=DEVICE))


def test_token_with_an_audience_and_unknown_claims(clients, who, version):
    """What is not configured is not checked."""
    user = who("alice")
    extra = clients.stack.token(user, aud=["x", "y"], iss="me", foo={"bar": [1]}, svc=True)
    clients.peer(user, DEVICE, version, token=extra)


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_protocol_level_below_4(clients, who, level):
    """Protocol level below 4: CONNACK in 3.1.1 form with code 1."""
    peer = clients.raw(who("alice"), DEVICE, p.V311)
    connack = peer.connect(level=level)
    assert (connack.reason, connack.size) == (1, 4)
    assert peer.end() == []


@pytest.mark.parametrize("level", [6, 7, 0x83, 0x84, 0xFF])
def test_protocol_level_above_5(clients, who, level):
    """Protocol level above 5: CONNACK in MQTT 5 form with 0x84."""
    peer = clients.raw(who("alice"), DEVICE, p.V5)
    connack = peer.connect(level=level)
    assert connack.reason == 0x84 and connack.size >= 5
    assert peer.end() == []


def test_mqtt_3_1(clients, who):
    """MQTT 3.1 ("MQIsdp", level 3) is another protocol name: closed, at most with code 1."""
    peer = clients.raw(who("alice"), DEVICE, p.V311)
    peer.send(p.connect(p.V311, DEVICE, level=3, name="MQIsdp"))
    assert [packet.reason for packet in peer.end()] in ([], [1])


def test_extended_authentication(clients, who):
    """MQTT 5.0 section 4.12: an Authentication Method that the server does not support: 0x8C."""
    peer = clients.raw(who("alice"), DEVICE)
    refused(peer, (None, 0x8C), props=[(p.AUTH_METHOD, "SCRAM-SHA-256"), (p.AUTH_DATA, b"x")])


def test_issuer_and_audience(clients, who, version):
    """`iss` and `aud` are checked when configured: others are 5 / 0x87."""
    door = clients.connector("auth.audience=beckon", "auth.issuer=login.example")
    user = who("alice")
    for claims, accepted in (({"aud": "beckon", "iss": "login.example"}, True),
                             ({"aud": ["a", "beckon"], "iss": "login.example"}, True),
                             ({"aud": "other", "iss": "login.example"}, False),
                             ({"aud": "beckon", "iss": "other"}, False),
                             ({"iss": "login.example"}, False),
                             ({"aud": "beckon"}, False),
                             ({}, False)):
        peer = clients.raw(user, DEVICE, version, sock=door.dial())
        password = clients.stack.token(user, **claims)
        if accepted:
            assert peer.connect(password=password).reason == 0, claims
        else:
            refused(peer, NOT_AUTHORIZED, password=password)


def test_connack_properties(clients, who):
    """Guide, Connecting: what the server announces to MQTT 5 clients."""
    connack = clients.peer(who("alice")).connack
    announced = {p.MAXIMUM_QOS: 1, p.RETAIN_AVAILABLE: 0, p.SHARED_AVAILABLE: 0}
    assert {ident: connack.prop(ident) for ident in announced} == announced
    assert connack.prop(p.TOPIC_ALIAS_MAXIMUM, 0) == 0
    assert connack.prop(p.MAXIMUM_PACKET_SIZE) > 0
    assert connack.prop(p.RECEIVE_MAXIMUM) > 0
    assert connack.prop(p.SERVER_KEEP_ALIVE) is None, "60 s is within the limits"
    assert connack.prop(p.ASSIGNED_CLIENT_ID) is None
