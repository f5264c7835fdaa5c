package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/admin"
	"github.com/zmqauth/zmqauth/enrol"
)

// whoWaits is said in the help of commands about clients that wait.
const whoWaits = "Where a domain of the policy says unknown = pending, a CURVE client whose key\n" +
	"nobody knows is told to try again, and its key waits to be looked at. Compare the\n" +
	"fingerprint with what the client's owner says (zmqauth pubkey FILE, or zmqauth show FILE)."

func newPending() *cobra.Command {
	var o controlOptions
	var domain, open string
	cmd := &cobra.Command{
		Use:   "pending [--open TIME --domain D]",
		Short: "Show clients with unknown keys that wait to be let in",
		Long: whoWaits + "\n\n" +
			"With --open it has unknown keys of a domain wait from now on, for that time.\n\n" +
			whichSocket,
		Example: "  zmqauth pending\n  zmqauth pending --open 10m --domain orders",
		Args:    cobra.ExactArgs(0),
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			if open == "" && domain == "" {
				return showPending(cmd, newOutput(cmd), o.client())
			}
			length, err := time.ParseDuration(open)
			if err != nil || length <= 0 || domain == "" {
				return usagef("--open is a time such as 10m, and --domain says for whom")
			}
			return o.client().OpenDesk(cmd.Context(), domain, length)
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVar(&open, "open", "", "have unknown keys wait for so long")
	cmd.Flags().StringVar(&domain, "domain", "", "in which domain")
	completeFlag(cmd, "open")
	completeFlag(cmd, "domain")
	o.addPath(cmd)
	addJSON(cmd)
	return cmd
}

func showPending(cmd *cobra.Command, out output, client *admin.Client) error {
	all, missed, err := client.Pending(cmd.Context())
	if err != nil {
		return err
	}
	if out.json {
		return out.printJSON(all)
	}
	var rows [][]string
	for _, p := range all {
		rows = append(rows, []string{p.Fingerprint, p.Domain, p.Address, strconv.Itoa(p.Tries),
			p.First.Format(time.RFC3339), p.Last.Format(time.RFC3339)})
	}
	err = out.table([]string{"FINGERPRINT", "DOMAIN", "ADDRESS", "TRIES", "FIRST", "LAST"}, rows,
		func(int) bool { return false })
	if err == nil && missed > 0 {
		_, err = fmt.Fprintf(out.w, "keys that there was no room for: %d\n", missed)
	}
	return err
}

func newApprove() *cobra.Command {
	var o controlOptions
	var user, domain, dir string
	var meta []string
	cmd := &cobra.Command{
		Use:   "approve FINGERPRINT --user NAME [--meta NAME=VALUE] [--domain D]",
		Short: "Let a client in whose key waits",
		Long: "approve writes the certificate NAME.key for a key that waits, into the directory of\n" +
			"its domain. The proxy lets the client in when it tries again, within seconds. 16 characters\n" +
			"of the fingerprint are enough. The certificate has the metadata name=NAME, and what\n" +
			"--meta says. approve overwrites no file. Who runs it must be able to write to the\n" +
			"directory; the proxy need not.\n\n" + whoWaits + "\n\n" + whichSocket,
		Example: "  zmqauth approve SHA256:aVb1yUk0PnB3qJvN --user ann --meta Role=operator",
		Args:    cobra.ExactArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			metadata, err := parseMetadata(meta)
			switch {
			case err != nil:
				return err
			case user == "" || filepath.Base(user) != user || user == "." || user == "..":
				return usagef("--user is the name of the client, and of its file without .key")
			}
			p, err := o.waiting(cmd, args[0], domain)
			if err != nil {
				return err
			}
			if dir == "" {
				dir = p.Directory
			}
			if dir == "" {
				return fmt.Errorf("domain %q has no directory of certificates: name one with --dir",
					p.Domain)
			}
			named := map[string]string{"name": user}
			maps.Copy(named, metadata)
			path := filepath.Join(dir, user+".key")
			certificate := zmqauth.Certificate{Public: p.Key, Metadata: named}
			if err := certificate.SavePublic(path); err != nil {
				return err
			}
			if err := o.client().TakePending(cmd.Context(), p); err != nil {
				return fmt.Errorf("%s is written and lets the client in, but: %w", path, err)
			}
			return showSettled(newOutput(cmd), [][2]string{{"approved", p.Fingerprint},
				{"domain", p.Domain}, {"certificate", path}})
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVar(&user, "user", "", "the client's name, and that of its file")
	cmd.Flags().StringArrayVar(&meta, "meta", nil, "metadata, NAME=VALUE; may be repeated")
	cmd.Flags().StringVar(&dir, "dir", "", "directory to write to, in place of the domain's")
	_ = cmd.MarkFlagDirname("dir")
	completeFlag(cmd, "user")
	completeFlag(cmd, "meta")
	o.addDomain(cmd, &domain)
	return cmd
}

func newDeny() *cobra.Command {
	var o controlOptions
	var domain string
	cmd := &cobra.Command{
		Use:   "deny FINGERPRINT [--domain D]",
		Short: "Refuse a client whose key waits",
		Long: "deny takes a key off the list and has it refused for a day.\n\n" + whoWaits + "\n\n" +
			whichSocket,
		Example: "  zmqauth deny SHA256:aVb1yUk0PnB3qJvN",
		Args:    cobra.ExactArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			p, err := o.waiting(cmd, args[0], domain)
			if err != nil {
				return err
			}
			if err := o.client().DenyPending(cmd.Context(), p); err != nil {
				return err
			}
			return showSettled(newOutput(cmd),
				[][2]string{{"denied", p.Fingerprint}, {"domain", p.Domain}})
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.addDomain(cmd, &domain)
	return cmd
}

// addDomain gives a command about a key that waits its flags.
func (o *controlOptions) addDomain(cmd *cobra.Command, domain *string) {
	cmd.Flags().StringVar(domain, "domain", "", "the domain, where the key waits in more than one")
	completeFlag(cmd, "domain")
	o.addPath(cmd)
	addJSON(cmd)
}

// waiting is the key that waits with a fingerprint.
func (o *controlOptions) waiting(cmd *cobra.Command, fingerprint, domain string) (
	found admin.Pending, err error) {
	all, _, err := o.client().Pending(cmd.Context())
	if err != nil {
		return found, err
	}
	requests := make([]enrol.Request, len(all))
	for i, p := range all {
		requests[i] = enrol.Request{Key: p.Key, Domain: p.Domain}
	}
	i, err := enrol.Find(requests, fingerprint, domain)
	if err != nil {
		return found, err
	}
	return all[i], nil
}

// showSettled shows what became of a key that waited.
func showSettled(out output, pairs [][2]string) error {
	if !out.json {
		return out.pairs(pairs...)
	}
	all := make(map[string]string)
	for _, p := range pairs {
		all[p[0]] = p[1]
	}
	return out.printJSON(all)
}
