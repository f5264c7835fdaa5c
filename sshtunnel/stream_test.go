//go:build unix

package sshtunnel

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestManyStreams runs hundreds of streams at once over one connection, each with data of its own.
func TestManyStreams(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	address := echo(t)
	tunnel := open(t, server.config(t))
	const streams, size = 200, 100_000
	ctx := patient(t)
	failures := make(chan error, streams)
	var work sync.WaitGroup
	for i := range streams {
		work.Go(func() {
			failures <- roundTripOf(ctx, tunnel, address, bytes.Repeat(fmt.Appendf(nil, "%08d", i), size/8))
		})
	}
	work.Wait()
	close(failures)
	for err := range failures {
		if err != nil {
			t.Error(err)
		}
	}
	server.logged(t, "Accepted publickey", 1) // one for all
}

// roundTripOf sends data to an echo and expects it back.
func roundTripOf(ctx context.Context, tunnel *Tunnel, address string, data []byte) error {
	conn, err := tunnel.Dial(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	written := make(chan error, 1)
	go func() {
		_, err := conn.Write(data)
		written <- errors.Join(err, conn.(interface{ CloseWrite() error }).CloseWrite())
	}()
	got, err := io.ReadAll(conn)
	if err := errors.Join(err, <-written); err != nil {
		return err
	}
	if !bytes.Equal(got, data) {
		return fmt.Errorf("%d bytes come back, and not those that were sent (%d)", len(got), len(data))
	}
	return nil
}

// TestBigTransfer sends a gigabyte through a forward and one through Dial, and measures the memory.
// sshd exchanges keys several times meanwhile. Under the race detector, which makes the
// cryptography some ten times slower, it sends less.
func TestBigTransfer(t *testing.T) {
	testpeer.NothingLeft(t)
	bigTransfer := int64(1 << 30)
	if testpeer.Race {
		bigTransfer = 64 << 20
	}
	server := newSSHD(t, "RekeyLimit 64M")
	address := serve(t, func(conn net.Conn) { // sends what it gets back as a sum
		sum := sha256.New()
		_, _ = io.Copy(sum, conn)
		_, _ = conn.Write(sum.Sum(nil))
	})
	cfg := server.config(t)
	tunnel := open(t, cfg)
	endpoint, err := tunnel.Forward("tcp://" + address)
	must.OK(t, err)
	peak := watchHeap(t)
	for name, dial := range map[string]func() (net.Conn, error){
		"Dial": func() (net.Conn, error) { return tunnel.Dial(patient(t), "tcp", address) },
		"Forward": func() (net.Conn, error) {
			return net.Dial("unix", strings.TrimPrefix(endpoint, "ipc://"))
		},
	} {
		conn, err := dial()
		must.OK(t, err)
		began := time.Now()
		sum := sha256.New()
		n, err := io.Copy(io.MultiWriter(conn, sum),
			io.LimitReader(rand.NewChaCha8([32]byte{1}), bigTransfer))
		if err != nil || n != bigTransfer {
			t.Fatalf("%s: %d bytes sent, %v", name, n, err)
		}
		must.OK(t, conn.(interface{ CloseWrite() error }).CloseWrite())
		got, err := io.ReadAll(conn)
		if err != nil || !bytes.Equal(got, sum.Sum(nil)) {
			t.Errorf("%s: what arrives is not what was sent (%v)", name, err)
		}
		must.OK(t, conn.Close())
		t.Logf("%s: %d MiB, %.0f MB/s", name, bigTransfer>>20,
			float64(bigTransfer)/1e6/time.Since(began).Seconds())
	}
	if grown := peak(); grown > 32<<20 {
		t.Errorf("the heap has grown by %d MiB", grown>>20)
	}
}

// watchHeap returns a function that returns the largest growth of the heap since then.
func watchHeap(t testing.TB) (peak func() int64) {
	t.Helper()
	heap := func() int64 {
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return int64(stats.HeapInuse)
	}
	runtime.GC()
	before, most := heap(), int64(0)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for {
			most = max(most, heap())
			select {
			case <-ticker.C:
			case <-stop:
				return
			}
		}
	}()
	return sync.OnceValue(func() int64 {
		close(stop)
		<-done
		return most - before
	})
}

