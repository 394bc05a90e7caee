"""Waiting for events with a deadline. Nothing in the suite sleeps to let things settle."""
import time

# Generous, because it bounds failures and never the ordinary case: two cores may be shared by two
# stacks, their PostgreSQL servers and a compiler.
DEADLINE_S = 15.0

# How long "nothing arrives" is watched after a barrier has shown that the server is through with
# what could have caused it.
QUIET_S = 0.3


def wait_until(condition, what, timeout_s=DEADLINE_S, poll_s=0.02):
    """Returns the first true value of condition(); fails naming `what` after timeout_s."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        time.sleep(poll_s)


def let_pass(seconds):
    """The passing of time is what is tested (an expiry, a delay): nothing to wait for instead."""
    time.sleep(seconds)
