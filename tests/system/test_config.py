"""The programs' command lines and configuration: what is wrong is named, with file and line."""
import os
import subprocess

import pytest

from support.stack import program

DAEMONS = pytest.mark.parametrize("name", ["beckon-broker", "beckon-connector"])


def run(name, *words, **how):
    return subprocess.run([str(program(name)), *map(str, words)], capture_output=True, text=True,
                          timeout=20, check=False, **how)


def check(stack, tmp_path, name, edit=None, *words):
    """--check-config on a copy of the stack's configuration, changed by `edit`."""
    source = stack.var / "etc" / f"{name.removeprefix('beckon-')}.conf"
    target = tmp_path / "changed.conf"
    text = source.read_text()
    target.write_text(edit(text) if edit else text)
    return run(name, "--config", target, *words, "--check-config"), target


def refused(done, *fragments):
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    for fragment in fragments:
        assert str(fragment) in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


@DAEMONS
def test_good_configuration(stack, tmp_path, name):
    """What the stack runs with passes."""
    done, _ = check(stack, tmp_path, name)
    assert done.returncode == 0, done.stderr


@DAEMONS
def test_unknown_key(stack, tmp_path, name):
    """An unknown key is an error that names file, line, key and the nearest known one."""
    done, target = check(stack, tmp_path, name, lambda text: "indx = 1;\n" + text)
    refused(done, f"{target}:1", "indx", "index")
    nested = tmp_path / "nested.conf"
    nested.write_text('# a comment\nlog = {\n  levle = "info";\n};\n')
    refused(run(name, "--config", nested, "--check-config"), f"{nested}:3", "log.levle",
            "log.level")


@DAEMONS
def test_syntax_error(stack, tmp_path, name):
    """Text that is no configuration is refused with its line."""
    done, target = check(stack, tmp_path, name, lambda text: "\n\n=== ;\n" + text)
    refused(done, f"{target}:3")


@DAEMONS
def test_missing_file(name, tmp_path):
    """A configuration file that is not there."""
    refused(run(name, "--config", tmp_path / "absent.conf", "--check-config"),
            tmp_path / "absent.conf")


SETTINGS = [("beckon-broker", "index=70000"), ("beckon-broker", "index=many"),
            ("beckon-broker", "log.deliveries=perhaps"), ("beckon-broker", "inbox.window=0"),
            ("beckon-broker", "no.such=1"), ("beckon-broker", "index"),
            ("beckon-connector", "listen.tcp.port=70000"),
            ("beckon-connector", "listen.tcp.port=-1"),
            ("beckon-connector", "mqtt.max_packet_size=big"),
            ("beckon-connector", "mqtt.receive_max=65536"),
            ("beckon-connector", "mqtt.no_such=1")]


@pytest.mark.parametrize("name,setting", SETTINGS, ids=[f"{n}-{s}" for n, s in SETTINGS])
def test_bad_setting(stack, tmp_path, name, setting):
    """--set is checked as the file is."""
    done, _ = check(stack, tmp_path, name, None, "--set", setting)
    refused(done, "--set", setting.split("=")[0])


def test_bad_log_level(stack, tmp_path):
    """A log level that does not exist."""
    for name in ("beckon-broker", "beckon-connector"):
        done, _ = check(stack, tmp_path, name, None, "--set", "log.level=loud")
        refused(done, "loud")


def test_missing_key_file(stack, tmp_path):
    """A connector whose token key is not there can let nobody in: it says so and does not start."""
    key = stack.environment["BECKON_TOKEN_KEY"]
    done, _ = check(stack, tmp_path, "beckon-connector",
                    lambda text: text.replace(key, str(tmp_path / "absent.key")))
    refused(done, "absent.key")


def test_key_too_short(stack, tmp_path):
    """A secret of fewer than 32 bytes is none."""
    (tmp_path / "short.key").write_bytes(b"0123456789")
    key = stack.environment["BECKON_TOKEN_KEY"]
    done, _ = check(stack, tmp_path, "beckon-connector",
                    lambda text: text.replace(key, str(tmp_path / "short.key")))
    refused(done, "short.key", "32")


def test_no_keys(tmp_path):
    """A connector without any key is refused."""
    empty = tmp_path / "empty.conf"
    empty.write_text("")
    refused(run("beckon-connector", "--config", empty, "--check-config"), "auth.keys")


def test_missing_plugin(stack, tmp_path):
    """A plugin file that can't be loaded is named."""
    done, _ = check(stack, tmp_path, "beckon-broker",
                    lambda text: text.replace("live.so", "absent.so"))
    refused(done, "absent.so")


def test_port_in_use(stack):
    """A connector that can't have its port says which, and exits with an error."""
    done = run("beckon-connector", "--config", stack.var / "etc" / "connector.conf",
               "--set", f"listen.tcp.port={stack.offset + 7432}", cwd=stack.var / "etc")
    assert done.returncode in (1, 2) and str(stack.offset + 7432) in done.stderr


@pytest.mark.parametrize("name", ["beckon-broker", "beckon-connector", "beckonctl"])
def test_help_and_version(name):
    """--help and --version answer on standard output and succeed; unknown options do not."""
    assert run(name, "--version").stdout.strip()
    helped = run(name, "--help")
    assert helped.returncode == 0 and name in helped.stdout
    done = run(name, "--no-such-option")
    assert done.returncode == 2 and "no-such-option" in done.stderr


@DAEMONS
def test_printed_configuration_can_be_read(stack, tmp_path, name):
    """--print-config prints a file that the program accepts and that means the same."""
    config = stack.var / "etc" / f"{name.removeprefix('beckon-')}.conf"
    printed = run(name, "--config", config, "--print-config", cwd=stack.var / "etc")
    assert printed.returncode == 0, printed.stderr
    copy = stack.var / "etc" / f"printed-{os.getpid()}.conf"
    copy.write_text(printed.stdout)
    try:
        again = run(name, "--config", copy, "--print-config", cwd=stack.var / "etc")
    finally:
        copy.unlink()
    assert again.returncode == 0, again.stderr
    assert again.stdout == printed.stdout
