# Lets a key in, connects with it to each proxy, revokes it, and connects again.
set -eu
cd /fleet
export ZMQAUTH_FLEET=fleet/admin.admin

# knock WHETHER tries each proxy, and ends the script unless all accept, or all refuse. A proxy that is away does neither.
knock() {
    for name in one two three four; do
        if said=$(zmqauth connect "tcp://$name:5555" --cert ann.key_secret --server-key server.key 2>&1); then
            outcome=accepted
        else
            case $said in
            *"access denied (status 400)"*) outcome=refused ;;
            *) outcome=unknown ;;
            esac
        fi
        echo "$name: $outcome"
        [ "$outcome" = "$1" ] || { echo "$said"; exit 1; }
    done
}

zmqauth fleet add-key ann.key --domain global --user ann --again --wait
knock accepted
zmqauth fleet revoke --user ann --wait
knock refused
zmqauth fleet status
echo "the key is out everywhere"
