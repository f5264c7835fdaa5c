package main

import (
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth/admin"
	"github.com/zmqauth/zmqauth/internal/activation"
	"github.com/zmqauth/zmqauth/internal/notify"
	"github.com/zmqauth/zmqauth/internal/privatedir"
	"github.com/zmqauth/zmqauth/internal/proxy"
)

// proxyOptions are the flags of proxy.
type proxyOptions struct {
	log       logOptions
	config    string
	linger    time.Duration
	ioThreads int

	control, controlGroup string
	http                  httpOptions
}

// maxIOThreads limits the default of --io-threads. A handshake costs a millisecond of one thread.
const maxIOThreads = 4

func newProxy() *cobra.Command {
	var o proxyOptions
	cmd := &cobra.Command{
		Use:   "proxy --config FILE",
		Short: "Put authenticated frontends before services that have no authentication",
		Long: "proxy binds the frontends of a policy, each with its security role. It passes the\n" +
			"messages of admitted clients on to the backend of the frontend, and the replies back. It\n" +
			"also runs the links of the policy, which do what tls-serve, tls-connect and tunnel do.\n\n" +
			"After SIGHUP proxy reads the policy again and puts it in force in one step. If the policy\n" +
			"is wrong, proxy logs that and changes nothing. Frontends that have not changed go on\n" +
			"without losing a message, and links without losing a connection. The others are started,\n" +
			"stopped or replaced. One that fails does not disturb the others.\n\n" +
			"A frontend that ends passes on what its clients have sent, and waits for the replies to\n" +
			"them, for the time of --linger at most. A new frontend at the same endpoint waits for that.\n" +
			"So do new rules for its domain, because they were not made for this frontend.\n\n" +
			"With --control the commands sessions, kick, status, top, reload and log-level reach the\n" +
			"proxy. Root and its user may use the socket, and the group of --control-group.\n\n" +
			"With --http it serves a status page, /metrics for Prometheus, /healthz and /readyz.\n" +
			httpHelp + "\n\n" +
			"Where systemd passes listening sockets (LISTEN_FDS), frontends, --control and --http take\n" +
			"those that listen at their addresses. One that listens elsewhere is an error.\n\n" +
			"SIGTERM and SIGINT end the proxy and all of these. A second signal ends it at once.\n\n" +
			"proxy logs every decision: refusals at the level INFO, acceptances at DEBUG. SIGUSR1 turns\n" +
			"the latter off and on. Of one address --log-limit refusals are logged in a minute, and\n" +
			"how many more there were.",
		Example: "  zmqauth proxy --config zmqauth.zpl --log json --http 127.0.0.1:9090",
		Args:    cobra.ExactArgs(0),
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			log, flush, err := o.log.logger()
			if err != nil {
				return err
			}
			defer flush()
			inherited, err := activation.Inherit()
			if err != nil {
				return err
			}
			views, err := o.views("zmqauth proxy", inherited)
			if err != nil {
				return err
			}
			reload, stop := reloads()
			defer stop()
			return proxy.Run(cmd.Context(), proxy.Options{
				Config:    o.config,
				Linger:    o.linger,
				IOThreads: o.ioThreads,
				Log:       log,
				Reload:    reload,
				Version:   thisBuild().version,
				Views:     views,
				Manager:   notify.New(log),
				Inherited: inherited,
			})
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags := cmd.Flags()
	flags.StringVar(&o.config, "config", "", "the policy, with frontends or links")
	flags.DurationVar(&o.linger, "linger", 5*time.Second,
		"how long a frontend or link that ends may go on")
	flags.IntVar(&o.ioThreads, "io-threads", min(runtime.NumCPU(), maxIOThreads),
		"libzmq's threads, which do the cryptography")
	o.addViews(cmd)
	o.log.addLog(cmd)
	return cmd
}

// check checks the flags.
func (o proxyOptions) check() error {
	switch {
	case o.config == "":
		return usagef("--config is missing")
	case o.linger < 0:
		return usagef("--linger is negative")
	case o.ioThreads < 1:
		return usagef("--io-threads is at least 1")
	case o.controlGroup != "" && o.control == "":
		return usagef("--control-group needs --control")
	}
	return nil
}

// addViews gives a command the flags for its control socket, metrics and status page.
func (o *proxyOptions) addViews(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.control, "control", "",
		"open a control socket at this path, such as "+admin.DefaultPath)
	cmd.Flags().StringVar(&o.controlGroup, "control-group", "",
		"group that may use the control socket, by name or number")
	o.http.addHTTP(cmd)
}

// views are what these flags describe, for a program of that name. They take those of the listening
// sockets that are at their addresses. The log has been made.
func (o *proxyOptions) views(name string, inherited *activation.Sockets) (v admin.Views,
	err error) {
	v = admin.Views{Control: o.control, HTTP: o.http.address, Program: admin.Program{
		Name: name, Version: thisBuild().version, Level: o.log.level, Refusals: o.log.refusals}}
	if o.controlGroup != "" {
		if v.ControlGroup, err = privatedir.LookupGroup(o.controlGroup); err != nil {
			return v, usagef("--control-group: %w", err)
		}
	}
	if v.HTTPWith, err = o.http.config(); err != nil {
		return v, err
	}
	v.ControlListener = inheritedFile(inherited, o.control)
	v.HTTPWith.Listener = o.http.inherited(inherited)
	return v, nil
}
