package zmqauth

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/libzmq"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/zap"
)

var (
	localhost = []byte("127.0.0.1")
	someone   = []byte("ann@EXAMPLE.ORG")
)

func TestRefusalDelays(t *testing.T) {
	p, now := newRefusedPeers(), time.Now()
	refuse := func(address, principal string) time.Duration {
		return p.refuse([]byte(address), []byte(principal), now)
	}
	var delays []time.Duration
	for range 7 {
		delays = append(delays, refuse("127.0.0.1", "ann@A"))
	}
	const ms = time.Millisecond
	want := []time.Duration{0, 100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 1600 * ms}
	if !slices.Equal(delays, want) {
		t.Errorf("%v, want %v", delays, want)
	}
	for _, other := range [][2]string{
		{"127.0.0.2", "ann@A"}, {"127.0.0.1", "bob@A"}, {"127.0.0.1ann@A", ""}, {"", "127.0.0.1ann@A"},
	} {
		if delay := refuse(other[0], other[1]); delay != 0 {
			t.Errorf("%q: the first refusal is delayed by %v", other, delay)
		}
	}
	now = now.Add(refusalMemory)
	if delay := refuse("127.0.0.1", "ann@A"); delay != maxRefusalDelay {
		t.Errorf("forgotten too soon: %v", delay)
	}
	now = now.Add(refusalMemory + 1)
	if delay := refuse("127.0.0.1", "ann@A"); delay != 0 {
		t.Errorf("not forgotten: %v", delay)
	}
	if len(p.byKey) != 1 || p.order.Len() != 1 {
		t.Errorf("%d and %d peers are remembered, want 1", len(p.byKey), p.order.Len())
	}
	p.accept(localhost, []byte("ann@A"))
	p.accept(localhost, []byte("never refused@A"))
	if delay := refuse("127.0.0.1", "ann@A"); delay != 0 {
		t.Errorf("after an acceptance: %v", delay)
	}
}

// TestRefusalDelaysAreBounded: other clients cannot make the memory grow, and cannot have a client
// forgotten that goes on trying.
func TestRefusalDelaysAreBounded(t *testing.T) {
	p, now := newRefusedPeers(), time.Now()
	refuseOthers := func(round, count int) {
		for i := range count {
			p.refuse(localhost, fmt.Appendf(nil, "%d/%d@EXAMPLE.ORG", round, i), now)
		}
	}
	p.refuse(localhost, someone, now)
	for round, want := range []time.Duration{
		firstRefusalDelay, 2 * firstRefusalDelay, 4 * firstRefusalDelay,
	} {
		refuseOthers(round, maxRefusedPeers-1)
		if delay := p.refuse(localhost, someone, now); delay != want {
			t.Errorf("round %d: %v, want %v", round, delay, want)
		}
	}
	if len(p.byKey) != maxRefusedPeers || p.order.Len() != maxRefusedPeers {
		t.Errorf("%d and %d peers are remembered, want %d", len(p.byKey), p.order.Len(), maxRefusedPeers)
	}
	refuseOthers(-1, maxRefusedPeers)
	if delay := p.refuse(localhost, someone, now); delay != 0 {
		t.Errorf("the one refused longest ago is remembered: %v", delay)
	}
}

// heldLoop is a loop that the test serves itself. Its Authenticator accepts bob alone over GSSAPI.
func heldLoop(t *testing.T, cfg Config) (*loop, *fakeSocket) {
	t.Helper()
	a := newAuthenticator(t, cfg)
	must.OK(t, a.ConfigureGSSAPI("d", "bob@EXAMPLE.ORG"))
	socket := newFakeSocket()
	a.loop = newLoop(a, socket, nil)
	a.state = stateServing
	return a.loop, socket
}

func gssapiMessage(principal string) libzmq.Message {
	return message(zapRequest("d", "127.0.0.1", "GSSAPI", principal))
}

