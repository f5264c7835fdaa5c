package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
)

// visit is one attempt of a client to get in.
type visit struct {
	client           *client
	number           uint64
	standing, served view          // before the attempt
	arrived          chan struct{} // closed when the server has received the message
}

func (w *world) newVisit(p *client) *visit {
	v := &visit{
		client:   p,
		number:   w.number.Add(1),
		standing: p.standing.look(),
		served:   w.service.look(),
		arrived:  make(chan struct{}),
	}
	w.visits.Store(v.number, v)
	return v
}

// message returns the text of the client's message.
func (v *visit) message() string { return fmt.Sprint("visit ", v.number) }

// check reports an error if a client that got in must not have.
func (v *visit) check(how string) {
	w := v.client.server.world
	if v.standing.stillOut() {
		w.fault("%s, who was out all the while, got in: %s", v.client.name, how)
	}
	if v.served.stillOut() {
		w.fault("%s got in while the service was stopped all the while: %s", v.client.name, how)
	}
}

// countChanging counts how often changing clients were rightly let in or kept out.
func (w *world) countChanging(p *client, in, out bool) {
	switch {
	case !p.changes:
	case in:
		w.tally.count("changing clients let in", p.server.domain)
	case out:
		w.tally.count("changing clients kept out", p.server.domain)
	}
}

// outcome is the outcome of a visit.
type outcome string

const (
	accepted outcome = "accepted"
	refused  outcome = "refused" // 400
	failed   outcome = "failed"  // 500
	cutOff   outcome = "cut off"
	silence  outcome = "no answer"
)

// visitServer connects a client. If the client gets in, it sends its message.
func (w *world) visitServer(ctx context.Context, zctx *zmq4.Context, p *client) outcome {
	v := w.newVisit(p)
	defer w.visits.Delete(v.number)
	socket, err := zctx.NewSocket(zmq4.PUSH)
	if err != nil {
		w.fault("a client's socket: %v", err)
		return cutOff
	}
	defer socket.Close()
	w.must(errors.Join(socket.SetLinger(0), p.role(socket)))
	got := outcomeOf(zmqauth.Connect(ctx, socket, p.endpoint()))
	w.tally.count("visits by "+p.server.mechanism, string(got))
	in := got == accepted && v.standing.stillIn()
	out := got != accepted && got != silence && v.standing.stillOut()
	w.countChanging(p, in, out)
	if got != accepted {
		if got == refused && v.standing.stillIn() && v.served.stillIn() {
			w.fault("%s, who was in all the while, was refused", p.name)
		}
		return got
	}
	v.check("its handshake succeeded")
	if _, err := socket.Send(v.message(), 0); err != nil {
		w.fault("%s: sending: %v", p.name, err)
		return cutOff
	}
	select {
	case <-v.arrived:
		w.tally.count("messages received from", p.server.mechanism)
	case <-time.After(patience):
		w.fault("%s was accepted, but its message has not arrived", p.name)
	}
	return accepted
}

func outcomeOf(err error) outcome {
	var handshake *zmqauth.HandshakeError
	switch {
	case err == nil:
		return accepted
	case errors.Is(err, zmqauth.ErrDenied):
		return refused
	case !errors.As(err, &handshake):
		return silence
	case handshake.Status == 0:
		return cutOff
	default:
		return failed
	}
}

// contextLife is how many visits share a context, so that contexts come and go too.
const contextLife = 20

// visitors calls one with random clients until ctx ends.
func (w *world) visitors(
	ctx context.Context, clients []*client, one func(zctx *zmq4.Context, p *client),
) {
	for ctx.Err() == nil {
		zctx, err := zmq4.NewContext()
		if err != nil {
			w.fault("a client's context: %v", err)
			return
		}
		for i := 0; i < contextLife && ctx.Err() == nil; i++ {
			one(zctx, draw(clients))
		}
		w.must(zctx.Term())
	}
}

// clients returns the clients of all servers that meet a condition.
func (w *world) clients(which func(*client) bool) []*client {
	var found []*client
	for _, h := range w.servers {
		for _, p := range h.clients {
			if which(p) {
				found = append(found, p)
			}
		}
	}
	return found
}

// draw returns a random client. Clients whose standing changes have a better chance, because they
// test more.
func draw(clients []*client) *client {
	p := clients[rand.IntN(len(clients))]
	if !p.changes {
		p = clients[rand.IntN(len(clients))]
	}
	return p
}

// tryUntilIn connects a good client again and again until it gets in, which must happen in time.
func (w *world) tryUntilIn(zctx *zmq4.Context, p *client) {
	begun := time.Now()
	for got := outcome(""); got != accepted; {
		if time.Since(begun) > patience {
			w.fault("%s is good, and not in within %v; the last time: %s", p.name, patience, got)
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*handshakeTime)
		got = w.visitServer(ctx, zctx, p)
		cancel()
	}
	w.tally.waited("good clients by "+p.server.mechanism, time.Since(begun))
}

// goodVisits connects the clients that are always in.
func (w *world) goodVisits(ctx context.Context) {
	w.visitors(ctx, w.clients(func(p *client) bool {
		return p.standing.good && p.server.mechanism != "GSSAPI"
	}), w.tryUntilIn)
}

// otherVisits connects all other clients.
func (w *world) otherVisits(ctx context.Context) {
	w.visitors(ctx, w.clients(func(p *client) bool {
		return !p.standing.good && p.server.mechanism != "GSSAPI"
	}), w.tryOnce(ctx))
}

// goodPrincipals connects the GSSAPI clients that are always in. GSSAPI has loops of its own,
// because its refusals take a long time.
func (w *world) goodPrincipals(ctx context.Context) {
	w.visitors(ctx, w.clients(func(p *client) bool {
		return p.standing.good && p.server.mechanism == "GSSAPI"
	}), w.tryUntilIn)
}

// changingPrincipals connects the GSSAPI client whose standing changes.
func (w *world) changingPrincipals(ctx context.Context) {
	w.visitors(ctx, w.clients(func(p *client) bool {
		return p.changes && p.server.domain == "principals"
	}), w.tryOnce(ctx))
}

// otherPrincipals connects the GSSAPI clients that are not always in.
func (w *world) otherPrincipals(ctx context.Context) {
	w.visitors(ctx, w.clients(func(p *client) bool {
		return !p.standing.good && p.server.mechanism == "GSSAPI"
	}), w.tryOnce(ctx))
}

// shortVisit is how long a client waits for an answer that may never come. Connect needs nearly as
// long to report that a client is cut off time after time.
const shortVisit = 2 * time.Second

func (w *world) tryOnce(ctx context.Context) func(*zmq4.Context, *client) {
	return func(zctx *zmq4.Context, p *client) {
		ctx, cancel := context.WithTimeout(ctx, shortVisit)
		defer cancel()
		w.visitServer(ctx, zctx, p)
	}
}
