#!/bin/sh
# The sample configuration files show every option with its default: read through the program, a
# sample is the same as no file at all, and it names each option that the program knows.
set -eu
cd "$(dirname "$0")/../../.."
bin=${BECKON_BUILD:-build/dev}/bin
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
status=0
for process in broker connector; do
    "$bin/beckon-$process" --print-config > "$folder/defaults"
    "$bin/beckon-$process" --config "etc/$process.conf" --print-config > "$folder/sample"
    grep -q '=' "$folder/defaults" || {
        echo "beckon-$process --print-config printed no option"
        status=1
    }
    diff -u "$folder/defaults" "$folder/sample" || {
        echo "etc/$process.conf differs from beckon-$process's defaults"
        status=1
    }
done
exit $status
