"""IPv6 between connectors and brokers."""
import subprocess

import pytest

from support.stack import free_port, program
from support.waiting import DEADLINE_S, wait_until


@pytest.fixture
def endpoint(own_stack):
    """Of a broker that listens on ::1 only, in place of the stack's."""
    address = f"tcp://[::1]:{free_port()}"
    own_stack.kill("broker")
    with open(own_stack.var / "log" / "broker-ipv6.log", "w+b") as log:
        process = subprocess.Popen(
            [program("beckon-broker"), "--config", own_stack.var / "etc" / "broker.conf",
             "--set", f"listen.endpoint={address}", "--set", f"http.listen=127.0.0.1:{free_port()}"],
            stderr=log, cwd=own_stack.var / "etc")
        try:
            yield address
        finally:
            process.kill()
            process.wait()


def test_link(own_clients, who, endpoint):
    door = own_clients.connector(f'broker.endpoints=( "{endpoint}" )')
    wait_until(lambda: "linked to broker-0" in door.log(), f"a link:\n{door.log()}")
    bob = own_clients.subscriber(who("bob"), sock=door.dial())
    alice = own_clients.peer(who("alice"), sock=door.dial())
    assert alice.publish(f"to/u/{bob.user}", b"six") == 0
    assert bob.payloads() == [b"six"]


def test_ping(endpoint):
    def answered():
        done = subprocess.run([program("beckonctl"), "ping", "--broker", endpoint, "--timeout",
                               "2000"], capture_output=True, text=True, timeout=DEADLINE_S,
                              check=False)
        return done.returncode == 0 and "broker-0" in done.stdout
    wait_until(answered, "the broker answers")
