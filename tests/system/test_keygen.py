"""beckonctl keygen: the keys between connectors and brokers, made, kept and not overwritten."""
import re

import pytest

from support.keys import keygen


def mode(path):
    return path.stat().st_mode & 0o777


def half(path, which):
    found = re.search(rf'^    {which}-key = "(.{{40}})"$', path.read_text(), re.MULTILINE)
    return found and found.group(1)


def test_all_that_an_installation_needs(tmp_path):
    """One command makes both pairs: secret ones for their owner alone, public ones alone where
    others need them."""
    folder = tmp_path / "curve"
    done = keygen(folder)
    assert done.returncode == 0 and done.stderr == ""
    assert mode(folder) == 0o700
    for secret, public in (("broker.key", "broker.pub"), ("connector.key", "clients/connector.pub")):
        assert mode(folder / secret) == 0o600
        assert half(folder / secret, "secret")
        assert half(folder / secret, "public") == half(folder / public, "public")
        assert not half(folder / public, "secret")
    assert half(folder / "broker.key", "secret") != half(folder / "connector.key", "secret")


@pytest.mark.parametrize("words", [(), ("--client", "connector")], ids=["all", "client"])
def test_nothing_is_overwritten(tmp_path, words):
    """Keys that are there stay, byte for byte, unless --force says otherwise."""
    keygen(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    assert len(before) == 4
    done = keygen(tmp_path, *words)
    assert done.returncode == 1 and "is there already" in done.stderr and "--force" in done.stderr
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before
    assert keygen(tmp_path, *words, "--force").returncode == 0
    assert (tmp_path / "connector.key").read_bytes() != before[tmp_path / "connector.key"]


def test_half_a_set_is_not_made(tmp_path):
    """When one of the files is there, none of the others is made."""
    (tmp_path / "clients").mkdir()
    (tmp_path / "clients" / "connector.pub").write_text("mine")
    done = keygen(tmp_path)
    assert done.returncode == 1 and "connector.pub" in done.stderr
    assert [path.name for path in tmp_path.rglob("*.*")] == ["connector.pub"]


def test_one_more_connector(tmp_path):
    """--client makes the pair of one connector, beside what is there."""
    keygen(tmp_path)
    before = (tmp_path / "broker.key").read_bytes()
    done = keygen(tmp_path, "--client", "machine-2")
    assert done.returncode == 0 and "SIGHUP" in done.stdout
    assert mode(tmp_path / "machine-2.key") == 0o600
    assert half(tmp_path / "machine-2.key", "public") == half(tmp_path / "clients" / "machine-2.pub",
                                                             "public")
    assert (tmp_path / "broker.key").read_bytes() == before


@pytest.mark.parametrize("words", [["--client", "../x"], ["--client", ".x"], ["--client", ""],
                                   ["--client", "broker"], ["--nothing"], ["x"]])
def test_wrong_arguments(tmp_path, words):
    """Exit status 2, and nothing is made."""
    done = keygen(tmp_path / "curve", *words)
    assert done.returncode == 2 and done.stderr and not done.stdout
    assert not (tmp_path / "curve").exists()


def test_no_folder(tmp_path):
    """A folder that can't be made is named."""
    (tmp_path / "file").write_text("")
    done = keygen(tmp_path / "file" / "curve")
    assert done.returncode == 1 and str(tmp_path / "file" / "curve") in done.stderr
