package main

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/zmqauth/zmqauth/fleet"
)

// view is what an administrator sees of a fleet: a Sink that keeps the reports of servers.
type view struct {
	mu      sync.Mutex
	reports map[string]fleet.Status // by server; nil: nothing is loaded
	at      fleet.Position
	changed chan struct{} // has room for one: something is new
}

func newView() *view { return &view{changed: make(chan struct{}, 1)} }

func (v *view) Reset(entries []fleet.Entry, p fleet.Position) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.reports, v.at = make(map[string]fleet.Status), p
	for _, e := range entries {
		v.take(e)
	}
	v.tell()
}

func (v *view) Apply(e fleet.Entry, p fleet.Position) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.at = p
	v.take(e)
	v.tell()
}

func (v *view) take(e fleet.Entry) {
	if e.Kind == fleet.KindServer && e.Report != nil {
		v.reports[e.Name] = *e.Report
	}
}

func (v *view) Fresh(time.Time)    {}
func (v *view) Notice(fleet.Entry) {}

func (v *view) tell() {
	select {
	case v.changed <- struct{}{}:
	default:
	}
}

func (v *view) isLoaded() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.reports != nil
}

// servers are the reports of the servers.
func (v *view) servers() (reports map[string]fleet.Status, at fleet.Position) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return maps.Clone(v.reports), v.at
}

// follow has a view follow the fleet until stop is called. It returns once all is loaded.
func (c *console) follow(ctx context.Context) (v *view, stop func(), err error) {
	v = newView()
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		for {
			err := c.store.Follow(ctx, fleet.Position{}, v)
			if !v.isLoaded() || ctx.Err() != nil {
				ended <- err
				return
			}
		}
	}()
	stop = func() {
		cancel()
		<-ended
	}
	select {
	case <-v.changed:
		v.tell()
		return v, stop, nil
	case err := <-ended:
		cancel()
		return nil, nil, err
	}
}

// load reads everything once: what counts, and why something does not.
func (c *console) load(ctx context.Context) (current []fleet.Entry, refused []error, err error) {
	entries, _, err := c.store.Load(ctx)
	if err != nil {
		return nil, nil, err
	}
	current, refused = fleet.Current(c.member.Fleet, entries, c.member.Signers...)
	return current, refused, nil
}
