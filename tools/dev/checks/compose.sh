#!/bin/sh
# docker-compose.yml is valid, and what it builds exists: its targets are stages of the Dockerfile.
set -eu
cd "$(dirname "$0")/../../.."
docker-compose -f docker-compose.yml config -q
status=0
mkdir -p build
sed -n 's/^ *target: *//p' docker-compose.yml | sort -u > build/compose-targets
[ -s build/compose-targets ] || status=1
while read -r target; do
    if ! grep -qE "^FROM .* AS $target\$" Dockerfile; then
        echo "docker-compose.yml builds target $target, which Dockerfile does not have"
        status=1
    fi
done < build/compose-targets
exit $status
