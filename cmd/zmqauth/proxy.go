package main

import (
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth/internal/proxy"
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
			reload := make(chan os.Signal, 1)
			signal.Notify(reload, syscall.SIGHUP) // first: without it SIGHUP ends the process
			defer signal.Stop(reload)
			return proxy.Run(cmd.Context(), proxy.Options{Config: o.config, Linger: o.linger,
				IOThreads: o.ioThreads, Log: log, Reload: reload})
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
