#!/bin/sh
# Builds the Debian package of the tool, for the system that it runs on:
#
#   packaging/deb.sh DIRECTORY      makes DIRECTORY/zmqauth_VERSION_ARCHITECTURE.deb, and prints its name
#
# VERSION is Debian's version; without it, one made from that of git. DEBFULLNAME and DEBEMAIL are the maintainer's.
set -eu
out=$(realpath -m "$1")
cd "$(dirname "$0")/.."

# git_version prints 1.2.3-1 for the tag v1.2.3, 1.2.3+4.gabc-1 for the fourth commit after it, and 0~DATE.COMMIT-1 if
# there is no tag.
git_version() {
    if described=$(git describe --tags --match 'v[0-9]*' 2>/dev/null); then
        echo "${described#v}-1" | sed -E 's/-([0-9]+)-(g[0-9a-f]+-1)$/+\1.\2/; s/-(rc|beta|alpha)/~\1/'
    else
        echo "0~$(git log -1 --format=%cd --date=format:%Y%m%d).$(git rev-parse --short HEAD)-1"
    fi
}
version=${VERSION:-$(git_version)}
architecture=$(dpkg --print-architecture)
maintainer="${DEBFULLNAME:-zmqauth authors} <${DEBEMAIL:-zmqauth@users.noreply.github.com}>"
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
root=$directory/root
documents=$root/usr/share/doc/zmqauth
umask 022
mkdir -p "$out" "$root/DEBIAN" "$root/etc/zmqauth" "$documents/licenses" "$documents/examples"

# The programs.
go build -trimpath -buildvcs=false -buildmode=pie -o "$root/usr/bin/" -ldflags \
    "-s -w -X main.linkedVersion=$version -X main.linkedRevision=$(git rev-parse HEAD) -extldflags -Wl,-z,relro,-z,now" \
    ./cmd/zmqauth ./cmd/zmqauth-engine
zmqauth=$root/usr/bin/zmqauth

# Units, manual pages, completions.
mkdir -p "$root/usr/lib/systemd/system"
cp docs/systemd/*.service "$root/usr/lib/systemd/system/"
cp docs/systemd/*.socket "$documents/examples/" # its ports are the administrator's choice
"$zmqauth" man "$root/usr/share/man/man1"
cp packaging/zmqauth-engine.1 "$root/usr/share/man/man1/"
mkdir -p "$root/usr/share/bash-completion/completions" "$root/usr/share/zsh/vendor-completions" \
    "$root/usr/share/fish/vendor_completions.d"
"$zmqauth" completion bash >"$root/usr/share/bash-completion/completions/zmqauth"
"$zmqauth" completion zsh >"$root/usr/share/zsh/vendor-completions/_zmqauth"
"$zmqauth" completion fish >"$root/usr/share/fish/vendor_completions.d/zmqauth.fish"

# Licenses: this project's, and those of the modules that the programs have been built from, and of Go.
{
    printf 'Copyright and license of zmqauth:\n\n'
    cat LICENSE
    printf '\nThe programs contain Go and modules of others. Their licenses lie in /usr/share/doc/zmqauth/licenses.\n'
    printf 'Where one is the Apache License 2.0, its text is /usr/share/common-licenses/Apache-2.0, too.\n'
} >"$documents/copyright"
cp "$(go env GOROOT)/LICENSE" "$documents/licenses/go"
go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}' ./cmd/zmqauth ./cmd/zmqauth-engine |
    sort -u >"$directory/modules"
while read -r module source; do
    license=$documents/licenses/$(echo "$module" | tr / _)
    find "$source" -maxdepth 1 -type f -iregex '.*/\(licen[cs]e\|copying\|notice\|patents\)[^/]*' -print0 | sort -z |
        xargs -0 -r cat >"$license"
    [ -s "$license" ] || { echo "$module has no license in $source" >&2; exit 1; }
done <"$directory/modules"

# Changelogs.
gzip -9n <CHANGELOG.md >"$documents/changelog.gz"
gzip -9n >"$documents/changelog.Debian.gz" <<END
zmqauth ($version) unstable; urgency=medium

  * Built from revision $(git rev-parse HEAD).

 -- $maintainer  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
END
gzip -9n "$root"/usr/share/man/man1/*

# What dpkg runs and reads.
for script in postinst prerm postrm; do
    install -m 755 "packaging/$script" "$root/DEBIAN/$script"
done
mkdir -p "$directory/debian"
printf 'Source: zmqauth\n\nPackage: zmqauth\nArchitecture: any\n' >"$directory/debian/control"
depends=$(cd "$directory" && dpkg-shlibdeps -O "$zmqauth" "$root/usr/bin/zmqauth-engine" | sed -n 's/^shlibs:Depends=//p')
cat >"$root/DEBIAN/control" <<END
Package: zmqauth
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $(du -k -s --apparent-size --exclude=DEBIAN "$root" | cut -f 1)
Depends: $depends, init-system-helpers (>= 1.54~), procps
Section: net
Priority: optional
Homepage: https://github.com/zmqauth/zmqauth
Description: authentication for ZeroMQ servers
 zmqauth makes and checks the keys, passwords and policies of ZeroMQ servers.
 It puts an authenticated frontend before a service that has no authentication
 of its own, and decides for the servers of other programs.
 .
 zmqauth-engine keeps the credentials that the servers of a fleet share.
END
(cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
package=$out/zmqauth_${version}_$architecture.deb
dpkg-deb --root-owner-group --build "$root" "$package" >/dev/null
echo "$package"
