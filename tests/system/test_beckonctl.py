"""beckonctl: tokens, migrations, pings."""
import base64
import json
import os
import shutil
import subprocess

import pytest

from support.stack import ROOT, free_port, program


def ctl(*args, **environment):
    return subprocess.run([program("beckonctl"), *map(str, args)], capture_output=True, text=True,
                          timeout=20, check=False, env={**os.environ, **environment})


def claims(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def test_token_opens_the_door(stack, clients, who):
    """A token signed with the development key, for one device of one person."""
    bob = who("bob")
    done = ctl("token", "--user", bob, "--device", "phone", "--ttl", 60,
               BECKON_TOKEN_KEY=stack.environment["BECKON_TOKEN_KEY"])
    token = done.stdout.strip()
    assert done.returncode == 0 and done.stderr == ""
    assert claims(token)["sub"] == bob and claims(token)["dev"] == "phone"
    assert clients.raw(bob, "phone", token=token).connect().reason == 0
    assert clients.raw(bob, "tablet", token=token).connect().reason == 0x87


@pytest.mark.parametrize("args", [
    ("token",), ("token", "--user", "no spaces"), ("token", "--user", "a", "--ttl", "0"),
    ("token", "--user", "a", "--device", "a/b"), ("nothing",), ("token", "--usr", "a"), ()])
def test_wrong_arguments(stack, args):
    """Exit status 2 and a line that says what was expected."""
    done = ctl(*args, BECKON_TOKEN_KEY=stack.environment["BECKON_TOKEN_KEY"])
    assert done.returncode == 2 and done.stderr and not done.stdout


def test_migrate_again_changes_nothing(stack):
    """Applied migrations are recognised."""
    dsn = stack.environment["BECKON_DSN"]
    done = ctl("migrate", "--dsn", dsn, "--schema", ROOT / "schema")
    assert done.returncode == 0 and "schema version" in done.stdout


def test_edited_migration_is_refused(stack, tmp_path):
    """A released file that was edited afterwards, and a gap in the numbers."""
    dsn = stack.environment["BECKON_DSN"]
    shutil.copytree(ROOT / "schema", tmp_path / "schema")
    first = sorted((tmp_path / "schema" / "migrations").glob("0001_*.sql"))[0]
    first.write_text(first.read_text() + "\n-- edited\n")
    done = ctl("migrate", "--dsn", dsn, "--schema", tmp_path / "schema")
    assert done.returncode != 0 and first.name in done.stderr
    shutil.copy(ROOT / "schema" / "migrations" / first.name, first)
    (first.parent / "0099_gap.sql").write_text("SELECT 1;\n")
    done = ctl("migrate", "--dsn", dsn, "--schema", tmp_path / "schema")
    assert done.returncode != 0 and "0099" in done.stderr


def test_ping(stack, who):
    """A connector that answers, the whole path to the database, and nobody at all."""
    bob = who("bob")
    where = f"127.0.0.1:{stack.port}"
    assert ctl("ping", "--mqtt", where).returncode == 0
    done = ctl("ping", "--mqtt", where, "--user", bob, "--token", stack.token(bob))
    assert done.returncode == 0, done.stderr
    done = ctl("ping", "--mqtt", where, "--user", bob, "--token", stack.token("somebody-else"))
    assert done.returncode == 1
    assert ctl("ping", "--mqtt", f"127.0.0.1:{free_port()}", "--timeout", 500).returncode == 1
    assert ctl("ping", "--broker", f"tcp://127.0.0.1:{7400 + stack.offset}").returncode == 0
