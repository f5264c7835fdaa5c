package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth"
)

func newProbe() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "probe ENDPOINT",
		Short: "Show whether a server lets strangers in",
		Long: "probe tries to get into a server as a stranger: with NULL, with an unknown PLAIN user,\n" +
			"and with an unknown CURVE key. It sends no messages. The exit code is 0 if no stranger\n" +
			"gets in, and 1 if one does or if probe cannot tell.\n\n" +
			"probe does not know the server's key. So it proves nothing about the keys that a CURVE\n" +
			"server accepts: one that accepts every key looks closed. Use connect with a new key.",
		Example:           "  zmqauth probe tcp://127.0.0.1:5555",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: action(func(cmd *cobra.Command, args []string) error {
			if err := errors.Join(checkEndpoint(args[0]), checkTimeout(timeout)); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			results, err := zmqauth.Probe(ctx, args[0])
			if err != nil {
				return explained(cmd.Context(), args[0], err)
			}
			if err := printProbe(newOutput(cmd), results); err != nil {
				return err
			}
			for _, r := range results {
				if r.Accepted {
					return fmt.Errorf("%s: a stranger gets in with %s", args[0], r.Mechanism)
				}
			}
			return nil
		}),
	}
	cmd.Flags().DurationVar(&timeout, "timeout", dialTime, "how long to wait for the server")
	addJSON(cmd)
	return cmd
}

func printProbe(out output, results []zmqauth.ProbeResult) error {
	if !out.json {
		var rows [][]string
		for _, r := range results {
			rows = append(rows, []string{r.Mechanism, outcome(r)})
		}
		header := []string{"MECHANISM", "OUTCOME"}
		return out.table(header, rows, func(row int) bool { return results[row].Accepted })
	}
	type result struct {
		Mechanism string `json:"mechanism"`
		Accepted  bool   `json:"accepted"`
		Status    int    `json:"status,omitempty"`
		Outcome   string `json:"outcome"`
	}
	var list []result
	for _, r := range results {
		list = append(list, result{r.Mechanism, r.Accepted, r.Status, outcome(r)})
	}
	return out.printJSON(list)
}

// outcome returns the text of a result without the mechanism.
func outcome(r zmqauth.ProbeResult) string {
	return strings.TrimPrefix(r.String(), r.Mechanism+": ")
}
