//go:build linux

package front

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// TestAddressRules: rules hold for the true address, before the socket is reached, and when they
// change also for who is in already.
func TestAddressRules(t *testing.T) {
	s := newServer(t, zmq4.ROUTER, "NULL", "tcp://127.0.0.1:*", nil)
	must.OK(t, s.a.DenyDomain("d", "127.0.0.3"))
	must.OK(t, s.a.Deny("127.0.0.4", "127.16.0.0/12")) // a rule about dialled addresses hits nobody
	good, bad := dial(t, s.front.Endpoint(), "127.0.0.2"), dial(t, s.front.Endpoint(), "127.0.0.5")
	if !enter(t, good) || !enter(t, bad) {
		t.Fatal("not let in")
	}
	for _, from := range []string{"127.0.0.3", "127.0.0.4", "127.16.0.9"} {
		if s.enters(t, from) {
			t.Errorf("%s is let in", from)
		}
	}
	s.refused(t, ReasonAddressDenied, 3)
	if n := s.front.Stats().Relayed; n != 2 {
		t.Errorf("%d reach the socket", n)
	}
	s.sessions(t, 2)
	must.OK(t, s.a.DenyDomain("d", "127.0.0.5"))
	isClosed(t, bad)
	if left := s.sessions(t, 1)[0]; left.Client.String() != good.LocalAddr().String() {
		t.Errorf("%+v", left)
	}
	must.OK(t, s.a.Stop())
	if s.enters(t, "") {
		t.Error("let in after Stop")
	}
}

// TestClientAddress: messages have the true address, whatever the client says, and also where the
// program relies on that property.
func TestClientAddress(t *testing.T) {
	for _, properties := range [][]string{nil, {"Client-Address", "Role"}} {
		s := newServer(t, zmq4.ROUTER, "NULL", "tcp://127.0.0.1:*", nil, properties...)
		conn := dial(t, s.front.Endpoint(), "127.0.0.7")
		claim := "\x04\x37" + ready[2:] + "\x0eClient-Address\x00\x00\x00\x0810.0.0.1"
		if !enterAs(t, conn, claim) {
			t.Fatal("not let in")
		}
		_, err := conn.Write([]byte("\x00\x05hello"))
		must.OK(t, err)
		_, err = s.socket.RecvBytes(0)
		must.OK(t, err)
		text, metadata, err := s.socket.RecvWithMetadata(0, "Client-Address", "Session-Id")
		must.OK(t, err)
		session := s.sessions(t, 1)[0]
		if text != "hello" || metadata["Client-Address"] != "127.0.0.7" ||
			metadata["Session-Id"] != fmt.Sprint(session.ID) {
			t.Errorf("%q with %q", text, metadata)
		}
		if session.Client.String() != conn.LocalAddr().String() {
			t.Errorf("%+v", session)
		}
	}
}

// TestSessions: each client behind a front has a session of its own, and can be cut alone.
func TestSessions(t *testing.T) {
	s := newServer(t, zmq4.ROUTER, "CURVE", "tcp://127.0.0.1:*", nil)
	zctx := testzmq.NewContext(t)
	const count = 40
	for range count {
		s.connected(t, zctx, zmq4.DEALER)
	}
	all := s.sessions(t, count)
	seen := make(map[netip.AddrPort]bool)
	for _, one := range all {
		if !one.Exact || seen[one.Client] || one.Client.Addr().String() != "127.0.0.1" {
			t.Errorf("%+v", one)
		}
		seen[one.Client] = true
	}
	s.creds.DeleteKey(all[7].Key)
	left := s.sessions(t, count-1)
	for _, one := range left {
		if one.Key == all[7].Key {
			t.Error("the wrong one is gone")
		}
	}
	match := func(one zmqauth.Session) bool { return one.Client == all[3].Client }
	if n := s.a.Disconnect(match); n != 1 {
		t.Errorf("%d are cut", n)
	}
	// libzmq's client comes back, from another port.
	testpeer.Eventually(t, "it comes back", func() bool {
		now := s.a.Sessions()
		return len(now) == count-1 && now[count-2].Key == all[3].Key
	})
}

// TestIPC: a front of a Unix socket knows the process behind a client.
func TestIPC(t *testing.T) {
	testpeer.NothingLeft(t)
	path := filepath.Join(t.TempDir(), "socket")
	s := newServer(t, zmq4.ROUTER, "CURVE", "ipc://"+path, &Config{Mode: 0o620})
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Perm() != 0o620 {
		t.Errorf("%v, %v", info, err)
	}
	c := s.connected(t, testzmq.NewContext(t), zmq4.DEALER)
	for _, size := range sizes {
		_, err := c.SendBytes(make([]byte, size), 0)
		must.OK(t, err)
		got, err := s.socket.RecvMessageBytes(0)
		must.OK(t, err)
		if len(got[1]) != size {
			t.Errorf("%d bytes in place of %d", len(got[1]), size)
		}
	}
	peer := fmt.Sprintf("%d:%d:%d", os.Getuid(), os.Getgid(), os.Getpid())
	session := s.sessions(t, 1)[0]
	if session.Peer != peer || session.Client.IsValid() || !session.Exact {
		t.Errorf("%+v", session)
	}
	if d := <-s.decisions; d.Address != "localhost:"+peer {
		t.Errorf("%+v", d)
	}
	must.OK(t, s.a.Deny(fmt.Sprintf("uid:%d", os.Getuid())))
	s.sessions(t, 0)
	s.refused(t, ReasonAddressDenied, 1) // it tries again
	must.OK(t, s.front.Close())
	if _, err := os.Lstat(path); err == nil {
		t.Error("the file is left")
	}
}

