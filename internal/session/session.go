// Package session knows who is connected to guarded sockets, and ends the connections of those who
// are not to be connected any more. It knows neither ZAP handlers nor rules.
//
// libzmq says whom it has accepted (the monitor of a socket) and asks who may come in (ZAP), but
// never which of the two belong together. A Table finds out: of the connections from the address of
// a request, the one that got the reply is the one to which the server has written more than it
// writes before a reply. Replies to one address go out one at a time, so that there is one such
// connection. Where that cannot be told (IPC, GSSAPI), the connections of an address form a group,
// which is cut together.
package session

import (
	"net/netip"
	"strings"
	"time"
)

// Session is somebody who was let in, on one connection.
type Session struct {
	ID                        uint64
	Domain, Mechanism, UserID string
	Client                    netip.AddrPort // of TCP, else zero
	Peer                      string         // of IPC: uid:gid:pid, else empty
	Since                     time.Time
	Expires                   time.Time // zero: never
	Exact                     bool      // the connection is known; false: it is one of a group
	// Proof is the owner's: by what the session was let in. It is comparable, and equal for sessions
	// that are judged alike.
	Proof any
}

// The mechanisms as ZAP names them (RFC 27).
const (
	mechanismNull   = "NULL"
	mechanismPlain  = "PLAIN"
	mechanismCurve  = "CURVE"
	mechanismGSSAPI = "GSSAPI"
)

// beforeReply is how many bytes a server writes on a connection before it has a reply: the greeting
// (RFC 37), and with CURVE the WELCOME in a frame (RFC 26). 0: that varies.
func beforeReply(mechanism string) uint64 {
	const greeting, welcome = 64, 170
	switch mechanism {
	case mechanismNull, mechanismPlain:
		return greeting
	case mechanismCurve:
		return greeting + welcome
	}
	return 0
}

const ipcPrefix = "localhost:"

func isIPC(address string) bool { return strings.HasPrefix(address, ipcPrefix) }

// normalAddress is the address of a ZAP request in the form of originOf: without the prefix of
// IPv4-mapped addresses, and without a zone.
func normalAddress(address string) string {
	if isIPC(address) {
		return address
	}
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	return addr.Unmap().WithZone("").String()
}
