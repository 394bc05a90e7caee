#!/bin/bash
# Every header compiles alone, so that the order of includes never matters; the plugin ABI's also as
# strict C99 and as C++, which is all it may ask of a plugin's author.
set -euo pipefail
cd "$(dirname "$0")/../../.."
status=0
libraries='libzmq libpq libconfig libjwt jansson libxxhash libsystemd check'
# shellcheck disable=SC2086 # one word a library
read -ra flags < <(pkg-config --cflags $libraries)
while read -r header; do
    gcc -std=gnu11 -D_GNU_SOURCE -I. -Iinclude "${flags[@]}" -Wall -Wextra -Werror \
        -Wno-unused-function -fsyntax-only -x c "$header" || status=1
done < <(find . \( -name build -o -name 'build-*' -o -name var \) -prune -o \
    -type f -name '*.h' -print)
gcc -std=c99 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -x c include/beckon/delivery_plugin.h ||
    status=1
g++ -std=c++11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -x c++ \
    include/beckon/delivery_plugin.h || status=1
exit $status
