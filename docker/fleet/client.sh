# Lets a key in, connects with it to each proxy, revokes it, and connects again.
set -eu
cd /fleet
export ZMQAUTH_FLEET=fleet/admin.admin

knock() {
    for name in one two three four; do
        if zmqauth connect "tcp://$name:5555" --cert ann.key_secret --server-key server.key >/tmp/knock 2>&1; then
            outcome=accepted
        else
            outcome=refused
        fi
        echo "$name: $outcome"
        [ "$outcome" = "$1" ] || { cat /tmp/knock; exit 1; }
    done
}

zmqauth fleet add-key ann.key --domain global --user ann --again --wait
knock accepted
zmqauth fleet revoke --user ann --wait
knock refused
zmqauth fleet status
echo "the key is out everywhere"
