#!/bin/sh
# Runs compose.yaml and checks its outcome: a client is served through the proxy, a stranger is refused.
set -eu
cd "$(dirname "$0")/.."
. docker/engine.sh

if docker compose version >/dev/null 2>&1; then
    compose() { docker compose --file docker/compose.yaml --project-name zmqauth-demo "$@"; }
elif command -v docker-compose >/dev/null; then
    compose() { docker-compose --file docker/compose.yaml --project-name zmqauth-demo "$@"; }
else
    echo "neither docker compose nor docker-compose is here: nothing has been run" >&2
    exit 1
fi

arguments=$(bases trixie)
export $arguments
compose build
trap 'compose down --volumes >/dev/null 2>&1' EXIT
if compose run --rm verdict; then
    compose logs --no-color ann mallory proxy
else
    compose logs --no-color
    exit 1
fi
