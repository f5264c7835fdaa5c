package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth/admin"
)

func newSessions() *cobra.Command {
	var o controlOptions
	var watch bool
	cmd := &cobra.Command{
		Use: "sessions [--watch] [--user U] [--key K] [--address A] [--id N] [--domain D] " +
			"[--frontend F]",
		Short: "Show who is connected to a proxy",
		Long: "sessions shows the clients that a proxy on this host has let in, and that are\n" +
			"connected. The proxy has to run with --control. The column ENDS says whether a session\n" +
			"can be ended alone, or only together with the others from its address: so it is with IPC\n" +
			"and GSSAPI. Where frontends share a domain and a mechanism, a session may be at each of\n" +
			"them.\n\n" +
			"With --watch it shows the sessions that open and close from now on, until it is ended.\n\n" +
			chosen,
		Example: "  zmqauth sessions\n  zmqauth sessions --watch --user bob --json",
		Args:    cobra.ExactArgs(0),
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			selector, err := o.selector(cmd)
			if err != nil {
				return err
			}
			if watch {
				return watchSessions(cmd.Context(), newOutput(cmd), o.client(), selector)
			}
			return listSessions(cmd.Context(), newOutput(cmd), o.client(), selector)
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "show what opens and closes")
	o.addControl(cmd)
	addJSON(cmd)
	return cmd
}

// sessionHeader is that of the table of sessions.
var sessionHeader = []string{"ID", "FRONTEND", "DOMAIN", "MECHANISM", "USER", "ADDRESS", "SINCE",
	"EXPIRES", "ENDS"}

// sessionRow is a row of that table.
func sessionRow(s admin.Session) []string {
	address, expires, ends := s.Address, "never", "together"
	if s.Port != 0 {
		address = net.JoinHostPort(s.Address, strconv.Itoa(int(s.Port)))
	}
	if !s.Expires.IsZero() {
		expires = s.Expires.Format(time.RFC3339)
	}
	if s.Exact {
		ends = "alone"
	}
	return []string{strconv.FormatUint(s.ID, 10), strings.Join(s.Frontends, ","), s.Domain,
		s.Mechanism, s.User, address, s.Since.Format(time.RFC3339), expires, ends}
}

func listSessions(ctx context.Context, out output, client *admin.Client, s admin.Selector) error {
	all, rows := []admin.Session{}, [][]string(nil)
	err := client.Sessions(ctx, s, func(session admin.Session) error {
		all, rows = append(all, session), append(rows, sessionRow(session))
		return nil
	})
	if err != nil {
		return err
	}
	if out.json {
		return out.printJSON(all)
	}
	return out.table(sessionHeader, rows, func(int) bool { return false })
}

// watchSessions prints events until the command or the proxy ends. Each is a line.
func watchSessions(ctx context.Context, out output, client *admin.Client, s admin.Selector) error {
	err := client.Watch(ctx, s, func(e admin.Event) error {
		if out.json {
			encoder := json.NewEncoder(jsonWriter{out.w})
			encoder.SetEscapeHTML(false)
			return encoder.Encode(e)
		}
		_, err := fmt.Fprintln(out.w, eventLine(e))
		return err
	})
	if ctx.Err() != nil {
		return nil // it was ended
	}
	return err
}

// eventLine is the line for an event.
func eventLine(e admin.Event) string {
	cells := []string{e.Event}
	switch {
	case e.Event == admin.EventWatching:
		cells = append([]string{"EVENT"}, sessionHeader...)
	case e.Session != nil:
		cells = append(cells, sessionRow(*e.Session)...)
	default:
		cells = append(cells, strconv.FormatUint(e.Count, 10))
	}
	for i, cell := range cells {
		cells[i] = printable(cell)
		if cell == "" {
			cells[i] = "-"
		}
	}
	return strings.Join(cells, "  ")
}
