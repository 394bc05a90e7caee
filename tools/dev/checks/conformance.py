"""docs/mqtt-conformance.md: each test it names exists, no statement stands twice, what is kept or
deviates is shown by a test, and the counts at its top are those of its tables.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "mqtt-conformance.md"
VERDICTS = ("kept", "not applicable", "deviates")
ROW = re.compile(r"\| (MQTT-\d+\.\d+\.\d+-\d+) \| ([^|]+) \| ([^|]+) \| ([^|]*) ?\|")
TEST = re.compile(r"`(\w+\.(?:py|c))::(\w+)`")
COUNTS = re.compile(r"\| MQTT (\S+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|")
DEFINITION = {".py": r"^def {}\(", ".c": r"^START_TEST\({}\)"}


def find_files():
    """name -> path of each file that holds tests."""
    found = {path.name: path for path in (ROOT / "tests" / "unit").rglob("test_*.c")}
    found.update({path.name: path for path in (ROOT / "tests" / "system").glob("test_*.py")})
    return found


def check_tests(files, statement, cell):
    left = TEST.sub("", cell).replace(",", "").strip()
    if left:
        yield f"{statement}: \"{left}\" is not `FILE::TEST`"
    for name, test in TEST.findall(cell):
        pattern = DEFINITION[Path(name).suffix].format(test)
        if name not in files:
            yield f"{statement}: there is no {name}"
        elif not re.search(pattern, files[name].read_text(encoding="utf-8"), re.MULTILINE):
            yield f"{statement}: {name} has no {test}"


def check_row(files, statement, here, cell, counted):
    verdict = next((word for word in VERDICTS if re.fullmatch(rf"{word}(: .+)?", here)), None)
    if verdict is None:
        yield f"{statement}: \"{here}\" is none of {', '.join(VERDICTS)} (: and why)"
        return
    counted[verdict] += 1
    if verdict != "kept" and ": " not in here:
        yield f"{statement}: \"{here}\" without a reason"
    if verdict != "not applicable" and not TEST.search(cell):
        yield f"{statement}: no test shows it"
    yield from check_tests(files, statement, cell)


def check_version(files, text, printed):
    version, body = text.split("\n", 1)
    counted, seen = dict.fromkeys(VERDICTS, 0), set()
    for line in body.splitlines():
        if not line.startswith("| MQTT-"):
            continue
        row = ROW.fullmatch(line)
        if row is None:
            yield f"MQTT {version}: not a row of four cells: {line}"
            continue
        statement, _, here, cell = row.groups()
        name = f"{version} {statement}"
        if statement in seen:
            yield f"{name} stands twice"
        seen.add(statement)
        yield from check_row(files, name, here.strip(), cell, counted)
    found = (len(seen), *counted.values())
    if printed.get(version) != found:
        yield f"MQTT {version}: the top says {printed.get(version)}, the table has {found}"


def complaints():
    page = PAGE.read_text(encoding="utf-8")
    head, *versions = page.split("\n## MQTT ")
    printed = {row[0]: tuple(map(int, row[1:])) for row in COUNTS.findall(head)}
    if len(versions) != 2:
        yield f"{PAGE.name} has {len(versions)} versions, expected 2"
    for text in versions:
        yield from check_version(find_files(), text, printed)


def main():
    found = list(complaints())
    print("\n".join(found) if found else "each test that the page names exists, the counts agree")
    return 1 if found else 0


sys.exit(main())
