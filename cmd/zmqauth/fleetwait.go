package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth/fleet"
)

// waitHelp is said in the help of the commands that change something.
const waitHelp = "The change is in force on each server that follows the fleet a moment later.\n" +
	"With --wait the command returns when each live server has said so. It names those that have\n" +
	"not, and its exit code is 1 then. A server that has not reported for a minute is not live.\n" +
	"It is named, too: what it knows stays in force there until its news are too old."

// liveTime is how long after its last report a server counts as live. Servers report every 5 s.
const liveTime = time.Minute

// waitOptions are the flags that say whether to wait for the servers.
type waitOptions struct{ wait bool }

func (o *waitOptions) addWait(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.wait, "wait", false, "until each live server has confirmed")
}

// changeResult is what a change shows with --json.
type changeResult struct {
	Changed   []string       `json:"changed"` // the keys of the entries
	Position  fleet.Position `json:"position"`
	Confirmed []string       `json:"confirmed,omitempty"` // servers
	Waiting   []string       `json:"waiting,omitempty"`   // live servers that have not confirmed
	Away      []string       `json:"away,omitempty"`      // not heard of for a minute
}

// after makes a change, and waits for the servers if it has to.
func (o *waitOptions) after(ctx context.Context, cmd *cobra.Command, c *console,
	entries []fleet.Entry, change func(context.Context) (fleet.Position, error)) error {
	var v *view
	var unseen error
	if o.wait {
		var stop func()
		if v, stop, unseen = c.follow(ctx); unseen == nil {
			defer stop()
		}
	}
	p, err := change(ctx)
	if err != nil {
		return err
	}
	result := changeResult{Position: p}
	for _, e := range entries {
		result.Changed = append(result.Changed, e.Key())
	}
	if v != nil {
		result.confirm(ctx, v)
	}
	if err := result.print(newOutput(cmd), entries, o.wait); err != nil {
		return err
	}
	switch {
	case unseen != nil:
		return fmt.Errorf("it is done, but who has it cannot be seen: %w", unseen)
	case len(result.Waiting) > 0:
		return errNo
	}
	return nil
}

// confirm waits until each live server has applied a position.
func (r *changeResult) confirm(ctx context.Context, v *view) {
	for {
		r.Confirmed, r.Waiting, r.Away = nil, nil, nil
		reports, _ := v.servers()
		for _, name := range slices.Sorted(maps.Keys(reports)) {
			switch s := reports[name]; {
			case r.isIn(s.Position):
				r.Confirmed = append(r.Confirmed, name)
			case time.Since(s.At) > liveTime:
				r.Away = append(r.Away, name)
			default:
				r.Waiting = append(r.Waiting, name)
			}
		}
		if len(r.Waiting) == 0 {
			return
		}
		select {
		case <-v.changed:
		case <-ctx.Done():
			return
		}
	}
}

// isIn tells whether a server at a position has applied the change.
func (r *changeResult) isIn(p fleet.Position) bool {
	if r.Position.Epoch == "" { // it was not told
		return p.Revision >= r.Position.Revision
	}
	return p.Includes(r.Position)
}

// print prints the outcome.
func (r *changeResult) print(out output, entries []fleet.Entry, waited bool) error {
	if out.json {
		return out.printJSON(r)
	}
	for _, e := range entries {
		if _, err := fmt.Fprintf(out.w, "%s: %s\n", stateOf(e), printable(nameOf(e))); err != nil {
			return err
		}
	}
	if !waited {
		return nil
	}
	_, err := fmt.Fprintf(out.w, "confirmed by %d servers\n", len(r.Confirmed))
	for what, names := range map[string][]string{
		"these have not confirmed": r.Waiting, "these have not reported for a minute": r.Away} {
		if len(names) > 0 {
			_, failed := fmt.Fprintf(os.Stderr, "zmqauth: %s: %s\n", what,
				printable(strings.Join(names, " ")))
			err = errors.Join(err, failed)
		}
	}
	return err
}

// stateOf says what has become of an entry.
func stateOf(e fleet.Entry) string {
	switch {
	case e.Kind == fleet.KindAddresses:
		return "in force"
	case e.State == fleet.Revoked:
		return "revoked"
	}
	return "let in"
}

// nameOf is how people call what an entry is about.
func nameOf(e fleet.Entry) string {
	name := e.Name
	switch e.Kind {
	case fleet.KindKey:
		name = e.PublicKey.String()
	case fleet.KindAddresses:
		name = string(e.List) + " " + strings.Join(e.Addresses, " ")
	}
	return fmt.Sprintf("%s %s in the domain %s", kindName(e.Kind), name, e.Domain)
}

// kindName is the name of a kind of entries.
func kindName(k fleet.Kind) string {
	return map[fleet.Kind]string{fleet.KindKey: "key", fleet.KindUser: "user",
		fleet.KindPrincipal: "principal", fleet.KindAddresses: "addresses",
		fleet.KindServer: "server", fleet.KindMeta: "meta"}[k]
}
