package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/fleet"
)

// grantOptions are the flags of the commands that let somebody in.
type grantOptions struct {
	changeOptions
	user  string
	meta  []string
	until string
	again bool
}

func (o *grantOptions) addGrant(cmd *cobra.Command, user string) {
	o.addChange(cmd, "the domain that is entered, or * for each that has nobody of its own")
	flags := cmd.Flags()
	if user != "" {
		flags.StringVar(&o.user, "user", "", user)
		completeFlag(cmd, "user")
	}
	flags.StringArrayVar(&o.meta, "meta", nil, "metadata, NAME=VALUE; may be repeated")
	flags.StringVar(&o.until, "not-after", "", "when that ends: "+
		"a number of days (90d) or hours (12h) from now, or a time (2027-01-31T00:00:00Z)")
	flags.BoolVar(&o.again, "again", false, "although it was revoked before")
	addJSON(cmd)
}

// entry begins an entry with what the flags say.
func (o *grantOptions) entry(kind fleet.Kind) (e fleet.Entry, err error) {
	if o.domain == "" {
		return e, usagef("--domain is missing")
	}
	e = fleet.Entry{Kind: kind, Domain: o.domain, State: fleet.Granted, UserID: o.user}
	if len(o.meta) > 0 {
		if e.Metadata, err = parseMetadata(o.meta); err != nil {
			return e, err
		}
	}
	if o.until != "" {
		text, err := parseUntil(o.until, time.Now())
		if err != nil {
			return e, err
		}
		if e.NotAfter, err = time.Parse(time.RFC3339, text); err != nil {
			return e, err
		}
	}
	return e, nil
}

// put writes an entry that lets somebody in.
func (o *grantOptions) put(cmd *cobra.Command, e fleet.Entry) error {
	c, ctx, cancel, err := o.open(cmd)
	if err != nil {
		return err
	}
	defer cancel()
	return o.wait.after(ctx, cmd, c, []fleet.Entry{e}, func(ctx context.Context) (
		fleet.Position, error) {
		return c.grant(ctx, e, o.why, o.again)
	})
}

func newFleetAddKey() *cobra.Command {
	var o grantOptions
	cmd := &cobra.Command{
		Use:   "add-key KEY --domain D",
		Short: "Let in a CURVE key",
		Long: "add-key lets a key in on every server of the fleet. KEY is a public key\n" +
			keyForms + ", or a certificate that has it. The metadata of a certificate, and\n" +
			"the time at which it ends, are taken over unless flags say otherwise.\n\n" + waitHelp,
		Example: "  zmqauth fleet add-key ann.key --domain orders --user ann --meta Role=operator",
		Args:    cobra.ExactArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			e, err := o.entry(fleet.KindKey)
			if err != nil {
				return err
			}
			if e.PublicKey, err = publicKeyFrom("key", args[0]); err != nil {
				return err
			}
			if err := takeOver(&e, args[0]); err != nil {
				return err
			}
			return o.put(cmd, e)
		}),
		ValidArgsFunction: completeFirst(cobra.ShellCompDirectiveDefault),
	}
	o.addGrant(cmd, "the user id of its clients (default: the key)")
	return cmd
}

// takeOver takes over what a certificate says, and the entry does not. path may be a key.
func takeOver(e *fleet.Entry, path string) error {
	if _, err := os.Stat(path); err != nil {
		return nil
	}
	cert, err := zmqauth.LoadCertificate(path)
	if err != nil {
		return nil // it was a key
	}
	metadata := maps.Clone(cert.Metadata)
	for name, field := range map[string]*time.Time{notBefore: &e.NotBefore, notAfter: &e.NotAfter} {
		text, has := metadata[name]
		delete(metadata, name)
		if !has || !field.IsZero() {
			continue
		}
		if *field, err = time.Parse(time.RFC3339, text); err != nil {
			return fmt.Errorf("%s: %s: %.40q is no time", path, name, text)
		}
	}
	if e.Metadata == nil && len(metadata) > 0 {
		e.Metadata = metadata
	}
	return nil
}

func newFleetAddUser() *cobra.Command {
	var o grantOptions
	var hash hashOptions
	cmd := &cobra.Command{
		Use:   "add-user NAME --domain D",
		Short: "Let in a user with a password",
		Long: "add-user lets a user in on every server of the fleet, or changes the password. It asks\n" +
			"for the password on the terminal, twice and without echo, or reads it from stdin, where it\n" +
			"is the only line. The engine and the servers get the hash alone.\n\n" + waitHelp,
		Example: "  zmqauth fleet add-user bob --domain jobs",
		Args:    cobra.ExactArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			e, err := o.entry(fleet.KindUser)
			if err != nil {
				return err
			}
			e.Name = args[0]
			if err := checkUser(e.Name); err != nil {
				return err
			}
			kind, cost, err := hash.choose()
			if err != nil {
				return err
			}
			if _, err := o.member(); err != nil { // before it asks
				return err
			}
			password, err := readNewSecret(cmd.Context(), askFor(e.Name), "Again: ")
			if err != nil {
				return err
			}
			text, err := hashPassword(password, kind, cost)
			if err != nil {
				return err
			}
			e.Hash = fleet.Hash(text)
			return o.put(cmd, e)
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.addGrant(cmd, "another user id than the name")
	hash.addFlags(cmd)
	return cmd
}

func newFleetAddPrincipal() *cobra.Command {
	var o grantOptions
	cmd := &cobra.Command{
		Use:   "add-principal PRINCIPAL --domain D",
		Short: "Let in a Kerberos principal",
		Long: "add-principal lets a principal in on every server of the fleet, or all of a realm:\n" +
			"*@EXAMPLE.ORG, host/*@EXAMPLE.ORG.\n\n" + waitHelp,
		Args: cobra.ExactArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			e, err := o.entry(fleet.KindPrincipal)
			if err != nil {
				return err
			}
			e.Name = args[0]
			return o.put(cmd, e)
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.addGrant(cmd, "another user id than the principal")
	return cmd
}

func newFleetAllow() *cobra.Command {
	var o grantOptions
	var deny bool
	cmd := &cobra.Command{
		Use:   "allow {ADDRESS… | --none} --domain D [--deny]",
		Short: "Say from which addresses a domain may be entered",
		Long: "allow replaces the address rules of a domain, on every server of the fleet. Only the\n" +
			"addresses that are named may enter it then. With --deny all others may. Addresses are\n" +
			"those of a policy: an address, a network, ipc, uid:N, gid:N or pid:N. They do not replace\n" +
			"a key or a password. Connected clients that would be refused now are cut off.\n\n" +
			"--none stands for no address at all: nobody may enter, or with --deny everybody.\n\n" +
			waitHelp,
		Example: "  zmqauth fleet allow 10.0.0.0/8 127.0.0.1 --domain orders",
		RunE: action(func(cmd *cobra.Command, args []string) error {
			none, _ := cmd.Flags().GetBool("none")
			switch {
			case o.domain == "":
				return usagef("--domain is missing")
			case none == (len(args) > 0):
				return usagef("which addresses? or --none")
			}
			e := fleet.Entry{Kind: fleet.KindAddresses, Domain: o.domain, State: fleet.Granted,
				List: fleet.Allow, Addresses: args}
			if deny {
				e.List = fleet.Deny
			}
			return o.put(cmd, e)
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.addChange(cmd, "the domain, or * for all of them")
	cmd.Flags().BoolVar(&deny, "deny", false, "these addresses may not enter, all others may")
	cmd.Flags().Bool("none", false, "no address")
	addJSON(cmd)
	return cmd
}
