// Package zapservice is the engine of "zmqauth serve": an Authenticator without sockets of its own,
// whose policy says who may ask it. Package zapproxy has the links.
package zapservice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/admin"
	"github.com/zmqauth/zmqauth/internal/reminder"
	"github.com/zmqauth/zmqauth/zapproxy"
)

// The messages of the log that report the life of the service.
const (
	MessageReady    = "zmqauth: the service is ready"
	MessageBound    = "zmqauth: programs may ask"
	MessageControl  = "zmqauth: the control socket is open"
	MessageEnds     = "zmqauth: the service ends"
	MessageReloaded = "zmqauth: reloaded"
	MessageWrong    = "zmqauth: the policy is wrong, everything stays as it was"
	MessagePartly   = "zmqauth: reloaded, but for some of the services"
)

// Options are the settings of Run.
type Options struct {
	Config string           // the path of the policy, which has a service
	Log    *slog.Logger     // never nil
	Reload <-chan os.Signal // each signal makes Run read the policy again; nil: never

	Control      string // the path of the control socket; empty: there is none
	ControlGroup *int   // whose members may use it, besides root and this user; nil: nobody else
}

// service is the process.
type service struct {
	Options
	auth    *zmqauth.Authenticator
	running []*running
	failed  chan error
	wrong   *reminder.Alarm // the policy in the file is not in force
}

// running is a section service at work.
type running struct {
	spec   spec
	server *zapproxy.Server
	l      *zapproxy.Listener
	done   chan struct{}
}

// bindTime limits how long it takes to find out whether somebody listens at a path.
const bindTime = 5 * time.Second

// Run serves until ctx ends.
func Run(ctx context.Context, o Options) (err error) {
	c, err := load(o.Config)
	if err != nil {
		return err
	}
	feed := new(admin.Feed)
	auth, err := zmqauth.New(nil, &zmqauth.Config{Logger: o.Log, OnSession: feed.OnSession})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, auth.Close()) }()
	if err := auth.Apply(c.policy); err != nil {
		return err
	}
	s := &service{Options: o, auth: auth, failed: make(chan error, 1), wrong: reminder.NewAlarm()}
	defer s.wrong.Clear()
	if o.Control != "" {
		control, err := s.listen(ctx, feed)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, control.Close()) }()
	}
	defer func() { err = errors.Join(err, s.stop(func(*running) bool { return true })) }()
	if err := s.update(ctx, c); err != nil {
		return err
	}
	o.Log.Info(MessageReady, "services", len(c.services), "programs", len(c.rules.Programs))
	return s.serve(ctx)
}

// listen opens the control socket.
func (s *service) listen(ctx context.Context, feed *admin.Feed) (*admin.Control, error) {
	ctx, cancel := context.WithTimeout(ctx, bindTime)
	defer cancel()
	control, err := admin.Listen(ctx, s.Control, admin.Config{
		Auth: s.auth, Feed: feed, Log: s.Log, Group: s.ControlGroup})
	if err != nil {
		return nil, err
	}
	s.Log.Info(MessageControl, "control", s.Control)
	return control, nil
}

// serve handles the events of the process until one of them ends it.
func (s *service) serve(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			s.Log.Info(MessageEnds)
			return nil
		case <-s.Reload:
			s.reload(ctx)
		case <-s.wrong.C():
			s.wrong.Again()
		case err := <-s.failed:
			return err
		}
	}
}

// reload reads the policy again and puts it in force. If it is wrong, everything stays as it was.
func (s *service) reload(ctx context.Context) {
	c, err := load(s.Config)
	message := MessageWrong
	if err == nil {
		err = s.auth.Apply(c.policy)
	}
	if err == nil {
		message = MessagePartly
		err = s.update(ctx, c)
	}
	if err != nil {
		s.wrong.Raise(func() { s.Log.Error(message, "error", err) })
		return
	}
	s.wrong.Clear()
	s.Log.Info(MessageReloaded, "services", len(c.services), "programs", len(c.rules.Programs))
}

// update runs the services of a policy, and no others. Those that stay keep their links.
func (s *service) update(ctx context.Context, c *config) error {
	errs := []error{s.stop(func(r *running) bool {
		return !slices.ContainsFunc(c.services, r.spec.same)
	})}
	for _, r := range s.running {
		errs = append(errs, r.server.SetRules(c.rules))
	}
	for _, spec := range c.services {
		if slices.ContainsFunc(s.running, func(r *running) bool { return r.spec.same(spec) }) {
			continue
		}
		if err := s.start(ctx, spec, c.rules); err != nil {
			errs = append(errs, fmt.Errorf("service %q: %w", spec.Name, err))
		}
	}
	return errors.Join(errs...)
}

// start runs one service.
func (s *service) start(ctx context.Context, spec spec, rules zapproxy.Rules) error {
	r := &running{spec: spec, done: make(chan struct{}), server: &zapproxy.Server{
		Handler: s.auth, Group: spec.group, Certificate: spec.certificate, Logger: s.Log}}
	if err := r.server.SetRules(rules); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, bindTime)
	defer cancel()
	var err error
	if r.l, err = r.server.Listen(ctx, spec.Bind); err != nil {
		return err
	}
	s.running = append(s.running, r)
	s.Log.Info(MessageBound, "service", spec.Name, "endpoint", r.l.Endpoint())
	go func() {
		defer close(r.done)
		if err := r.l.Serve(context.Background()); err != nil {
			select {
			case s.failed <- fmt.Errorf("service %q: %w", spec.Name, err):
			default: // one is enough to end the process
			}
		}
	}()
	return nil
}

// stop ends the services of that kind.
func (s *service) stop(which func(*running) bool) error {
	var errs []error
	s.running = slices.DeleteFunc(s.running, func(r *running) bool {
		if !which(r) {
			return false
		}
		errs = append(errs, r.l.Close())
		<-r.done
		return true
	})
	return errors.Join(errs...)
}
