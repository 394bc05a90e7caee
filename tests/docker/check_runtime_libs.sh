#!/bin/bash
# The images' content, checked without a container engine: the Dockerfile's own build steps are run
# into a scratch folder, and what the installed programs and plugins link must come from the
# packages that its runtime stage installs, each of which must be needed.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

fail() {
    echo "$1" >&2
    exit 1
}

log=$out/build.log
mkdir -p build
(
    flock 9
    cmake --preset release -DCMAKE_INSTALL_PREFIX=/usr &&
        cmake --build --preset release -j "$(nproc)" &&
        DESTDIR=$out/root cmake --install build/release --strip
) 9> build/release.lock > "$log" 2>&1 || {
    tail -n 40 "$log"
    fail "the Dockerfile's build steps fail"
}

# The lib* words between "AS runtime" and the next stage.
listed=$(sed -n '/^FROM .* AS runtime$/,/^USER/p' Dockerfile |
    grep -oE '^ +lib[a-z0-9.-]+' | tr -d ' ' | sort)
[ -n "$listed" ] || fail "no runtime packages found in the Dockerfile"

mapfile -t objects < <(find "$out/root/usr" -type f \( -path '*/bin/*' -o -name '*.so' \) | sort)
for program in apns-simulator beckon-broker beckon-connector beckon-plugin-host beckonctl plugin-check; do
    [ -x "$out/root/usr/bin/$program" ] || fail "$program is not installed"
done
for plugin in live local-push apns webhook; do
    find "$out/root/usr/lib" -path "*/beckon/plugins/$plugin.so" | grep -q . ||
        fail "the plugin $plugin is not installed"
done
[ -f "$out/root/usr/share/beckon/schema/migrations/0001_base.sql" ] ||
    fail "the schema is not installed"

status=0
needed=
for object in "${objects[@]}"; do
    if ldd "$object" | grep 'not found'; then
        fail "$object: a library is missing"
    fi
    while read -r library; do
        package=$(dpkg -S "*/$library" | sed 's/:.*//' | sort -u)
        needed="$needed$package"$'\n'
        grep -qx "$package" <<< "$listed"$'\n'libc6 || {
            echo "${object#"$out/root"} links $library of $package, which the runtime stage lacks"
            status=1
        }
    done < <(objdump -p "$object" | awk '$1 == "NEEDED" { print $2 }')
done
for package in $listed; do
    grep -qx "$package" <<< "$needed" || {
        echo "the runtime stage installs $package, which nothing links"
        status=1
    }
done
[ "$status" -ne 0 ] ||
    echo "${#objects[@]} objects link what $(wc -w <<< "$listed") packages install"
exit $status
