"""./dev test: source checks, CTest and pytest, chosen by label, with one summary at the end.

Every part runs even when an earlier one failed: one run shows all that is wrong. The sanitizer
build repeats the C tests in the default run, and the system tests too when `asan` is asked for by
name.
"""

import fcntl
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

from failure import Failure, UsageError
from layout import ROOT, build_dir

CTEST_LABELS = ("unit", "abi", "fuzz-regress")
DEFAULT_LABELS = ("check", *CTEST_LABELS, "asan", "system")
LABELS = (*DEFAULT_LABELS, "tidy")
JOBS = str(os.cpu_count() or 1)
SYSTEM_JOBS = "2"  # each has two stacks at most: what a machine of two processors serves in time
CHECKS = (  # name, command
    ("format", ["tools/dev/checks/format.sh"]),
    ("banned", ["/usr/bin/python3", "tools/dev/checks/banned.py"]),
    ("length", ["/usr/bin/python3", "tools/dev/checks/length.py"]),
    ("headers", ["tools/dev/checks/headers.sh"]),
    ("shell", ["tools/dev/checks/shell.sh"]),
    ("compose", ["tools/dev/checks/compose.sh"]),
    ("samples", ["/usr/bin/python3", "tools/dev/checks/samples.py"]),
    ("conformance", ["/usr/bin/python3", "tools/dev/checks/conformance.py"]),
    ("dev", ["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/dev"]),
    ("model", ["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/model"]),
    ("docker/runtime-libs", ["tests/docker/check_runtime_libs.sh"]),
)


class Count:
    def __init__(self):
        self.passed = 0
        self.failed = []
        self.skipped = []

    def add(self, name, passed):
        if passed:
            self.passed += 1
        else:
            self.failed.append(name)

    def add_junit(self, path, prefix, status):
        """Adds the cases of a JUnit file; that a run failed without a failed case counts as one."""
        failed_before = len(self.failed)
        try:
            cases = list(ElementTree.parse(path).getroot().iter("testcase"))
        except (OSError, ElementTree.ParseError) as error:
            print(f"{prefix}: no result: {error}")
            cases = []
        for case in cases:
            name = f"{prefix}: {case.get('name')}"
            if case.find("failure") is not None or case.find("error") is not None:
                self.failed.append(name)
            elif case.find("skipped") is not None:
                self.skipped.append(name)
            else:
                self.passed += 1
        if not cases:
            self.failed.append(f"{prefix}: no test ran")
        elif status != 0 and len(self.failed) == failed_before:
            self.failed.append(f"{prefix}: exit status {status}")


def heading(text):
    print(f"\n=== {text}", flush=True)


def call(command, **environment):
    """Runs in the checkout, output passed through; returns the exit status."""
    environment = dict(os.environ, **environment)
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def build(preset):
    """Configures and builds a preset, quietly unless it fails."""
    log = ROOT / "build" / f"{preset}.log"
    log.parent.mkdir(exist_ok=True)
    heading(f"build: preset {preset}")
    with open(log.with_suffix(".lock"), "w", encoding="ascii") as lock, open(log, "wb") as output:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as ./dev: two builds in one folder break each other
        for command in (["cmake", "--preset", preset],
                        ["cmake", "--build", "--preset", preset, "-j", JOBS]):
            done = subprocess.run(command, cwd=ROOT, stdout=output, stderr=output, check=False)
            if done.returncode != 0:
                output.flush()
                lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
                print("\n".join(lines[-60:]))
                raise Failure(f"preset {preset} could not be built; all of its output: {log}")


def run_checks(count):
    for name, command in CHECKS:
        heading(f"check: {name}")
        started = time.monotonic()
        status = call(command)
        print(f"{'passed' if status == 0 else 'FAILED'} in {time.monotonic() - started:.1f} s")
        count.add(f"check: {name}", status == 0)


def run_ctest(count, preset, labels):
    heading(f"ctest: preset {preset}, labels {', '.join(labels)}")
    results = ROOT / "build" / preset / "ctest.xml"
    results.unlink(missing_ok=True)
    pattern = "^(" + "|".join(re.escape(label) for label in labels) + ")$"
    # Check gives a test 4 s, which sanitizers on a busy machine can use up; a hang is still ended,
    # by ctest's own limit.
    slower = {"CK_TIMEOUT_MULTIPLIER": "10"} if preset == "asan" else {}
    status = call(["ctest", "--preset", preset, "-L", pattern, "-j", JOBS, "--no-tests=error",
                   "--output-junit", str(results)], **slower)
    count.add_junit(results, f"ctest {preset}", status)


def run_system(count, build_folder, sanitized=False):
    heading(f"pytest: tests/system with {os.path.relpath(build_folder, ROOT)}")
    results = build_folder / "pytest.xml"
    results.unlink(missing_ok=True)
    reports = build_folder / "sanitizer-reports"
    environment = {"BECKON_BUILD": str(build_folder)}
    if sanitized:
        # The processes' own logs go away with the tests' folders; findings must not.
        reports.mkdir(exist_ok=True)
        for old in reports.iterdir():
            old.unlink()
        environment["ASAN_OPTIONS"] = environment["UBSAN_OPTIONS"] = f"log_path={reports}/report"
    status = call(["/usr/bin/python3", "-m", "pytest", "-q", "-n", SYSTEM_JOBS, "tests/system",
                   f"--junitxml={results}"], **environment)
    count.add_junit(results, "system asan" if sanitized else "system", status)
    for report in sorted(reports.iterdir()) if sanitized else ():
        print(f"--- {report}\n{report.read_text(encoding='utf-8', errors='replace')}")
        count.add(f"sanitizer report {report.name}", False)


def run_part(count, function, *arguments):
    """A part that can't even start is a failure; the others still run. Returns whether it ran."""
    try:
        function(*arguments)
        return True
    except Failure as failure:
        print(failure)
        count.add(str(failure), False)
        return False


def run_asan(count, with_system):
    build("asan")
    run_ctest(count, "asan", CTEST_LABELS)
    if with_system:
        run_system(count, ROOT / "build" / "asan", True)


def run(labels):
    for label in labels:
        if label not in LABELS:
            raise UsageError(f'there is no label "{label}"; expected {", ".join(LABELS)}')
    asked = labels or DEFAULT_LABELS
    started = time.monotonic()
    count = Count()
    ctest_labels = [label for label in CTEST_LABELS if label in asked]
    if "BECKON_BUILD" in os.environ and not ctest_labels:
        built = True  # the programs of that folder, as they are
    elif ctest_labels or "check" in asked or "system" in asked:
        built = run_part(count, build, "dev")
    if "check" in asked:
        run_part(count, run_checks, count)
    if ctest_labels and built:
        run_part(count, run_ctest, count, "dev", ctest_labels)
    if "asan" in asked:
        run_part(count, run_asan, count, "asan" in labels)
    if "system" in asked and built:
        run_part(count, run_system, count, build_dir())
    if "tidy" in asked:
        if run_part(count, build, "tidy"):
            count.add("tidy", True)

    heading(f"{time.monotonic() - started:.0f} s")
    for name in count.skipped:
        print(f"skipped: {name}")
    for name in count.failed:
        print(f"FAILED: {name}")
    skipped = f", {len(count.skipped)} skipped" if count.skipped else ""
    print(f"{count.passed} passed, {len(count.failed)} failed{skipped}")
    sys.stdout.flush()
    return 1 if count.failed or count.passed == 0 else 0
