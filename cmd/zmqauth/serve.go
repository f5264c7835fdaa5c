package main

import (
	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth/admin"
	"github.com/zmqauth/zmqauth/internal/activation"
	"github.com/zmqauth/zmqauth/internal/notify"
	"github.com/zmqauth/zmqauth/internal/zapservice"
)

func newServe() *cobra.Command {
	var o proxyOptions
	cmd := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Decide who may connect to the servers of other programs",
		Long: "serve answers the authentication questions of other programs on this host, or of other\n" +
			"hosts, by one policy. The programs have a relay, of a few lines, in any language that has\n" +
			"libzmq. The sections service of the policy say where they ask, and the sections program\n" +
			"which domains each may ask for.\n\n" +
			"While no serve runs, relays refuse everybody. They find the next one by themselves.\n\n" +
			"After SIGHUP serve reads the policy again and puts it in force in one step. If the policy\n" +
			"is wrong, serve logs that and changes nothing. Services that have not changed keep their\n" +
			"links; a program that may not ask any more is cut off.\n\n" +
			"With --control it has a control socket, and with --http metrics and a status page, as the\n" +
			"command proxy does.\n\n" +
			"SIGTERM and SIGINT end serve. A second signal ends it at once.\n\n" +
			"serve logs every decision on stderr: refusals at the level INFO, acceptances at DEBUG.",
		Example: "  zmqauth serve --config zmqauth.zpl --control " + admin.DefaultPath,
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
			views, err := o.views("zmqauth serve", inherited)
			if err == nil {
				err = inherited.Unused()
			}
			if err != nil {
				return err
			}
			reload, stop := reloads()
			defer stop()
			return zapservice.Run(cmd.Context(), zapservice.Options{
				Config: o.config, Log: log, Reload: reload, Views: views,
				Manager: notify.New(log),
			})
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.ioThreads = 1 // it has no sockets of libzmq
	cmd.Flags().StringVar(&o.config, "config", "", "the policy, with a service")
	o.addViews(cmd)
	o.log.addLog(cmd)
	return cmd
}
