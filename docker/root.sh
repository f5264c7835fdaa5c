# Included by scripts that need a small Debian of their own, as root and with debootstrap.

# make_root SUITE DIRECTORY makes it from Debian's packages. It trusts the additional certificate authorities of this
# machine, and gets packages as it does.
make_root() {
    debootstrap --variant=minbase --include=ca-certificates "$1" "$2" "${MIRROR-http://deb.debian.org/debian}" \
        >"$2.log" 2>&1 || { tail -n 20 "$2.log" >&2; exit 1; }
    apt-config dump | grep -E '^Acquire::(http|https|Check-|Retries)' >"$2/etc/apt/apt.conf.d/80acquire" || true
    if ls /usr/local/share/ca-certificates/*.crt >/dev/null 2>&1; then
        cp /usr/local/share/ca-certificates/*.crt "$2/usr/local/share/ca-certificates/"
        chroot "$2" update-ca-certificates >/dev/null 2>&1
    fi
}
