#!/bin/sh
# Runs the whole test command in the image of each suite: Debian 12 has libzmq 4.3.4, 13 and testing have 4.3.5.
set -eu
cd "$(dirname "$0")/.."
. docker/engine.sh

for suite in ${SUITES-bookworm trixie testing}; do
    arguments=$(bases "$suite") # a failure ends the script here; in the list of the for below it would be ignored
    set --
    for argument in $arguments; do
        set -- "$@" --build-arg "$argument"
    done
    [ "$suite" != testing ] || set -- "$@" --build-arg WITHOUT=php
    docker build "$@" --target test --tag "zmqauth-test:$suite" --file docker/Dockerfile .
    echo "$suite: passed with libzmq $(docker run --rm "zmqauth-test:$suite" pkg-config --modversion libzmq)"
done
