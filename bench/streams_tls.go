package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zmqauth/zmqauth/internal/daemon"
	"github.com/zmqauth/zmqauth/internal/testca"
	"github.com/zmqauth/zmqauth/stream"
)

// measureTLS compares package stream with stunnel as both ends of mutual TLS, with the same
// certificates.
func measureTLS() (_ []table, err error) {
	var e ends
	defer func() { err = errors.Join(err, e.close()) }()
	t, err := e.openTLS()
	if err != nil {
		return nil, err
	}
	empty := table{name: "stream-throughput", title: "Bulk data through both ends of mutual TLS"}
	bulk, err := throughput(empty, t.backend, t.paths())
	if err != nil {
		return nil, err
	}
	handshakes, err := t.handshakes()
	return []table{bulk, handshakes}, err
}

// tlsPaths are paths to the backend over mutual TLS.
type tlsPaths struct {
	backend       *backend
	ours, stunnel tlsPath
	client        *tls.Config // for TLS clients of the remote ends
}

// tlsPath has the addresses of the two ends of TLS. The local end accepts plain connections, the
// remote end TLS connections.
type tlsPath struct{ local, remote string }

func (e *ends) openTLS() (*tlsPaths, error) {
	directory, err := e.directory()
	if err != nil {
		return nil, err
	}
	ca, err := testca.New(directory, "CA")
	if err != nil {
		return nil, err
	}
	server, err1 := ca.Issue("server")
	client, err2 := ca.Issue("client")
	back, err3 := e.backend()
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(client.CertFile, client.KeyFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.Certificate)
	t := &tlsPaths{backend: back, client: &tls.Config{
		ServerName:   "localhost",
		RootCAs:      roots,
		Certificates: []tls.Certificate{pair},
		MinVersion:   tls.VersionTLS13,
	}}
	if t.stunnel.remote, err = e.stunnel(directory, back.address, ca, server); err != nil {
		return nil, err
	}
	t.stunnel.local, err = e.stunnel(directory, t.stunnel.remote, ca, client, "client = yes")
	if err != nil {
		return nil, err
	}
	t.ours, err = e.ours(back.address, ca, server, client)
	return t, err
}

// ours starts both ends of package stream.
func (e *ends) ours(
	to string, ca *testca.Authority, server, client testca.Identity,
) (t tlsPath, err error) {
	t.remote, err = e.serve(&stream.Server{
		Authenticator: &stream.TLSAuthenticator{
			CertFile: server.CertFile,
			KeyFile:  server.KeyFile,
			CAFile:   ca.File,
		},
		Handler: func(ctx context.Context, conn net.Conn, _ any) {
			_ = stream.Forward(ctx, conn, "tcp", to)
		},
	})
	if err != nil {
		return t, err
	}
	f, err := stream.ForwardTLS(context.Background(), "tcp://127.0.0.1:0", t.remote, stream.TLSClient{
		CertFile: client.CertFile,
		KeyFile:  client.KeyFile,
		CAFile:   ca.File,
		Logger:   slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return t, err
	}
	e.add(f.Close)
	t.local = strings.TrimPrefix(f.Endpoint(), "tcp://")
	return t, nil
}

// paths returns the paths through both ends of TLS, and the one without TLS.
func (t *tlsPaths) paths() []path {
	return []path{
		{"zmqauth", "tcp", t.ours.local},
		{"stunnel4", "tcp", t.stunnel.local},
		{"no TLS", "tcp", t.backend.address},
	}
}

// stunnel starts one end of stunnel and returns its address.
func (e *ends) stunnel(
	directory, to string, ca *testca.Authority, id testca.Identity, options ...string,
) (string, error) {
	s, err := daemon.StartStunnel(directory, to, ca, id, options...)
	if err != nil {
		return "", err
	}
	e.add(s.Stop)
	return s.Address, nil
}

const (
	clientsAtOnce = 12
	// leastHandshakes is the least work of a turn. At its end fewer clients are left, so it must be
	// long enough that this does not matter.
	leastHandshakes = 8 * clientsAtOnce
)

// handshakes measures the handshakes of both remote ends with the same clients: with the same key
// exchange, and with the one that each prefers. Go prefers one that is safe from quantum computers,
// which costs time.
func (t *tlsPaths) handshakes() (table, error) {
	out := table{
		name:  "stream-handshakes",
		title: fmt.Sprintf("Handshakes of mutual TLS 1.3, %d at once", clientsAtOnce),
		ratio: "zmqauth's rate, times that of another",
	}
	for _, c := range []struct {
		what   string
		curves []tls.CurveID
	}{{"both with X25519", []tls.CurveID{tls.X25519}}, {"each with what it prefers", nil}} {
		lanes, err := race(streamRules(leastHandshakes), t.entrants(c.curves...))
		if err != nil {
			return out, err
		}
		out.add(figure{c.what, lanes[1].name, ratios(lanes[1], lanes[0], elapsed), bound{}})
	}
	return out, nil
}

// greeters returns clients of both remote ends. They offer these key exchanges, or those of Go if
// there are none.
func (t *tlsPaths) greeters(curves ...tls.CurveID) []*greeter {
	client := t.client.Clone()
	client.CurvePreferences = curves
	return []*greeter{{"zmqauth", t.ours.remote, client}, {"stunnel4", t.stunnel.remote, client}}
}

func (t *tlsPaths) entrants(curves ...tls.CurveID) []entrant {
	var all []entrant
	for _, g := range t.greeters(curves...) {
		all = append(all, entrant{g.title, g.do})
	}
	return all
}

// greeter is a group of TLS clients of an address. Each sends one byte, waits until it comes back,
// and leaves.
type greeter struct {
	title, address string
	client         *tls.Config
}

func (g *greeter) do(handshakes int) (cost, error) {
	var clients sync.WaitGroup
	var begun atomic.Int64
	errs := make([]error, clientsAtOnce)
	start := time.Now()
	for i := range errs {
		clients.Go(func() {
			for errs[i] == nil && begun.Add(1) <= int64(handshakes) {
				errs[i] = g.greet()
			}
		})
	}
	clients.Wait()
	elapsed := time.Since(start)
	if err := errors.Join(errs...); err != nil {
		return cost{}, fmt.Errorf("%s: %w", g.title, err)
	}
	return cost{elapsed: elapsed}, nil
}

// greet is one client. It waits until the server has ended the connection too, so that no work is
// left that slows down the turn of another.
func (g *greeter) greet() error {
	conn, err := g.connect()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte{echo, 0}); err != nil {
		return err
	}
	if err := carry(io.Discard, conn, 1); err != nil {
		return err
	}
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, conn)
	return err
}

// connect does a full handshake. A resumed session is an error.
func (g *greeter) connect() (*tls.Conn, error) {
	raw, err := net.DialTimeout("tcp", g.address, streamPatience)
	if err != nil {
		return nil, err
	}
	_ = raw.SetDeadline(time.Now().Add(streamPatience))
	conn := tls.Client(raw, g.client)
	if err := conn.Handshake(); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	state, wanted := conn.ConnectionState(), g.client.CurvePreferences
	if state.DidResume || len(wanted) > 0 && state.CurveID != wanted[0] {
		err := fmt.Errorf("not the handshake that is to be measured: resumed %v, key exchange %v",
			state.DidResume, state.CurveID)
		return nil, errors.Join(err, raw.Close())
	}
	return conn, nil
}
