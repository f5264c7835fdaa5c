package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth/fleet"
)

func newFleetAudit() *cobra.Command {
	var o fleetOptions
	var since, user, server string
	cmd := &cobra.Command{
		Use:   "audit [--since 1h] [--user U] [--server S]",
		Short: "Show what the servers have refused, and what administrators have changed",
		Long: "audit shows refusals, sessions that were cut off, keys that ask to be let in, and the\n" +
			"changes that administrators have made, the oldest first. Servers record that themselves,\n" +
			"and keep it while the engine is away. With --user it shows what is about a user id, and\n" +
			"what this administrator has changed. With --json each event is a line.",
		Example: "  zmqauth fleet audit --since 24h --user ann",
		Args:    cobra.ExactArgs(0),
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			from, err := parseSince(since, time.Now())
			if err != nil {
				return err
			}
			c, ctx, cancel, err := o.open(cmd)
			if err != nil {
				return err
			}
			defer cancel()
			out := newOutput(cmd)
			var failed error
			err = c.store.Events(ctx, from, func(e fleet.Event) bool {
				if user != "" && !e.IsAbout(user) || server != "" && e.Server != server {
					return true
				}
				failed = printEvent(out, e)
				return failed == nil
			})
			return cmp.Or(failed, err)
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.addFleet(cmd)
	cmd.Flags().StringVar(&since, "since", "1h", "from when on: a number of days (7d) or hours (12h) "+
		"ago, or a time (2027-01-31T00:00:00Z)")
	cmd.Flags().StringVar(&user, "user", "", "about this user id, or by this administrator")
	cmd.Flags().StringVar(&server, "server", "", "of this server")
	for _, flag := range []string{"since", "user", "server"} {
		completeFlag(cmd, flag)
	}
	addJSON(cmd)
	return cmd
}

// parseSince reads a time in the past.
func parseSince(text string, now time.Time) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if number, err := strconv.ParseUint(days, 10, 16); err == nil {
			return now.AddDate(0, 0, -int(number)), nil
		}
	} else if span, err := time.ParseDuration(text); err == nil && span >= 0 {
		return now.Add(-span), nil
	}
	return now, usagef("--since %q: neither days (7d), hours (12h) nor a time (2027-01-31T00:00:00Z)",
		text)
}

// printEvent prints an event as one line.
func printEvent(out output, e fleet.Event) error {
	if out.json {
		encoder := json.NewEncoder(jsonWriter{out.w})
		encoder.SetEscapeHTML(false)
		return encoder.Encode(e)
	}
	cells := []string{e.At.UTC().Format(time.RFC3339), string(e.Kind)}
	for _, pair := range [][2]string{{"server", e.Server}, {"domain", e.Domain},
		{"mechanism", e.Mechanism}, {"user", e.UserID}, {"key", e.Key}, {"address", e.Address},
		{"reason", e.Reason}, {"by", e.By}, {"why", e.Why}} {
		if pair[1] != "" {
			cells = append(cells, pair[0]+"="+printable(pair[1]))
		}
	}
	if e.Count > 1 {
		cells = append(cells, fmt.Sprintf("times=%d", e.Count))
	}
	_, err := fmt.Fprintln(out.w, strings.Join(cells, "  "))
	return err
}
