package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/front"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// This file has servers whose sessions the Authenticator knows: members stay, leavers are thrown
// out in every way, and floods of strangers are turned away. One of the servers has a front.

// sessions are the clients of guarded servers.
type sessions struct {
	creds zmqauth.Credentials

	mu      sync.Mutex
	open    map[uint64]bool
	members map[zmqauth.PublicKey]*member
}

// member is a client that stays for as long as it wants.
type member struct {
	leaving  bool // guarded by sessions.mu
	received atomic.Int64
}

// perAddress is how many connections one address may have at guarded servers.
const perAddress = 4

// guardLimits are those of guarded servers. The addresses of good clients are exempt: hostile peers
// have them, too.
func guardLimits() *zmqauth.Limits {
	return &zmqauth.Limits{PerAddress: perAddress, Deadline: handshakeTime, Penalty: time.Millisecond,
		Exempt: []netip.Prefix{netip.MustParsePrefix("127.1.0.0/16")}}
}

// addGuarded adds the guarded servers, whose clients come as those of all others do, too.
func (r *rules) addGuarded(t *testing.T) {
	t.Helper()
	for domain, fronted := range map[string]bool{"members": false, "a front": true} {
		h := r.server(domain, "CURVE")
		h.guarded, h.fronted = true, fronted
		must.OK(t, r.auth.ConfigureCredentials(domain, &r.sessions.creds))
		good := r.certificate(t, nil)
		must.OK(t, r.sessions.creds.SetKey(good.Public, zmqauth.Entry{}))
		h.curveClient("good", good, always())
		h.curveClient("a stranger", r.certificate(t, nil), new(standing))
		for _, p := range h.clients {
			p.credentials = nil // a request without a connection would be taken for one of theirs
		}
	}
}

// guard binds a guarded server.
func (h *server) guard() (endpoint string, err error) {
	if h.fronted {
		h.front, err = front.Listen(h.world.auth, h.socket, "tcp://127.0.0.1:*", &front.Config{
			Limits: guardLimits(), GreetingTimeout: handshakeTime, Logger: h.world.log})
		if err != nil {
			return "", err
		}
		return h.front.Endpoint(), nil
	}
	err = errors.Join(h.world.auth.Guard(h.socket, guardLimits()),
		h.socket.Bind("tcp://127.0.0.1:*"))
	if err != nil {
		return "", err
	}
	return h.socket.GetLastEndpoint()
}

// anyGuarded is one of the guarded servers, with or without a front.
func (w *world) anyGuarded() *server {
	return w.servers[[]string{"members", "a front"}[rand.IntN(2)]]
}

// sessionChanged is told of each session that opens and ends.
func (w *world) sessionChanged(s zmqauth.Session, open bool) {
	w.sessions.mu.Lock()
	defer w.sessions.mu.Unlock()
	m := w.sessions.members[s.Key]
	switch {
	case open && w.sessions.open[s.ID]:
		w.fault("a session opens twice: %+v", s)
	case !open && !w.sessions.open[s.ID]:
		w.fault("a session ends that is not open: %+v", s)
	case !open && m != nil && !m.leaving:
		w.fault("the session of a member was ended: %+v", s)
	}
	if open {
		w.sessions.open[s.ID] = true
	} else {
		delete(w.sessions.open, s.ID)
	}
	w.tally.count("sessions of "+s.Domain, map[bool]string{true: "opened", false: "ended"}[open])
}

// newcomer connects a new client with a key that is let in, from an address of its own. It returns
// nil if ctx has ended before.
func (w *world) newcomer(ctx context.Context, zctx *zmq4.Context, h *server,
	cert *zmqauth.Certificate, source string) *zmq4.Socket {
	w.must(w.sessions.creds.SetKey(cert.Public, zmqauth.Entry{}))
	for ctx.Err() == nil {
		socket, err := zctx.NewSocket(zmq4.PUSH)
		if err != nil {
			w.fault("a client's socket: %v", err)
			return nil
		}
		w.must(errors.Join(socket.SetLinger(0), zmqauth.CurveClient(socket, w.key.Public, cert)))
		once, cancel := context.WithTimeout(ctx, 2*handshakeTime)
		err = zmqauth.Connect(once, socket, "tcp://"+source+":0;"+h.address)
		cancel()
		if err == nil {
			return socket
		}
		w.must(socket.Close()) // the service was stopped
	}
	return nil
}

