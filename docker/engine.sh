# Included by the other scripts here. It ends them if there is no Docker engine, and finds the base images of a Debian
# suite.

docker info >/dev/null 2>&1 || {
    echo "no Docker engine answers here (docker info fails): nothing has been built or run" >&2
    exit 1
}

# bases SUITE prints the build arguments with the base images: those of a registry, or else local ones.
bases() {
    if docker pull --quiet "golang:1.26-$1" >/dev/null 2>&1 && docker pull --quiet "debian:$1-slim" >/dev/null 2>&1; then
        echo "BUILD_BASE=golang:1.26-$1"
        echo "RUNTIME_BASE=debian:$1-slim"
    else
        docker/base.sh "$1"
    fi
}
