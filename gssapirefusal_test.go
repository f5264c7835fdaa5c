package zmqauth

import (
	"errors"
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

// TestRefusalDelays holds the delays that ConfigureGSSAPI promises. Package admission has the cases
// of which refusals count.
func TestRefusalDelays(t *testing.T) {
	p, now := newRefusalPenalties(), time.Now()
	var delays []time.Duration
	for range 7 {
		delays = append(delays, p.Refuse(localhost, someone, now))
	}
	const ms = time.Millisecond
	want := []time.Duration{0, 100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 1600 * ms}
	if !slices.Equal(delays, want) {
		t.Errorf("%v, want %v", delays, want)
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

// isHolding tells whether refusals may still be held back. Where it is false they have been
// released, and that leaves no timer: see the tests of admission.Held.
func isHolding(l *loop) bool { return l.held.Hold(heldRefusal{}, time.Hour) }

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
		l.held.Hold(heldRefusal{waiting, denied(ReasonStopped)}, time.Hour)
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
	if isHolding(l) || len(socket.replies) != maxHeldRefusals+3 {
		t.Errorf("%d replies", len(socket.replies))
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
			if stats := a.Stats(); stats.Pending != 0 || stats.Denied != count || isHolding(a.loop) {
				t.Errorf("%+v", stats)
			}
		})
	}
}
