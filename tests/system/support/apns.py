"""The APNs simulator as a process, a provider's tokens, and curl as a client that isn't ours."""
import base64
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

from .stack import HOST, free_port, program
from .waiting import DEADLINE_S

TEAM, KID, TOPIC, DEVICE = "BECKONTEAM", "BECKONKEY1", "com.example.app", "00ff" * 16


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def der_to_raw(der):
    """ECDSA-Sig-Value (two integers) as JOSE's 64 bytes."""
    parts, at = [], 2
    for _ in range(2):
        size = der[at + 1]
        parts.append(int.from_bytes(der[at + 2:at + 2 + size], "big").to_bytes(32, "big"))
        at += 2 + size
    return b"".join(parts)


def provider_token(key_file, kid=KID, team=TEAM, age_s=0, der=False):
    head = {"alg": "ES256", "kid": kid}
    claims = {"iss": team, "iat": int(time.time()) - age_s}
    signed = ".".join(base64url(json.dumps(part).encode()) for part in (head, claims))
    signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", str(key_file)], check=True,
                               input=signed.encode(), stdout=subprocess.PIPE).stdout
    return f"{signed}.{base64url(signature if der else der_to_raw(signature))}"


class Simulator:
    def __init__(self, folder, *sets, config=None):
        self.folder = pathlib.Path(folder)
        self.port, self.control_port = free_port(), free_port()
        self.log_path = self.folder / f"simulator-{self.port}.log"
        words = ["--config", str(config)] if config else []
        for item in (f"listen.port={self.port}", f"control.port={self.control_port}", *sets):
            words += ["--set", item]
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as ready:
            path = str(self.folder / f"notify-{self.port}")
            ready.bind(path)
            ready.settimeout(DEADLINE_S)
            with open(self.log_path, "wb") as log:
                self.process = subprocess.Popen(
                    [str(program("apns-simulator")), *words], cwd=self.folder, stderr=log,
                    env={**os.environ, "NOTIFY_SOCKET": path})
            try:
                assert b"READY=1" in ready.recv(1024)
            except OSError:
                self.kill()
                raise AssertionError(f"not ready: {self.log_path.read_text()}") from None
        self.ca = self.folder / "apns-simulator" / "ca.pem"
        self.key = self.folder / "apns-simulator" / f"AuthKey_{KID}.p8"
        self._token = None

    @property
    def token(self):
        """One for all requests, as a provider should."""
        self._token = self._token or provider_token(self.key)
        return self._token

    def stop(self):
        """SIGTERM; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def control(self, method, path, body=None):
        """(status, parsed JSON or None, headers) of the control door."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{HOST}:{self.control_port}{path}", data=data,
                                         method=method)
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
                status, text, headers = answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            with error:
                status, text, headers = error.code, error.read(), error.headers
        return status, json.loads(text) if text else None, headers

    def behave(self, **behaviour):
        status, problem, _ = self.control("PUT", "/behaviour", behaviour)
        assert status == 204, problem

    def pushes(self, device=None):
        return self.control("GET", f"/pushes?device={device}" if device else "/pushes")[1]

    def headers(self, **more):
        """A right request's, changed: apns_topic="x" sets one, apns_topic=None takes it away."""
        made = {"apns-topic": TOPIC, "apns-push-type": "alert"}
        if "authorization" not in more:
            made["authorization"] = f"bearer {self.token}"
        for name, value in more.items():
            made[name.replace("_", "-")] = value
        return {name: value for name, value in made.items() if value is not None}

    def curl(self, body=b'{"aps":{"alert":"hi"}}', path=f"/3/device/{DEVICE}", method="POST",
             words=(), **headers):
        """One request. A CompletedProcess whose output is the answer with its headers."""
        # An empty value needs the semicolon: curl takes "name:" for "without that header".
        named = [f"{name}: {value}" if value else f"{name};"
                 for name, value in self.headers(**headers).items()]
        command = ["curl", "--silent", "--show-error", "--include", "--http2", "--cacert",
                   str(self.ca), "--max-time", str(DEADLINE_S), "--request", method,
                   "--data-binary", "@-"]
        for line in named:
            command += ["--header", line]
        return subprocess.run([*command, *words, f"https://{HOST}:{self.port}{path}"], input=body,
                              capture_output=True, check=False)

    def ask(self, *args, **more):
        """(status, headers, parsed body or None) of one request through curl."""
        done = self.curl(*args, **more)
        assert done.returncode == 0, done.stderr
        head, _, body = done.stdout.decode().partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        assert first.startswith("HTTP/2 "), first
        headers = dict(line.split(": ", 1) for line in lines)
        return int(first.split()[1]), headers, json.loads(body) if body else None
