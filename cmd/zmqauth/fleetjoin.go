package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth/fleet/natsstore"
	"github.com/zmqauth/zmqauth/internal/fleetfile"
)

// joinInfo is what join has found out.
type joinInfo struct {
	Server  string `json:"server"`
	Fleet   string `json:"fleet"`
	Engine  string `json:"engine"` // that has answered
	Entries int    `json:"entries"`
	Refused int    `json:"refused"` // entries that this server would not take
	File    string `json:"file,omitempty"`
}

func newFleetJoin() *cobra.Command {
	var to, snapshot string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "join FILE [--to FILE]",
		Short: "Check the file of a server, and put it in its place",
		Long: "join runs on a server, with the file that fleet init or add-server has made for it. It\n" +
			"checks that an engine can be reached, that its certificate is right, that it lets this\n" +
			"server in, and that the server can read the fleet and cannot change it. With --to it makes\n" +
			"the file that a policy names (fleet = FILE), with mode 0600. There the server also keeps\n" +
			"what it knows (--snapshot), to start without an engine. Run it as the user of the proxy,\n" +
			"and delete the other copy of the file.",
		Example: "  zmqauth fleet join orders-1.server --to /etc/zmqauth/fleet.conf",
		Args:    cobra.ExactArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			if err := checkTimeout(timeout); err != nil {
				return err
			}
			member, err := fleetfile.ReadMember(args[0])
			if err == nil && member.Role != natsstore.RoleServer {
				err = errors.New(args[0] + ": this is the file of an administrator: keep it off servers")
			}
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeoutCause(cmd.Context(), timeout, errNoAnswer)
			defer cancel()
			info, err := tryMember(ctx, member)
			if err != nil {
				return err
			}
			if to != "" {
				if snapshot == "" {
					snapshot = member.Name + ".snapshot"
				}
				if info.File, err = filepath.Abs(to); err != nil {
					return err
				}
				if err := member.WriteTo(info.File, snapshot); err != nil {
					return err
				}
			}
			return info.print(newOutput(cmd))
		}),
		ValidArgsFunction: completeFirst(cobra.ShellCompDirectiveDefault),
	}
	flags := cmd.Flags()
	flags.StringVar(&to, "to", "", "where the file is to be")
	flags.StringVar(&snapshot, "snapshot", "", "where the server keeps what it knows (default "+
		"NAME.snapshot beside the file); its user must be able to write there")
	flags.DurationVar(&timeout, "timeout", 10*time.Second, "how long all may take")
	addJSON(cmd)
	return cmd
}

// tryMember tries what a server has to be able to do, and what it must not.
func tryMember(ctx context.Context, m *fleetfile.Member) (*joinInfo, error) {
	conn, err := m.Connect(nil, false)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	violations := make(chan error, 1)
	conn.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		select {
		case violations <- err:
		default:
		}
	})
	store, err := m.Store(conn, -1)
	if err != nil {
		return nil, err
	}
	c := &console{member: m, conn: conn, store: store}
	current, refused, err := c.load(ctx)
	if err != nil {
		select {
		case violation := <-violations:
			err = errors.Join(err, violation)
		default:
		}
		return nil, fmt.Errorf("%s is let in, and cannot read the fleet: %w", m.Name, err)
	}
	info := &joinInfo{Server: m.Name, Fleet: m.Fleet, Engine: conn.ConnectedServerName(),
		Entries: len(current), Refused: len(refused)}
	return info, mustNotWrite(ctx, m, conn, violations)
}

// mustNotWrite tries to announce something, which an administrator alone may do. Nobody takes what
// it sends. The engine says at once that it is not allowed.
func mustNotWrite(ctx context.Context, m *fleetfile.Member, conn *nats.Conn,
	violations <-chan error) error {
	if err := conn.Publish(m.Bucket+".notices", nil); err != nil {
		return err
	}
	if err := conn.FlushWithContext(ctx); err != nil {
		return err
	}
	select {
	case err := <-violations:
		if strings.Contains(strings.ToLower(err.Error()), "permissions violation") {
			return nil
		}
		return err
	case <-time.After(time.Second):
		return fmt.Errorf("the engine lets %s announce changes, which is for administrators: its "+
			"permissions are not those of a server", m.Name)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (i *joinInfo) print(out output) error {
	if out.json {
		return out.printJSON(i)
	}
	return out.pairs([][2]string{
		{"server", i.Server},
		{"fleet", i.Fleet},
		{"engine", i.Engine},
		{"entries", fmt.Sprint(i.Entries)},
		{"refused", fmt.Sprint(i.Refused)},
		{"file", i.File},
	}...)
}
