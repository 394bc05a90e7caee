"""JSON Web Tokens made by hand, so that wrong ones can be made as easily as right ones."""
import base64
import hashlib
import hmac
import json
import time

KID = "dev"  # the kid of the development key


def _b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(claims, secret, kid=KID, alg="HS256", digest=hashlib.sha256, header=None):
    """A token over exactly these claims. `alg` is what the header says, `digest` what signs."""
    head = {"typ": "JWT", "alg": alg}
    if kid is not None:
        head["kid"] = kid
    head.update(header or {})
    text = f"{_b64(json.dumps(head).encode())}.{_b64(json.dumps(claims).encode())}"
    if digest is None:
        return text + "."
    return f"{text}.{_b64(hmac.new(secret, text.encode(), digest).digest())}"


def claims_for(user, ttl_s=3600, **more):
    now = int(time.time())
    return {"sub": user, "iat": now, "exp": now + ttl_s, **more}


def token(user, secret, ttl_s=3600, **more):
    """A good token for `user`; `more` adds or replaces claims (dev=, svc=, nbf=, aud=...)."""
    return sign(claims_for(user, ttl_s, **more), secret)
