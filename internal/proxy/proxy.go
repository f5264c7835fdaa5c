// Package proxy is the engine of "zmqauth proxy". A frontend is an authenticated socket before a
// service that has no authentication of its own. A policy says which clients each frontend admits.
// The links of a policy (package links) run beside the frontends.
//
// The words of the package: a frontend has two sockets, front (bound, for the clients) and back
// (connected to the service). A passage carries messages one way between them. A forwarder is the
// loop that runs both passages. A frontendSet is all frontends of the process.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/admin"
	"github.com/zmqauth/zmqauth/internal/activation"
	"github.com/zmqauth/zmqauth/internal/endpoint"
	"github.com/zmqauth/zmqauth/internal/links"
	"github.com/zmqauth/zmqauth/internal/notify"
	"github.com/zmqauth/zmqauth/internal/privatedir"
	"github.com/zmqauth/zmqauth/internal/reminder"
)

// Options are the settings of Run.
type Options struct {
	Config string // the path of the policy, which has frontends or links

	// Linger is how long a frontend that ends may go on passing messages, and the connections of a
	// link may go on. 0 means not at all.
	Linger time.Duration

	IOThreads int              // of libzmq, which do the cryptography; at least 1
	Log       *slog.Logger     // never nil
	Reload    <-chan os.Signal // each signal makes Run read the policy again; nil: never

	Version string // of the program, for its report to a fleet

	Views   admin.Views     // what others see of the proxy; the Program has its Name, Version and log
	Manager *notify.Manager // of the service; nil: there is none

	// Inherited are listening sockets. Those that neither a frontend nor the views use are an error.
	Inherited *activation.Sockets
}

// proxy is the process: one context, one Authenticator, many frontends.
type proxy struct {
	path      string          // of the policy
	sockets   *privatedir.Dir // between links and frontends
	config    *Config         // in force
	log       *slog.Logger
	auth      *zmqauth.Authenticator
	frontends *frontendSet
	links     *links.Set
	wrong     *reminder.Alarm // the policy in the file is not in force
	manager   *notify.Manager
	inherited *activation.Sockets
	linger    time.Duration
	served    served
	progress  *admin.Progress
	enrolment *enrolment
	fleet     *membership // nil: there is none
}

// Run serves until ctx ends. The Authenticator starts before the first frontend is bound and closes
// after the last one has ended, so that no client is ever served without it.
func Run(ctx context.Context, o Options) (err error) {
	sockets, err := privatedir.Make(socketNameLength)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sockets.Remove()) }()
	config, err := loadServed(o.Config, sockets, o.Inherited)
	if err != nil {
		return err
	}
	if err := o.Inherited.Unused(); err != nil {
		return err
	}
	zctx, err := zmq4.NewContext()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, zctx.Term()) }()
	if err := zctx.SetIoThreads(o.IOThreads); err != nil {
		return err
	}
	enrolment := newEnrolment()
	member, err := connect(config, o.Log, enrolment)
	if err != nil {
		return err
	}
	feed := new(admin.Feed)
	settings := &zmqauth.Config{Logger: o.Log, OnSession: feed.OnSession,
		UnknownKey: enrolment.desk.UnknownKey}
	member.observe(settings)
	auth, err := zmqauth.New(zctx, settings)
	if err != nil {
		return errors.Join(err, member.Close())
	}
	defer func() { err = errors.Join(err, auth.Close()) }()
	defer func() { err = errors.Join(err, member.Close()) }() // before auth
	if err := auth.Apply(config.rules()); err != nil {
		return err
	}
	enrolment.follow(config.File)
	if err := member.join(ctx, auth, o.Version); ctx.Err() != nil {
		return nil // it was ended while it waited
	} else if err != nil {
		return err
	}
	if err := auth.Start(); err != nil {
		return err
	}
	p := &proxy{path: o.Config, sockets: sockets, config: config, log: o.Log, auth: auth,
		links:     links.NewSet(links.Options{Log: o.Log, Linger: o.Linger}),
		frontends: newFrontendSet(auth, o.Log, o.Linger, ctx.Done()), wrong: reminder.NewAlarm(),
		enrolment: enrolment, fleet: member, progress: admin.NewProgress(),
		manager: o.Manager, inherited: o.Inherited, linger: o.Linger}
	defer p.wrong.Clear()
	p.warn()
	closeViews, err := p.views(o.Views).Open(ctx, auth, feed, o.Log, p.progress)
	defer func() { err = errors.Join(err, closeViews()) }()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	if err := p.update(ctx, config); err != nil {
		return err
	}
	p.progress.Begin()
	p.manager.Ready(p.status())
	o.Log.Info(MessageReady, "frontends", len(config.frontends), "links", len(config.links))
	return p.serve(ctx, o.Reload)
}