// TestLimits: limits hold before the socket is reached.
func TestLimits(t *testing.T) {
	exempt := []netip.Prefix{netip.MustParsePrefix("127.0.0.9/32")}
	for _, c := range []struct {
		name, reason string
		limits       zmqauth.Limits
		in           int    // of ten from one address
		exempt       string // an address that the limit is not for
	}{
		{"all", "too-many-connections", zmqauth.Limits{MaxConns: 4}, 4, ""},
		{"one", "too-many-connections-of-address",
			zmqauth.Limits{PerAddress: 3, Exempt: exempt}, 3, "127.0.0.9"},
		{"rate", "too-many-new-connections",
			zmqauth.Limits{Rate: 1e-9, Burst: 2, Exempt: exempt}, 2, "127.0.0.9"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, zmq4.ROUTER, "NULL", "tcp://127.0.0.1:*", &Config{Limits: &c.limits})
			in := 0
			for range 10 {
				if s.enters(t, "127.0.0.2") {
					in++
				}
			}
			if in != c.in {
				t.Errorf("%d of 10 are let in, want %d", in, c.in)
			}
			s.refused(t, c.reason, uint64(10-c.in))
			if c.exempt == "" {
				return
			}
			for range 10 {
				if !s.enters(t, c.exempt) {
					t.Error("not exempt")
				}
			}
		})
	}
}

// TestPenalty: an address whose handshakes fail has to wait, whichever way they fail. Others do
// not.
func TestPenalty(t *testing.T) {
	for _, way := range []string{"silence", "refusal"} {
		t.Run(way, func(t *testing.T) {
			limits := &zmqauth.Limits{Penalty: time.Hour}
			s := newServer(t, zmq4.ROUTER, "NULL", "tcp://127.0.0.1:*", &Config{Limits: limits})
			for i := range 2 {
				conn := dial(t, s.front.Endpoint(), "127.0.0.2")
				if way == "refusal" {
					_, err := conn.Write(append(greetingOf(), "\x04\x01x"...)) // no READY
					must.OK(t, err)
					isClosed(t, conn)
				}
				must.OK(t, conn.Close())
				testpeer.Eventually(t, "it is gone", func() bool {
					stats := s.front.Stats()
					return stats.Accepted == uint64(i+1) && stats.Open == 0
				})
			}
			if s.enters(t, "127.0.0.2") {
				t.Error("let in")
			}
			s.refused(t, "failed-handshakes", 1)
			if !s.enters(t, "127.0.0.3") {
				t.Error("another address is not let in")
			}
		})
	}
}

// TestDeadline: a handshake that does not end is ended.
func TestDeadline(t *testing.T) {
	limits := &zmqauth.Limits{Deadline: 500 * time.Millisecond}
	s := newServer(t, zmq4.ROUTER, "CURVE", "tcp://127.0.0.1:*", &Config{Limits: limits})
	conn := dial(t, s.front.Endpoint(), "")
	greeting := greetingOf()
	copy(greeting[12:], "CURVE")
	_, err := conn.Write(greeting) // and no more
	must.OK(t, err)
	s.connected(t, testzmq.NewContext(t), zmq4.DEALER)
	if sent := isClosed(t, conn); len(sent) != len(greeting) {
		t.Errorf("%q", sent)
	}
	s.refused(t, "handshake-deadline", 1)
	s.sessions(t, 1)
}

// TestListenErrors: each says what is wrong.
func TestListenErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must.OK(t, err)
	t.Cleanup(func() { _ = taken.Close() })
	file := filepath.Join(t.TempDir(), "file")
	must.OK(t, os.WriteFile(file, nil, 0o600))
	negative := &zmqauth.Limits{PerAddress: -1}
	for _, c := range []struct {
		endpoint, want string
		cfg            Config
	}{
		{"tcp://127.0.0.1", "HOST:PORT", Config{}},
		{"tcp://localhost:1", "name of a host", Config{}},
		{"tcp://nothere:1", `network interface "nothere"`, Config{}},
		{"tcp://192.0.2.1:0", "cannot assign requested address", Config{}},
		{"tcp://" + taken.Addr().String(), "address already in use", Config{}},
		{"inproc://x", "one process alone", Config{}},
		{"ipc://@name", "abstract", Config{}},
		{"ipc://" + file, "address already in use", Config{}},
		{"tcp://127.0.0.1:0", "GreetingTimeout", Config{GreetingTimeout: -1}},
		{"tcp://127.0.0.1:0", "limits cannot be negative", Config{Limits: negative}},
		{"tcp://127.0.0.1:0", "ProxyProtocol", Config{ProxyProtocol: []netip.Prefix{{}}}},
	} {
		t.Run(c.endpoint+" "+c.want, func(t *testing.T) {
			testpeer.NothingLeft(t)
			zctx := testzmq.NewContext(t)
			a, err := zmqauth.New(zctx, nil)
			must.OK(t, err)
			t.Cleanup(func() { must.OK(t, a.Close()) })
			socket := testzmq.NewSocket(t, zctx, zmq4.ROUTER)
			must.OK(t, zmqauth.NullServer(socket, "d"))
			_, err = Listen(a, socket, c.endpoint, &c.cfg)
			if err == nil || !strings.HasPrefix(err.Error(), "front: "+c.endpoint) ||
				!strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// TestListenWithoutRole: a socket that nobody guards is an error.
func TestListenWithoutRole(t *testing.T) {
	zctx := testzmq.NewContext(t)
	a, err := zmqauth.New(zctx, nil)
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, a.Close()) })
	socket := testzmq.NewSocket(t, zctx, zmq4.ROUTER)
	if _, err = Listen(a, socket, "tcp://127.0.0.1:*", nil); err == nil {
		t.Error("no error")
	}
	if _, err = Listen(a, nil, "tcp://127.0.0.1:*", nil); err == nil {
		t.Error("no error")
	}
}
