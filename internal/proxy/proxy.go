// Package proxy is the engine of "zmqauth proxy": frontends that let in whom a policy lets in,
// before services that have no authentication of their own.
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
)

// Options say what Run does.
type Options struct {
	Config    string           // the policy's file, with frontends
	Linger    time.Duration    // how long a frontend that ends may take to pass on what is under way
	IOThreads int              // of libzmq, which do the cryptography; at least 1
	Log       *slog.Logger     // never nil
	Reload    <-chan os.Signal // each has the policy read again
}

// proxy is the process: one context, one Authenticator, many frontends.
type proxy struct {
	path      string
	config    *Config // in force
	log       *slog.Logger
	auth      *zmqauth.Authenticator
	frontends *frontendSet
}

// Run serves until ctx ends. The Authenticator is there before the first frontend is bound and
// after the last is gone.
func Run(ctx context.Context, o Options) (err error) {
	config, err := loadFrontends(o.Config)
	if err != nil {
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
	auth, err := zmqauth.New(zctx, &zmqauth.Config{Logger: o.Log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, auth.Close()) }()
	if err := errors.Join(auth.Apply(config.Policy), auth.Start()); err != nil {
		return err
	}
	p := &proxy{path: o.Config, config: config, log: o.Log, auth: auth,
		frontends: newFrontendSet(zctx, o.Log, o.Linger, ctx.Done())}
	p.warn()
	defer p.frontends.stop()
	if err := p.frontends.update(config.frontends); err != nil {
		return err
	}
	o.Log.Info(MessageReady, "frontends", len(config.frontends))
	return p.serve(ctx, o.Reload)
}

// What the log says of the proxy's life, of a reload, and of frontends that end.
const (
	MessageReady    = "zmqauth: the proxy is ready"
	MessageEnds     = "zmqauth: the proxy ends"
	MessageReloaded = "zmqauth: reloaded"
	MessageWrong    = "zmqauth: the configuration is wrong, everything stays as it was"
	MessagePartly   = "zmqauth: reloaded, but for some of the frontends"
	MessageWaits    = "zmqauth: frontends end before the rules of their domains change"
	MessageEnded    = "zmqauth: a frontend has ended"
	MessageLost     = "zmqauth: a frontend has ended with messages that were not passed on or not answered"
)

// serve waits for what concerns the whole process.
func (p *proxy) serve(ctx context.Context, reload <-chan os.Signal) error {
	authEnded := make(chan error, 1)
	go func() { authEnded <- p.auth.Wait() }()
	for {
		select {
		case <-ctx.Done():
			p.log.Info(MessageEnds)
			return nil
		case <-reload:
			p.reload()
		case err := <-authEnded: // nobody is let in any more: whoever watches this process shall start another
			return fmt.Errorf("the authenticator has ended: %w", orUnknown(err))
		case err := <-p.frontends.failed:
			return err
		}
	}
}

func orUnknown(err error) error {
	if err == nil {
		return errors.New("it does not say why")
	}
	return err
}

// reload puts the configuration as it is now in force, or leaves everything as it was.
func (p *proxy) reload() {
	config, err := loadFrontends(p.path)
	message := MessageWrong
	if err == nil {
		err = p.apply(config)
	}
	if err == nil {
		message = MessagePartly
		err = p.frontends.update(config.frontends)
	}
	switch {
	case errors.Is(err, errAborted): // serve says so
	case err != nil:
		p.log.Error(message, "error", err)
	default:
		p.log.Info(MessageReloaded, "frontends", len(config.frontends))
	}
}

// apply puts a policy in force. Frontends that do not go on are never judged by rules that were not
// made for them: where those of their domain change they end first, once it is clear that the
// policy is good. To NULL clients no rules would mean that everybody may come in, and a frontend
// that ends stays bound for a while.
func (p *proxy) apply(config *Config) error {
	changes := func(f *frontend) bool { return !p.config.File.SameRules(config.File, f.spec.Domain) }
	err := p.auth.ApplyAfter(config.Policy, func() error {
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
	p.warn()
	return nil
}

// warn says what is in force though perhaps nobody meant it.
func (p *proxy) warn() {
	for _, warning := range p.config.Warnings() {
		p.log.Warn("zmqauth: a frontend lets "+warning.Who+" in", "error", warning.Err)
	}
}

// loadFrontends reads a policy that is to have frontends, and their certificates.
func loadFrontends(path string) (*Config, error) {
	config, err := Load(path)
	if err == nil {
		err = config.LoadCertificates()
	}
	if err == nil && len(config.frontends) == 0 {
		err = fmt.Errorf("%s: no frontend", path)
	}
	if err != nil {
		return nil, err
	}
	return config, nil
}
