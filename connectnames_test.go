package zmqauth

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// withHosts runs the calling test in a process that knows hosts by other names.
func withHosts(t *testing.T, hosts string) bool {
	t.Helper()
	testpeer.NeedIPv6(t)
	if !testpeer.Mounting(t) {
		return false
	}
	file := writeFile(t, filepath.Join(t.TempDir(), "hosts"), hosts, 0o644)
	must.OK(t, syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""))
	must.OK(t, syscall.Mount(file, "/etc/hosts", "", syscall.MS_BIND, ""))
	if _, err := os.Stat("/etc/hosts"); err != nil {
		t.Fatal(err)
	}
	return true
}

const testHosts = "127.0.0.1 four.test both.test\n::1 six.test both.test\n"

// TestConnectByName: names with addresses of IPv4, IPv6 or both, whichever of them the server is
// bound to. The server sees the address of that kind, and ::ffff: is IPv4 to the rules.
func TestConnectByName(t *testing.T) {
	if !withHosts(t, testHosts) {
		return
	}
	a := startAuthenticator(t, Config{})
	must.OK(t, errors.Join(a.AllowDomain("four", "127.0.0.1"), a.AllowDomain("six", "::1")))
	for name, test := range map[string]struct{ bind, host, domain string }{
		"A":                    {"tcp://127.0.0.1:*", "four.test", "four"},
		"AAAA":                 {"tcp://[::1]:*", "six.test", "six"},
		"both, bound to IPv4":  {"tcp://127.0.0.1:*", "both.test", "four"},
		"both, bound to IPv6":  {"tcp://[::1]:*", "both.test", "six"},
		"A, bound to all":      {"tcp://[::]:*", "four.test", "four"},
		"AAAA, bound to all":   {"tcp://[::]:*", "six.test", "six"},
		"a literal with zone":  {"tcp://[::1]:*", "[::1%lo]", "six"},
		"a literal of IPv6":    {"tcp://[::1]:*", "[::1]", "six"},
		"IPv4-mapped, literal": {"tcp://127.0.0.1:*", "[::ffff:127.0.0.1]", "four"},
	} {
		t.Run(name, func(t *testing.T) {
			server := newServer(t, a.Context(), test.bind, func(s *zmq4.Socket) error {
				return errors.Join(s.SetIpv6(strings.Contains(test.bind, "[")), NullServer(s, test.domain))
			})
			port := server.endpoint[strings.LastIndex(server.endpoint, ":"):]
			endpoint := "tcp://" + test.host + port
			socket := testzmq.NewSocket(t, testzmq.NewContext(t), zmq4.PUSH)
			must.OK(t, Connect(within(t, patience), socket, endpoint))
			_, err := socket.Send("hello", 0)
			must.OK(t, err)
			if text, _ := server.receive(t); text != "hello" {
				t.Errorf("received %q", text)
			}
			if ipv6, err := socket.GetIpv6(); err != nil || ipv6 {
				t.Errorf("the socket's own option has changed: %v, %v", ipv6, err)
			}
			if test.host != "both.test" { // Probe takes its time, and connects as Connect does
				return
			}
			got, err := probe(t, within(t, patience), endpoint)
			if want := "NULL: accepted, PLAIN: cut off, CURVE: cut off"; err != nil || got != want {
				t.Errorf("Probe: %s, %v", got, err)
			}
		})
	}
}

// TestConnectByNameWaits: a server that is bound later, to the other of a name's two addresses.
func TestConnectByNameWaits(t *testing.T) {
	if !withHosts(t, testHosts) {
		return
	}
	port := strconv.Itoa(testpeer.FreePort(t))
	outcome := make(chan error)
	go func() {
		_, err := connect(t, "tcp://both.test:"+port, nullClient)
		outcome <- err
	}()
	newServer(t, testzmq.NewContext(t), "tcp://[::1]:"+port, func(s *zmq4.Socket) error {
		return s.SetIpv6(true)
	})
	must.OK(t, <-outcome)
}

// TestNoSuchName: Probe says so at once, and Connect when its context ends.
func TestNoSuchName(t *testing.T) {
	if !withHosts(t, testHosts) {
		return
	}
	const endpoint = "tcp://no.such.name.invalid:5555"
	if _, err := probe(t, within(t, patience), endpoint); err == nil ||
		!strings.Contains(err.Error(), endpoint) {
		t.Errorf("Probe: %v", err)
	}
	socket := testzmq.NewSocket(t, testzmq.NewContext(t), zmq4.PUSH)
	begun := time.Now()
	err := Connect(within(t, 300*time.Millisecond), socket, endpoint)
	if err == nil || !strings.Contains(err.Error(), endpoint) {
		t.Errorf("Connect: %v", err)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}
