package stream

import (
	"crypto/tls"
	"net"
	"path/filepath"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestHasSpoken: for TCP, data counts even after it has been read.
func TestHasSpoken(t *testing.T) {
	local, err := net.Listen("unix", filepath.Join(t.TempDir(), "socket"))
	must.OK(t, err)
	defer local.Close()
	for _, l := range []net.Listener{newListener(t), local} {
		client, err := net.Dial(l.Addr().Network(), l.Addr().String())
		must.OK(t, err)
		defer client.Close()
		server, err := l.Accept()
		must.OK(t, err)
		defer server.Close()
		if received(server, true) || received(tls.Server(server, nil), true) {
			t.Error("a silent client has spoken")
		}
		if pending := received(server, false); pending != (l == local) {
			t.Errorf("a silent client of %s in its handshake: %v", l.Addr().Network(), pending)
		}
		_, err = client.Write([]byte{1})
		must.OK(t, err)
		testpeer.Eventually(t, "the byte has arrived", func() bool { return received(server, true) })
		_, err = server.Read(make([]byte, 1))
		must.OK(t, err)
		if !received(server, false) {
			t.Error("a client whose byte was read is silent")
		}
	}
	if other, _ := net.Pipe(); !received(other, true) {
		t.Error("where it cannot be known, it is true")
	}
}
