#!/bin/sh
# Runs compose.yaml and compose.fleet.yaml, and checks their outcomes: a client is served through the proxy, a stranger is
# refused; a key is let in and revoked on each proxy of a fleet, whose engines reach each other.
set -eu
cd "$(dirname "$0")/.."
. docker/engine.sh

if docker compose version >/dev/null 2>&1; then
    compose() { docker compose --file "docker/$file" --project-name "$project" "$@"; }
elif command -v docker-compose >/dev/null; then
    compose() { docker-compose --file "docker/$file" --project-name "$project" "$@"; }
else
    echo "neither docker compose nor docker-compose is here: nothing has been run" >&2
    exit 1
fi

# demo SERVICE runs a file until its service has ended, and ends the script if that fails.
demo() {
    compose build
    trap 'compose down --volumes >/dev/null 2>&1' EXIT
    compose run --rm "$1" || { compose logs --no-color; exit 1; }
}

arguments=$(bases trixie)
export $arguments

file=compose.yaml project=zmqauth-demo
demo verdict
compose logs --no-color ann mallory proxy
compose down --volumes >/dev/null 2>&1

file=compose.fleet.yaml project=zmqauth-fleet
demo administrator
if compose logs --no-color engine-1 engine-2 engine-3 | grep "TLS route handshake error"; then
    echo "an engine tries another at an address for which its certificate is not valid" >&2
    exit 1
fi
