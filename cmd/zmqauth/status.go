package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth/admin"
)

func newStatus() *cobra.Command {
	var o controlOptions
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what a proxy does: decisions, sessions, queues, and how old its files are",
		Long: "status shows whether a proxy is ready, what it has decided since its start, by domain,\n" +
			"mechanism and reason, who waits, and what it follows. Exit code 1 means that it is not\n" +
			"ready, that the policy in the file is not in force, that a file cannot be used, or that\n" +
			"the news of its fleet are old.\n\n" +
			whichSocket,
		Example: "  zmqauth status --control /run/zmqauth/control.sock",
		Args:    cobra.ExactArgs(0),
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			s, err := o.client().Status(cmd.Context())
			if err != nil {
				return err
			}
			out := newOutput(cmd)
			if out.json {
				err = out.printJSON(s)
			} else {
				err = printProxyStatus(out, s)
			}
			if err == nil && !isGood(s) {
				err = errNo
			}
			return err
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.addPath(cmd)
	addJSON(cmd)
	return cmd
}

// isGood tells whether nothing needs anybody's look.
func isGood(s admin.Status) bool {
	for _, f := range s.Followed {
		if !f.Since.IsZero() {
			return false
		}
	}
	if s.Fleet != nil && s.Fleet.Problem != "" {
		return false
	}
	return s.Ready && (s.Reloads == nil || s.Reloads.Last == "" || s.Reloads.Last == admin.ReloadOK)
}

func printProxyStatus(out output, s admin.Status) error {
	state := "ready"
	if !s.Ready {
		state = "not ready: " + s.Why
	}
	err := out.pairs([2]string{"program", s.Program + " " + s.Version}, [2]string{"state", state},
		[2]string{"runs for", span(s.Now.Sub(s.Started))}, [2]string{"log level", s.Level},
		[2]string{"sessions", strconv.Itoa(s.Sessions)},
		[2]string{"requests", strconv.FormatUint(s.Requests, 10)},
		[2]string{"unanswered", strconv.FormatUint(s.Pending, 10)},
		[2]string{"turned away", strconv.FormatUint(s.TurnedAway, 10)},
		[2]string{"broken entries", strconv.FormatUint(s.Broken, 10)},
		[2]string{"fleet", fleetText(s.Fleet)}, [2]string{"reload", reloadText(s)})
	if err != nil {
		return err
	}
	for _, t := range []struct {
		head []string
		rows [][]string
		bad  func(int) bool
	}{
		{[]string{"DOMAIN", "MECHANISM", "STATUS", "REASON", "COUNT"}, decisionRows(s), never},
		{[]string{"QUEUE", "RUNNING", "WAITING"}, queueRows(s), never},
		{[]string{"DOMAIN", "WHAT", "WHERE", "CHANGED", "USABLE"}, followedRows(s),
			func(i int) bool { return !s.Followed[i].Since.IsZero() }},
	} {
		if len(t.rows) == 0 {
			continue
		}
		if _, err := fmt.Fprintln(out.w); err != nil {
			return err
		}
		if err := out.table(t.head, t.rows, t.bad); err != nil {
			return err
		}
	}
	return nil
}

func never(int) bool { return false }

// reloadText is what became of the last reload; empty: there was none.
func reloadText(s admin.Status) string {
	if s.Reloads == nil || s.Reloads.Last == "" {
		return ""
	}
	text := s.Reloads.Last + ", " + span(s.Now.Sub(s.Reloads.At)) + " ago"
	if s.Reloads.Error != "" {
		text += ": " + s.Reloads.Error
	}
	return text
}

// fleetText is how fresh a member of a fleet is; empty: it is none.
func fleetText(f *admin.Fleet) string {
	switch {
	case f == nil:
		return ""
	case f.Problem != "":
		return f.Problem
	}
	return fmt.Sprintf("up to date %.0f s ago, revision %d, keys %d, users %d, principals %d", f.Age,
		f.Position.Revision, f.Keys, f.Users, f.Principals)
}

func decisionRows(s admin.Status) (rows [][]string) {
	for _, d := range s.Decisions {
		rows = append(rows, []string{d.Domain, d.Mechanism, strconv.Itoa(d.Status), d.Reason,
			strconv.FormatUint(d.Count, 10)})
	}
	return rows
}

func queueRows(s admin.Status) (rows [][]string) {
	for _, q := range s.Queues {
		rows = append(rows, []string{q.Queue, strconv.Itoa(q.Running), strconv.Itoa(q.Waiting)})
	}
	return rows
}

func followedRows(s admin.Status) (rows [][]string) {
	for _, f := range s.Followed {
		changed, usable := "", "yes"
		if !f.Changed.IsZero() {
			changed = span(s.Now.Sub(f.Changed)) + " ago"
		}
		if !f.Since.IsZero() {
			usable = "not for " + span(s.Now.Sub(f.Since)) + ": " + f.Error
		}
		rows = append(rows, []string{f.Domain, f.Kind, f.Path, changed, usable})
	}
	return rows
}

// span is a time in its largest fitting unit.
func span(d time.Duration) string {
	switch d = max(0, d); {
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0f h", d.Hours())
	}
	return fmt.Sprintf("%.0f days", d.Hours()/24)
}
