package main

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/enrol"
)

func newKeygen() *cobra.Command {
	var dir, until string
	var meta []string
	cmd := &cobra.Command{
		Use:   "keygen NAME",
		Short: "Make a CURVE key pair",
		Long: "keygen makes a key pair and writes two certificates. NAME.key is public; give it to\n" +
			"those who have to recognise the key. NAME.key_secret (mode 0600) is for the owner alone.\n" +
			"keygen overwrites no file. When a server accepts a client with the key, the metadata is\n" +
			"added to the client's messages.\n\n" +
			fingerprintHelp,
		Example: "  zmqauth keygen ann --dir keys --meta Role=operator --not-after 90d",
		Args:    cobra.ExactArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			metadata, err := parseMetadata(meta)
			if err != nil {
				return err
			}
			if until != "" {
				if _, ok := metadata[notAfter]; ok {
					return usagef("--not-after and --meta %s=…", notAfter)
				}
				if metadata[notAfter], err = parseUntil(until, time.Now()); err != nil {
					return err
				}
			}
			if err := checkDirectory("dir", dir); err != nil {
				return err
			}
			public, secret, err := zmqauth.CreateCertificates(dir, args[0], metadata)
			if err != nil {
				return err
			}
			return showPair(newOutput(cmd), public, secret)
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVar(&dir, "dir", ".", "directory to write to; it must exist")
	cmd.Flags().StringArrayVar(&meta, "meta", nil, "metadata, NAME=VALUE; may be repeated")
	cmd.Flags().StringVar(&until, "not-after", "", "when the key expires: "+
		"a number of days (90d) or hours (12h) from now, or a time (2027-01-31T00:00:00Z)")
	_ = cmd.MarkFlagDirname("dir")
	addJSON(cmd)
	return cmd
}

// checkDirectory checks that the value of a flag is a directory. The error names the directory, and
// not a file that was to be made there.
func checkDirectory(flag, dir string) error {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return fmt.Errorf("--%s: the directory %s: %w", flag, dir, cause(err))
	}
	return nil
}

// showPair shows a new key pair. public and secret are the paths of its certificates.
func showPair(out output, public, secret string) error {
	cert, err := zmqauth.LoadCertificate(public)
	if err != nil {
		return err
	}
	if out.json {
		return out.printJSON(struct {
			Public      string `json:"public"`
			Secret      string `json:"secret"`
			Key         string `json:"key"`
			Fingerprint string `json:"fingerprint"`
		}{public, secret, cert.Public.String(), enrol.Fingerprint(cert.Public)})
	}
	return out.pairs([][2]string{
		{"public", public},
		{"secret", secret},
		{"key", cert.Public.String()},
		{"fingerprint", enrol.Fingerprint(cert.Public)},
	}...)
}
