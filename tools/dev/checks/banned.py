"""What sources may not contain, each with its reason: functions with a safer relative, database
calls that block the loop, notes to oneself that belong into an issue.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DAEMONS = ("common", "connector", "broker", "plugin-host", "delivery-plugins", "include")
ALL = (*DAEMONS, "tools", "tests", "bench")
RULES = (  # pattern, folders, files that may, reason
    (r"\b(strcpy|strcat|sprintf|vsprintf|strtok|atoi|atol|atoll|gets|alloca)\s*\(", ALL, (),
     "unbounded, or errors that can't be seen: use memcpy, snprintf, strtoul and friends"),
    (r"\bsignal\s*\(", DAEMONS, (), "signals are read from a signalfd in the loop"),
    (r"\b(PQexec|PQexecParams|PQexecPrepared|PQconnectdb)\s*\(", DAEMONS,
     ("broker/schema_check.c",), "blocks the loop: only start-up code and tools may"),
    (r"\bZMQ_(FD|EVENTS)\b", DAEMONS, ("common/zwatch.c", "common/zwatch.h"),
     "edge-triggered: only common/zwatch.c deals with them"),
    (r"^typedef (struct|union)\b", ALL, (), "one struct, one name: no typedef for structs"),
)
NOTES = re.compile(r"\b(TODO|FIXME|XXX)\b")
COMMENT_OR_STRING = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.DOTALL)


def blanked(text):
    """The text with comments and strings emptied, line numbers kept."""
    return COMMENT_OR_STRING.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def findings():
    for folder in ALL:
        for path in sorted((ROOT / folder).rglob("*.[ch]")):
            name = str(path.relative_to(ROOT))
            text = path.read_text(encoding="utf-8", errors="replace")
            for number, line in enumerate(blanked(text).split("\n"), 1):
                for pattern, folders, exempt, reason in RULES:
                    if folder in folders and name not in exempt and re.search(pattern, line):
                        yield f"{name}:{number}: {line.strip()}\n    {reason}"
            for number, line in enumerate(text.split("\n"), 1):
                if NOTES.search(line):
                    yield f"{name}:{number}: {line.strip()}\n    an issue, not a note in the source"


def main():
    found = list(findings())
    print("\n".join(found) if found else "nothing banned")
    return 1 if found else 0


sys.exit(main())
