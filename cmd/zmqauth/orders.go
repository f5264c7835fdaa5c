package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth/admin"
)

func newReload() *cobra.Command {
	var o controlOptions
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have a proxy read its policy again, and say what is wrong with it",
		Long: "reload does what SIGHUP does, waits until it is done, and says what is wrong with the\n" +
			"policy. Exit code 1 means that not all of the policy is in force. A frontend that ends may\n" +
			"take the time of the proxy's --linger.\n\n" + whichSocket,
		Example: "  zmqauth reload --control /run/zmqauth/control.sock",
		Args:    cobra.ExactArgs(0),
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			if err := o.client().Reload(cmd.Context()); err != nil {
				return err
			}
			out := newOutput(cmd)
			if out.json {
				return out.printJSON(struct {
					Reloaded bool `json:"reloaded"`
				}{true})
			}
			_, err := fmt.Fprintln(out.w, "reloaded")
			return err
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.addPath(cmd)
	addJSON(cmd)
	return cmd
}

func newLogLevel() *cobra.Command {
	var o controlOptions
	cmd := &cobra.Command{
		Use:   "log-level [debug | info | warn | error]",
		Short: "Show or change what a proxy logs, until its end",
		Long: "log-level changes the level of a proxy's log until the proxy ends, or shows it. At\n" +
			"debug acceptances are logged, at info refusals, and at warn neither.\n\n" + whichSocket,
		Example: "  zmqauth log-level debug",
		Args:    cobra.MaximumNArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			return o.level(cmd, args)
		}),
		ValidArgsFunction: cobra.FixedCompletions([]string{"debug", "info", "warn", "error"},
			cobra.ShellCompDirectiveNoFileComp),
	}
	o.addPath(cmd)
	addJSON(cmd)
	return cmd
}

// shownLevel is what log-level shows.
type shownLevel struct {
	Level string `json:"level"`
	Was   string `json:"was,omitempty"`
}

func (o *controlOptions) level(cmd *cobra.Command, args []string) error {
	client, shown, out := o.client(), shownLevel{}, newOutput(cmd)
	if len(args) == 0 {
		s, err := client.Status(cmd.Context())
		if err != nil {
			return err
		}
		shown.Level = s.Level
	} else {
		to, err := admin.ParseLevel(args[0])
		if err != nil {
			return usagef("%w", err)
		}
		was, err := client.SetLevel(cmd.Context(), to)
		if err != nil {
			return err
		}
		shown = shownLevel{to.String(), was.String()}
	}
	if out.json {
		return out.printJSON(shown)
	}
	return out.pairs([2]string{"level", shown.Level}, [2]string{"was", shown.Was})
}
