package main

import (
	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth"
)

func newShow() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show FILE",
		Short: "Show a certificate, but never its secret key",
		Long: "show prints the key of a certificate, the key's fingerprint, its metadata, the time in\n" +
			"which it is valid, and whether that is now. It never prints a secret key.\n\n" +
			fingerprintHelp,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeFirst(cobra.ShellCompDirectiveDefault),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			cert, err := zmqauth.LoadCertificate(args[0])
			if err != nil {
				return err
			}
			out, info := newOutput(cmd), describe(args[0], cert)
			if out.json {
				return out.printJSON(info)
			}
			return out.pairs(info.pairs()...)
		}),
	}
	addJSON(cmd)
	return cmd
}
