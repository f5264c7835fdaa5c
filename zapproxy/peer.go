package zapproxy

import (
	"context"
	"log/slog"
	"slices"
	"strconv"

	"github.com/zmqauth/zmqauth"
)

// Peer is who asks: the process or the host at the other end of a link.
type Peer struct {
	Program string // its name in the rules; "": there are no rules

	// Of a process that has come by a Unix socket, from the kernel as of its connection. -1 for one
	// that has come by TCP.
	UID, GID, PID int
	Groups        []int // the supplementary groups

	Key     zmqauth.PublicKey // of one that has come by TCP; else zero
	Address string            // the same: host and port; "" for a process
}

// String describes the peer, for logs.
func (p Peer) String() string {
	text := "uid " + strconv.Itoa(p.UID) + " pid " + strconv.Itoa(p.PID)
	if p.Address != "" {
		text = "key " + p.Key.String() + " at " + p.Address
	}
	if p.Program != "" {
		text = p.Program + " (" + text + ")"
	}
	return text
}

// LogValue is the peer as attributes of a log.
func (p Peer) LogValue() slog.Value {
	var attrs []slog.Attr
	if p.Program != "" {
		attrs = append(attrs, slog.String("program", p.Program))
	}
	if p.Address != "" {
		attrs = append(attrs, slog.String("key", p.Key.String()), slog.String("address", p.Address))
	} else {
		attrs = append(attrs, slog.Int("uid", p.UID), slog.Int("pid", p.PID))
	}
	return slog.GroupValue(attrs...)
}

// in tells whether the process is in a group.
func (p *Peer) in(gid int) bool { return p.GID == gid || slices.Contains(p.Groups, gid) }

type peerKey struct{}

// PeerFrom is who asks, from the context that a [Handler] gets. ok is false in another context.
func PeerFrom(ctx context.Context) (p Peer, ok bool) {
	p, ok = ctx.Value(peerKey{}).(Peer)
	return p, ok
}