// TestHalfClose: the end of one direction is passed on, and the other continues.
func TestHalfClose(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	answers := make(chan string, 4)
	address := serve(t, func(conn net.Conn) {
		_, _ = io.WriteString(conn, "question?")
		_ = conn.(*net.TCPConn).CloseWrite()
		answer, _ := io.ReadAll(conn)
		answers <- string(answer)
	})
	for name, localTCP := range map[string]bool{"ipc": false, "tcp": true} {
		t.Run(name, func(t *testing.T) {
			cfg := server.config(t)
			cfg.LocalTCP = localTCP
			tunnel := open(t, cfg)
			endpoint, err := tunnel.Forward("tcp://" + address)
			must.OK(t, err)
			network, local, _ := strings.Cut(endpoint, "://")
			conns := map[string]net.Conn{}
			if conns["Dial"], err = tunnel.Dial(patient(t), "tcp", address); err != nil {
				t.Fatal(err)
			}
			network = map[string]string{"ipc": "unix", "tcp": "tcp"}[network]
			if conns["Forward"], err = net.Dial(network, local); err != nil {
				t.Fatal(err)
			}
			for name, conn := range conns {
				question, err := io.ReadAll(conn)
				if err != nil || string(question) != "question?" {
					t.Errorf("%s: %q, %v", name, question, err)
				}
				_, err = io.WriteString(conn, "answer")
				must.OK(t, errors.Join(err, conn.(interface{ CloseWrite() error }).CloseWrite()))
				must.OK(t, conn.Close())
				if got := <-answers; got != "answer" { // although the stream was closed at once
					t.Errorf("%s: the far end has got %q", name, got)
				}
			}
		})
	}
}

// TestClosedStreamIsGone: a closed stream leaves nothing behind while the tunnel lives on, whatever
// the far end does.
func TestClosedStreamIsGone(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	release := make(chan struct{})
	defer close(release)
	idle := open(t, server.config(t))
	idle.linger = time.Millisecond
	for name, handle := range map[string]func(net.Conn){
		"it is silent":       func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) },
		"it never reads":     func(net.Conn) { <-release },
		"it writes for ever": func(conn net.Conn) { _, _ = io.Copy(conn, rand.NewChaCha8([32]byte{})) },
		"it is an echo": func(conn net.Conn) {
			_, _ = io.Copy(struct{ io.Writer }{conn}, struct{ io.Reader }{conn})
		},
	} {
		t.Run(name, func(t *testing.T) {
			address := serve(t, handle)
			if name == "it never reads" {
				t.Cleanup(func() { release <- struct{}{} })
			}
			conn, err := idle.Dial(patient(t), "tcp", address)
			must.OK(t, err)
			must.OK(t, conn.SetWriteDeadline(time.Now().Add(20*time.Millisecond)))
			_, _ = io.Copy(conn, io.LimitReader(rand.NewChaCha8([32]byte{}), 16<<20))
			must.OK(t, conn.Close())
			testpeer.Eventually(t, "the stream has ended", func() bool {
				idle.mu.Lock()
				defer idle.mu.Unlock()
				return len(idle.locals) == 0
			})
		})
	}
}

// TestDeadlines: deadlines work as those of package net.
func TestDeadlines(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	tunnel := open(t, server.config(t))
	release := make(chan struct{})
	defer close(release)
	address := serve(t, func(net.Conn) { <-release })
	conn, err := tunnel.Dial(patient(t), "tcp", address)
	must.OK(t, err)
	defer conn.Close()
	must.OK(t, conn.SetReadDeadline(time.Now().Add(time.Millisecond)))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("reading: %v", err)
	}
	must.OK(t, conn.SetWriteDeadline(time.Now().Add(100*time.Millisecond)))
	if _, err := io.Copy(conn, rand.NewChaCha8([32]byte{})); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("writing to somebody who does not read: %v", err)
	}
	if got := conn.RemoteAddr(); got.Network() != "tcp" || got.String() != address {
		t.Errorf("remote address %s %s", got.Network(), got)
	}
	if got := conn.LocalAddr(); got == nil || got.Network() != "tcp" {
		t.Errorf("local address %v", got)
	}
}

