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

// visit is one client's coming.
type visit struct {
	person           *person
	number           uint64
	standing, served view          // as it came
	arrived          chan struct{} // closed: the server has its message
}

func (w *world) newVisit(p *person) *visit {
	v := &visit{person: p, number: w.number.Add(1), standing: p.standing.look(), served: w.service.look(), arrived: make(chan struct{})}
	w.visits.Store(v.number, v)
	return v
}

// message is what it has to say.
func (v *visit) message() string { return fmt.Sprint("visit ", v.number) }

// check judges that the visitor got in.
func (v *visit) check(how string) {
	w := v.person.house.world
	if v.standing.stillOut() {
		w.fault("%s, who was out all the while, got in: %s", v.person.name, how)
	}
	if v.served.stillOut() {
		w.fault("%s got in while the service was stopped all the while: %s", v.person.name, how)
	}
}

// vindicated counts the changing people that were rightly let in or kept out.
func (w *world) vindicated(p *person, in, out bool) {
	switch {
	case !p.changes:
	case in:
		w.tally.count("changing people let in", p.house.domain)
	case out:
		w.tally.count("changing people kept out", p.house.domain)
	}
}

// outcome is what a visitor has met.
type outcome string

const (
	accepted outcome = "accepted"
	refused  outcome = "refused" // 400
	failed   outcome = "failed"  // 500
	cutOff   outcome = "cut off"
	silence  outcome = "no answer"
)

// visitHouse has a person come, and bring its message if it gets in.
func (w *world) visitHouse(ctx context.Context, zctx *zmq4.Context, p *person) outcome {
	v := w.newVisit(p)
	defer w.visits.Delete(v.number)
	socket, err := zctx.NewSocket(zmq4.PUSH)
	if err != nil {
		w.fault("a client's socket: %v", err)
		return cutOff
	}
	defer socket.Close()
	w.must(errors.Join(socket.SetLinger(0), p.role(socket)))
	got := met(zmqauth.Connect(ctx, socket, p.endpoint()))
	w.tally.count("visits by "+p.house.mechanism, string(got))
	w.vindicated(p, got == accepted && v.standing.stillIn(), got != accepted && got != silence && v.standing.stillOut())
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
		w.tally.count("messages received from", p.house.mechanism)
	case <-time.After(patience):
		w.fault("%s was accepted, but its message has not arrived", p.name)
	}
	return accepted
}

func met(err error) outcome {
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

// contextLife is how many visitors share a context: contexts come and go, too.
const contextLife = 20

// visitors has one after the other of the people come, until ctx ends.
func (w *world) visitors(ctx context.Context, people []*person, one func(zctx *zmq4.Context, p *person)) {
	for ctx.Err() == nil {
		zctx, err := zmq4.NewContext()
		if err != nil {
			w.fault("a client's context: %v", err)
			return
		}
		for i := 0; i < contextLife && ctx.Err() == nil; i++ {
			one(zctx, draw(people))
		}
		w.must(zctx.Term())
	}
}

// people are those of all houses for whom a condition holds.
func (w *world) people(which func(*person) bool) []*person {
	var found []*person
	for _, h := range w.houses {
		for _, p := range h.people {
			if which(p) {
				found = append(found, p)
			}
		}
	}
	return found
}

// draw is any of the people. Those whose standing changes, the most telling ones, get a second
// chance.
func draw(people []*person) *person {
	p := people[rand.IntN(len(people))]
	if !p.changes {
		p = people[rand.IntN(len(people))]
	}
	return p
}

// comeIn has a good client try until it is in: it must be, in time.
func (w *world) comeIn(zctx *zmq4.Context, p *person) {
	begun := time.Now()
	for got := outcome(""); got != accepted; {
		if time.Since(begun) > patience {
			w.fault("%s is good, and not in within %v; the last time: %s", p.name, patience, got)
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*handshakeTime)
		got = w.visitHouse(ctx, zctx, p)
		cancel()
	}
	w.tally.waited("good clients by "+p.house.mechanism, time.Since(begun))
}

// goodVisits has good clients come.
func (w *world) goodVisits(ctx context.Context) {
	w.visitors(ctx, w.people(func(p *person) bool { return p.standing.good && p.house.mechanism != "GSSAPI" }), w.comeIn)
}

// otherVisits has everybody else come.
func (w *world) otherVisits(ctx context.Context) {
	w.visitors(ctx, w.people(func(p *person) bool { return !p.standing.good && p.house.mechanism != "GSSAPI" }), w.tryOnce(ctx))
}

// goodPrincipals, changingPrincipals and otherPrincipals are those of Kerberos: most of what is to
// be done to keep somebody out there is to wait.
func (w *world) goodPrincipals(ctx context.Context) {
	w.visitors(ctx, w.people(func(p *person) bool { return p.standing.good && p.house.mechanism == "GSSAPI" }), w.comeIn)
}

func (w *world) changingPrincipals(ctx context.Context) {
	w.visitors(ctx, w.people(func(p *person) bool { return p.changes && p.house.domain == "principals" }), w.tryOnce(ctx))
}

func (w *world) otherPrincipals(ctx context.Context) {
	w.visitors(ctx, w.people(func(p *person) bool { return !p.standing.good && p.house.mechanism == "GSSAPI" }), w.tryOnce(ctx))
}

// shortVisit is how long somebody waits for an answer that may never come. Connect needs nearly as
// long to tell that somebody is cut off time after time.
const shortVisit = 2 * time.Second

func (w *world) tryOnce(ctx context.Context) func(*zmq4.Context, *person) {
	return func(zctx *zmq4.Context, p *person) {
		ctx, cancel := context.WithTimeout(ctx, shortVisit)
		defer cancel()
		w.visitHouse(ctx, zctx, p)
	}
}
