package sshtunnel

import (
	"context"
	"errors"
	"net"

	"golang.org/x/crypto/ssh"
)

// maxIncoming is how many connections from the SSH server are served at a time. Whoever can reach
// its endpoints can open them.
const maxIncoming = 1024

// The types of the channels that the server opens for connections to its endpoints.
const (
	incomingTCP  = "forwarded-tcpip"
	incomingUnix = "forwarded-streamlocal@openssh.com"
)

// serveIncoming serves the connections that come over an SSH connection, until that ends. It must
// be called before the server is asked to listen.
func (t *Tunnel) serveIncoming(conn *connection) {
	for _, kind := range []string{incomingTCP, incomingUnix} {
		channels := conn.client().HandleChannelOpen(kind)
		t.work.Go(func() {
			for channel := range channels {
				select {
				case t.incoming <- struct{}{}:
					t.work.Go(func() { t.accept(conn, channel) })
				default:
					_ = channel.Reject(ssh.ResourceShortage, "too many connections")
				}
			}
		})
	}
}

// accept connects one channel to this machine's endpoint.
func (t *Tunnel) accept(conn *connection, channel ssh.NewChannel) {
	served := false
	defer func() {
		if !served {
			<-t.incoming
		}
	}()
	r := t.incomingFor(conn, channel)
	if r == nil {
		_ = channel.Reject(ssh.Prohibited, "nobody has asked for it")
		return
	}
	ctx, cancel := context.WithTimeout(r.ctx, streamTimeout)
	defer cancel()
	to := r.to.addr()
	local, err := (&net.Dialer{}).DialContext(ctx, to.Network(), to.String())
	r.log.report(err)
	if err != nil {
		_ = channel.Reject(ssh.ConnectionFailed, "the other end cannot be reached")
		return
	}
	accepted, requests, err := channel.Accept()
	if err != nil {
		_ = local.Close()
		return
	}
	s, end := newStream(conn, accepted, requests), local.(localEnd)
	served = t.track(end, func(error) {}, func() {
		defer func() { <-t.incoming }()
		s.pipe(end, unknownOwner{})
	})
	if !served {
		_, _ = s.Close(), local.Close()
	}
}

// incomingFor returns the forward that a channel is for; nil: there is none.
func (t *Tunnel) incomingFor(conn *connection, channel ssh.NewChannel) *reverse {
	from, err := parseIncoming(channel.ChannelType(), channel.ExtraData())
	if err != nil {
		return nil
	}
	for {
		found, pending := t.findReverse(from)
		if found != nil || pending == nil {
			return found
		}
		select { // the port of another forward is not known yet; the server's answer has come already
		case <-pending:
		case <-conn.done:
			return nil
		}
	}
}

// findReverse returns the forward for an endpoint at the server. If there is none, pending is that
// of a forward whose port is not known yet; nil: there is none, either.
func (t *Tunnel) findReverse(from remote) (found *reverse, pending chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.reverses {
		at := r.at
		at.host = at.bindHost()
		if at == from {
			return r, nil
		}
		if r.pending != nil && from.path == "" && at.path == "" && at.port == 0 {
			pending = r.pending
		}
	}
	return nil, pending
}

// parseIncoming returns the server's endpoint that a channel is for, as it was asked for.
func parseIncoming(kind string, payload []byte) (remote, error) {
	if kind == incomingUnix {
		var m struct {
			Path     string
			Reserved string
		}
		err := ssh.Unmarshal(payload, &m)
		if err == nil && m.Path == "" {
			err = errors.New("no path")
		}
		return remote{path: m.Path}, err
	}
	var m struct {
		Host       string
		Port       uint32
		Originator string
		From       uint32
	}
	err := ssh.Unmarshal(payload, &m)
	if err == nil && (m.Port == 0 || m.Port > 65535) {
		err = errors.New("no port")
	}
	return remote{host: m.Host, port: int(m.Port)}, err
}
