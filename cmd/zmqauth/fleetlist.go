package main

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth/fleet"
)

// entryInfo is what list and history show of an entry.
type entryInfo struct {
	Kind        string            `json:"kind"`
	Domain      string            `json:"domain"`
	Name        string            `json:"name"` // a key in Z85, a user, a principal
	Fingerprint string            `json:"fingerprint,omitempty"`
	State       string            `json:"state"`
	User        string            `json:"user_id,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	NotBefore   *time.Time        `json:"not_before,omitempty"`
	NotAfter    *time.Time        `json:"not_after,omitempty"`
	Addresses   []string          `json:"addresses,omitempty"`
	By          string            `json:"by,omitempty"`
	Why         string            `json:"why,omitempty"`
	At          *time.Time        `json:"at,omitempty"`
	Revision    uint64            `json:"revision"`
	Problem     string            `json:"problem,omitempty"` // why no server takes it
}

// describeEntry is what is shown of an entry. A problem is that no server would take it.
func (c *console) describeEntry(e fleet.Entry) entryInfo {
	info := entryInfo{Kind: kindName(e.Kind), Domain: e.Domain, Name: e.Name, State: string(e.State),
		User: e.UserID, Metadata: e.Metadata, NotBefore: timeOrNil(e.NotBefore),
		NotAfter: timeOrNil(e.NotAfter), Addresses: e.Addresses, By: e.By, Why: e.Why,
		At: timeOrNil(e.At), Revision: e.Revision}
	switch e.Kind {
	case fleet.KindKey:
		info.Name, info.Fingerprint = e.PublicKey.String(), fingerprint(e.PublicKey)
	case fleet.KindAddresses:
		info.State, info.Name = string(e.List), strings.Join(e.Addresses, " ")
	}
	err := e.Err()
	if err != nil {
		info.Name = e.Key()
	} else {
		err = e.Verify(c.member.Fleet, c.member.Signers...)
	}
	if err != nil {
		info.Problem = err.Error()
	}
	return info
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func newFleetList() *cobra.Command {
	var o fleetOptions
	var domain, user string
	var revoked bool
	cmd := &cobra.Command{
		Use:   "list [--domain D] [--user U] [--revoked]",
		Short: "Show who is let in",
		Long: "list shows who is let in by the servers of the fleet, and from which addresses. It\n" +
			"shows no hash. What no server takes, because no administrator has signed it or it is\n" +
			"older than what it would replace, is named on stderr, and the exit code is 1.",
		Args: cobra.ExactArgs(0),
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			c, ctx, cancel, err := o.open(cmd)
			if err != nil {
				return err
			}
			defer cancel()
			entries, refused, err := c.load(ctx)
			if err != nil {
				return err
			}
			entries = slices.DeleteFunc(entries, func(e fleet.Entry) bool {
				return !isShown(e) || domain != "" && e.Domain != domain ||
					user != "" && userOf(e) != user || (e.State == fleet.Revoked) != revoked
			})
			slices.SortFunc(entries, func(a, b fleet.Entry) int {
				return cmp.Or(strings.Compare(a.Domain, b.Domain), int(a.Kind)-int(b.Kind),
					strings.Compare(userOf(a), userOf(b)), strings.Compare(a.Key(), b.Key()))
			})
			if err := c.printEntries(newOutput(cmd), entries); err != nil {
				return err
			}
			return errors.Join(refused...)
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.addFleet(cmd)
	cmd.Flags().StringVar(&domain, "domain", "", "of this domain alone")
	cmd.Flags().StringVar(&user, "user", "", "with this user id alone")
	cmd.Flags().BoolVar(&revoked, "revoked", false, "what is revoked, instead")
	completeFlag(cmd, "domain")
	completeFlag(cmd, "user")
	addJSON(cmd)
	return cmd
}

// isShown tells whether an entry is about clients, or cannot be read.
func isShown(e fleet.Entry) bool {
	switch e.Kind {
	case fleet.KindServer, fleet.KindMeta, fleet.KindSums:
		return false
	}
	return true
}

func (c *console) printEntries(out output, entries []fleet.Entry) error {
	infos, rows, problems := []entryInfo{}, [][]string(nil), 0
	for _, e := range entries {
		info := c.describeEntry(e)
		infos = append(infos, info)
		if info.Problem != "" {
			problems++
		}
		rows = append(rows, []string{info.Kind, info.Domain, cmp.Or(info.Fingerprint, info.Name),
			info.State, info.User, describeUntil(info.NotAfter), info.By, describeUntil(info.At), info.Why,
			info.Problem})
	}
	var err error
	if out.json {
		err = out.printJSON(infos)
	} else {
		err = out.table([]string{"KIND", "DOMAIN", "WHO", "STATE", "USER", "UNTIL", "BY", "AT", "WHY",
			"PROBLEM"}, rows, func(row int) bool { return infos[row].Problem != "" })
	}
	if err == nil && problems > 0 {
		return errNo
	}
	return err
}

func describeUntil(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func newFleetHistory() *cobra.Command {
	var o fleetOptions
	var domain string
	cmd := &cobra.Command{
		Use:   "history [KEY | USER | PRINCIPAL] [--domain D]",
		Short: "Show who has changed what, when and why",
		Long: "history shows the changes that administrators have made, the oldest first: all that\n" +
			"the engine still has, which are the last 64 of each key, user, principal and list of\n" +
			"addresses. A key may be written " + keyForms + ", or be a certificate or a fingerprint.",
		Args: cobra.MaximumNArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			fits := func(fleet.Entry) bool { return true }
			if len(args) > 0 {
				fits = named(args[0])
			}
			c, ctx, cancel, err := o.open(cmd)
			if err != nil {
				return err
			}
			defer cancel()
			entries, _, err := c.store.Load(ctx)
			if err != nil {
				return err
			}
			return c.printEntries(newOutput(cmd), slices.DeleteFunc(entries, func(e fleet.Entry) bool {
				return !isShown(e) || !fits(e) || domain != "" && e.Domain != domain
			}))
		}),
		ValidArgsFunction: completeFirst(cobra.ShellCompDirectiveDefault),
	}
	o.addFleet(cmd)
	cmd.Flags().StringVar(&domain, "domain", "", "of this domain alone")
	completeFlag(cmd, "domain")
	addJSON(cmd)
	return cmd
}

// named tells which entries a name stands for.
func named(text string) func(fleet.Entry) bool {
	key, err := publicKeyFrom("key", text)
	isKey := err == nil
	return func(e fleet.Entry) bool {
		switch e.Kind {
		case fleet.KindKey:
			return isKey && e.PublicKey == key || fingerprint(e.PublicKey) == text || e.UserID == text
		case fleet.KindUser, fleet.KindPrincipal:
			return e.Name == text || e.UserID == text
		}
		return false
	}
}
