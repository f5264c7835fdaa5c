package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newFleetSeal() *cobra.Command {
	var o fleetOptions
	cmd := &cobra.Command{
		Use:   "seal",
		Short: "Make many entries quick to load for servers that start",
		Long: "seal signs digests of all entries that administrators have signed. A server without a\n" +
			"snapshot that loads everything verifies these few signatures in place of one for each\n" +
			"entry: 100,000 entries take less than a second. Run it after many changes. It changes\n" +
			"nothing about who is let in. Entries that are newer are verified one by one.",
		Example: "  zmqauth fleet seal --as fleet/ann.admin",
		Args:    cobra.ExactArgs(0),
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			c, ctx, cancel, err := o.open(cmd)
			if err != nil {
				return err
			}
			defer cancel()
			count, err := c.store.Seal(ctx, c.member.Fleet, c.member.Name, c.key, c.member.Signers...)
			if err != nil {
				return err
			}
			out := newOutput(cmd)
			if out.json {
				return out.printJSON(struct {
					Sealed int `json:"sealed"` // entries
				}{count})
			}
			_, err = fmt.Fprintf(out.w, "sealed: %d entries\n", count)
			return err
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.addFleet(cmd)
	addJSON(cmd)
	return cmd
}
