package admin

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync/atomic"

	"github.com/zmqauth/zmqauth"
)

// Progress is where a program stands that serves until it ends. The zero value is that of one that
// is starting. Any goroutine may call its methods.
type Progress struct {
	Reloads Reloads // of its configuration

	state  atomic.Int32
	orders chan chan<- error
}

const (
	starting int32 = iota
	serving
	ending
)

const (
	errStarting = reason("the program is starting")
	errEnding   = reason("the program ends")
)

// NewProgress is the Progress of a program that is starting, and that takes orders.
func NewProgress() *Progress { return &Progress{orders: make(chan chan<- error)} }

// Begin says that the program serves, by its first configuration.
func (p *Progress) Begin() {
	p.Reloads.Began()
	p.state.Store(serving)
}

// End says that the program ends.
func (p *Progress) End() { p.state.Store(ending) }

// Orders are those to reload the configuration. Who takes one reloads, and sends the error.
func (p *Progress) Orders() <-chan chan<- error { return p.orders }

// ready tells why clients are not served.
func (p *Progress) ready() error {
	switch p.state.Load() {
	case starting:
		return errStarting
	case ending:
		return errEnding
	}
	return nil
}

// reload has the program reload its configuration, and waits until it has.
func (p *Progress) reload(ctx context.Context) error {
	if err := p.ready(); err != nil {
		return err
	}
	result := make(chan error, 1)
	select {
	case p.orders <- result:
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

// The messages of the log about what Views has opened.
const (
	MessageControl = "zmqauth: the control socket is open"
	MessageHTTP    = "zmqauth: metrics and the status page are there"
)

// Views are the ways to look into a program, and to order it about: a control socket, metrics and
// the status page.
type Views struct {
	Control      string // the path of the control socket; empty: there is none
	ControlGroup *int   // whose members may use it, besides root and this user; nil: nobody else

	ControlListener *os.File // listens at the path already; nil: nothing does

	HTTP     string     // where metrics and the status page are; empty: nowhere
	HTTPWith HTTPConfig // who may see them: all but its Auth, Program and Log

	Program Program // what is shown; Ready, Reload and Reloads are those of the Progress
}

// Open opens them, within 5 s. close ends them; it is never nil.
func (v Views) Open(ctx context.Context, auth *zmqauth.Authenticator, feed *Feed, log *slog.Logger,
	p *Progress) (close func() error, err error) {
	v.Program.Ready, v.Program.Reload, v.Program.Reloads = p.ready, p.reload, &p.Reloads
	var opened []interface{ Close() error }
	close = func() error {
		var errs []error
		for _, o := range opened {
			errs = append(errs, o.Close())
		}
		return errors.Join(errs...)
	}
	ctx, cancel := context.WithTimeout(ctx, bindTime)
	defer cancel()
	if v.Control != "" {
		control, err := Listen(ctx, v.Control, Config{
			Auth: auth, Feed: feed, Log: log, Group: v.ControlGroup, Program: v.Program,
			Listener: v.ControlListener})
		if err != nil {
			return close, err
		}
		opened = append(opened, control)
		log.Info(MessageControl, "control", v.Control)
	}
	if v.HTTP != "" {
		cfg := v.HTTPWith
		cfg.Auth, cfg.Log, cfg.Program = auth, log, v.Program
		page, err := ListenHTTP(ctx, v.HTTP, cfg)
		if err != nil {
			return close, err
		}
		opened = append(opened, page)
		log.Info(MessageHTTP, "http", page.Addr().String())
	}
	return close, nil
}
