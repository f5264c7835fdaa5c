package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth/admin"
)

func newKick() *cobra.Command {
	var o controlOptions
	var all bool
	cmd := &cobra.Command{
		Use: "kick {--user U | --key K | --address A | --id N | --domain D | --frontend F | " +
			"--all}",
		Short: "End the sessions of clients that are connected to a proxy",
		Long: "kick ends sessions of a proxy on this host, with their connections, and says how many.\n" +
			"The exit code is 1 if there are none. The proxy has to run with --control.\n\n" +
			keepOut + "\n\n" +
			"Sessions of IPC and GSSAPI end together with the others from the same address.\n\n" + chosen,
		Example: "  zmqauth kick --user bob\n  zmqauth kick --address 10.1.0.0/16 --frontend orders",
		Args:    cobra.ExactArgs(0),
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			selector, err := o.selector(cmd)
			none := selector == admin.Selector{}
			switch {
			case err != nil:
				return err
			case all && !none:
				return usagef("--all is for everybody: it stands alone")
			case !all && none:
				return usagef("whom? --user, --key, --address, --id, --domain, --frontend or --all")
			}
			return kick(cmd, o.client(), selector, all)
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.addControl(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "all sessions")
	addJSON(cmd)
	return cmd
}

// keepOut says what kick does not do.
const keepOut = "Their clients connect again by themselves, and get in if the rules still let\n" +
	"them. To keep them out, change the rules, which ends their sessions as well: take the\n" +
	"certificate out of its directory, delete the user (zmqauth passwd FILE USER --delete),\n" +
	"or deny the address in the policy and reload it."

func kick(cmd *cobra.Command, client *admin.Client, s admin.Selector, all bool) error {
	end := func() (int, error) { return client.Kick(cmd.Context(), s) }
	if all {
		end = func() (int, error) { return client.KickAll(cmd.Context()) }
	}
	count, err := end()
	if err != nil {
		return err
	}
	out := newOutput(cmd)
	if out.json {
		err = out.printJSON(map[string]int{"kicked": count})
	} else {
		_, err = fmt.Fprintf(out.w, "sessions ended: %d\n", count)
	}
	switch {
	case err != nil:
		return err
	case count == 0:
		return errNo
	case !out.json:
		_, err = fmt.Fprintln(out.w, keepOut)
	}
	return err
}
