set -eu
mkdir -p clients
for name in server ann mallory; do
    test -e "$name.key" || test -e "clients/$name.key" || zmqauth keygen "$name"
done
mv -f ann.key clients/ 2>/dev/null || true # the public half is all that a server needs of its clients
chown -R zmqauth: .
