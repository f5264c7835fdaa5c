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
	"github.com/zmqauth/zmqauth/internal/notify"
	"github.com/zmqauth/zmqauth/internal/reminder"
	"github.com/zmqauth/zmqauth/zapproxy"
)

// The messages of the log that report the life of the service.
const (
	MessageReady    = "zmqauth: the service is ready"
	MessageBound    = "zmqauth: programs may ask"
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

	Views   admin.Views     // what others see of it; the Program has its Name, Version and log
	Manager *notify.Manager // of the service; nil: there is none
}

// service is the process.
type service struct {
	Options
	auth     *zmqauth.Authenticator
	running  []*running
	failed   chan error
	progress *admin.Progress
	wrong    *reminder.Alarm // the policy in the file is not in force
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
	// No socket of this process asks; it is alive from now on.
	if err := errors.Join(auth.Apply(c.policy), auth.Start()); err != nil {
		return err
	}
	s := &service{Options: o, auth: auth, failed: make(chan error, 1), wrong: reminder.NewAlarm(),
		progress: admin.NewProgress()}
	defer s.wrong.Clear()
	closeViews, err := o.Views.Open(ctx, auth, feed, o.Log, s.progress)
	defer func() { err = errors.Join(err, closeViews()) }()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop(func(*running) bool { return true })) }()
	if err := s.update(ctx, c); err != nil {
		return err
	}
	s.progress.Begin()
	s.Manager.Ready(s.status())
	o.Log.Info(MessageReady, "services", len(c.services), "programs", len(c.rules.Programs))
	return s.serve(ctx)
}

// serve handles the events of the process until one of them ends it.
func (s *service) serve(ctx context.Context) error {
	defer s.Manager.Stopping()
	defer s.progress.End()
	for {
		select {
		case <-ctx.Done():
			s.Log.Info(MessageEnds)
			return nil
		case <-s.Reload:
			_ = s.told(ctx) // which has logged it
		case result := <-s.progress.Orders():
			result <- s.told(ctx)
		case <-s.wrong.C():
			s.wrong.Again()
		case <-s.Manager.C():
			s.Manager.Beat(s.auth.IsAlive(), s.status())
		case err := <-s.failed:
			return err
		}
	}
}

// reloadTime limits how long the service manager is told that a reload goes on.
const reloadTime = time.Minute

// told is reload, of which the service manager is told.
func (s *service) told(ctx context.Context) error {
	return s.Manager.Reload(s.auth.IsAlive, reloadTime, s.status,
		func() error { return s.reload(ctx) })
}

// status says in one line, for the service manager, how the service is.
func (s *service) status() string {
	stats := s.auth.Stats()
	return fmt.Sprintf("services: %d, allowed: %d, denied: %d%s", len(s.running), stats.Allowed,
		stats.Denied, s.progress.Reloads.Warning())
}

// reload reads the policy again and puts it in force. If it is wrong, everything stays as it was.
func (s *service) reload(ctx context.Context) error {
	c, err := load(s.Config)
	message, result := MessageWrong, admin.ReloadFailed
	if err == nil {
		err = s.auth.Apply(c.policy)
	}
	if err == nil {
		message, result = MessagePartly, admin.ReloadPartly
		err = s.update(ctx, c)
	}
	if err != nil {
		s.wrong.Raise(func() { s.Log.Error(message, "error", err) })
	} else {
		result = admin.ReloadOK
		s.wrong.Clear()
		s.Log.Info(MessageReloaded, "services", len(c.services), "programs", len(c.rules.Programs))
	}
	s.progress.Reloads.Done(result, err)
	return err
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
