package sshtunnel

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/zmqauth/zmqauth/internal/privatedir"
)

// maxSocketName is the largest length of the name of a socket in the private directory, in bytes.
// The name is a number.
const maxSocketName = 10

// localListener is a local endpoint.
type localListener struct {
	net.Listener
	tunnel   *Tunnel
	endpoint string
	kind     string // what it leads to, for the log
	name     string
	carry    func(localEnd) // serves one connection, and returns when that has ended
	slots    chan struct{}  // one for each connection; nil: any number
}

// parseLocal parses a local endpoint to listen on: "", ipc:///path, or tcp:// with a loopback
// address and a port. The result is the zero remote for "".
func parseLocal(endpoint string) (remote, error) {
	if endpoint == "" {
		return remote{}, nil
	}
	at, err := parseListener(endpoint)
	if err != nil {
		return remote{}, err
	}
	if at.path != "" {
		return at, nil
	}
	if at.host == "localhost" {
		at.host = "127.0.0.1"
	}
	if address := net.ParseIP(at.host); address == nil || !address.IsLoopback() {
		return remote{}, fmt.Errorf("sshtunnel: local endpoint %q: only a loopback address is not open "+
			"to other machines", endpoint)
	}
	return at, nil
}

// parseListener parses an endpoint to listen on. Unlike one to connect to, its port may be 0 or *.
func parseListener(endpoint string) (remote, error) {
	address, ok := strings.CutPrefix(endpoint, "tcp://")
	colon := strings.LastIndexByte(address, ':')
	if !ok || colon < 0 || address[colon+1:] != "*" && address[colon+1:] != "0" {
		return parseEndpoint(endpoint)
	}
	r, err := parseEndpoint("tcp://" + address[:colon] + ":1")
	if err != nil {
		return remote{}, fmt.Errorf("sshtunnel: endpoint %q: %w", endpoint, errors.Unwrap(err))
	}
	r.port = 0
	return r, nil
}

// listen opens a local endpoint and serves it until Close. At most most connections are served at a
// time; 0: any number. The caller holds the tunnel's mutex, and the tunnel is not closed.
func (t *Tunnel) listen(
	at remote, kind, name string, carry func(localEnd), most int,
) (*localListener, error) {
	l := &localListener{tunnel: t, kind: kind, name: name, carry: carry}
	if most > 0 {
		l.slots = make(chan struct{}, most)
	}
	if err := l.open(at, len(t.listeners)+1); err != nil {
		return nil, err
	}
	t.listeners = append(t.listeners, l)
	t.work.Go(l.serve)
	return l, nil
}

// open opens the listener. number is the name of a socket in the private directory.
func (l *localListener) open(at remote, number int) (err error) {
	t := l.tunnel
	switch {
	case at == (remote{}) && t.localTCP:
		at.host = "127.0.0.1"
	case at == (remote{}):
		if t.dir == nil {
			if t.dir, err = privatedir.Make(maxSocketName); err != nil {
				return err
			}
		}
		at.path = t.dir.Join(strconv.Itoa(number))
	}
	if at.path != "" {
		l.endpoint = "ipc://" + at.path
		l.Listener, err = privatedir.Listen(t.ctx, at.path, 0o600)
		return err
	}
	l.Listener, err = net.Listen("tcp", net.JoinHostPort(at.host, strconv.Itoa(at.port)))
	if err == nil {
		l.endpoint = "tcp://" + l.Addr().String()
	}
	return err
}

// serve accepts connections until the listener is closed.
func (l *localListener) serve() {
	pause := time.Duration(0)
	for {
		if l.slots != nil {
			select {
			case l.slots <- struct{}{}:
			case <-l.tunnel.ctx.Done():
				return
			}
		}
		local, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			l.release()
			pause = acceptPause(pause)
			l.tunnel.logger.Warn("sshtunnel: a local endpoint cannot accept connections for now",
				l.kind, l.name, "error", err)
			select {
			case <-time.After(pause):
			case <-l.tunnel.ctx.Done():
			}
			continue
		}
		pause = 0
		end := local.(localEnd)
		if !l.tunnel.track(end, func(error) {}, func() { defer l.release(); l.carry(end) }) {
			_ = local.Close()
		}
	}
}

func (l *localListener) release() {
	if l.slots != nil {
		<-l.slots
	}
}

// acceptPause returns how long to wait after an error of Accept that may pass, such as too many
// open files.
func acceptPause(before time.Duration) time.Duration {
	return min(max(2*before, 5*time.Millisecond), time.Second)
}
