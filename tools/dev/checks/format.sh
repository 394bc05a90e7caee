#!/bin/sh
# Layout of all C sources as .clang-format says, by the version it is written for. --fix: changes.
set -eu
cd "$(dirname "$0")/../../.."
mode='--dry-run -Werror'
[ "${1:-}" != --fix ] || mode=-i
# shellcheck disable=SC2086 # two words
find . \( -path ./build -o -path './build-*' -o -path ./var -o -path ./.git \) -prune -o \
    -type f -name '*.[ch]' -print0 | xargs -0 -r clang-format-14 $mode
