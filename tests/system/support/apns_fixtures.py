"""Fixtures of the APNs simulator's tests: one for all tests of a file, and others on demand. Import
all three; a test then takes what it needs."""
import pytest

from .apns import DEVICE, Simulator


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    made = Simulator(tmp_path_factory.mktemp("apns"), "auth.min_token_interval_s=0")
    yield made
    assert made.stop() == 0, made.log_path.read_text()


@pytest.fixture
def simulator(shared):
    """As it was just started."""
    shared.behave()
    shared.control("DELETE", "/pushes")
    yield shared
    shared.behave()
    shared.control("DELETE", f"/tokens/{DEVICE}")


@pytest.fixture
def start(tmp_path):
    """start("path=value"...) starts one of the test's own."""
    made = []

    def starter(*sets, **how):
        made.append(Simulator(tmp_path, *sets, **how))
        return made[-1]
    yield starter
    for one in made:
        one.kill()
