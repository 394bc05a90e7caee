#!/bin/sh
# Every shell script of the tree through shellcheck, and every Python file through Python's parser.
set -eu
cd "$(dirname "$0")/../../.."
find . \( -path ./build -o -path './build-*' -o -path ./var -o -path ./.git \) -prune -o \
    -type f -name '*.sh' -print0 | xargs -0 shellcheck dev .ci/run
find tools tests -type f -name '*.py' -print0 | xargs -0 /usr/bin/python3 -c '
import ast, pathlib, sys
for name in sys.argv[1:]:
    ast.parse(pathlib.Path(name).read_text(encoding="utf-8"), name)
'
