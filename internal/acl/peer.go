package acl

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// Peer is the other end of a connection: an IP address without a port, or a process at the other
// end of an IPC connection. Make one with [ParsePeer]. The zero value is a peer of whom nothing is
// known: it passes only where there are no rules.
type Peer struct {
	ip      netip.Addr // unmapped, without a zone; invalid for a process
	ipc     bool       // a process, which is
	process process
}

// process is the credentials of an IPC peer, each unknownID where the system did not tell.
type process struct{ uid, gid, pid int64 }

const unknownID = -1

// ipcHost is what libzmq has in the place of an address for IPC.
const ipcHost = "localhost"

// ParsePeer reads an address as ZAP has it (RFC 27): 192.0.2.1, 2001:db8::1, fe80::1%eth0,
// ::ffff:192.0.2.1, which is 192.0.2.1, or for IPC localhost:uid:gid:pid. Zones are dropped. Ids
// may be empty, and all of them may be missing: not every system knows them. An address that is
// none of these gives the zero Peer and an error.
func ParsePeer(address string) (Peer, error) {
	if ids, ok := strings.CutPrefix(address, ipcHost); ok {
		process, err := parseProcess(ids)
		if err != nil {
			return Peer{}, err
		}
		return Peer{ipc: true, process: process}, nil
	}
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return Peer{}, err
	}
	return Peer{ip: ip.WithZone("").Unmap()}, nil
}

var errProcess = errors.New("not localhost:uid:gid:pid")

// parseProcess reads ":uid:gid:pid".
func parseProcess(text string) (process, error) {
	p := process{unknownID, unknownID, unknownID}
	if text == "" {
		return p, nil
	}
	parts := strings.Split(text, ":")
	if len(parts) != 4 || parts[0] != "" {
		return p, errProcess
	}
	for i, id := range []*int64{&p.uid, &p.gid, &p.pid} {
		if parts[i+1] == "" {
			continue
		}
		n, err := strconv.ParseUint(parts[i+1], 10, 32)
		if err != nil {
			return p, errProcess
		}
		*id = int64(n)
	}
	return p, nil
}