// TestDialErrors: an address where nobody listens, or that makes no sense, is an error.
func TestDialErrors(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	tunnel := open(t, server.config(t))
	nobody := fmt.Sprint("127.0.0.1:", testpeer.FreePort(t))
	_, err := tunnel.Dial(patient(t), "tcp", nobody)
	var answer *ssh.OpenChannelError
	saysAll(t, err, nobody, "Connection refused", server.User+"@127.0.0.1")
	if !errors.As(err, &answer) || answer.Reason != ssh.ConnectionFailed {
		t.Errorf("%#v", err)
	}
	_, err = tunnel.Dial(patient(t), "unix", filepath.Join(t.TempDir(), "none"))
	saysAll(t, err, "open failed")
	for _, c := range []struct{ network, address string }{
		{"udp", "127.0.0.1:53"}, {"tcp4", "127.0.0.1:53"}, {"tcp", "127.0.0.1"},
		{"tcp", "127.0.0.1:"}, {"tcp", "127.0.0.1:http"}, {"tcp", "127.0.0.1:0"},
		{"tcp", "127.0.0.1:65536"}, {"tcp", ":53"}, {"tcp", "*:53"}, {"tcp", "a b:53"},
		{"unix", "relative"}, {"unix", ""},
	} {
		_, err := tunnel.Dial(patient(t), c.network, c.address)
		saysAll(t, err, c.network, c.address)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tunnel.Dial(ended, "tcp", nobody); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the context's", err)
	}
	must.OK(t, tunnel.Err())
}

// TestDialDoesNotOutlastItsContext: Dial ends with its context even if the far end neither accepts
// nor refuses, and sshd waits for it.
func TestDialDoesNotOutlastItsContext(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	tunnel := open(t, server.config(t))
	address := fullListener(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := tunnel.Dial(ctx, "tcp", address); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the context's", err)
	}
	echoes(t, tunnel, echo(t)) // nobody else waits for that
}

// fullListener returns a listener whose backlog is full.
func fullListener(t testing.TB) string {
	t.Helper()
	descriptor, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	must.OK(t, err)
	syscall.CloseOnExec(descriptor)
	t.Cleanup(func() { must.OK(t, syscall.Close(descriptor)) })
	must.OK(t, syscall.Bind(descriptor, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must.OK(t, syscall.Listen(descriptor, 0))
	name, err := syscall.Getsockname(descriptor)
	must.OK(t, err)
	address := fmt.Sprint("127.0.0.1:", name.(*syscall.SockaddrInet4).Port)
	for range 10 {
		conn, err := net.DialTimeout("tcp", address, 100*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { must.OK(t, conn.Close()) })
	}
	t.Fatal("a listener that takes any number of connections")
	return ""
}

// TestUnixSocketAtTheFarEnd: Dial and Forward can reach Unix sockets, too.
func TestUnixSocketAtTheFarEnd(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	dir, err := os.MkdirTemp("", "far")
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, os.RemoveAll(dir)) })
	path := filepath.Join(dir, "socket")
	listener, err := net.Listen("unix", path)
	must.OK(t, err)
	serveOn(t, listener, func(conn net.Conn) {
		_, _ = io.Copy(struct{ io.Writer }{conn}, struct{ io.Reader }{conn})
	})
	tunnel := open(t, server.config(t))
	conn, err := tunnel.Dial(patient(t), "unix", path)
	must.OK(t, err)
	defer conn.Close()
	says(t, conn, "hello")
	endpoint, err := tunnel.Forward("ipc://" + path)
	must.OK(t, err)
	local, err := net.Dial("unix", strings.TrimPrefix(endpoint, "ipc://"))
	must.OK(t, err)
	defer local.Close()
	says(t, local, "hello")
}
