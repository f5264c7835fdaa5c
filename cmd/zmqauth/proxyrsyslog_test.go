package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/daemon"
	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// rsyslogConfig is the configuration of an rsyslog that sends each line of a Unix socket to a PULL
// frontend, as a CURVE client. WORK stands for its directory.
const rsyslogConfig = `
module(load="imuxsock" SysSock.Use="off")
module(load="omczmq" authtype="CURVECLIENT"
    clientcertpath="WORK/logger.key_secret" servercertpath="WORK/server.key")
input(type="imuxsock" Socket="WORK/log")
template(name="line" type="string" string="%msg%")
action(type="omczmq" endpoints=">ENDPOINT" socktype="PUSH" template="line")
`

// startRsyslog runs rsyslog until the test ends, and returns its socket.
func startRsyslog(t *testing.T, dir, endpoint string) string {
	t.Helper()
	const module = "/usr/lib/*/rsyslog/omczmq.so"
	if found, err := filepath.Glob(module); err != nil || len(found) == 0 {
		testpeer.Missing(t, "rsyslog's omczmq", "rsyslog rsyslog-czmq")
	}
	rsyslogd := testpeer.Program(t, "rsyslog", "rsyslogd", "/usr/sbin/rsyslogd")
	config := strings.NewReplacer("WORK", dir, "ENDPOINT", endpoint).Replace(rsyslogConfig)
	file := filepath.Join(dir, "rsyslog.conf")
	must.OK(t, os.WriteFile(file, []byte(config), 0o600))
	var log logbuffer.Buffer
	p, err := daemon.Start(&log, nil, rsyslogd, "-n", "-f", file, "-i", filepath.Join(dir, "pid"))
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, p.Stop()) })
	socket := filepath.Join(dir, "log")
	must.OK(t, p.Await(func() bool {
		_, err := os.Lstat(socket)
		return err == nil
	}))
	return socket
}

// TestProxyRsyslog: rsyslog sends its lines through a frontend. It is refused when its certificate
// is not among those of the policy.
func TestProxyRsyslog(t *testing.T) {
	for _, known := range []bool{true, false} {
		t.Run(fmt.Sprintf("known %t", known), func(t *testing.T) {
			dir := t.TempDir()
			zctx := testzmq.NewContext(t)
			service := testzmq.NewSocket(t, zctx, zmq4.PULL)
			clients := mkdir(t, dir, "clients")
			identity(t, dir, "server")
			logger := identity(t, dir, "logger")
			if known {
				must.OK(t, os.Rename(filepath.Join(dir, "logger.key"), filepath.Join(clients, "logger.key")))
			}
			p := startProxy(t, dir, "domain = logs\n    curve = clients\n"+
				frontendConfig("logs", "pull", "tcp://127.0.0.1:*", bindLocal(t, service), "curve",
					"certificate = server.key_secret"))
			socket := startRsyslog(t, dir, p.endpoint("logs"))
			conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
			must.OK(t, err)
			defer conn.Close()
			say := func(text string) {
				_, err := fmt.Fprintf(conn, "<13>Nov 29 00:00:00 test: %s", text)
				must.OK(t, err)
			}
			say("first") // has rsyslog connect
			if !known {
				p.waitFor("zmqauth: refused", map[string]string{
					"reason": zmqauth.ReasonUnknownKey, "key": logger.Public.String()})
				if text, err := service.Recv(zmq4.DONTWAIT); !errors.Is(err, zmq4.Errno(syscall.EAGAIN)) {
					t.Errorf("%q has come through: %v", text, err)
				}
				return
			}
			p.waitFor("zmqauth: accepted", map[string]string{"user": logger.Public.String()})
			for i := range 100 {
				say(fmt.Sprint("line ", i))
			}
			for i := -1; i < 100; i++ {
				want := fmt.Sprint(" line ", i)
				if i < 0 {
					want = " first"
				}
				if got, err := service.Recv(0); err != nil || got != want {
					t.Fatalf("%q, want %q: %v", got, want, err)
				}
			}
			must.OK(t, p.stop(syscall.SIGTERM))
		})
	}
}
