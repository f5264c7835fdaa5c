package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth/fleet"
)

// serverInfo is what status shows of a server.
type serverInfo struct {
	Server string `json:"server"`
	State  string `json:"state"`  // "ok", "behind", "closed" or "away"
	Behind uint64 `json:"behind"` // changes that it had not applied when it reported
	fleet.Status
}

// fleetInfo is what status shows.
type fleetInfo struct {
	Fleet    string         `json:"fleet"`
	Engine   string         `json:"engine"` // that has answered
	Position fleet.Position `json:"position"`
	Servers  []serverInfo   `json:"servers"`
}

// behindLimit is how many changes a server may lack that is ok. All reports are changes, too.
const behindLimit = 1000

func newFleetStatus() *cobra.Command {
	var o fleetOptions
	var create int
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how each server of the fleet stands",
		Long: "status shows each server, as it has reported itself: how old its report and its last\n" +
			"proof of being up to date are, how many changes it lacked (reports are changes, too), its\n" +
			"sessions and its version. A server is away if it has not reported for a minute. It is\n" +
			"closed if nobody new gets in, because its news are too old or it is just starting. The\n" +
			"exit code is 1 unless all are ok.",
		Args: cobra.ExactArgs(0),
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			c, ctx, cancel, err := o.open(cmd)
			if err != nil {
				return err
			}
			defer cancel()
			if create > 0 {
				if err := c.store.Create(ctx, create); err != nil {
					return err
				}
			}
			v, stop, err := c.follow(ctx)
			if err != nil {
				return err
			}
			defer stop()
			info := fleetInfo{Fleet: c.member.Fleet, Engine: c.conn.ConnectedServerName(),
				Servers: []serverInfo{}}
			reports, at := v.servers()
			info.Position = at
			for _, name := range slices.Sorted(maps.Keys(reports)) {
				info.Servers = append(info.Servers, judgeServer(name, reports[name], at))
			}
			return printStatus(newOutput(cmd), info)
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.addFleet(cmd)
	cmd.Flags().IntVar(&create, "create", 0, "make the bucket first, on so many servers of a NATS "+
		"that is not the fleet's own")
	addJSON(cmd)
	return cmd
}

// judgeServer says how a server stands.
func judgeServer(name string, s fleet.Status, at fleet.Position) serverInfo {
	info := serverInfo{Server: name, State: "ok", Status: s}
	if s.Position.Epoch == at.Epoch && s.Position.Revision < at.Revision {
		info.Behind = at.Revision - s.Position.Revision
	}
	switch {
	case time.Since(s.At) > liveTime:
		info.State = "away"
	case s.Suspended:
		info.State = "closed"
	case s.Position.Epoch != at.Epoch || info.Behind > behindLimit:
		info.State = "behind"
	}
	return info
}

func printStatus(out output, info fleetInfo) error {
	ok := true
	var rows [][]string
	for _, s := range info.Servers {
		ok = ok && s.State == "ok"
		rows = append(rows, []string{s.Server, s.State, ageOf(s.At), ageOf(s.Fresh),
			strconv.FormatUint(s.Position.Revision, 10), strconv.FormatUint(s.Behind, 10),
			strconv.Itoa(s.Keys + s.Users + s.Principals), strconv.Itoa(s.Sessions),
			strconv.FormatUint(s.Refused, 10), s.Version, s.Trouble})
	}
	var err error
	if out.json {
		err = out.printJSON(info)
	} else {
		_, err = fmt.Fprintf(out.w, "fleet %s, engine %s, revision %d\n", info.Fleet, info.Engine,
			info.Position.Revision)
		if err == nil {
			err = out.table([]string{"SERVER", "STATE", "REPORTED", "FRESH", "REVISION", "BEHIND",
				"CLIENTS", "SESSIONS", "REFUSED", "VERSION", "TROUBLE"}, rows,
				func(row int) bool { return info.Servers[row].State != "ok" })
		}
	}
	if err == nil && !ok {
		return errNo
	}
	return err
}

// ageOf is how long ago something was.
func ageOf(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return max(time.Since(t), 0).Round(time.Second).String() + " ago"
}
