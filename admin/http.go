package admin

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/zmqauth/zmqauth"
)

// HTTPConfig is what ListenHTTP needs.
type HTTPConfig struct {
	Auth    *zmqauth.Authenticator // never nil
	Program Program                // what is shown besides
	Log     *slog.Logger           // gets what fails; nil: nobody

	// Group is the id of a group whose members may use a Unix socket, besides root and the user of
	// this process. nil: nobody else may.
	Group *int

	// TokenFile has a token on its only line, of 16 characters at least: who sends it as a bearer
	// token, or as the password of HTTP's basic authentication, sees everything. The rule of trust
	// for secrets holds for the file. Empty: there is none.
	TokenFile string

	// CertFile and KeyFile are the certificate chain and the private key for TLS, in PEM. ClientCAFile
	// has the CAs whose clients see everything. Empty: there is no TLS, and there are no such clients.
	// Files that have changed are read again within 5 s.
	CertFile, KeyFile, ClientCAFile string

	// Listener is a socket that listens at the address already, such as one that systemd passes. A
	// duplicate is used, and the file of a Unix socket stays. nil: ListenHTTP makes one.
	Listener *os.File

	patience time.Duration // with who takes no part of an answer; 0: writeTime
}

// HTTP serves metrics, health and the status page. Make one with [ListenHTTP].
type HTTP struct {
	cfg     HTTPConfig
	kind    place
	server  *http.Server
	hub     *hub
	secrets *secrets
	metrics http.Handler // for those who may see everything
	numbers http.Handler // the same, for all others
	address net.Addr
	close   func() error // once
}

// place is where a server listens. Who may see what depends on it.
type place int

const (
	atSocket    place = iota // a Unix socket
	atLoopback               // TCP of this host
	atElsewhere              // TCP that other hosts reach
)

const (
	// maxConnections is how many connections those have who may see everything, and how many all
	// others have. maxOfOne is how many of the latter one user of this host, or one address, has.
	maxConnections = 128
	maxOfOne       = 32
	// maxGathering is how many requests gather metrics at the same time: of those who may see
	// everything, and of all others. The rest of them wait.
	maxGathering = 2
	// bindTime is how long it may take to find out whether somebody listens at a path.
	bindTime = 5 * time.Second
)

// httpPlace reads the address of ListenHTTP: HOST:PORT, or the path of a Unix socket.
func httpPlace(address string) (place, string, error) {
	path, isPath := address, strings.HasPrefix(address, "/")
	if !isPath {
		path, isPath = strings.CutPrefix(address, "unix:")
	}
	if isPath {
		if path == "" {
			return 0, "", errors.New("the path is missing")
		}
		return atSocket, path, nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return 0, "", errors.New("an address is HOST:PORT, or unix:PATH")
	}
	if ip, err := netip.ParseAddr(host); host == "localhost" || err == nil && ip.IsLoopback() {
		return atLoopback, address, nil
	}
	return atElsewhere, strings.TrimPrefix(address, "*"), nil
}

// Check tells what is wrong with an address and the rest of the configuration, before ListenHTTP.
// At an address that other hosts reach it wants TLS, and a token or a CA of clients.
func (c HTTPConfig) Check(address string) error {
	kind, _, err := httpPlace(address)
	switch {
	case err != nil:
		return err
	case (c.CertFile == "") != (c.KeyFile == ""):
		return errors.New("TLS needs a certificate and its key")
	case c.ClientCAFile != "" && c.CertFile == "":
		return errors.New("CAs of clients need TLS: a certificate and its key")
	case c.Group != nil && kind != atSocket:
		return errors.New("a group is for a Unix socket: unix:PATH")
	case kind == atSocket && (c.CertFile != "" || c.TokenFile != ""):
		return errors.New("a Unix socket has no TLS and no token: its mode and group say who may")
	case kind == atElsewhere && (c.CertFile == "" || c.TokenFile == "" && c.ClientCAFile == ""):
		return errors.New("other hosts reach this address: it needs TLS (a certificate and its key), " +
			"and a token or a CA of clients; or take 127.0.0.1, [::1] or unix:PATH")
	}
	return nil
}

// ListenHTTP serves at an address until Close:
//
//	/         the status page, which changes nothing
//	/metrics  for Prometheus: numbers, and no word about any client
//	/healthz  200 while requests are judged, else 503
//	/readyz   200 while the program is ready, too, and a fleet's news are not too old
//
// The address is HOST:PORT or unix:PATH.
//
// At a Unix socket root, the user of this process and the Group see everything, and others nothing.
// At a loopback address every user of the host sees all but what the page shows: that is for
// processes of root and of this user (the kernel tells, on Linux), and for who has the token. At
// all other addresses everybody sees /healthz and /readyz, and all else is for who has the token,
// or a certificate of ClientCAFile. [HTTPConfig.Check] says what such an address needs.
func ListenHTTP(ctx context.Context, address string, cfg HTTPConfig) (*HTTP, error) {
	h, err := listenHTTP(ctx, address, cfg)
	if err != nil {
		return nil, fmt.Errorf("http %s: %w", address, err)
	}
	return h, nil
}

