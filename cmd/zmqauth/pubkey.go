package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/enrol"
	"github.com/zmqauth/zmqauth/internal/proxy"
)

func newPubkey() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pubkey FILE",
		Short: "Print the public key that belongs to a secret key",
		Long: "pubkey computes the public key from the secret key of a certificate, and prints it in\n" +
			"Z85. If FILE is - it reads the secret key itself, 40 characters of Z85, from stdin,\n" +
			"without echo on a terminal. With --json it prints the fingerprint of the public key, too.\n\n" +
			fingerprintHelp,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeFirst(cobra.ShellCompDirectiveDefault),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			secret, err := readSecretKey(cmd, args[0])
			if err != nil {
				return err
			}
			out, key := newOutput(cmd), secret.Public()
			if out.json {
				return out.printJSON(struct {
					Key         string `json:"key"`
					Fingerprint string `json:"fingerprint"`
				}{key.String(), enrol.Fingerprint(key)})
			}
			_, err = fmt.Fprintln(out.w, key)
			return err
		}),
	}
	addJSON(cmd)
	return cmd
}

// readSecretKey reads a secret key from a certificate, or from stdin if file is -.
func readSecretKey(cmd *cobra.Command, file string) (zmqauth.SecretKey, error) {
	if file == "-" {
		text, err := readSecret(cmd.Context(), "Secret key: ")
		if err != nil {
			return zmqauth.SecretKey{}, err
		}
		return zmqauth.ParseSecretKey(text)
	}
	cert, err := proxy.LoadSecret(file)
	if err != nil {
		return zmqauth.SecretKey{}, err
	}
	return *cert.Secret, nil
}