// address is one of good clients that nobody else has. All of 127.1.0.0/16 are exempt from limits.
func (w *world) address() string {
	n := w.number.Add(1) % (200 * 250)
	return fmt.Sprintf("127.1.%d.%d", 50+n/250, 1+n%250)
}

// stay has a member at each guarded server, which sends numbers until ctx ends. None may be lost,
// and no session of a member may be ended.
func (w *world) stay(ctx context.Context) {
	var all sync.WaitGroup
	for _, domain := range []string{"members", "a front"} {
		for range 2 {
			all.Go(func() { w.stayAt(ctx, w.servers[domain]) })
		}
	}
	all.Wait()
}

func (w *world) stayAt(ctx context.Context, h *server) {
	cert, err := zmqauth.NewCertificate()
	w.must(err)
	zctx, err := zmq4.NewContext()
	w.must(err)
	defer func() { w.must(zctx.Term()) }()
	m := new(member)
	w.sessions.mu.Lock()
	w.sessions.members[cert.Public] = m
	w.sessions.mu.Unlock()
	socket := w.newcomer(ctx, zctx, h, cert, w.address())
	if socket == nil {
		return
	}
	var sent int64
	for every(ctx, 2*time.Millisecond) {
		sent++
		if _, err := socket.Send(fmt.Sprintf("member %s %d", cert.Public, sent), 0); err != nil {
			w.fault("a member: sending: %v", err)
		}
	}
	for begun := time.Now(); m.received.Load() < sent; time.Sleep(time.Millisecond) {
		if time.Since(begun) > patience {
			w.fault("%s: of %d messages of a member %d have arrived", h.domain, sent, m.received.Load())
			break
		}
	}
	w.sessions.mu.Lock()
	m.leaving = true
	w.sessions.mu.Unlock()
	w.must(socket.Close())
	w.tally.add("messages of members", h.domain, int(sent))
}

// fromMember checks a message of a member: none is missing, and none comes twice.
func (h *server) fromMember(text, id string) {
	var name string
	var number int64
	_, err := fmt.Sscanf(text, "member %s %d", &name, &number)
	key, bad := zmqauth.ParsePublicKey(name)
	h.world.sessions.mu.Lock()
	m := h.world.sessions.members[key]
	h.world.sessions.mu.Unlock()
	if err != nil || bad != nil || m == nil || id == "" {
		h.world.fault("%s: received %.100q with the session %q", h.domain, text, id)
		return
	}
	if before := m.received.Add(1) - 1; number != before+1 {
		h.world.fault("%s: after message %d of a member comes %d", h.domain, before, number)
	}
}

// The ways in which a session is ended.
var departures = []string{"a key taken out", "a key suspended", "a key that expires",
	"an address denied", "disconnected"}

// leave has clients come, and throws them out.
func (r *rules) leave(ctx context.Context) {
	zctx, err := zmq4.NewContext()
	r.must(err)
	defer func() { r.must(zctx.Term()) }()
	for every(ctx, 5*time.Millisecond) {
		h, source := r.anyGuarded(), r.address()
		cert, err := zmqauth.NewCertificate()
		r.must(err)
		socket := r.newcomer(ctx, zctx, h, cert, source)
		if socket == nil {
			return
		}
		how := departures[rand.IntN(len(departures))]
		r.throwOut(h, cert.Public, source, how)
		r.must(socket.Close())
		r.sessions.creds.DeleteKey(cert.Public)
		r.tally.count("sessions ended by", how)
	}
}

