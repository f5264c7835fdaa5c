# Makes the files of the fleet of compose.fleet.yaml, unless they are there. Each service gets what it needs.
set -eu
test -e fleet/members || zmqauth fleet init fleet --engine engine-1 --engine engine-2 --engine engine-3 \
    --servers one,two,three,four
for name in server ann; do
    test -e "$name.key" || zmqauth keygen "$name"
done
for name in one two three four; do
    mkdir -p "$name"
    cp fleet/$name.server "$name/fleet.conf"
    echo "snapshot = $name.snapshot" >>"$name/fleet.conf"
    cp server.key_secret "$name/"
    sed "s/NAME/$name/" /proxy.zpl >"$name/zmqauth.zpl"
done
for name in engine-1 engine-2 engine-3; do
    mkdir -p "$name"
    cp "fleet/$name.engine" fleet/members "$name/"
done
chown -R zmqauth: .
