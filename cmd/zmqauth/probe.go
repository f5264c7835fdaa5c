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

const dialTime = 10 * time.Second // how long a server may take by default

func newProbe() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "probe ENDPOINT",
		Short: "Tell whether a server lets strangers in",
		Long: "probe dials a server as a stranger: with NULL, with a PLAIN user and with a CURVE key that nobody knows. It sends no\n" +
			"messages. The exit code is 0 where no stranger gets in, and 1 where one does or where it cannot tell.",
		Example:           "  zmqauth probe tcp://127.0.0.1:5555",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: does(func(cmd *cobra.Command, args []string) error {
			if err := errors.Join(checkEndpoint(args[0]), checkTimeout(timeout)); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			results, err := zmqauth.Probe(ctx, args[0])
			if err != nil {
				return err
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
	cmd.Flags().DurationVar(&timeout, "timeout", dialTime, "how long to wait for an answer")
	addJSON(cmd)
	return cmd
}

func printProbe(out output, results []zmqauth.ProbeResult) error {
	if !out.json {
		var rows [][]string
		for _, r := range results {
			rows = append(rows, []string{r.Mechanism, outcome(r)})
		}
		return out.table([]string{"MECHANISM", "OUTCOME"}, rows, func(row int) bool { return results[row].Accepted })
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

// outcome is what ProbeResult.String says behind the mechanism.
func outcome(r zmqauth.ProbeResult) string { return strings.TrimPrefix(r.String(), r.Mechanism+": ") }
