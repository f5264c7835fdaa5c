#!/bin/sh
# Boots systemd in a container, installs the Debian package there, and runs the units as docs/tool.md says. Needs root
# and a Docker engine.
set -eu
cd "$(dirname "$0")/.."
. docker/engine.sh

fail() { echo "systemd-test: $*" >&2; within journalctl --no-pager -n 40 >&2; exit 1; }
within() { docker exec "$container" "$@"; }
script() { docker exec -i "$container" bash -eu -s; }
property() { within systemctl show --property "$2" --value "$1"; }
# eventually COMMAND waits for 60 s until it succeeds.
eventually() {
    for _ in $(seq 120); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.5
    done
    fail "in vain: $*"
}
restarted() { [ "$(property "$1" NRestarts)" -gt "$2" ] && [ "$(property "$1" ActiveState)" = active ]; }
connect() { within zmqauth connect "$1" --cert "/root/$2.key_secret" --server-key /etc/zmqauth/server.key; }

# The system. systemd gets a cgroup of its own, and mounts that others see, as a kernel and a container manager give it.
container=zmqauth-systemd-test
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
arguments=$(bases "$suite")
base=$(echo "$arguments" | sed -n 's/^RUNTIME_BASE=//p')
docker build --quiet --tag "$container" - >/dev/null <<END
FROM $base
RUN apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
    systemd systemd-sysv libnss-systemd libzmq5 procps python3-zmq man-db
END
directory=$(mktemp -d)
trap 'docker rm --force "$container" >/dev/null 2>&1; rm -rf "$directory"' EXIT
package=$(packaging/deb.sh "$directory")
capabilities=$(for c in CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP SETFCAP MKNOD \
    NET_ADMIN NET_BIND_SERVICE SYS_ADMIN SYS_CHROOT SYS_NICE SYS_PTRACE; do echo "--cap-add $c"; done)
docker run --detach --name "$container" --network none $capabilities --security-opt seccomp=unconfined \
    --security-opt apparmor=unconfined --security-opt systempaths=unconfined --cgroupns private --tmpfs /run \
    --tmpfs /tmp --env container=docker "$container" sh -c 'mount --make-rshared / && mount -o remount,rw /sys &&
        umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec /lib/systemd/systemd' >/dev/null
eventually within systemctl is-system-running --wait

# The package.
docker exec -i "$container" sh -c 'cat >/root/package.deb' <"$package"
within apt-get install -y -q /root/package.deb >/dev/null 2>&1
units="zmqauth-proxy zmqauth-serve zmqauth-engine"
for unit in $units; do
    [ "$(property $unit UnitFileState)" = disabled ] || fail "the installation enables $unit"
    [ "$(property $unit ActiveState)" = inactive ] || fail "the installation starts $unit"
    [ -z "$(within systemd-analyze verify $unit.service 2>&1)" ] || fail "systemd does not understand $unit"
    within systemd-analyze security --no-pager --threshold=20 $unit.service >/dev/null || fail "$unit exposes too much"
done

# The proxy, with the key by LoadCredential.
script <<'END'
zmqauth keygen server --dir /etc/zmqauth; mkdir /etc/zmqauth/clients
for name in ann eve; do zmqauth keygen $name --dir /root; done
cp /root/ann.key /etc/zmqauth/clients
cat >/etc/zmqauth/zmqauth.zpl <<POLICY
domain = orders
    curve = clients
frontend = orders
    type = router
    bind = tcp://0.0.0.0:5555
    backend = tcp://127.0.0.1:6666
    mechanism = curve
    domain = orders
    certificate = /run/credentials/zmqauth-proxy.service/server.key_secret
POLICY
useradd joe; groupadd zap
for unit in proxy serve engine; do # so that the test does not take minutes
    mkdir /etc/systemd/system/zmqauth-$unit.service.d
    printf '[Service]\nWatchdogSec=2s\n' >/etc/systemd/system/zmqauth-$unit.service.d/test.conf
