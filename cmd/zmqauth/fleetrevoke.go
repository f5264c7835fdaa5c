package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/fleet"
)

// revokeOptions are the flags of revoke.
type revokeOptions struct {
	changeOptions
	user, principal string
}

func newFleetRevoke() *cobra.Command {
	var o revokeOptions
	cmd := &cobra.Command{
		Use:   "revoke {KEY | --user U | --principal P} [--domain D] [--wait]",
		Short: "Refuse somebody on every server, and cut off who is connected",
		Long: "revoke takes back what let somebody in: a key, which is a public key " + keyForms + ",\n" +
			"a fingerprint or a certificate; with --user all that makes a client this user: the\n" +
			"password, keys and principals with this user id; or a principal. Without --domain it\n" +
			"does so in each domain. Clients that are connected are cut off.\n\n" +
			"Servers hear of a revocation before the engine has stored it, and tell its clients to try\n" +
			"again until then. revoke tries until the time of --timeout is over. A KEY together with\n" +
			"--domain is revoked whether it is known or not.\n\n" + waitHelp,
		Example: "  zmqauth fleet revoke ann.key --wait --why \"laptop stolen\"\n" +
			"  zmqauth fleet revoke --user ann --wait",
		Args: cobra.MaximumNArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			chosen := len(args)
			for _, text := range []string{o.user, o.principal} {
				if text != "" {
					chosen++
				}
			}
			if chosen != 1 {
				return usagef("whom? KEY, --user or --principal: one of them")
			}
			return o.run(cmd, strings.Join(args, ""))
		}),
		ValidArgsFunction: completeFirst(cobra.ShellCompDirectiveDefault),
	}
	o.addChange(cmd, "in this domain alone")
	cmd.Flags().StringVar(&o.user, "user", "", "all that has this user id")
	cmd.Flags().StringVar(&o.principal, "principal", "", "this Kerberos principal")
	completeFlag(cmd, "user")
	completeFlag(cmd, "principal")
	addJSON(cmd)
	return cmd
}

func (o *revokeOptions) run(cmd *cobra.Command, text string) error {
	fits, key, err := o.selection(text)
	if err != nil {
		return err
	}
	c, ctx, cancel, err := o.open(cmd)
	if err != nil {
		return err
	}
	defer cancel()
	var chosen []fleet.Entry
	if key != nil && o.domain != "" { // nothing needs to be read
		chosen = []fleet.Entry{{Kind: fleet.KindKey, Domain: o.domain, PublicKey: *key}}
	} else if chosen, err = c.choose(ctx, o.domain, fits); err != nil {
		return err
	}
	for i := range chosen {
		e := &chosen[i]
		last := e.Revision
		*e = fleet.Entry{Kind: e.Kind, Domain: e.Domain, PublicKey: e.PublicKey, Name: e.Name,
			UserID: e.UserID, State: fleet.Revoked}
		if err := c.finish(e, o.why, last); err != nil {
			return err
		}
	}
	return o.wait.after(ctx, cmd, c, chosen, func(ctx context.Context) (
		last fleet.Position, err error) {
		for _, e := range chosen {
			if last, err = c.store.Put(ctx, e, nil); err != nil {
				return last, fmt.Errorf("%s: %w", nameOf(e), err)
			}
		}
		return last, nil
	})
}

// selection tells which entries are meant. key is the one key, where it is known which.
func (o *revokeOptions) selection(text string) (
	fits func(fleet.Entry) bool, key *zmqauth.PublicKey, err error) {
	switch {
	case o.user != "":
		return func(e fleet.Entry) bool { return userOf(e) == o.user }, nil, nil
	case o.principal != "":
		return func(e fleet.Entry) bool {
			return e.Kind == fleet.KindPrincipal && e.Name == o.principal
		}, nil, nil
	case strings.HasPrefix(text, "SHA256:"):
		return func(e fleet.Entry) bool {
			return e.Kind == fleet.KindKey && fingerprint(e.PublicKey) == text
		}, nil, nil
	}
	public, err := publicKeyFrom("key", text)
	return func(e fleet.Entry) bool {
		return e.Kind == fleet.KindKey && e.PublicKey == public
	}, &public, err
}

// userOf is the user id that a client gets.
func userOf(e fleet.Entry) string {
	switch {
	case e.Kind != fleet.KindKey && e.Kind != fleet.KindUser && e.Kind != fleet.KindPrincipal:
		return ""
	case e.UserID != "":
		return e.UserID
	case e.Kind == fleet.KindKey:
		return e.PublicKey.String()
	}
	return e.Name
}

// choose finds the entries that let in who is meant.
func (c *console) choose(ctx context.Context, domain string, fits func(fleet.Entry) bool) (
	chosen []fleet.Entry, err error) {
	entries, _, err := c.load(ctx)
	if err != nil {
		return nil, fmt.Errorf("who is meant cannot be looked up (KEY with --domain needs no "+
			"looking up): %w", err)
	}
	for _, e := range entries {
		if e.Err() == nil && e.State == fleet.Granted && fits(e) &&
			(domain == "" || e.Domain == domain) {
			chosen = append(chosen, e)
		}
	}
	if chosen == nil {
		return nil, errNothing
	}
	slices.SortFunc(chosen, func(a, b fleet.Entry) int { return strings.Compare(a.Key(), b.Key()) })
	return chosen, nil
}

var errNothing = errors.New("nothing that lets anybody in fits: nothing is changed")
