"""The lease of a broker among others: joins, renewals, removal, replacement, on a real database."""
import os
import subprocess

import pytest

from support.stack import program


@pytest.mark.timeout(400)
def test_membership(own_stack):
    """tests/unit/broker/test_membership.c, on a database that nobody else uses meanwhile."""
    own_stack.stop("broker")
    suite = os.path.join(os.path.dirname(program("beckon-broker")), "..", "tests",
                         "broker-test_membership")
    done = subprocess.run([suite], env={**os.environ,
                                        "BECKON_DSN": own_stack.environment["BECKON_DSN"]},
                          capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Failures: 0, Errors: 0" in done.stdout
    own_stack.start("broker")
