# For the other scripts here: ends them where there is no Docker engine, and finds the bases of a Debian suite.

docker info >/dev/null 2>&1 || {
    echo "no Docker engine answers here (docker info fails): nothing has been built or run" >&2
    exit 1
}

# bases SUITE prints the build arguments: a registry's images, or else local ones.
bases() {
    if docker pull --quiet "golang:1.26-$1" >/dev/null 2>&1 && docker pull --quiet "debian:$1-slim" >/dev/null 2>&1; then
        echo "BUILD_BASE=golang:1.26-$1"
        echo "RUNTIME_BASE=debian:$1-slim"
    else
        docker/base.sh "$1"
    fi
}
