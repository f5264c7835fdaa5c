package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/pebbe/zmq4"
	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth"
)

// proxyOptions are the flags of proxy.
type proxyOptions struct {
	config    string
	logFormat string
	quiet     bool
	linger    time.Duration
	ioThreads int
}

const maxIOThreads = 4 // by default; a handshake costs a millisecond of one

func newProxy() *cobra.Command {
	var o proxyOptions
	cmd := &cobra.Command{
		Use:   "proxy --config FILE",
		Short: "Put an authenticated front before services that have none",
		Long: "proxy binds the frontends of a policy, each with its security role, lets in whom the policy lets in, and passes their\n" +
			"messages on to the frontend's backend and back.\n\n" +
			"SIGHUP has the policy read again and put in force in one step; one that is wrong is logged and changes nothing.\n" +
			"Frontends that are the same go on without losing a message; others are started, stopped or replaced, and one that\n" +
			"fails does not disturb the others. A frontend that ends passes on what its clients have sent and waits for the replies\n" +
			"that they are owed, at most as long as --linger says; another frontend that takes its endpoint waits for that.\n" +
			"Where the rules of its domain change too, they wait for it as well: it is never judged by rules made without it.\n" +
			"SIGTERM and SIGINT end the proxy, and with it all frontends. A second signal ends it at once.\n\n" +
			"Every decision is logged on stderr: refusals at the level INFO, acceptances at DEBUG.",
		Example: "  zmqauth proxy --config zmqauth.zpl --log-format json",
		Args:    cobra.ExactArgs(0),
		RunE: does(func(cmd *cobra.Command, _ []string) error {
			log, err := o.logger()
			if err != nil {
				return err
			}
			return runProxy(cmd.Context(), o, log)
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags := cmd.Flags()
	flags.StringVar(&o.config, "config", "", "the policy, with frontends")
	flags.StringVar(&o.logFormat, "log-format", "text", "text or json")
	flags.BoolVar(&o.quiet, "quiet", false, "do not log acceptances")
	flags.DurationVar(&o.linger, "linger", 5*time.Second, "how long a frontend that ends may take to pass on what is under way")
	flags.IntVar(&o.ioThreads, "io-threads", min(runtime.NumCPU(), maxIOThreads), "libzmq's threads, which do the cryptography")
	_ = cmd.RegisterFlagCompletionFunc("log-format", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (o proxyOptions) logger() (*slog.Logger, error) {
	options := &slog.HandlerOptions{Level: slog.LevelDebug}
	if o.quiet {
		options.Level = slog.LevelInfo
	}
	switch {
	case o.config == "":
		return nil, usagef("--config is missing")
	case o.linger < 0:
		return nil, usagef("--linger is negative")
	case o.ioThreads < 1:
		return nil, usagef("--io-threads is at least 1")
	case o.logFormat == "text":
		return slog.New(slog.NewTextHandler(os.Stderr, options)), nil
	case o.logFormat == "json":
		return slog.New(slog.NewJSONHandler(jsonWriter{os.Stderr}, options)), nil
	}
	return nil, usagef("--log-format %q: text or json", o.logFormat)
}

// proxy is the process: one context, one Authenticator, many frontends.
type proxy struct {
	config    string
	policy    *zmqauth.Policy // in force
	log       *slog.Logger
	auth      *zmqauth.Authenticator
	frontends *frontendSet
}

// runProxy serves until ctx ends. The Authenticator is there before the first frontend is bound and after the last is gone.
func runProxy(ctx context.Context, o proxyOptions, log *slog.Logger) (err error) {
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP) // before anything else: without it SIGHUP ends the process
	defer signal.Stop(reload)
	policy, specs, err := loadProxy(o.config)
	if err != nil {
		return err
	}
	zctx, err := zmq4.NewContext()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, zctx.Term()) }()
	if err := zctx.SetIoThreads(o.ioThreads); err != nil {
		return err
	}
	auth, err := zmqauth.New(zctx, &zmqauth.Config{Logger: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, auth.Close()) }()
	if err := errors.Join(auth.Apply(policy), auth.Start()); err != nil {
		return err
	}
	p := &proxy{config: o.config, policy: policy, log: log, auth: auth, frontends: newFrontendSet(zctx, log, o.linger, ctx.Done())}
	p.warn()
	defer p.frontends.stop()
	if err := p.frontends.update(specs); err != nil {
		return err
	}
	log.Info("zmqauth: the proxy is ready", "frontends", len(specs))
	return p.serve(ctx, reload)
}

// What the log says of a reload, and of frontends that end.
const (
	messageReloaded = "zmqauth: reloaded"
	messageWrong    = "zmqauth: the configuration is wrong, everything stays as it was"
	messagePartly   = "zmqauth: reloaded, but for some of the frontends"
	messageWaits    = "zmqauth: frontends end before the rules of their domains change"
	messageEnded    = "zmqauth: a frontend has ended"
	messageLost     = "zmqauth: a frontend has ended with messages that were not passed on or not answered"
)

// serve waits for what concerns the whole process.
func (p *proxy) serve(ctx context.Context, reload <-chan os.Signal) error {
	authEnded := make(chan error, 1)
	go func() { authEnded <- p.auth.Wait() }()
	for {
		select {
		case <-ctx.Done():
			p.log.Info("zmqauth: the proxy ends")
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
	policy, specs, err := loadProxy(p.config)
	message := messageWrong
	if err == nil {
		err = p.apply(policy, specs)
	}
	if err == nil {
		message = messagePartly
		err = p.frontends.update(specs)
	}
	switch {
	case errors.Is(err, errEnough): // serve says so
	case err != nil:
		p.log.Error(message, "error", err)
	default:
		p.log.Info(messageReloaded, "frontends", len(specs))
	}
}

// apply puts a policy in force. Frontends that do not go on are never judged by rules that were not made for them: where
// those of their domain change they end first, once it is clear that the policy is good. To NULL clients no rules would mean
// that everybody may come in, and a frontend that ends stays bound for a while.
func (p *proxy) apply(policy *zmqauth.Policy, specs []frontendSpec) error {
	changes := func(f *frontend) bool { return !p.policy.SameRules(policy, f.spec.Domain) }
	err := p.auth.ApplyAfter(policy, func() error {
		if !p.frontends.holds(specs, changes) {
			return nil
		}
		p.log.Info(messageWaits)
		return p.frontends.retire(specs, changes)
	})
	if err != nil {
		return err
	}
	p.policy = policy
	p.warn()
	return nil
}

// warn says what is in force though perhaps nobody meant it.
func (p *proxy) warn() {
	for _, warning := range doubts(p.policy) {
		p.log.Warn("zmqauth: a frontend lets "+warning.who+" in", "error", warning.error)
	}
}

func loadProxy(config string) (*zmqauth.Policy, []frontendSpec, error) {
	policy, err := zmqauth.LoadPolicy(config)
	if err != nil {
		return nil, nil, err
	}
	specs, err := loadFrontends(policy)
	if err != nil {
		return nil, nil, err
	}
	if len(specs) == 0 {
		return nil, nil, fmt.Errorf("%s: no frontend", config)
	}
	return policy, specs, nil
}
