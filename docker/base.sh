#!/bin/sh
# Makes the two base images of the Dockerfile from Debian's packages, for machines whose Docker engine has no registry to
# pull from, and prints them as build arguments:
#
#   docker/base.sh trixie
#   BUILD_BASE=zmqauth-base-go:trixie
#   RUNTIME_BASE=zmqauth-base:trixie
#
# The images trust the additional certificate authorities of this machine, get packages as it does, and build with its
# Go. The script needs root, debootstrap and a Docker engine. It does not make images again that are there already.
set -eu

. "$(dirname "$0")/root.sh"

suite=$1
plain=zmqauth-base:$suite with_go=zmqauth-base-go:$suite

make_plain() {
    directory=$(mktemp -d)
    trap 'rm -rf "$directory"' EXIT
    root=$directory/root
    make_root "$suite" "$root"
    # apt keeps no packages that it has fetched, as in a registry's images of Debian.
    cat >"$root/etc/apt/apt.conf.d/90no-cache" <<'END'
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
END
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/cache/apt/*.bin "$root"/var/lib/apt/lists/*
    tar -C "$root" -cf "$directory/root.tar" . # a pipe would hide a failure and make an incomplete image
    docker import --change 'CMD ["/bin/sh"]' "$directory/root.tar" "$plain" >&2
}

make_with_go() {
    printf 'FROM %s\nCOPY . /usr/local/go\nENV PATH=/usr/local/go/bin:$PATH\n' "$plain" |
        docker build --tag "$with_go" --file - "$(go env GOROOT)" >&2
}

docker image inspect "$plain" >/dev/null 2>&1 || make_plain
docker image inspect "$with_go" >/dev/null 2>&1 || make_with_go
echo "BUILD_BASE=$with_go"
echo "RUNTIME_BASE=$plain"
