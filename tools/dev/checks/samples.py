"""The sample configuration files: read through the program, each is the same as no file at all, and
each names every option that the program knows. Lists (keys, plugins) have no default: a sample may
show one or say that it is not set.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BIN = ROOT / os.environ.get("BECKON_BUILD", "build/dev") / "bin"
LIST = re.compile(r"^ *\w+ = *\(.*?\);\n|^ *# \w+ is not set\n", re.DOTALL | re.MULTILINE)
NAME = re.compile(r"^ *(?:# )?(\w+) (?:= |is not set)", re.MULTILINE)


PROGRAMS = {"broker": "beckon-broker", "connector": "beckon-connector",
            "plugin-host": "beckon-plugin-host", "apns-simulator": "apns-simulator"}


def printed(process, *arguments):
    done = subprocess.run([BIN / PROGRAMS[process], *arguments, "--print-config"], check=True,
                          stdout=subprocess.PIPE, text=True)
    return done.stdout


def complaints(process):
    sample = ROOT / "etc" / f"{process}.conf"
    defaults = printed(process)
    names = NAME.findall(defaults)
    if not names:
        yield f"{PROGRAMS[process]} --print-config names no option"
    text = sample.read_text(encoding="utf-8")
    for name in names:
        if not re.search(rf"\b{name} *=|# {name} is not set", text):
            yield f"{sample.name} does not show {name}"
    left, right = (LIST.sub("", config).split("\n")
                   for config in (defaults, printed(process, "--config", sample)))
    for line in sorted(set(right) - set(left)):
        yield f"{sample.name} differs from the defaults: {line.strip()}"


def main():
    found = [text for process in PROGRAMS for text in complaints(process)]
    print("\n".join(found) if found else "the samples show every default")
    return 1 if found else 0


sys.exit(main())
