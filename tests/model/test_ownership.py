"""The model of ownership, searched by spin: as it is no claim fails, without any one of its rules some
claim does. README.md says what that proves."""
import pathlib
import re
import subprocess

import pytest

MODEL = pathlib.Path(__file__).with_name("ownership.pml")
SEARCH_TIMEOUT_S = 300  # seconds of work; more means that the model has grown
MEMORY_MB = 2000


def search(folder, changes, *left_out):
    """Returns what the verifier printed."""
    defines = [f"-DCHANGES={changes}", *(f"-D{rule}" for rule in left_out)]
    subprocess.run(["spin", "-a", *defines, MODEL], cwd=folder, check=True, stdin=subprocess.DEVNULL)
    subprocess.run(["gcc", "-O1", "-w", "-DSAFETY", "-DCOLLAPSE", f"-DMEMLIM={MEMORY_MB}", "-o", "search",
                    "pan.c"], cwd=folder, check=True)
    # -b: a search that is cut off at its depth is an error, not a success
    return subprocess.run(["./search", "-m100000", "-b"], cwd=folder, check=True, timeout=SEARCH_TIMEOUT_S,
                          capture_output=True, text=True).stdout


def test_no_claim_fails(tmp_path):
    output = search(tmp_path, 1)
    assert "errors: 0" in output, output
    assert "Search not completed" not in output, output
    assert int(re.search(r"(\d+) states, stored", output)[1]) > 10000  # it did search


@pytest.mark.parametrize("rule, changes", [
    ("WITHOUT_FENCE", 1),     # a batch checks the generation
    ("WITHOUT_LOOKUP", 1),    # a repeat is looked up
    ("WITHOUT_ANNOUNCE", 2),  # nothing is sent on a new link before the announcement
    ("WITHOUT_SINCE", 2),     # records from before a person went and came back are dropped
    ("WITHOUT_JUMP", 2),      # who missed a generation forgets everything
])
def test_each_rule_is_needed(tmp_path, rule, changes):
    assert "assertion violated" in search(tmp_path, changes, rule)