// TestHeldRefusals: a refusal that is held back delays no other reply. It is counted and reported
// once, and goes out in time.
func TestHeldRefusals(t *testing.T) {
	decisions := make(chan Decision, 100)
	l, socket := heldLoop(t, Config{OnDecision: func(d Decision) { decisions <- d }})
	ann, bob := gssapiMessage("ann@EXAMPLE.ORG"), gssapiMessage("bob@EXAMPLE.ORG")
	l.serve([]libzmq.Message{ann, ann, bob})
	for _, want := range []string{"999", "200"} {
		if reply := <-socket.replies; reply[4] != want {
			t.Errorf("reply %q, want %s", reply, want)
		}
	}
	if stats := l.a.Stats(); len(socket.replies) != 0 || stats.Requests != 3 || stats.Pending != 1 ||
		stats.Denied != 1 {
		t.Fatalf("%d more replies, %+v", len(socket.replies), stats)
	}
	select {
	case <-socket.woken:
		l.serve(nil)
	case <-time.After(patience):
		t.Fatal("the loop is not woken")
	}
	if reply := <-socket.replies; reply[0] != "peer" || reply[4] != "999" {
		t.Errorf("reply %q", reply)
	}
	for i := range 3 {
		if d := <-decisions; i == 2 && (d.Duration < firstRefusalDelay ||
			d.Reason != ReasonUnknownPrincipal || d.Status != zap.StatusDenied) {
			t.Errorf("%+v", d)
		}
	}
	l.serve(nil)
	if stats := l.a.Stats(); len(socket.replies)+len(decisions) != 0 || stats.Pending != 0 ||
		stats.Denied != 2 {
		t.Errorf("%d more replies, %d more decisions, %+v", len(socket.replies), len(decisions), stats)
	}
	close(l.done) // it has never run
}

// TestHeldRefusalsAreBounded: where too many refusals wait, one more goes out at once. The end of
// the loop sends all of them.
func TestHeldRefusalsAreBounded(t *testing.T) {
	l, socket := heldLoop(t, Config{})
	socket.replies = make(chan []string, 2*maxHeldRefusals)
	for range maxHeldRefusals {
		waiting := newTicket(nil, &zap.Request{}, nil, time.Now())
		l.held.hold(&heldRefusal{waiting, denied(ReasonStopped)}, time.Hour)
	}
	l.serve([]libzmq.Message{gssapiMessage("ann@EXAMPLE.ORG"), gssapiMessage("ann@EXAMPLE.ORG")})
	if len(socket.replies) != 2 {
		t.Errorf("%d replies", len(socket.replies))
	}
	l.leave()
	if count, stats := len(socket.replies), l.a.Stats(); count != maxHeldRefusals+2 ||
		stats.Pending != 0 {
		t.Errorf("%d replies, %+v", count, stats)
	}
	l.serve([]libzmq.Message{gssapiMessage("ann@EXAMPLE.ORG")}) // nothing is held any more
	if len(l.held.timers) != 0 || len(socket.replies) != maxHeldRefusals+3 {
		t.Errorf("%d timers, %d replies", len(l.held.timers), len(socket.replies))
	}
	close(l.done)
}

// TestHeldRefusalsEnd: Close and the end of the context send what is held at once.
func TestHeldRefusalsEnd(t *testing.T) {
	for name, end := range map[string]func(*Authenticator) error{
		"Close": (*Authenticator).Close,
		"Term":  func(a *Authenticator) error { return errors.Join(a.Context().Term(), a.Wait()) },
	} {
		t.Run(name, func(t *testing.T) {
			a := startAuthenticator(t, Config{})
			must.OK(t, a.ConfigureGSSAPI("d", "bob@EXAMPLE.ORG"))
			zap := newZAPClient(t, a.Context())
			const count = 8 // the last of them are held for 1.6 s
			for range count {
				zap.send(zapRequest("d", "127.0.0.1", "GSSAPI", "ann@EXAMPLE.ORG"))
			}
			zap.receive()
			zap.send(nullRequest()) // when it is answered, all have been received
			for zap.receive()[2] != "200" {
			}
			must.OK(t, zap.socket.Close())
			begun := time.Now()
			must.OK(t, end(a))
			if took := time.Since(begun); took > maxRefusalDelay/2 {
				t.Errorf("it took %v", took)
			}
			if stats := a.Stats(); stats.Pending != 0 || stats.Denied != count ||
				len(a.loop.held.timers) != 0 {
				t.Errorf("%+v, %d timers", stats, len(a.loop.held.timers))
			}
		})
	}
}
