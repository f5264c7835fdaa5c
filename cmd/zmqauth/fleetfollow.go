package main

import (
	"context"
	"sync"
	"time"

	"github.com/zmqauth/zmqauth/fleet"
)

// view is what an administrator sees of a fleet: a Sink that keeps everything.
type view struct {
	mu      sync.Mutex
	entries map[string]fleet.Entry
	at      fleet.Position
	changed chan struct{} // has room for one: something is new
}

func newView() *view { return &view{changed: make(chan struct{}, 1)} }

func (v *view) Reset(entries []fleet.Entry, p fleet.Position) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.entries, v.at = make(map[string]fleet.Entry, len(entries)), p
	for _, e := range entries {
		v.entries[e.Key()] = e
	}
	v.tell()
}

func (v *view) Apply(e fleet.Entry, p fleet.Position) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.entries[e.Key()], v.at = e, p
	v.tell()
}

func (v *view) Fresh(time.Time)    {}
func (v *view) Notice(fleet.Entry) {}

func (v *view) tell() {
	select {
	case v.changed <- struct{}{}:
	default:
	}
}

// all is a copy of what is known, and whether anything is.
func (v *view) all() (entries []fleet.Entry, at fleet.Position, loaded bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, e := range v.entries {
		entries = append(entries, e)
	}
	return entries, v.at, v.entries != nil
}

// servers are the reports of the servers.
func (v *view) servers() (reports map[string]fleet.Status, at fleet.Position) {
	v.mu.Lock()
	defer v.mu.Unlock()
	reports = make(map[string]fleet.Status)
	for _, e := range v.entries {
		if e.Kind == fleet.KindServer && e.Report != nil {
			reports[e.Name] = *e.Report
		}
	}
	return reports, v.at
}

// follow has a view follow the fleet until stop is called. It returns once all is loaded.
func (c *console) follow(ctx context.Context) (v *view, stop func(), err error) {
	v = newView()
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		for {
			err := c.store.Follow(ctx, fleet.Position{}, v)
			if _, _, loaded := v.all(); !loaded || ctx.Err() != nil {
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

// load reads everything once.
func (c *console) load(ctx context.Context) ([]fleet.Entry, error) {
	v, stop, err := c.follow(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	entries, _, _ := v.all()
	return entries, nil
}
