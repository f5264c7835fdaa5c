package stream

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/daemon"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testca"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// BenchmarkForward pipes data over loopback through both ends of mutual TLS, ForwardTLS and
// Forward. It compares that with a direct connection to the backend, and with two stunnels in place
// of the two ends. The three take turns, so that all run under the same load. x-of-bare and
// x-of-stunnel are the ratios to the rates of the others.
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
				must.OK(b, p.conn.SetDeadline(time.Time{}))
				must.OK(b, c.round(p.conn)) // the handshake
			}
			b.SetBytes(c.bytes)
			for b.Loop() {
				for i := range paths {
					begun := time.Now()
					must.OK(b, c.round(paths[i].conn))
					paths[i].took += time.Since(begun)
				}
			}
			rate := func(took time.Duration) float64 {
				return float64(c.bytes) * float64(b.N) / 1e6 / took.Seconds()
			}
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

// bulk sends data, and waits until the backend says that everything has arrived.
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
		Handler: func(ctx context.Context, conn net.Conn, _ any) {
			_ = Forward(ctx, conn, "tcp", back)
		},
	}, l)
	cfg := config(client, ca)
	cfg.Logger = quiet()
	f, err := ForwardTLS(context.Background(), "tcp://127.0.0.1:0", l.Addr().String(), cfg)
	must.OK(b, err)
	b.Cleanup(func() { must.OK(b, f.Close()) })
	_, address, err := endpoint("", f.Endpoint())
	must.OK(b, err)
	return address
}

// stunnelPath is where two stunnels begin that do the same.
func stunnelPath(b *testing.B, back string, ca *authority, server, client identity) string {
	b.Helper()
	start := func(address string, id identity, options ...string) string {
		files := testca.Identity{CertFile: id.cert, KeyFile: id.key}
		end, err := daemon.StartStunnel(b.TempDir(), address, ca.Authority, files, options...)
		if errors.Is(err, daemon.ErrMissing) {
			testpeer.Missing(b, err.Error(), "stunnel4")
		}
		must.OK(b, err)
		b.Cleanup(func() { must.OK(b, end.Stop()) })
		return end.Address
	}
	return start(start(back, server), client, "client = yes")
}
