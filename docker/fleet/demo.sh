#!/bin/sh
# Runs compose.fleet.yaml's programs as processes on loopback: three engines, four proxies and a service. It lets a key in,
# revokes it, and shows that it is out everywhere.
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
pids=
finish() {
    for pid in $pids; do kill "$pid" 2>/dev/null || true; done
    for pid in $pids; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM

go build -o "$work/" ./cmd/zmqauth ./cmd/zmqauth-engine ./docker/demo
cd "$work"
export PATH="$work:$PATH" ZMQAUTH_FLEET=fleet/admin.admin

# run LOG COMMAND… runs a program beside this script until it ends.
run() {
    log=$1
    shift
    "$@" >"$log" 2>&1 &
    pids="$pids $!"
}

# await LOG TEXT waits until a log has a text.
await() {
    tries=600
    until grep -q "$2" "$1" 2>/dev/null; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || { echo "not within a minute: $2" >&2; cat "$1" >&2; exit 1; }
        sleep 0.1
    done
}

first=${FLEET_DEMO_PORT:-24220} # and the eight above it; the engines' own are 2000 higher
zmqauth fleet init fleet --engine 127.0.0.1:$((first)) --engine 127.0.0.1:$((first + 1)) \
    --engine 127.0.0.1:$((first + 2)) --servers one,two,three,four
echo "three engines elect a leader"
for n in 1 2 3; do run "engine-$n.log" zmqauth-engine "fleet/engine-$n.engine"; done
for n in 1 2 3; do await "engine-$n.log" "the bucket is there"; done

run service.log demo backend "tcp://127.0.0.1:$((first + 7))"
zmqauth keygen server >/dev/null
zmqauth keygen ann >/dev/null
port=$((first + 3))
for name in one two three four; do
    zmqauth fleet join "fleet/$name.server" --to "$name.conf" >/dev/null
    cat >"$name.zpl" <<END
fleet = $name.conf
frontend = echo
    type = router
    bind = tcp://127.0.0.1:$port
    backend = tcp://127.0.0.1:$((first + 7))
    mechanism = curve
    domain = global
    certificate = server.key_secret
END
    run "$name.log" zmqauth proxy --config "$name.zpl"
    port=$((port + 1))
done
for name in one two three four; do await "$name.log" "the proxy is ready"; done

# knock WHETHER tries each proxy, and ends the script unless all accept, or all refuse. A proxy that is away does neither.
knock() {
    port=$((first + 3))
    for name in one two three four; do
        if zmqauth connect "tcp://127.0.0.1:$port" --cert ann.key_secret --server-key server.key >knock.log 2>&1; then
            outcome=accepted
        elif grep -qF "access denied (status 400)" knock.log; then
            outcome=refused
        else
            outcome=unknown
        fi
        echo "  $name: $outcome"
        [ "$outcome" = "$1" ] || { cat knock.log "$name.log" >&2; exit 1; }
        port=$((port + 1))
    done
}

echo "ann's key, before anybody has let it in:"
knock refused
zmqauth fleet add-key ann.key --domain global --user ann --why "the demo" --wait
knock accepted
zmqauth fleet revoke --user ann --why "the end of the demo" --wait
knock refused
zmqauth fleet status
zmqauth fleet history
echo "the key is out everywhere"
