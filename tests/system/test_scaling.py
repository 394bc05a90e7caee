"""./dev bench scaling: the claims of docs/scaling.md for a small layout, what it prints and leaves
behind, and that it can miss them."""
import fnmatch
import json
import re
import subprocess

import pytest

from support.stack import BUILD, DEV, ROOT, program

LAYOUT = "100000:8:16"   # devices, brokers, connectors: a second of processor time


def run(*words, name="beckon-scaling"):
    done = subprocess.run([program(name), *words], capture_output=True, text=True, timeout=120,
                          check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def missed(rows):
    return {row["claim"] for row in rows if row["row"] == "claim" and not row["met"]}


def test_a_small_layout_meets_its_claims(tmp_path):
    """Through the command that people use."""
    path = tmp_path / "scaling.json"
    done = subprocess.run([str(DEV), "bench", "scaling", "--layout", LAYOUT, "--json", str(path)],
                          capture_output=True, text=True, timeout=300, check=False,
                          env={"PATH": "/usr/bin:/bin", "BECKON_BUILD": str(BUILD)})
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    claims = [row for row in rows if row["row"] == "claim"]
    assert len(claims) >= 20 and not missed(rows)
    assert len(re.findall(r"^  met ", done.stdout, re.MULTILINE)) == len(claims)
    assert f"{len(claims)} claims met, 0 missed" in done.stdout
    assert {row["row"] for row in rows} == {"constants", "layout", "claim", "balance", "handover",
                                            "storm"}


def test_a_seed_says_everything():
    assert run("--layout", LAYOUT, "--seed", "7") == run("--layout", LAYOUT, "--seed", "7")
    assert run("--layout", LAYOUT, "--seed", "7") != run("--layout", LAYOUT, "--seed", "8")


def test_a_wrong_function_of_ownership_is_found():
    """tests/support/broken_owner.c moves nearly everybody at each change, and deals unevenly."""
    status, rows = run("--layout", LAYOUT, name="beckon-scaling-broken")
    assert status == 1
    assert missed(rows) == {
        "people of the fullest broker, of the mean", "traffic of the busiest broker, of the mean",
        "people that move when a broker joins or leaves, of its share",
        "people that move between brokers that stay"}


@pytest.mark.parametrize("change, claim", [
    ("lease_ms=15000", "seconds until all people of a killed broker are served"),
    ("load_us=5000", "seconds until all people are served that restart in place"),
    ("connect_tls_us=10000", "killed connector machine: seconds, TLS, clients spread"),
    ("connect_tls_us=40000", "everybody comes back: seconds, TLS"),
    ("connect_tls_us=15000", "rolling restart: seconds a connector, TLS"),
    ("connect_postgres_us=900", "everybody comes back: let in a second, of what is served"),
    ("connect_postgres_us=4000", "killed connector machine: refused of a client, TLS"),
    ("link_us_per_s=20000", "share of a broker that idle links take"),
    ("message_broker_us=50000", "share of a broker that messages take"),
    ("message_postgres_us=100000", "processors of a database, messages that come seldom"),
    ("wal_bytes=1e6", "WAL of a database, bytes a second"),
    ("inbox_bytes=40000", "disk of a database, bytes"),
    ("recover_us=2000", "seconds to look at everybody after a start"),
    ("postgres_processors=6", "processors of a database, all brokers look at everybody"),
])
def test_a_cost_that_is_too_high_misses_its_claim(change, claim):
    status, rows = run("--layout", LAYOUT, "--set", change)
    assert status == 1 and claim in missed(rows)


def test_four_brokers_for_a_million_are_too_few():
    """What docs/scaling.md says of the smallest number of brokers is found, not assumed."""
    few, many = (missed(run("--layout", f"1000000:{brokers}:40", "--set", "accepts_per_s=600")[1])
                 for brokers in (4, 8))
    assert "seconds until all people of a killed broker are served" in few
    assert "seconds until all people of a killed broker are served" not in many


@pytest.mark.parametrize("words, text", [
    (["--layout", "5:1:1"], '--layout is "5:1:1", expected DEVICES:BROKERS:CONNECTORS'),
    (["--layout", LAYOUT + "x"], "expected DEVICES:BROKERS:CONNECTORS"),
    (["--layout"], '--layout is ""'),
    (["--set", "x=1"], '--set is "x=1", expected NAME=VALUE'),
    (["--set", "lease_ms=0"], "expected a number above 0"),
    (["--seed", "-1"], '--seed is "-1", expected a number'),
    (["--speed", "1"], 'unknown option "--speed", expected --seed, --set or --layout'),
])
def test_misuse(words, text):
    done = subprocess.run([program("beckon-scaling"), *words], capture_output=True, text=True,
                          timeout=10, check=False)
    assert done.returncode == 2 and text in done.stderr


# --- what docs/scaling.md says of schema and statements ---

def page():
    return (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")


def test_unique_keys_without_the_person(stack):
    """All that a database distributed by person could not check is named in the page; the keys of
    every other table, and of every partition, begin with the person."""
    lines = subprocess.run(
        ["psql", stack.environment["BECKON_DSN"], "-XAtc", """
         SELECT c.relname, a.attname FROM pg_index i
           JOIN pg_class c ON c.oid = i.indexrelid
           JOIN pg_class t ON t.oid = i.indrelid AND t.relnamespace = 'public'::regnamespace
           JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = i.indkey[0]
          WHERE i.indisunique"""],
        capture_output=True, text=True, check=True).stdout.splitlines()
    first = dict(line.split("|") for line in lines)
    assert len([name for name, column in first.items() if column in ("user_no", "to_no")]) > 10
    others = {name for name, column in first.items() if column not in ("user_no", "to_no")}
    assert others == {"users_user_id_key", "push_token", "ownership_pkey", "broker_pkey",
                      "retiring_pkey", "schema_version_pkey"}
    assert all(f"`{name}`" in page() for name in others)


def test_every_statement_is_judged():
    source = (ROOT / "broker" / "store_sql.c").read_text(encoding="utf-8")
    names = re.findall(r"^    \[(SQL_\w+)\] =", source, re.MULTILINE)
    patterns = re.findall(r"`(SQL_[A-Z_]+\*?)`", page())
    assert len(names) > 40
    assert [name for name in names
            if not any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)] == []
