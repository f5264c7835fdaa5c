//go:build unix

package sshtunnel

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/zmqauth/zmqauth/internal/must"
)

// BenchmarkThroughput sends blocks through a forward and through ssh -L in turns, to the same sshd
// and the same receiver. It reports the ratios of the rates: above 1, this package is faster. ssh
// prefers another cipher than this package, so it runs with its own and with ours.
func BenchmarkThroughput(b *testing.B) {
	server := newSSHD(b)
	address := serve(b, func(conn net.Conn) { _, _ = io.Copy(struct{ io.Writer }{io.Discard}, conn) })
	const block = 4 << 20
	data := make([]byte, block)
	b.SetBytes(block)
	compete(b, server, address, func(conn net.Conn) {
		_, err := conn.Write(data)
		must.OK(b, err)
	})
}

// BenchmarkRoundTrip sends small messages to an echo through each of them, one at a time.
func BenchmarkRoundTrip(b *testing.B) {
	server := newSSHD(b)
	message := make([]byte, 64)
	compete(b, server, echo(b), func(conn net.Conn) {
		_, err := conn.Write(message)
		must.OK(b, err)
		_, err = io.ReadFull(conn, message)
		must.OK(b, err)
	})
}

// compete has the contestants do the same in turns.
func compete(b *testing.B, server *sshd, address string, do func(net.Conn)) {
	b.Helper()
	endpoint, err := open(b, server.config(b)).Forward("tcp://" + address)
	must.OK(b, err)
	sockets := map[string]string{
		"here":    strings.TrimPrefix(endpoint, "ipc://"),
		"ssh":     sshForward(b, server, address),
		"ssh-aes": sshForward(b, server, address, "-c", ssh.CipherAES128GCM),
	}
	conns, times := map[string]net.Conn{}, map[string]time.Duration{}
	for name, socket := range sockets {
		conns[name], err = net.Dial("unix", socket)
		must.OK(b, err)
		b.Cleanup(func() { _ = conns[name].Close() })
	}
	b.ReportAllocs()
	for b.Loop() {
		for name, conn := range conns {
			began := time.Now()
			do(conn)
			times[name] += time.Since(began)
		}
	}
	b.ReportMetric(float64(times["ssh"])/float64(times["here"]), "times-ssh")
	b.ReportMetric(float64(times["ssh-aes"])/float64(times["here"]), "times-ssh-aes")
}

// BenchmarkDial opens and closes streams.
func BenchmarkDial(b *testing.B) {
	server := newSSHD(b)
	address := echo(b)
	tunnel := open(b, server.config(b))
	b.ReportAllocs()
	for b.Loop() {
		conn, err := tunnel.Dial(b.Context(), "tcp", address)
		must.OK(b, err)
		must.OK(b, conn.Close())
	}
}

// sshForward starts ssh -L, OpenSSH's own client, and returns the path of the socket that it
// listens on.
func sshForward(b *testing.B, server *sshd, address string, options ...string) string {
	b.Helper()
	dir, err := os.MkdirTemp("", "ssh")
	must.OK(b, err)
	b.Cleanup(func() { must.OK(b, os.RemoveAll(dir)) })
	socket := filepath.Join(dir, "socket")
	client, err := server.Forward(socket, address, options...)
	must.OK(b, err)
	b.Cleanup(func() { must.OK(b, client.Stop()) })
	return socket
}

// BenchmarkDownload reads bulk data through a tunnel, through ssh -L, and through ssh -L with the
// cipher that this package prefers, in turns.
func BenchmarkDownload(b *testing.B) {
	server := newSSHD(b)
	const block = 4 << 20
	data := make([]byte, block)
	address := serve(b, func(conn net.Conn) {
		for {
			if _, err := io.CopyN(io.Discard, conn, 1); err != nil {
				return
			}
			if _, err := conn.Write(data); err != nil {
				return
			}
		}
	})
	b.SetBytes(block)
	read := make([]byte, 256<<10)
	compete(b, server, address, func(conn net.Conn) {
		_, err := conn.Write([]byte{0})
		must.OK(b, err)
		for n := 0; n < block; {
			got, err := conn.Read(read)
			must.OK(b, err)
			n += got
		}
	})
}
