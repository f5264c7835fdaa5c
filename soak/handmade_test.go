package soak

import (
	"context"
	"errors"
	"time"
)

// handMade has good clients come whose every byte is written here. They show that the hostile ones,
// each of which is one step away from them, get as far as that step.
func (w *world) handMade(ctx context.Context) {
	people := w.people(func(p *person) bool {
		return p.standing.good && (p.house.domain == "table" || p.house.domain == "open")
	})
	for every(ctx, 20*time.Millisecond) {
		p := draw(people)
		v := w.newVisit(p)
		w.tally.count("clients made by hand", w.byHand(v))
		w.visits.Delete(v.number)
	}
}

func (w *world) byHand(v *visit) string {
	p := v.person
	connection, err := p.house.dial(p.source)
	if err != nil {
		w.fault("by hand: %v", err)
		return "not connected"
	}
	defer connection.Close()
	username, password := "", ""
	if len(p.credentials) == 2 {
		username, password = p.credentials[0], p.credentials[1]
	}
	err = connection.comeAlong(p.house.mechanism, username, password)
	if err == nil {
		err = connection.say(message(v.message()))
	}
	if err != nil {
		if !errors.Is(err, errNotThat) { // no answer, as where there was no room for the question
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