// throwOut waits for the session of a client, ends it in some way, and waits for its end.
func (r *rules) throwOut(h *server, key zmqauth.PublicKey, source, how string) {
	// restarts resets the addresses, and must not do so before the change was seen.
	r.addressMu.Lock()
	defer r.addressMu.Unlock()
	s, ok := r.sessionOf(key)
	if !ok {
		r.fault("%s: a client that was let in has no session", h.domain)
		return
	}
	if !s.Exact || s.Client.Addr().String() != source || s.Domain != h.domain {
		r.fault("%s: a client from %s has the session %+v", h.domain, source, s)
	}
	begun := time.Now()
	switch how {
	case "a key taken out":
		r.sessions.creds.DeleteKey(key)
	case "a key suspended":
		r.must(r.sessions.creds.SetKey(key, zmqauth.Entry{Suspended: true}))
	case "a key that expires":
		r.must(r.sessions.creds.SetKey(key, zmqauth.Entry{NotAfter: begun}))
	case "an address denied":
		r.must(r.auth.DenyDomain(h.domain, source))
		defer func() { r.must(r.auth.RemoveAddresses(h.domain, source)) }()
	case "disconnected":
		is := func(other zmqauth.Session) bool { return other.ID == s.ID }
		if n := r.auth.Disconnect(is); n != 1 {
			r.fault("%s: %d sessions have been ended in place of one", h.domain, n)
		}
	}
	for r.auth.Alive(s.ID) {
		if time.Since(begun) > patience {
			r.fault("%s: the session %+v has not ended: %s", h.domain, s, how)
			return
		}
		time.Sleep(time.Millisecond)
	}
	r.tally.waited("sessions ended", time.Since(begun))
	if how == "disconnected" {
		return // it comes back
	}
	time.Sleep(rand.N(2 * time.Millisecond))
	if again, ok := r.find(key); ok {
		r.fault("%s: %s, and there again: %+v", h.domain, how, again)
	}
}

// sessionOf waits for the session of a key.
func (w *world) sessionOf(key zmqauth.PublicKey) (s zmqauth.Session, ok bool) {
	for begun := time.Now(); !ok && time.Since(begun) < patience; time.Sleep(time.Millisecond) {
		s, ok = w.find(key)
	}
	return s, ok
}

func (w *world) find(key zmqauth.PublicKey) (s zmqauth.Session, ok bool) {
	all := w.auth.Sessions()
	i := slices.IndexFunc(all, func(s zmqauth.Session) bool { return s.Key == key })
	if i < 0 {
		return s, false
	}
	return all[i], true
}

// floods has crowds of strangers connect at once: from an address that is denied, and from one that
// has too many connections.
func (w *world) floods(ctx context.Context) {
	const crowd = 32
	for every(ctx, 100*time.Millisecond) {
		h, kind, source := w.anyGuarded(), "from a denied address", deniedAddress
		if rand.IntN(2) == 0 {
			kind, source = "from one address", fmt.Sprint("127.70.0.", 1+rand.IntN(250))
		}
		var all sync.WaitGroup
		for range crowd {
			all.Go(func() {
				connection, err := h.dial(source)
				if err != nil {
					if !errors.Is(err, syscall.ECONNRESET) {
						w.fault("a flood: %v", err)
					}
					return
				}
				_ = connection.say(greeting(3, 1, h.mechanism))
				_ = connection.SetDeadline(time.Now().Add(50 * time.Millisecond))
				_, _ = connection.in.ReadByte()
				time.Sleep(20 * time.Millisecond) // with the others
				_ = connection.Close()
			})
		}
		all.Wait()
		w.tally.count("floods at "+h.domain, kind)
	}
}

// noSessions waits until no session is left, and all that have opened have been told to have ended.
func (w *world) noSessions(t *testing.T) {
	t.Helper()
	testpeer.Eventually(t, "no session is left", func() bool {
		w.sessions.mu.Lock()
		defer w.sessions.mu.Unlock()
		return len(w.auth.Sessions()) == 0 && len(w.sessions.open) == 0
	})
}

// turnedAway checks that limits and rules have turned strangers away.
func (w *world) turnedAway(t *testing.T) {
	t.Helper()
	h := w.servers["a front"]
	stats := h.front.Stats()
	for _, reason := range []string{front.ReasonAddressDenied,
		"too-many-connections-of-address"} {
		if stats.Reasons[reason] == 0 {
			t.Errorf("the front has turned away nobody for %s", reason)
		}
	}
	if stats.Open != 0 || stats.Reasons[front.ReasonIntruder] != 0 {
		t.Errorf("the front: %+v", stats)
	}
	if w.auth.Stats().TurnedAway == 0 {
		t.Error("the limits of a guarded socket have turned away nobody")
	}
	t.Logf("the front: %+v", stats)
}
