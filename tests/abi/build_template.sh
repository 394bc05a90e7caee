#!/bin/sh
# build_template.sh BUILD: what an author does. Installs the build into a temporary prefix, builds
# the template outside of the tree with the one command that its README names, and checks it.
set -eu
build=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/prefix" > "$work/log" || {
    cat "$work/log"
    exit 1
}
pc=$(find "$work/prefix" -name beckon-plugin.pc)
[ -n "$pc" ] || {
    echo "beckon-plugin.pc was not installed"
    exit 1
}
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
plugins=$(pkg-config --variable=plugindir beckon-plugin)
[ -e "$plugins/live.so" ] || {
    echo "plugindir is $plugins, where no live.so is"
    exit 1
}
cp "$(dirname "$0")/../../delivery-plugins/template/mine.c" "$work"
cd "$work"
command=$(sed -n 's/^    \(cc -shared .*\)$/\1/p' "$(pkg-config --variable=templatedir beckon-plugin)/README.md")
[ -n "$command" ] || {
    echo "the template's README names no command"
    exit 1
}
eval "$command"
LD_LIBRARY_PATH='' "$work/prefix/bin/plugin-check" --set greeting=hello mine.so
cmp "$(pkg-config --variable=templatedir beckon-plugin)/mine.c" mine.c
# and the way of those who have CMake
mkdir cmake-way
cp "$(pkg-config --variable=templatedir beckon-plugin)"/* cmake-way
cmake -S cmake-way -B cmake-way/build > log && cmake --build cmake-way/build > log || {
    cat log
    exit 1
}
"$work/prefix/bin/plugin-check" --set greeting=hello cmake-way/build/mine.so
