//go:build unix

package sshtunnel

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// request returns the bytes that a client sends to be connected to an IPv4 address.
func request(t testing.TB, address string) []byte {
	t.Helper()
	host, text, err := net.SplitHostPort(address)
	must.OK(t, err)
	port, err := strconv.Atoi(text)
	must.OK(t, err)
	sent := []byte{5, 1, 0, 5, 1, 0}
	if ip := net.ParseIP(host).To4(); ip != nil {
		sent = append(append(sent, 1), ip...)
	} else {
		sent = append(append(sent, 3, byte(len(host))), host...)
	}
	return append(sent, byte(port>>8), byte(port))
}

// TestSOCKS: clients of the proxy reach what the server reaches, by address and by name.
func TestSOCKS(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	tunnel := open(t, server.config(t))
	private, err := tunnel.SOCKS("")
	must.OK(t, err)
	port, err := tunnel.SOCKS("tcp://127.0.0.1:*")
	must.OK(t, err)
	_, target, err := net.SplitHostPort(echo(t))
	must.OK(t, err)
	closed := strconv.Itoa(testpeer.FreePort(t))
	for _, endpoint := range []string{private, port} {
		for _, host := range []string{"127.0.0.1", "localhost"} {
			conn := dialEndpoint(t, endpoint)
			_, err := conn.Write(request(t, net.JoinHostPort(host, target)))
			must.OK(t, err)
			reply := make([]byte, 12)
			_, err = io.ReadFull(conn, reply)
			must.OK(t, err)
			if !bytes.Equal(reply, []byte{5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0}) {
				t.Errorf("%s: the reply %v", host, reply)
			}
			says(t, conn, "hello")
		}
	}
	for what, c := range map[string]struct{ sent, want []byte }{
		"another version":    {[]byte{4, 1, 0, 80, 127, 0, 0, 1, 0}, nil},
		"a login":            {[]byte{5, 1, 2}, []byte{5, 0xff}},
		"no method":          {[]byte{5, 0}, []byte{5, 0xff}},
		"HTTP":               {[]byte("GET / HTTP/1.1\r\n\r\n"), nil},
		"bind":               {[]byte{5, 1, 0, 5, 2, 0, 1, 127, 0, 0, 1, 0, 80}, []byte{5, 0, 5, 7}},
		"an address of what": {[]byte{5, 1, 0, 5, 1, 0, 2, 1}, []byte{5, 0, 5, 8}},
		"no name":            {[]byte{5, 1, 0, 5, 1, 0, 3, 0, 0, 80}, []byte{5, 0, 5, 8}},
		"port 0":             {[]byte{5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, 0, 0}, []byte{5, 0, 5, 1}},
		"a wildcard":         {[]byte{5, 1, 0, 5, 1, 0, 3, 1, '*', 0, 80}, []byte{5, 0, 5, 1}},
		"nobody there":       {request(t, "127.0.0.1:"+closed), []byte{5, 0, 5, 5}},
	} {
		conn := dialEndpoint(t, private)
		must.OK(t, conn.SetDeadline(time.Now().Add(patience)))
		_, err := conn.Write(c.sent)
		must.OK(t, err)
		got, err := io.ReadAll(conn)
		if errors.Is(err, os.ErrDeadlineExceeded) || !bytes.HasPrefix(got, c.want) ||
			c.want == nil && len(got) != 0 {
			t.Errorf("%s: %v, %v; want %v", what, got, err, c.want)
		}
	}
}

// TestSOCKSIsBounded: no more clients than some are served at once. Further ones wait.
func TestSOCKSIsBounded(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	tunnel := open(t, server.config(t))
	tunnel.mu.Lock()
	l, err := tunnel.listen(remote{host: "127.0.0.1"}, "proxy", "SOCKS", tunnel.serveSOCKS, 2)
	tunnel.mu.Unlock()
	must.OK(t, err)
	sent := request(t, echo(t))
	first, second := dialEndpoint(t, l.endpoint), dialEndpoint(t, l.endpoint)
	connect := func(conn net.Conn) {
		t.Helper()
		_, err := conn.Write(sent)
		must.OK(t, err)
		must.OK(t, conn.SetReadDeadline(time.Now().Add(patience)))
		_, err = io.ReadFull(conn, make([]byte, 12))
		must.OK(t, err)
	}
	connect(first)
	connect(second)
	third := dialEndpoint(t, l.endpoint) // the system accepts it, the proxy does not yet
	_, err = third.Write(sent)
	must.OK(t, err)
	must.OK(t, third.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
	if _, err := third.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the third is served: %v", err)
	}
	must.OK(t, first.Close())
	must.OK(t, third.SetReadDeadline(time.Now().Add(patience)))
	_, err = io.ReadFull(third, make([]byte, 12))
	must.OK(t, err)
}
