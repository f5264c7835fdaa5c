// Package admin shows what a running Authenticator does, and takes orders from who runs it.
//
// [Collector] has metrics for Prometheus, and [ListenHTTP] serves them, health and a status page.
//
// [Listen] opens a control socket, which the commands sessions, kick, status, top, reload and
// log-level use: HTTP and JSON over a Unix socket.
//
//	GET  /v1/sessions        {"sessions": [Session, …]}
//	GET  /v1/sessions/watch  an Event on each line, until either side ends it
//	POST /v1/kick            {"user": "ann"} or another selector; answers {"kicked": 1}
//	GET  /v1/status          a Status
//	POST /v1/reload          answers {} when the configuration is in force
//	POST /v1/log-level       {"level": "DEBUG"}; answers the same, and what it "was"
//
// The first two take a selector in their query: id, user, key, address, domain, frontend. An error
// has the form {"error": "what is wrong"}.
package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/privatedir"
)

// DefaultPath is where the tool looks for a control socket.
const DefaultPath = "/run/zmqauth/control.sock"

// Config is what Listen needs.
type Config struct {
	Auth *zmqauth.Authenticator // never nil
	Feed *Feed                  // its OnSession is that of Auth; never nil
	Log  *slog.Logger           // gets what was ordered by whom, and who was refused; nil: nobody

	// Program is what status shows, and what reload and log-level reach.
	Program Program

	// Group is the id of a group whose members may use the socket, besides root and the user of this
	// process. nil: nobody else may.
	Group *int

	// Listener is a Unix socket that listens at the path already, such as one that systemd passes. A
	// duplicate is used, and the file at the path stays. nil: Listen makes one.
	Listener *os.File

	// Frontends is that of Program, where Program has none.
	Frontends func(zmqauth.Session) []string

	patience time.Duration // with who takes no part of an answer; 0: writeTime
}

// Control is a control socket. Make one with [Listen].
type Control struct {
	cfg    Config
	server *http.Server
	lists  chan struct{} // a token for each list of sessions that is being sent
	close  func() error  // once
}

const (
	// headerTime is how long a client may take for the header of a request, and requestTime for all
	// of it. idleTime is the time between two requests.
	headerTime  = 5 * time.Second
	requestTime = 10 * time.Second
	idleTime    = 30 * time.Second
	// writeTime is how long a client may take for a part of an answer.
	writeTime = 10 * time.Second
	// maxHeader and maxBody are the largest header and body of a request in bytes.
	maxHeader = 8 << 10
	maxBody   = 4 << 10
	// maxLists is how many lists of sessions are made at the same time.
	maxLists = 4
)

// Listen opens a control socket at path, with mode 0600, or 0660 for the group, and serves it until
// Close. It replaces a socket on which nobody listens. It is an error if another file is there, or
// if others could put theirs in its place.
//
// The kernel says who connects. Only root, the user of this process and the members of the group
// are served, whatever the mode of the file becomes.
func Listen(ctx context.Context, path string, cfg Config) (*Control, error) {
	c, err := listen(ctx, path, cfg)
	if errors.Is(err, syscall.EADDRINUSE) {
		err = errors.New("another program listens there, or a file is there that is no socket")
	}
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	return c, nil
}

func listen(ctx context.Context, path string, cfg Config) (*Control, error) {
	if cfg.Auth == nil || cfg.Feed == nil {
		return nil, errors.New("Config has no Auth or no Feed")
	}
	unix, remove, err := listenUnix(ctx, path, cfg.Group, cfg.Listener)
	if err != nil {
		return nil, err
	}
	cfg.patience = cmp.Or(cfg.patience, writeTime)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Program.Frontends != nil {
		cfg.Frontends = cfg.Program.Frontends
	}
	c := &Control{cfg: cfg, lists: make(chan struct{}, maxLists)}
	c.server = &http.Server{
		Handler:           http.HandlerFunc(c.serve),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       requestTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(io.Discard, "", 0), // it would repeat what strangers send
		ConnContext:       withClient,
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l := newListener(unix, os.Geteuid(), cfg.Group, cfg.Log)
		if err := c.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			cfg.Log.Error("zmqauth: the control socket has ended", "error", err)
		}
	}()
	c.close = sync.OnceValue(func() error {
		err := remove() // while it listens: afterwards the path may be somebody else's
		err = errors.Join(err, c.server.Close())
		<-ended
		return err
	})
	return c, nil
}

// listenUnix listens at a path, or takes a listener there. remove takes away the file that this has
// made, while it listens.
func listenUnix(ctx context.Context, path string, group *int, inherited *os.File) (
	l *net.UnixListener, remove func() error, err error) {
	file, remove := inherited, func() error { return nil }
	if inherited == nil {
		access := privatedir.Access{Mode: 0o600, Group: group}
		if group != nil {
			access.Mode = 0o660
		}
		made, socket, err := privatedir.ListenFile(ctx, path, access)
		if err != nil {
			return nil, nil, err
		}
		defer made.Close() // the listener has a descriptor of its own
		file, remove = made, socket.Remove
	}
	listener, err := net.FileListener(file)
	if err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	l, ok := listener.(*net.UnixListener)
	if !ok {
		return nil, nil, errors.Join(errNotUnix, listener.Close(), remove())
	}
	return l, remove, nil
}

var errNotUnix = errors.New("the Listener is no Unix socket")

// Close ends the socket and its connections, and removes its file. Later calls do nothing.
func (c *Control) Close() error { return c.close() }
