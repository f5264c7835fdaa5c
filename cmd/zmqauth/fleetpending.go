package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth/enrol"
	"github.com/zmqauth/zmqauth/fleet"
)

// pendingInfo is what pending shows of a key.
type pendingInfo struct {
	fleet.Pending
	Fingerprint string `json:"fingerprint"`
}

func newFleetPending() *cobra.Command {
	var o fleetOptions
	cmd := &cobra.Command{
		Use:   "pending",
		Short: "Show the keys that ask to be let in",
		Long: "pending shows CURVE clients that servers have refused because nobody knows their keys:\n" +
			"the key, which the handshake has proved, its fingerprint, the address and the attempts.\n" +
			"approve lets one in, and deny refuses it for good. Let the owner of the key read the\n" +
			"fingerprint out before.",
		Args: cobra.ExactArgs(0),
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			c, ctx, cancel, err := o.open(cmd)
			if err != nil {
				return err
			}
			defer cancel()
			list, err := c.pending(ctx)
			if err != nil {
				return err
			}
			infos, rows := []pendingInfo{}, [][]string(nil)
			for _, p := range list {
				infos = append(infos, pendingInfo{p, p.Fingerprint()})
				rows = append(rows, []string{p.Fingerprint(), p.Domain, p.Address, strconv.Itoa(p.Attempts),
					p.First.UTC().Format(time.RFC3339), p.Last.UTC().Format(time.RFC3339), p.Server})
			}
			out := newOutput(cmd)
			if out.json {
				return out.printJSON(infos)
			}
			return out.table([]string{"FINGERPRINT", "DOMAIN", "ADDRESS", "ATTEMPTS", "FIRST", "LAST",
				"SERVER"}, rows, func(int) bool { return false })
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.addFleet(cmd)
	addJSON(cmd)
	return cmd
}

// pending is what asks to be let in, and was neither let in nor revoked meanwhile.
func (c *console) pending(ctx context.Context) ([]fleet.Pending, error) {
	list, err := c.store.Pending(ctx)
	if err != nil {
		return nil, err
	}
	current, _, err := c.load(ctx)
	if err != nil {
		return nil, err
	}
	decided := make(map[string]bool)
	for _, e := range current {
		decided[e.Key()] = true
	}
	return slices.DeleteFunc(list, func(p fleet.Pending) bool {
		return decided[p.Grant("", nil).Key()]
	}), nil
}

// pick is what asks with that fingerprint: see enrol.Find. Several servers may have seen it.
func (c *console) pick(ctx context.Context, fingerprint, domain string) (found fleet.Pending,
	err error) {
	list, err := c.pending(ctx)
	if err != nil {
		return found, err
	}
	seen := make(map[string]bool)
	list = slices.DeleteFunc(list, func(p fleet.Pending) bool {
		key := p.Grant("", nil).Key()
		again := seen[key]
		seen[key] = true
		return again
	})
	requests := make([]enrol.Request, len(list))
	for i, p := range list {
		requests[i] = enrol.Request{Key: p.Key, Domain: p.Domain}
	}
	i, err := enrol.Find(requests, fingerprint, domain)
	if err != nil {
		return found, err
	}
	return list[i], nil
}

func newFleetApprove() *cobra.Command {
	var o grantOptions
	cmd := &cobra.Command{
		Use:   "approve FINGERPRINT [--user U] [--meta NAME=VALUE]…",
		Short: "Let in a key that asks for it",
		Long: "approve lets in a key that is pending, in the domain in which it asked. 16 characters\n" +
			"of the fingerprint, behind SHA256:, are enough.\n\n" +
			waitHelp,
		Example: "  zmqauth fleet approve SHA256:… --user ann --meta Role=operator",
		Args:    cobra.ExactArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			return o.decide(cmd, func(ctx context.Context, c *console) (e fleet.Entry, err error) {
				found, err := c.pick(ctx, args[0], o.domain)
				if err != nil {
					return e, err
				}
				o.domain = found.Domain
				if e, err = o.entry(fleet.KindKey); err == nil {
					e.PublicKey = found.Key
				}
				return e, err
			}, func(ctx context.Context, c *console, e fleet.Entry) (fleet.Position, error) {
				return c.grant(ctx, e, o.why, o.again)
			})
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.addGrant(cmd, "the user id of its clients (default: the key)")
	return cmd
}

func newFleetDeny() *cobra.Command {
	var o grantOptions
	cmd := &cobra.Command{
		Use:   "deny FINGERPRINT [--domain D]",
		Short: "Refuse a key that asks to be let in",
		Long: "deny revokes a key that is pending, in the domain in which it asked. It is not shown\n" +
			"any more, and approve does not let it in.\n\n" + waitHelp,
		Args: cobra.ExactArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			return o.decide(cmd, func(ctx context.Context, c *console) (e fleet.Entry, err error) {
				found, err := c.pick(ctx, args[0], o.domain)
				if err != nil {
					return e, err
				}
				e = found.Grant("", nil)
				e.State = fleet.Revoked
				return e, c.finish(&e, o.why, 0)
			}, func(ctx context.Context, c *console, e fleet.Entry) (fleet.Position, error) {
				return c.store.Put(ctx, e, nil)
			})
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.addChange(cmd, "in this domain")
	addJSON(cmd)
	return cmd
}

// decide makes an entry and puts it.
func (o *grantOptions) decide(cmd *cobra.Command,
	make func(context.Context, *console) (fleet.Entry, error),
	put func(context.Context, *console, fleet.Entry) (fleet.Position, error)) error {
	c, ctx, cancel, err := o.open(cmd)
	if err != nil {
		return err
	}
	defer cancel()
	e, err := make(ctx, c)
	if err != nil {
		return fmt.Errorf("%s: %w", cmd.Name(), err)
	}
	return o.wait.after(ctx, cmd, c, []fleet.Entry{e}, func(ctx context.Context) (fleet.Position,
		error) {
		return put(ctx, c, e)
	})
}
