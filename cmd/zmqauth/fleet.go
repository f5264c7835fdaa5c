package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth/fleet"
	"github.com/zmqauth/zmqauth/fleet/natsstore"
	"github.com/zmqauth/zmqauth/internal/fleetfile"
)

func newFleet() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fleet",
		Short: "Keep the credentials of many servers in one place",
		Long: "A fleet is a number of servers that share their credentials: keys, users, principals\n" +
			"and addresses. An engine keeps them (zmqauth-engine, or a NATS server with\n" +
			"JetStream), and servers follow it. Who is revoked is cut off everywhere within a\n" +
			"second.\n\n" +
			"fleet init makes the files of a new fleet. Administrators sign what they change, with a key\n" +
			"that only they have, and servers take nothing else.\n\n" +
			"The commands that ask an engine need the file of an administrator: --as, or the\n" +
			"environment variable " + fleetVariable + ".",
		Args: cobra.NoArgs, // an argument would be an unknown command
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newFleetInit(), newFleetAddServer(), newFleetAddAdmin(), newFleetRemove(),
		newFleetAccounts(),
		newFleetJoin(), newFleetStatus(), newFleetAddKey(), newFleetAddUser(), newFleetAddPrincipal(),
		newFleetAllow(), newFleetRevoke(), newFleetList(), newFleetHistory(),
		newFleetAudit(), newFleetPending(), newFleetApprove(), newFleetDeny(), newFleetSeal())
	return cmd
}

// fleetVariable names the environment variable that has the path of an administrator's file.
const fleetVariable = "ZMQAUTH_FLEET"

// fleetOptions are the flags of the commands that ask an engine.
type fleetOptions struct {
	file    string
	timeout time.Duration
}

func (o *fleetOptions) addFleet(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.file, "as", "", "the file of an administrator (default $"+
		fleetVariable+")")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 30*time.Second, "how long all may take")
}

// console is an administrator who is connected to an engine.
type console struct {
	member *fleetfile.Member
	conn   *nats.Conn
	store  *natsstore.Store
	key    ed25519.PrivateKey
}

// open connects to an engine. cancel ends ctx and the connection.
func (o *fleetOptions) open(cmd *cobra.Command) (
	c *console, ctx context.Context, cancel func(), err error) {
	if err := checkTimeout(o.timeout); err != nil {
		return nil, nil, nil, err
	}
	member, err := o.member()
	if err != nil {
		return nil, nil, nil, err
	}
	c = &console{member: member}
	if c.key, err = member.Key(); err != nil {
		return nil, nil, nil, err
	}
	if c.conn, err = member.Connect(nil, false); err != nil {
		return nil, nil, nil, err
	}
	if c.store, err = member.Store(c.conn, -1); err != nil {
		c.conn.Close()
		return nil, nil, nil, err
	}
	ctx, stop := context.WithTimeoutCause(cmd.Context(), o.timeout, errNoAnswer)
	return c, ctx, func() { stop(); c.conn.Close() }, nil
}

var errNoAnswer = errors.New("the engine has not answered within the time of --timeout")

// member is the administrator.
func (o *fleetOptions) member() (*fleetfile.Member, error) {
	path := o.file
	if path == "" {
		path = os.Getenv(fleetVariable)
	}
	if path == "" {
		return nil, usagef("who asks? --as FILE, or the environment variable %s: the file of an "+
			"administrator, which zmqauth fleet init has made", fleetVariable)
	}
	member, err := fleetfile.ReadMember(path)
	if err == nil && member.Role != natsstore.RoleAdministrator {
		err = errors.New(path + ": this is the file of a server, and not that of an administrator")
	}
	return member, err
}

// changeOptions are the flags of the commands that change something.
type changeOptions struct {
	fleetOptions
	domain, why string
	wait        waitOptions
}

func (o *changeOptions) addChange(cmd *cobra.Command, domain string) {
	o.addFleet(cmd)
	cmd.Flags().StringVar(&o.domain, "domain", "", domain)
	cmd.Flags().StringVar(&o.why, "why", "", "the reason, for the history")
	o.wait.addWait(cmd)
	completeFlag(cmd, "domain")
	completeFlag(cmd, "why")
}

// finish fills in what all changes have, and signs.
func (c *console) finish(e *fleet.Entry, why string, last uint64) error {
	now := time.Now().UTC()
	e.By, e.Why, e.At, e.Revision = c.member.Name, why, now, fleet.NextRevision(last, now)
	return e.Sign(c.member.Fleet, c.key)
}

// grant puts an entry in the place of the one that there is. again lets one in that was revoked.
func (c *console) grant(ctx context.Context, e fleet.Entry, why string, again bool) (
	fleet.Position, error) {
	old, revision, err := c.store.Get(ctx, e.Key())
	if err != nil && old.Err() == nil { // what cannot be read is replaced
		return fleet.Position{}, err
	}
	if old.State == fleet.Revoked && !again {
		return fleet.Position{}, errors.New(revokedBy(old) + ": --again lets it in again")
	}
	if err := c.finish(&e, why, old.Revision); err != nil {
		return fleet.Position{}, err
	}
	return c.store.Put(ctx, e, &revision)
}

// revokedBy says who has revoked an entry.
func revokedBy(e fleet.Entry) string {
	text := "it was revoked by " + e.By + " at " + e.At.Format(time.RFC3339)
	if e.Why != "" {
		text += " (" + e.Why + ")"
	}
	return text
}
