"""Fixtures: one stack for all tests that leave it as it was, another for those that break things,
and people nobody else has ever heard of, so that tests share a stack without meeting."""
import sys
import uuid

import pytest

from support.clients import Clients
from support.pushes import LIVE_MS, NOTIFY_MS, Apns
from support.stack import DEV, Stack, program
from support.waiting import let_pass


def pytest_collection_modifyitems(config):
    """The programs must be there: a suite that skipped itself would prove nothing."""
    for name in ("apns-simulator", "beckon-broker", "beckon-connector", "beckonctl"):
        if not config.option.collectonly and not program(name).exists():
            raise pytest.UsageError(f"{program(name)} is missing: build first, or use {DEV} test")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    if outcome.get_result().failed:
        item.session.beckon_failed = True


def _stack(request, sets=()):
    stack = Stack(sets=sets)
    try:
        yield stack.up()
    finally:
        keep = getattr(request.session, "beckon_failed", False)
        stack.destroy(keep=keep)
        if keep:
            print(f"\nlogs of the failed run: {stack.var}/log", file=sys.__stderr__)


@pytest.fixture(scope="session")
def stack(request):
    """Broker, two connectors, PostgreSQL. Tests leave it running and untouched."""
    yield from _stack(request)


@pytest.fixture(scope="session")
def fragile_stack(request):
    yield from _stack(request)


@pytest.fixture
def own_stack(fragile_stack):
    """A stack that the test may break. Afterwards whatever it killed, stopped or froze is started
    again, so the next one begins with a whole one without paying for initdb."""
    yield fragile_stack
    fragile_stack.heal()


# Deadlines that a test can wait for, far apart from each other and from what a busy machine adds.
ROUTING = ("routing = { foreground = ( { plugin = \"live\"; ack_ms = %d; }, { plugin = \"push\"; } );"
           " background = ( { plugin = \"local-push\"; ack_ms = %d; }, { plugin = \"push\"; } );"
           " offline = ( { plugin = \"push\"; } ); }" % (LIVE_MS, NOTIFY_MS))


@pytest.fixture(scope="session")
def route_stack(request):
    """A stack with short deadlines, for tests of the moments between routes. They may break it."""
    for stack in _stack(request, ["broker:" + ROUTING.replace(" = ", "=", 1),
                                  "broker:alert.hold_ms=1500", "broker:alert.settle_ms=1500"]):
        let_pass(1.5)   # pushes wait so long after a start
        yield stack


@pytest.fixture
def routes(route_stack):
    """Clients of that stack, healed and behaving afterwards."""
    apns = Apns(route_stack)
    made = Clients(route_stack)
    yield made
    made.close()
    route_stack.heal()
    apns.behave()


@pytest.fixture
def apns(route_stack):
    return Apns(route_stack)


@pytest.fixture
def clients(stack):
    made = Clients(stack)
    yield made
    made.close()


@pytest.fixture
def own_clients(own_stack):
    """Clients of the stack that may be broken."""
    made = Clients(own_stack)
    yield made
    made.close()


@pytest.fixture
def who():
    """who("alice") names a person of this test alone, the same one at each call."""
    run = uuid.uuid4().hex[:8]
    return lambda name: f"{name}-{run}"


@pytest.fixture(params=[4, 5], ids=["v3.1.1", "v5"])
def version(request):
    return request.param
