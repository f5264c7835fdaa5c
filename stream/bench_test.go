package stream

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// BenchmarkForward pipes data through both ends of mutual TLS on loopback, ForwardTLS and Forward, beside a connection that
// leads straight to the backend, and beside two stunnels in the place of both ends; each in turn, so that all meet the same
// machine. x-of-bare and x-of-stunnel are the shares of the others' rate.
func BenchmarkForward(b *testing.B) {
	for _, c := range []struct {
		name  string
		round func(conn net.Conn) error
		bytes int64
	}{
		{"bulk", bulk, bulkSize},
		{"round-trips", roundTrips, 2 * roundTripSize * roundTripCount},
	} {
		b.Run(c.name, func(b *testing.B) {
			l := newListener(b)
			back := l.Addr().String()
			go serveBench(l)
			ca := newAuthority(b, "CA")
			server, client := ca.issue("server"), ca.issue("client")
			paths := []struct {
				name string
				conn net.Conn
				took time.Duration
			}{
				{name: "bare", conn: dialTCP(b, back)},
				{name: "forward", conn: dialTCP(b, forwardPath(b, back, ca, server, client))},
				{name: "stunnel", conn: dialTCP(b, stunnelPath(b, back, ca, server, client))},
			}
			for _, p := range paths {
				must(b, p.conn.SetDeadline(time.Time{}))
				must(b, c.round(p.conn)) // the handshake
			}
			b.SetBytes(c.bytes)
			for b.Loop() {
				for i := range paths {
					begun := time.Now()
					must(b, c.round(paths[i].conn))
					paths[i].took += time.Since(begun)
				}
			}
			rate := func(took time.Duration) float64 { return float64(c.bytes) * float64(b.N) / 1e6 / took.Seconds() }
			for _, p := range paths {
				b.ReportMetric(rate(p.took), p.name+"-MB/s")
			}
			b.ReportMetric(rate(paths[1].took)/rate(paths[0].took), "x-of-bare")
			b.ReportMetric(rate(paths[1].took)/rate(paths[2].took), "x-of-stunnel")
		})
	}
}

const (
	bulkSize       = 64 << 20
	roundTripSize  = 64
	roundTripCount = 500
)

// bulk sends, and waits for the word that all has arrived.
func bulk(conn net.Conn) error {
	chunk := make([]byte, 1<<16)
	if _, err := conn.Write([]byte{'b'}); err != nil {
		return err
	}
	for range bulkSize / len(chunk) {
		if _, err := conn.Write(chunk); err != nil {
			return err
		}
	}
	_, err := io.ReadFull(conn, chunk[:1])
	return err
}

// roundTrips sends small messages, each after the answer to the one before.
func roundTrips(conn net.Conn) error {
	if _, err := conn.Write([]byte{'r'}); err != nil {
		return err
	}
	message := make([]byte, roundTripSize)
	for range roundTripCount {
		if _, err := conn.Write(message); err != nil {
			return err
		}
		if _, err := io.ReadFull(conn, message); err != nil {
			return err
		}
	}
	return nil
}

// serveBench is the backend of bulk and roundTrips.
func serveBench(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			kind := make([]byte, 1)
			for {
				if _, err := io.ReadFull(conn, kind); err != nil {
					return
				}
				if kind[0] == 'b' {
					_, err = io.CopyN(struct{ io.Writer }{io.Discard}, conn, bulkSize)
					if err == nil {
						_, err = conn.Write(kind)
					}
				} else {
					message := make([]byte, roundTripSize)
					for range roundTripCount {
						if _, err = io.ReadFull(conn, message); err == nil {
							_, err = conn.Write(message)
						}
					}
				}
				if err != nil {
					return
				}
			}
		}()
	}
}

// forwardPath is where this package's two ends begin.
func forwardPath(b *testing.B, back string, ca *authority, server, client identity) string {
	b.Helper()
	l := newListener(b)
	startOn(b, &Server{
		Authenticator: &TLSAuthenticator{CertFile: server.cert, KeyFile: server.key, CAFile: ca.file},
		Handler:       func(ctx context.Context, conn net.Conn, _ any) { _ = Forward(ctx, conn, "tcp", back) },
	}, l)
	cfg := config(client, ca)
	cfg.Logger = quiet()
	f, err := ForwardTLS(context.Background(), "tcp://127.0.0.1:0", l.Addr().String(), cfg)
	must(b, err)
	b.Cleanup(func() { must(b, f.Close()) })
	_, address, err := endpoint("", f.Endpoint())
	must(b, err)
	return address
}

// stunnelPath is where two stunnels begin that do the same, with the cipher suite that Go prefers.
func stunnelPath(b *testing.B, back string, ca *authority, server, client identity) string {
	b.Helper()
	const common = "foreground = yes\npid =\ndebug = err\n[forward]\nverifyChain = yes\nciphersuites = TLS_AES_128_GCM_SHA256\n" +
		"CAfile = %s\ncert = %s\nkey = %s\naccept = %s\nconnect = %s\n"
	far := freeAddress(b)
	near := freeAddress(b)
	runStunnel(b, far, fmt.Sprintf(common, ca.file, server.cert, server.key, far, back))
	runStunnel(b, near, fmt.Sprintf(common, ca.file, client.cert, client.key, near, far)+"client = yes\n")
	return near
}

// freeAddress is one that was free a moment ago: stunnel does not say which port the kernel has chosen.
func freeAddress(b *testing.B) string {
	b.Helper()
	l := newListener(b)
	must(b, l.Close())
	return l.Addr().String()
}

func runStunnel(b *testing.B, address, configuration string) {
	b.Helper()
	stunnel := testpeer.Program(b, "stunnel4", "stunnel4", "stunnel")
	file := filepath.Join(b.TempDir(), "stunnel.conf")
	must(b, os.WriteFile(file, []byte(configuration), 0o600))
	log := &logBuffer{}
	command := exec.Command(stunnel, file)
	command.Stdout, command.Stderr = log, log
	must(b, command.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = command.Wait()
	}()
	b.Cleanup(func() {
		_ = command.Process.Kill()
		<-ended
	})
	testpeer.Eventually(b, "stunnel listens", func() bool {
		select {
		case <-ended:
			b.Fatalf("stunnel has ended:\n%s", log)
		default:
		}
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}
