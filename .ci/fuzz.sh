#!/usr/bin/env bash
# Runs each fuzz target for a time: fuzz.sh TIME. As many run at once as there are processors, each on one of them.
set -euo pipefail

# When its time is over go test (to 1.26) may report that as the target's failure (golang/go#75804): that alone, without an
# input that fails, is none.
fuzz() {
    local log package=$1 target=$2 time=$3
    log=$(mktemp)
    if ! go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -parallel 1 "$package" >"$log" 2>&1; then
        failures=$(grep -A 1 '^ *--- FAIL' "$log" | grep -v '^ *--- FAIL' | sort -u)
        if [ "$failures" != "    context deadline exceeded" ] || grep -q 'Failing input' "$log"; then
            echo "$package $target"
            cat "$log"
            rm "$log"
            return 255 # no other is begun
        fi
    fi
    echo "$package $target: $(grep '^fuzz: elapsed' "$log" | tail -n 1)"
    rm "$log"
}
export -f fuzz

# Only packages with fuzz targets are built.
packages=$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n 1 dirname | sort -u)
listing=$(go test -list '^Fuzz' $packages)
awk '/^Fuzz/ { targets[n++] = $1 } /^ok/ { for (i = 0; i < n; i++) print $2, targets[i]; n = 0 }' <<<"$listing" |
    xargs -n 2 -P "$(getconf _NPROCESSORS_ONLN)" bash -c 'fuzz "$0" "$1" '"$1"
