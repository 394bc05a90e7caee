"""The broker's HTTP door: calls, and its metrics read by the letter of OpenMetrics 1.0."""
import http.client
import json
import re
import ssl
import urllib.parse
from dataclasses import dataclass

from .waiting import DEADLINE_S, wait_until


@dataclass
class Answer:
    status: int
    headers: dict   # names in lower case
    body: bytes

    def json(self):
        return json.loads(self.body)

    def problem(self, status):
        """Checks that it is an RFC 9457 document for that status; returns the detail."""
        assert self.status == status, (self.status, self.body)
        assert self.headers["content-type"] == "application/problem+json"
        document = self.json()
        assert set(document) == {"type", "title", "status", "detail"}
        assert document["status"] == status and document["title"] and document["detail"]
        return document["detail"]


class Door:
    """The HTTP door of a stack, or of a broker that listens at `url`."""

    def __init__(self, stack, url=None, ca=None):
        self.stack = stack
        parts = urllib.parse.urlsplit(url or stack.environment["BECKON_HTTP"])
        self.host, self.port = parts.hostname, parts.port
        self.tls = ssl.create_default_context(cafile=ca) if parts.scheme == "https" else None

    def connect(self, timeout_s=DEADLINE_S):
        if self.tls:
            return http.client.HTTPSConnection(self.host, self.port, timeout=timeout_s,
                                               context=self.tls)
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)

    def call(self, path, method="GET", token=None, body=None, headers=None, timeout_s=DEADLINE_S):
        headers = dict(headers or {})
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        connection = self.connect(timeout_s)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()},
                          answer.read())
        finally:
            connection.close()

    def service(self):
        return self.stack.token("operator", svc=True)

    def trace(self, mid, token=None):
        return self.call(f"/v1/messages/{mid}/trace", token=token or self.service())

    def devices(self, mid, user):
        """{device: its part of the trace} of that recipient; {} while there is none."""
        answer = self.trace(mid)
        if answer.status != 200:
            return {}
        return {device["device"]: device for recipient in answer.json()["recipients"]
                if recipient["user"] == user for device in recipient["devices"]}

    def wait_state(self, mid, user, device, state):
        """The device's part of the trace once it is in that state (rows come with a batch)."""
        wait_until(lambda: self.devices(mid, user).get(device, {}).get("state") == state,
                   f"{device} is {state}, the trace is {self.trace(mid).body}")
        return self.devices(mid, user)[device]

    def metrics(self):
        """{(name, labels): value}"""
        return parse_openmetrics(self.call("/metrics").body.decode("utf-8"))


NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"'
SAMPLE = re.compile(rf"({NAME})(?:\{{((?:{LABEL})(?:,{LABEL})*)\}})? (-?[0-9.]+(?:e[+-]?[0-9]+)?)")
METADATA = re.compile(rf"# (TYPE|HELP|UNIT) ({NAME}) (.+)")
SUFFIXES = {"counter": ("_total", "_created"), "gauge": ("",)}


def parse_openmetrics(text):
    """Fails on whatever OpenMetrics 1.0 forbids, and on families without TYPE or HELP."""
    lines = text.split("\n")
    assert lines[-2:] == ["# EOF", ""] and "# EOF" not in lines[:-2] and "\r" not in text
    families, samples, family = {}, {}, None
    for line in lines[:-2]:
        metadata = METADATA.fullmatch(line)
        if metadata:
            kind, name, value = metadata.groups()
            if name != family:
                assert name not in families, f"{name} is not in one piece"
                family, families[name] = name, {}
            assert kind not in families[name], f"second {kind} of {name}"
            assert "sampled" not in families[name], f"{kind} of {name} after its samples"
            families[name][kind] = value
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample, f"no line of OpenMetrics: {line!r}"
        name, labels, value = sample.group(1), sample.group(2) or "", float(sample.groups()[-1])
        assert family is not None, f"{name} before any metadata"
        kind = families[family].get("TYPE")
        assert name in [family + suffix for suffix in SUFFIXES[kind]], f"{name} in {family}"
        assert (name, labels) not in samples, f"{line} comes twice"
        assert kind != "counter" or value >= 0
        names = [label for label, _ in re.findall(LABEL, labels)]
        assert len(names) == len(set(names)), f"a label comes twice: {line}"
        families[family]["sampled"] = True
        samples[name, labels] = value
    for name, metadata in families.items():
        assert "TYPE" in metadata and "HELP" in metadata, name
        assert "UNIT" not in metadata or name.endswith("_" + metadata["UNIT"])
    return samples
