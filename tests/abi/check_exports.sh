#!/bin/sh
# A delivery plugin exports dp_plugin_query and nothing else, so that two plugins never clash.
exported=$(nm -D --defined-only "$1" | awk '$2 ~ /[TDBRVW]/ { print $3 }' | grep -v -e '^__asan' -e '^__ubsan' -e '^__odr_asan' -e '^___asan')
if [ "$exported" != dp_plugin_query ]; then
    echo "$1 exports: $exported; expected dp_plugin_query alone" >&2
    exit 1
fi
