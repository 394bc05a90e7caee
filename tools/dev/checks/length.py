"""Files over 600 lines and C functions over 60 lines fail; the longest of each are listed.

A function is what lies between a `{` and a `}` that stand alone in the first column, as
.clang-format lays it out. Tables and generated data are no functions and may be long; a whole file
may not.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 60
SUFFIXES = {".c", ".h", ".py", ".sh"}
FOLDERS = ("common", "connector", "broker", "plugin-host", "delivery-plugins", "include", "tools",
           "tests", "bench")
LISTED = 5


def functions(path, lines):
    """(length, "file:line") of each function."""
    opened = None
    for number, line in enumerate(lines, 1):
        if line.startswith("{"):
            opened = number
        elif line.startswith("}") and opened is not None:
            yield number - opened - 1, f"{path}:{opened}"
            opened = None


def main():
    files, bodies = [], []
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix not in SUFFIXES or not path.is_file():
                continue
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            name = path.relative_to(ROOT)
            files.append((len(lines), str(name)))
            if path.suffix == ".c":
                bodies.extend(functions(name, lines))
    failed = False
    for what, found, limit in (("files", files, MAX_FILE_LINES),
                               ("functions", bodies, MAX_FUNCTION_LINES)):
        found.sort(reverse=True)
        print(f"longest {what} (limit {limit}):")
        for position, (length, name) in enumerate(found):
            if length > limit:
                failed = True
            if position < LISTED or length > limit:
                print(f"  {length:5} {name}{'  TOO LONG' if length > limit else ''}")
    return 1 if failed else 0


sys.exit(main())
