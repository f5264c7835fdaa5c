package proxy

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/zmqauth/zmqauth/admin"
	"github.com/zmqauth/zmqauth/fleet"
)

// observed is what others see of the process, and what they order. Any goroutine may use it.
type observed struct {
	reloads admin.Reloads
	orders  chan chan<- error // to reload; set before there is anybody to order
	state   atomic.Int32      // one of those below
}

const (
	starting int32 = iota
	serving
	ending
)

var (
	errStarting = errors.New("the frontends are being bound")
	errEnding   = errors.New("the proxy ends")
)

func (o *observed) begin() {
	o.reloads.Began()
	o.state.Store(serving)
}

func (o *observed) end() { o.state.Store(ending) }

// ready tells why clients are not served.
func (o *observed) ready() error {
	switch o.state.Load() {
	case starting:
		return errStarting
	case ending:
		return errEnding
	}
	return nil
}

// order has the proxy reload its policy, and waits until it has.
func (o *observed) order(ctx context.Context) error {
	if err := o.ready(); err != nil {
		return err
	}
	result := make(chan error, 1)
	select {
	case o.orders <- result:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-result:
		return err
	case <-ctx.Done(): // the reload goes on
		return ctx.Err()
	}
}

// fleetPatience is how old the last proof of being up to date may be. It is renewed every 5 s.
const fleetPatience = 15 * time.Second

// followed is what others see of the fleet's store.
func (m *membership) followed() []admin.Followed {
	s, now := m.member.Status(), time.Now()
	f := admin.Followed{Kind: "fleet", Path: strings.Join(m.file.Engines, " ")}
	if s.Fresh.IsZero() {
		f.Since = s.Since.UTC()
	} else if now.Sub(s.Fresh) > fleetPatience {
		f.Since = s.Fresh.UTC()
	}
	if f.Error = s.Trouble; f.Error == "" && !f.Since.IsZero() {
		f.Error = "no engine has proved that this is up to date"
	}
	return []admin.Followed{f}
}

// waiting are the keys that wait to be approved, the latest first.
func (m *membership) waiting() (all []admin.Pending) {
	for _, p := range m.pending.List(time.Now()) {
		all = append(all, admin.Pending{Fingerprint: fleet.Fingerprint(p.Key), Key: p.Key.String(),
			Domain: p.Domain, Address: p.Address, Tries: p.Attempts, First: p.First, Last: p.Last})
	}
	slices.SortFunc(all, func(a, b admin.Pending) int { return b.Last.Compare(a.Last) })
	return all
}

// observe opens the control socket, and serves metrics and the status page. end ends both. It is
// never nil.
func (p *proxy) observe(ctx context.Context, o Options, feed *admin.Feed) (end func() error,
	err error) {
	p.observed.orders = make(chan chan<- error)
	shown := o.Shown
	shown.Ready, shown.Reload = p.observed.ready, p.observed.order
	shown.Frontends, shown.Reloads = p.served.names, &p.observed.reloads
	if p.fleet != nil {
		shown.Followed, shown.Pending = p.fleet.followed, p.fleet.waiting
	}
	var ends []func() error
	end = func() error {
		var errs []error
		for _, end := range ends {
			errs = append(errs, end())
		}
		return errors.Join(errs...)
	}
	bindCtx, cancel := context.WithTimeout(ctx, bindTime)
	defer cancel()
	if o.Control != "" {
		control, err := admin.Listen(bindCtx, o.Control, admin.Config{
			Auth: p.auth, Feed: feed, Log: o.Log, Group: o.ControlGroup, Program: shown})
		if err != nil {
			return end, err
		}
		ends = append(ends, control.Close)
		o.Log.Info(MessageControl, "control", o.Control)
	}
	if o.HTTP != "" {
		cfg := o.HTTPWith
		cfg.Auth, cfg.Log, cfg.Program = p.auth, o.Log, shown
		page, err := admin.ListenHTTP(bindCtx, o.HTTP, cfg)
		if err != nil {
			return end, err
		}
		ends = append(ends, page.Close)
		o.Log.Info(MessageHTTP, "http", page.Addr().String())
	}
	return end, nil
}
