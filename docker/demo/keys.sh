set -eu
mkdir -p clients
for name in server ann mallory; do
    test -e "$name.key" || test -e "clients/$name.key" || zmqauth keygen "$name"
done
mv -f ann.key clients/ 2>/dev/null || true # the public half is all that a server needs of its clients
# The tool reads only what belongs to its own user or to root, whoever has checked this file out.
cp /zmqauth.zpl .
chown -R zmqauth: .
