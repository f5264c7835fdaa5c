#!/bin/sh
# Builds the Debian package, and installs, upgrades and purges it in a new system of this machine's suite. lintian must
# find no error. Needs root.
set -eu
cd "$(dirname "$0")/.."
. docker/root.sh

fail() { echo "deb-test: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "debootstrap and chroot need root"
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
new=$directory/new

first=$(packaging/deb.sh "$directory")
version=$(dpkg-deb --field "$first" Version)
second=$(VERSION=$version+upgrade packaging/deb.sh "$directory")
lintian --allow-root --fail-on error "$first"

make_root "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$new"
within() { DEBIAN_FRONTEND=noninteractive LC_ALL=C chroot "$new" "$@"; }
install_package() {
    cp "$1" "$new/tmp/package.deb"
    within apt-get install -y -q --no-install-recommends /tmp/package.deb >"$directory/log" 2>&1 ||
        { cat "$directory/log" >&2; fail "$1 does not install"; }
    rm "$new/tmp/package.deb"
}
# files lists what does not lie in /run or the directories of dpkg, apt and logs.
files() {
    within find / -xdev \( -path /proc -o -path /dev -o -path /run -o -path /tmp -o -path /var/cache -o -path /var/log \
        -o -path /var/lib/apt -o -path /var/lib/dpkg \) -prune -o -print | sort
}

# What the package depends on, and systemctl, are there before and after.
within apt-get update -q >/dev/null
within apt-get install -y -q --no-install-recommends systemd libzmq5 procps >/dev/null 2>&1
# systemctl and the helper of maintainers' scripts keep these.
mkdir -p "$new/var/lib/systemd/deb-systemd-helper-enabled" "$new/etc/systemd/system/multi-user.target.wants"
files >"$directory/before"

install_package "$first"
within zmqauth version | grep -qF "$version" || fail "zmqauth version does not print $version"
within zmqauth-engine --version | grep -qF "$version" || fail "zmqauth-engine --version does not print $version"
within zmqauth proxy --help >/dev/null
[ "$(stat -c '%a %U %G' "$new/etc/zmqauth")" = "755 root root" ] || fail "/etc/zmqauth has other modes"
wants=$(find "$new/etc/systemd/system" -name 'zmqauth*') # links that lead nowhere out here
[ -z "$wants" ] || fail "the installation enables $wants"
for shell in bash-completion/completions/zmqauth zsh/vendor-completions/_zmqauth fish/vendor_completions.d/zmqauth.fish; do
    grep -q zmqauth "$new/usr/share/$shell" || fail "no completions in $shell"
done

# A policy as an administrator makes it, and a unit that is enabled.
cat >"$new/etc/zmqauth/zmqauth.zpl" <<'END'
domain = demo
    curve = "*"
frontend = demo
    type = router
    bind = "tcp://127.0.0.1:5555"
    backend = "tcp://127.0.0.1:6666"
    mechanism = curve
    domain = demo
    certificate = server.key_secret
END
within sh -c 'cd /etc/zmqauth && zmqauth keygen server >/dev/null'
within zmqauth check --config /etc/zmqauth/zmqauth.zpl
within systemctl enable zmqauth-proxy.service 2>/dev/null
[ -L "$new/etc/systemd/system/multi-user.target.wants/zmqauth-proxy.service" ] || fail "the unit cannot be enabled"
within systemd-analyze verify --man=no zmqauth-proxy.service zmqauth-serve.service zmqauth-engine.service

install_package "$second"
within zmqauth version | grep -qF "$version+upgrade" || fail "zmqauth version does not print the version of the upgrade"
within zmqauth check --config /etc/zmqauth/zmqauth.zpl >/dev/null
[ -L "$new/etc/systemd/system/multi-user.target.wants/zmqauth-proxy.service" ] || fail "the upgrade disables the unit"

# A purge leaves the administrator's files alone.
within apt-get purge -y -q zmqauth >/dev/null 2>&1
[ -e "$new/etc/zmqauth/server.key_secret" ] || fail "the purge has removed a secret key"
rm -r "$new/etc/zmqauth"
files >"$directory/after"
diff "$directory/before" "$directory/after" || fail "the purge has left files, or removed others'"
[ -z "$(within dpkg-query -W -f '${Status}' zmqauth 2>/dev/null)" ] || fail "dpkg still knows the package"

# So does one of a package that was never configured, which leaves nothing.
install_package "$first"
within apt-get purge -y -q zmqauth >/dev/null 2>&1
files | diff "$directory/before" - || fail "the second purge has left files"
echo "deb-test: passed: $(basename "$first"), $(basename "$second")"
