package soak

import (
	"context"
	"errors"
	"time"
)

// handMade connects good clients whose bytes this package writes itself. They show that the bytes
// are right. Each hostile peer differs from them in one step, so it gets as far as that step.
func (w *world) handMade(ctx context.Context) {
	clients := w.clients(func(p *client) bool {
		return p.standing.good && (p.server.domain == "table" || p.server.domain == "open")
	})
	for every(ctx, 20*time.Millisecond) {
		p := draw(clients)
		v := w.newVisit(p)
		w.tally.count("clients made by hand", w.byHand(v))
		w.visits.Delete(v.number)
	}
}

func (w *world) byHand(v *visit) string {
	p := v.client
	connection, err := p.server.dial(p.source)
	if err != nil {
		w.fault("by hand: %v", err)
		return "not connected"
	}
	defer connection.Close()
	username, password := "", ""
	if len(p.credentials) == 2 {
		username, password = p.credentials[0], p.credentials[1]
	}
	err = connection.handshake(p.server.mechanism, username, password)
	if err == nil {
		err = connection.say(message(v.message()))
	}
	if err != nil {
		if !errors.Is(err, errNotThat) { // no answer, as when the Authenticator is overloaded
			return "cut off"
		}
		if v.standing.stillIn() && v.served.stillIn() {
			w.fault("%s, by hand, was in all the while: %v", p.name, err)
		}
		return "refused"
	}
	select {
	case <-v.arrived:
		return "received"
	case <-time.After(patience):
		w.fault("%s, by hand: its message has not arrived", p.name)
		return "lost"
	}
}