done
printf '[Service]\nSupplementaryGroups=zap\n' >/etc/systemd/system/zmqauth-serve.service.d/group.conf
systemctl daemon-reload
END
endpoint=tcp://127.0.0.1:5555
within systemctl start zmqauth-proxy || fail "the proxy does not start"
property zmqauth-proxy StatusText | grep -q 'frontends: 1' || fail "the proxy has no status"
connect $endpoint ann || fail "ann is refused"
if connect $endpoint eve 2>/dev/null; then fail "eve is let in"; fi
within zmqauth probe $endpoint || fail "strangers are let in"
eventually within sh -c 'journalctl -u zmqauth-proxy ZMQAUTH_REASON=unknown-key -o cat | grep -q "status=400"'
within ps -o user= "$(property zmqauth-proxy MainPID)" | grep -qx zmqauth || fail "the proxy runs as another user"
within runuser -u zmqauth -- zmqauth health --config /etc/zmqauth/zmqauth.zpl || fail "the proxy is not well"
for command in 'zmqauth sessions' 'cat /etc/zmqauth/server.key_secret' \
    'cat /run/credentials/zmqauth-proxy.service/server.key_secret'; do
    if within runuser -u joe -- $command 2>/dev/null; then fail "another user may: $command"; fi
done

# A client that stays, and the orders about it.
docker exec --detach "$container" python3 -c '
import time, zmq, zmq.auth
s = zmq.Context().socket(zmq.DEALER)
s.curve_publickey, s.curve_secretkey = zmq.auth.load_certificate("/root/ann.key_secret")
s.curve_serverkey = zmq.auth.load_certificate("/etc/zmqauth/server.key")[0]
s.connect("tcp://127.0.0.1:5555")
time.sleep(3600)'
eventually within sh -c 'zmqauth sessions | grep -q orders'
within zmqauth kick --address 127.0.0.1 | grep -q 'ended: 1' || fail "nobody is thrown out"
eventually within sh -c 'zmqauth sessions | grep -q orders'
within systemctl reload zmqauth-proxy || fail "a good policy is not reloaded"
within sh -c 'cp /etc/zmqauth/zmqauth.zpl /root && echo nonsense = 1 >>/etc/zmqauth/zmqauth.zpl'
if within systemctl reload zmqauth-proxy 2>/dev/null; then fail "a wrong policy is reloaded"; fi
within sh -c 'cp /root/zmqauth.zpl /etc/zmqauth && systemctl reload zmqauth-proxy' || fail "no reload after a wrong one"
property zmqauth-proxy StatusText | grep -q 'sessions: 1' || fail "a reload ends sessions"

# systemd listens: nobody is refused while the proxy is away.
script <<'END'
systemctl stop zmqauth-proxy
cp /usr/share/doc/zmqauth/examples/zmqauth-proxy.socket /etc/systemd/system
systemctl daemon-reload
systemctl start zmqauth-proxy.socket
END
connect $endpoint ann || fail "the first client starts no proxy"
within python3 -c '
import socket, subprocess
restart = subprocess.Popen(["systemctl", "restart", "zmqauth-proxy"])
tries = 0
while restart.poll() is None or tries < 100:
    socket.create_connection(("127.0.0.1", 5555), 20).close()
    tries += 1' || fail "a connection is refused during a restart"
connect $endpoint ann || fail "ann is refused after a restart"

# The service for other programs, with a group, and the engine.
script <<'END'
cat >/etc/zmqauth/service.zpl <<POLICY
domain = orders
    curve = clients
service = host
    bind = ipc:///run/zmqauth-serve/zap/zap.sock
    group = zap
POLICY
zmqauth fleet init /root/fleet --engine 127.0.0.1 --servers orders
install -d -m 700 /var/lib/zmqauth-engine
cp /root/fleet/engine-1.engine /root/fleet/members /var/lib/zmqauth-engine
END
within systemctl start zmqauth-serve zmqauth-engine || fail "serve or the engine does not start"
within stat -c '%a %G' /run/zmqauth-serve/zap | grep -qx '710 zap' || fail "the group does not reach serve's socket"
within systemctl reload zmqauth-serve zmqauth-engine || fail "serve or the engine does not reload"
eventually within zmqauth fleet list --as /root/fleet/admin.admin

# What stands still, or is killed, is started again.
for unit in $units; do
    for signal in STOP KILL; do
        before=$(property $unit NRestarts)
        within kill -$signal "$(property $unit MainPID)"
        eventually restarted $unit "$before"
    done
done
connect $endpoint ann || fail "ann is refused after all"
eventually within zmqauth fleet list --as /root/fleet/admin.admin

# The end.
within apt-get purge -y -q zmqauth >/dev/null 2>&1
if within pgrep zmqauth; then fail "the purge leaves processes"; fi
left=$(within find /usr /run /etc/systemd/system/multi-user.target.wants -name '*zmqauth*' ! -name '*.socket')
[ -z "$left" ] || fail "the purge leaves $left"
within test -e /etc/zmqauth/server.key_secret || fail "the purge has removed a secret key"
echo "systemd-test: passed with $(within systemctl --version | head -n 1)"