// serve handles the events of the whole process until one of them ends it.
func (p *proxy) serve(ctx context.Context, reload <-chan os.Signal) error {
	defer p.manager.Stopping()
	defer p.progress.End()
	authEnded := make(chan error, 1)
	go func() { authEnded <- p.auth.Wait() }()
	for {
		select {
		case <-ctx.Done():
			p.log.Info(MessageEnds)
			return nil
		case <-reload:
			_ = p.told(ctx) // which has logged it
		case result := <-p.progress.Orders():
			result <- p.told(ctx)
		case <-p.wrong.C():
			p.wrong.Again()
		case <-p.manager.C():
			p.manager.Beat(p.auth.IsAlive(), p.status())
		case err := <-authEnded:
			// No client can be admitted any more. The process ends, so that its supervisor
			// starts another.
			return fmt.Errorf("the authenticator has ended: %w", orUnknown(err))
		case err := <-p.fleet.Ended():
			return fmt.Errorf("the fleet is not followed any more: %w", orUnknown(err))
		case err := <-p.frontends.failed:
			return err
		case err := <-p.links.Failed():
			return err
		}
	}
}

// orUnknown replaces a missing reason.
func orUnknown(err error) error {
	if err == nil {
		return errors.New("it does not say why")
	}
	return err
}

// moment is what changes of a policy may take besides the time to linger.
const moment = time.Minute

// told is reload, of which the service manager is told.
func (p *proxy) told(ctx context.Context) error {
	return p.manager.Reload(p.auth.IsAlive, p.linger+moment, p.status,
		func() error { return p.reload(ctx) })
}

// status says in one line, for the service manager, how the proxy serves.
func (p *proxy) status() string {
	return fmt.Sprintf("frontends: %d, links: %d, sessions: %d%s", len(p.config.frontends),
		len(p.config.links), len(p.auth.Sessions()), p.progress.Reloads.Warning()+p.fleet.warning())
}

// reload reads the policy again and puts it in force. If it is wrong, everything stays as it was.
func (p *proxy) reload(ctx context.Context) error {
	config, err := loadServed(p.path, p.sockets, p.inherited)
	message, result := MessageWrong, admin.ReloadFailed
	if err == nil {
		err = p.fleet.check(config)
	}
	if err == nil {
		err = p.apply(config)
	}
	if err == nil {
		message, result = MessagePartly, admin.ReloadPartly
		err = p.update(ctx, config)
	}
	switch {
	case errors.Is(err, errAborted): // serve logs the end
		return err
	case err != nil:
		p.wrong.Raise(func() { p.log.Error(message, "error", err) })
	default:
		result = admin.ReloadOK
		p.wrong.Clear()
		p.log.Info(MessageReloaded, "frontends", len(config.frontends),
			"links", len(config.links))
	}
	p.progress.Reloads.Done(result, err)
	return err
}

// update runs the frontends and links of a policy, and no others. What leaves first frees its ports
// for what comes: links for frontends, and frontends for links.
func (p *proxy) update(ctx context.Context, config *Config) error {
	p.served.set(config.File.Frontends)
	p.links.Release(config.links)
	err := p.frontends.update(config.frontends)
	if errors.Is(err, errAborted) {
		return err
	}
	if err := p.frontends.waitFor(func(f *frontend) bool {
		bind, err := endpoint.ParseBind(f.spec.Bind)
		return err == nil && links.Conflicts(config.links, bind)
	}); err != nil {
		return err
	}
	return errors.Join(err, p.links.Update(ctx, config.links))
}

// stop ends all frontends and links at the same time, and waits for them.
func (p *proxy) stop() error {
	defer p.manager.Busy(p.auth.IsAlive, p.linger+moment)()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		p.links.Stop()
	}()
	err := p.frontends.stop()
	<-stopped
	return err
}

// apply puts a policy in force. A frontend that ends stays bound for a while, and the new rules
// were not made for it: a domain that has no rules any more would admit every NULL client. Such a
// frontend therefore ends before the rules of its domain change, but only once the new policy is
// known to be good.
func (p *proxy) apply(config *Config) error {
	changes := func(f *frontend) bool {
		return !p.config.File.SameRules(config.File, f.spec.Domain)
	}
	err := p.auth.ApplyAfter(config.rules(), func() error {
		if !p.frontends.hasLeaving(config.frontends, changes) {
			return nil
		}
		p.log.Info(MessageWaits)
		return p.frontends.retire(config.frontends, changes)
	})
	if err != nil {
		return err
	}
	p.config = config
	p.enrolment.follow(config.File)
	p.warn()
	return nil
}

// warn logs the rules in force that look like a mistake.
func (p *proxy) warn() {
	for _, warning := range p.config.Warnings() {
		p.log.Warn("zmqauth: a frontend lets "+warning.Who+" in", "error", warning.Err)
	}
}