func listenHTTP(ctx context.Context, address string, cfg HTTPConfig) (*HTTP, error) {
	if cfg.Auth == nil {
		return nil, errors.New("HTTPConfig has no Auth")
	}
	if err := cfg.Check(address); err != nil {
		return nil, err
	}
	cfg.patience = cmp.Or(cfg.patience, writeTime)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	secrets, err := newSecrets(cfg)
	if err != nil {
		return nil, err
	}
	kind, at, _ := httpPlace(address)
	listener, remove, err := listenAt(ctx, kind, at, cfg)
	if err != nil {
		return nil, err
	}
	h := &HTTP{cfg: cfg, kind: kind, secrets: secrets, hub: newHub(cfg.Auth, &cfg.Program),
		address: listener.Addr()}
	registry, err := newRegistry(cfg)
	if err != nil {
		return nil, errors.Join(err, listener.Close(), remove())
	}
	h.metrics, h.numbers = metricsHandler(registry), metricsHandler(registry)
	h.server = &http.Server{
		Handler:           http.HandlerFunc(h.serve),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       requestTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(io.Discard, "", 0), // it would repeat what strangers send
		ConnContext:       withClient,
	}
	if cfg.CertFile != "" {
		listener = tls.NewListener(listener, &tls.Config{GetConfigForClient: secrets.config,
			MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := h.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			cfg.Log.Error("zmqauth: metrics and status page have ended", "error", err)
		}
	}()
	h.close = sync.OnceValue(func() error {
		err := errors.Join(remove(), h.server.Close())
		<-ended
		h.hub.close()
		return err
	})
	return h, nil
}

// listenAt listens. remove takes away what listening has made, while it listens.
func listenAt(ctx context.Context, kind place, at string, cfg HTTPConfig) (
	l net.Listener, remove func() error, err error) {
	remove = func() error { return nil }
	if kind != atSocket {
		l, err := listenTCP(ctx, at, cfg.Listener)
		if err != nil {
			return nil, nil, err
		}
		bound := l.Addr().(*net.TCPAddr)
		if kind == atLoopback && !bound.IP.IsLoopback() {
			return nil, nil, errors.Join(fmt.Errorf("%s is no loopback address", bound.IP), l.Close())
		}
		return newTCPListener(l, kind == atLoopback), remove, nil
	}
	ctx, cancel := context.WithTimeout(ctx, bindTime)
	defer cancel()
	unix, remove, err := listenUnix(ctx, at, cfg.Group, cfg.Listener)
	if err != nil {
		return nil, nil, err
	}
	peers := newListener(unix, os.Geteuid(), cfg.Group, cfg.Log)
	peers.what = "status page's socket"
	return peers, remove, nil
}

// listenTCP listens at an address, or takes a listener there.
func listenTCP(ctx context.Context, at string, inherited *os.File) (*net.TCPListener, error) {
	if inherited == nil {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", at)
		if err != nil {
			return nil, err
		}
		return l.(*net.TCPListener), nil
	}
	l, err := net.FileListener(inherited)
	if err != nil {
		return nil, err
	}
	if l, ok := l.(*net.TCPListener); ok {
		return l, nil
	}
	return nil, errors.Join(errors.New("the Listener is not TCP"), l.Close())
}

// newRegistry has the metrics of the Authenticator, of the process and of Go.
func newRegistry(cfg HTTPConfig) (*prometheus.Registry, error) {
	registry := prometheus.NewRegistry()
	return registry, errors.Join(registry.Register(Collector(cfg.Auth, &cfg.Program)),
		registry.Register(collectors.NewGoCollector()),
		registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})))
}

// metricsHandler serves metrics. Who takes an answer slowly keeps nobody waiting: it is whole
// before it is sent.
func metricsHandler(registry *prometheus.Registry) http.Handler {
	gather := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	turns := make(chan struct{}, maxGathering)
	return http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case turns <- struct{}{}:
			defer func() { <-turns }()
			gather.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	}), requestTime, "the metrics have taken too long\n")
}

// Addr is where it listens: for port 0 with the port that the system has chosen.
func (h *HTTP) Addr() net.Addr { return h.address }

// Close ends it, with its connections. Later calls do nothing.
func (h *HTTP) Close() error { return h.close() }
