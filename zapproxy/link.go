package zapproxy

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/zmqauth/zmqauth/internal/admission"
	"github.com/zmqauth/zmqauth/internal/unixpeer"
	"github.com/zmqauth/zmqauth/internal/zap"
	"github.com/zmqauth/zmqauth/internal/zmtp"
)

// link is a connection of a relay, seen from the service.
type link struct {
	l      *Listener
	conn   net.Conn
	ctx    context.Context // ends with the link
	end    context.CancelFunc
	tenant *tenant
	begun  time.Time
	from   admission.Client // of one that has come by TCP

	mu   sync.Mutex
	peer Peer
	zmtp *zmtp.Conn // nil: in the handshake
	open sync.WaitGroup
}

// admit starts a link for a connection that may have one, and closes another one.
func (l *Listener) admit(conn net.Conn) {
	peer, err := l.peerOf(conn)
	if err != nil {
		_ = conn.Close()
		return
	}
	if l.unix && !l.s.mayConnect(&peer) {
		l.s.refuse("zmqauth: a process that may not ask was refused", &peer)
		_ = conn.Close()
		return
	}
	k := &link{l: l, conn: conn, peer: peer, begun: time.Now()}
	if !l.unix {
		k.from = admission.ClientOf(addressOf(conn))
	}
	k.ctx, k.end = context.WithCancel(context.Background())
	if !l.s.tenants.add(k) {
		l.s.refuse("zmqauth: a relay was refused, because there are too many links", &peer)
		k.end()
		_ = conn.Close()
		return
	}
	l.links.Go(func() {
		defer l.s.tenants.remove(k)
		k.run()
	})
}

// peerOf is who has connected. Of a peer that has come by TCP the key is not known yet.
func (l *Listener) peerOf(conn net.Conn) (Peer, error) {
	if unix, ok := conn.(*net.UnixConn); ok {
		p, err := unixpeer.Of(unix)
		return Peer{UID: p.UID, GID: p.GID, PID: p.PID, Groups: p.Groups}, err
	}
	return Peer{UID: -1, GID: -1, PID: -1, Address: conn.RemoteAddr().String()}, nil
}

// addressOf is the IP address of who has connected over TCP.
func addressOf(conn net.Conn) string { return conn.RemoteAddr().(*net.TCPAddr).IP.String() }

// run serves a link until it ends.
func (k *link) run() {
	defer k.end()
	cfg := serviceConfig(nil)
	if k.l.curve != nil {
		curve := *k.l.curve
		accept := curve.Accept
		curve.Accept = func(key [32]byte) error {
			err := accept(key)
			k.mu.Lock()
			k.peer.Key = key
			peer := k.peer
			k.mu.Unlock()
			if err != nil {
				k.l.s.refuse("zmqauth: a relay with a key that may not ask was refused", &peer)
			}
			return err
		}
		cfg.Curve = &curve
	}
	conn, err := zmtp.Server(k.conn, cfg)
	if err != nil {
		return // a stranger, or one that has gone
	}
	if !k.begin(conn) {
		conn.Close()
		return
	}
	peer := k.who()
	k.l.s.log().Debug("zmqauth: a relay is there", "peer", peer)
	err = k.serve(conn)
	k.end()
	conn.Close()
	k.open.Wait()
	k.l.s.log().Debug("zmqauth: a relay has gone", "peer", peer, "error", err)
}

// begin ends the handshake. It returns false where the peer may have no link any more.
func (k *link) begin(conn *zmtp.Conn) bool {
	k.mu.Lock()
	k.zmtp = conn
	peer := k.peer
	k.mu.Unlock()
	// The rules may have changed since: whoever changes them looks at the links that are there.
	ok := k.l.s.mayConnect(&peer) && k.l.s.tenants.move(k, peer)
	k.mu.Lock()
	k.peer.Program = peer.Program
	k.mu.Unlock()
	return ok && k.ctx.Err() == nil
}

// who is the peer. Its program may change with the rules.
func (k *link) who() Peer {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.peer
}

// cut ends the link from another goroutine.
func (k *link) cut() {
	k.end()
	_ = k.conn.Close()
}

// serve takes the questions of a peer.
func (k *link) serve(conn *zmtp.Conn) error {
	pings := time.NewTicker(idlePings)
	defer pings.Stop()
	k.open.Go(func() {
		for {
			select {
			case <-k.ctx.Done():
				return
			case <-pings.C:
				if time.Since(conn.Heard()) > idleTime {
					k.cut()
					return
				}
				_ = conn.Ping()
			}
		}
	})
	for sign := time.Now(); ; {
		frames, err := conn.Receive(nil)
		if err != nil {
			return err
		}
		// The pings of a relay stand behind its questions.
		if now := time.Now(); now.Sub(sign) > tick {
			sign = now
			_ = conn.Ping()
		}
		if err := k.take(conn, frames); err != nil {
			return err
		}
	}
}

// take answers a question, or has the handler do so.
func (k *link) take(conn *zmtp.Conn, frames [][]byte) error {
	envelope, body := split(frames)
	if len(body) < zap.Answerable {
		return fmt.Errorf("a message that is no ZAP request: frames: %d", len(frames))
	}
	_, domain, _ := requestFields(body)
	peer := k.who()
	if !k.l.s.currentRules().serves(&peer, string(domain)) {
		k.l.s.refuse("zmqauth: a program asks for a domain that it is not given", &peer,
			"domain", clip(domain))
		return k.send(conn, envelope, body, answer{status: zap.StatusDenied})
	}
	if !k.tenant.begin() {
		return k.send(conn, envelope, body, answer{status: zap.StatusTemporary})
	}
	k.open.Go(func() {
		defer k.tenant.done()
		k.judge(conn, peer, envelope, body)
	})
	return nil
}

// clip is a domain, as far as it may stand in a log.
func clip(domain []byte) string { return string(domain[:min(len(domain), 255)]) }

// judge has the handler answer a question.
func (k *link) judge(conn *zmtp.Conn, peer Peer, envelope, body [][]byte) {
	ctx := context.WithValue(k.ctx, peerKey{}, peer)
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	id, domain, mechanism := requestFields(body)
	// The handler may keep neither, nor change them for the answer.
	a, ok := readAnswer(k.call(ctx, body), id)
	if !ok {
		a = answer{status: zap.StatusError}
	}
	if ctx.Err() != nil { // nobody waits any more
		return
	}
	rules := k.l.s.currentRules()
	if a.status == zap.StatusOK && !rules.serves(&peer, string(domain)) {
		a = answer{status: zap.StatusDenied} // by the rules of now
	}
	if a.status == zap.StatusOK && isExtended(envelope) {
		envelope[1] = graceFrame(rules.grace(string(domain)))
	}
	_ = conn.Send(envelope, a.frames(id, mechanism)) // else the link is over
	for _, frame := range body {
		clear(frame) // there may be a password
	}
}

// call calls the handler, whatever that does.
func (k *link) call(ctx context.Context, body [][]byte) (reply [][]byte) {
	defer func() {
		if cause := recover(); cause != nil {
			k.l.s.log().Error("zmqauth: the handler of a zapproxy.Server has panicked",
				"panic", fmt.Sprint(cause), "stack", slog.StringValue(string(debug.Stack())))
			reply = nil
		}
	}()
	return k.l.s.Handler.HandleZAPMessage(ctx, body)
}

// send answers without the handler.
func (k *link) send(conn *zmtp.Conn, envelope, body [][]byte, a answer) error {
	id, _, mechanism := requestFields(body)
	return conn.Send(envelope, a.frames(id, mechanism))
}
