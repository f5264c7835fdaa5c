package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth"
)

func newKeygen() *cobra.Command {
	var dir, until string
	var meta []string
	cmd := &cobra.Command{
		Use:   "keygen NAME",
		Short: "Make a CURVE key pair",
		Long: "keygen makes a key pair and writes NAME.key, the public certificate, for those who are to recognise the key, and\n" +
			"NAME.key_secret (mode 0600), for its owner alone. Nothing is overwritten. The metadata becomes that of the\n" +
			"messages of a client that is accepted with the key.\n\n" +
			"The fingerprint is the SHA-256 of the key's 32 bytes in base64.",
		Example: "  zmqauth keygen ann --dir keys --meta Role=operator --not-after 90d",
		Args:    cobra.ExactArgs(1),
		RunE: does(func(cmd *cobra.Command, args []string) error {
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
			public, secret, err := zmqauth.CreateCertificates(dir, args[0], metadata)
			if err != nil {
				return err
			}
			return showPair(newOutput(cmd), public, secret)
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVar(&dir, "dir", ".", "directory to write to; it has to exist")
	cmd.Flags().StringArrayVar(&meta, "meta", nil, "metadata, NAME=VALUE; may be repeated")
	cmd.Flags().StringVar(&until, "not-after", "",
		"when the key ends to be accepted: in so many days (90d) or hours (12h), or a time (2027-01-31T00:00:00Z)")
	_ = cmd.MarkFlagDirname("dir")
	addJSON(cmd)
	return cmd
}

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
		}{public, secret, cert.Public.String(), fingerprint(cert.Public)})
	}
	return out.pairs([2]string{"public", public}, [2]string{"secret", secret}, [2]string{"key", cert.Public.String()},
		[2]string{"fingerprint", fingerprint(cert.Public)})
}

func parseMetadata(items []string) (map[string]string, error) {
	metadata := make(map[string]string)
	for _, item := range items {
		name, value, ok := strings.Cut(item, "=")
		if !ok || name == "" {
			return nil, usagef("--meta %q: NAME=VALUE", item)
		}
		if _, ok := metadata[name]; ok {
			return nil, usagef("--meta: %s twice", name)
		}
		metadata[name] = value
	}
	return metadata, nil
}

// parseUntil reads a time that is to come, and returns it as certificates have it.
func parseUntil(text string, now time.Time) (string, error) {
	const maxDays = 100 * 366
	until, err := time.Parse(time.RFC3339, text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		number, err := strconv.Atoi(days)
		if err != nil || number > maxDays || number < -maxDays {
			return "", usagef("--not-after %q: a whole number of days, at most %d", text, maxDays)
		}
		until = now.AddDate(0, 0, number)
	} else if err != nil {
		span, err := time.ParseDuration(text)
		if err != nil {
			return "", usagef("--not-after %q: neither days (90d), hours (12h) nor a time (2027-01-31T00:00:00Z)", text)
		}
		until = now.Add(span)
	}
	if !until.After(now) {
		return "", usagef("--not-after %q: that is over already", text)
	}
	return until.UTC().Format(time.RFC3339), nil
}
