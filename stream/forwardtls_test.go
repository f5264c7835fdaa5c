package stream

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/backoff"
	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/privatedir"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// forwardTLS makes a local endpoint that lasts until the test ends.
func forwardTLS(t *testing.T, local, remote string, client TLSClient) *Forwarding {
	t.Helper()
	if client.Logger == nil {
		client.Logger = quiet()
	}
	f, err := ForwardTLS(context.Background(), local, remote, client)
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, f.Close()) })
	return f
}

// dialEndpoint connects as a ZeroMQ socket would.
func dialEndpoint(t *testing.T, e string) net.Conn {
	t.Helper()
	network, address, err := endpoint("", e)
	must.OK(t, err)
	conn, err := net.Dial(network, address)
	must.OK(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must.OK(t, conn.SetDeadline(time.Now().Add(patience)))
	return conn
}

// TestForwardTLSErrors: a configuration that makes no sense is an error at once, and leaves nothing
// behind.
func TestForwardTLSErrors(t *testing.T) {
	testpeer.NothingLeft(t)
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	_, remote, client := tlsServer(t, nil)
	taken := forwardTLS(t, "ipc://"+filepath.Join(dir, "taken"), remote, client)
	file := filepath.Join(dir, "file")
	must.OK(t, os.WriteFile(file, []byte("precious"), 0o600))
	bad := client
	bad.CAFile = "/nowhere.crt"
	long := "ipc:///" + strings.Repeat("x", privatedir.MaxPath)
	tooLong := fmt.Sprintf("may have %d bytes, this one has %d", privatedir.MaxPath,
		privatedir.MaxPath+1)
	for name, c := range map[string]struct {
		local, remote string
		client        TLSClient
		want          string
	}{
		"every address":     {"tcp://0.0.0.0:0", remote, client, "only a loopback address"},
		"every address, 6":  {"tcp://[::]:0", remote, client, "only a loopback address"},
		"any address":       {"tcp://:0", remote, client, "only a loopback address"},
		"another machine":   {"tcp://192.0.2.1:0", remote, client, "only a loopback address"},
		"abstract":          {"ipc://@zmqauth-test", remote, client, "abstract socket"},
		"no endpoint":       {"nowhere", remote, client, "nowhere"},
		"another transport": {"inproc://x", remote, client, "inproc://x"},
		"too long":          {long, remote, client, tooLong},
		"taken":             {taken.Endpoint(), remote, client, "address already in use"},
		"a file":            {"ipc://" + file, remote, client, "address already in use"},
		"no port":           {"", "localhost", client, "localhost"},
		"no CA":             {"", remote, bad, "/nowhere.crt: no such file"},
	} {
		f, err := ForwardTLS(context.Background(), c.local, c.remote, c.client)
		if f != nil || err == nil || !strings.HasPrefix(err.Error(), "stream: ") ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "precious" {
		t.Errorf("the file holds %q, %v", text, err)
	}
	must.OK(t, exchange(dialEndpoint(t, taken.Endpoint()), "still here"))
}

// TestForwardTLSEndsWithContext: the end of ctx closes connections, ends dials that are under way,
// and removes the directory.
func TestForwardTLSEndsWithContext(t *testing.T) {
	testpeer.NothingLeft(t)
	_, remote, client := tlsServer(t, nil)
	silent := newListener(t)
	for _, remote := range []string{remote, silent.Addr().String()} {
		ctx, cancel := context.WithCancel(context.Background())
		f, err := ForwardTLS(ctx, "", remote, client)
		must.OK(t, err)
		conn := dialEndpoint(t, f.Endpoint())
		if remote == silent.Addr().String() {
			accepted, err := silent.Accept()
			must.OK(t, err)
			defer accepted.Close()
		} else {
			must.OK(t, exchange(conn, "hello"))
		}
		cancel()
		must.OK(t, f.Wait())
		if !closed(conn) {
			t.Error("the connection is still open")
		}
		directory := filepath.Dir(strings.TrimPrefix(f.Endpoint(), "ipc://"))
		if _, err := os.Stat(directory); !os.IsNotExist(err) {
			t.Errorf("the directory is left: %v", err)
		}
	}
}

// TestForwardTLSFailures: an unreachable server and one that refuses the certificate are logged
// once for each reason. They are tried again, but not all the time. Once the server works,
// connections work.
func TestForwardTLSFailures(t *testing.T) {
	testpeer.NothingLeft(t)
	ca, foreign := newAuthority(t, "CA"), newAuthority(t, "another CA")
	server := ca.issue("server")
	remote := fmt.Sprint("127.0.0.1:", testpeer.FreePort(t))
	log := &logbuffer.Buffer{}
	var dir = t.TempDir()
	id := ca.issue("ann")
	certificate := identity{filepath.Join(dir, "crt"), filepath.Join(dir, "key")}
	put := func(id identity) {
		for from, to := range map[string]string{id.cert: certificate.cert, id.key: certificate.key} {
			content, err := os.ReadFile(from)
			must.OK(t, err)
			replace(t, to, content)
		}
	}
	put(foreign.issue("mallory"))
	client := config(certificate, ca)
	client.Logger = log.Logger()
	f := forwardTLS(t, "", remote, client)
	try := func() error { return exchange(dialEndpoint(t, f.Endpoint()), "hello") }
	warnings := func() int { return strings.Count(log.String(), "level=WARN") }
	begun := time.Now()
	for range 4 {
		if try() == nil {
			t.Fatal("it goes through without a server")
		}
	}
	if took := time.Since(begun); took < 7*backoff.Min { // 1+2+4
		t.Errorf("4 tries within %v", took)
	}
	if n := warnings(); n != 1 || !strings.Contains(log.String(), "connection refused") {
		t.Errorf("%d warnings:\n%s", n, log)
	}
	l, err := net.Listen("tcp", remote)
	must.OK(t, err)
	var refused atomic.Int32
	startOn(t, &Server{
		Authenticator: &TLSAuthenticator{CertFile: server.cert, KeyFile: server.key, CAFile: ca.file},
		Handler:       echo, Logger: quiet(),
	}, countingListener{l, &refused})
	for range 3 {
		if try() == nil {
			t.Fatal("it goes through with a certificate that the server does not know")
		}
	}
	if n := warnings(); n != 2 || !strings.Contains(log.String(), "remote error: tls: ") ||
		refused.Load() != 3 {
		t.Errorf("%d warnings, %d refusals:\n%s", n, refused.Load(), log)
	}
	put(id)
	must.OK(t, try())
	must.OK(t, try())
}

// countingListener counts what it accepts.
type countingListener struct {
	net.Listener
	n *atomic.Int32
}

func (l countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.n.Add(1)
	}
	return conn, err
}

var _ io.Closer = (*Forwarding)(nil)
