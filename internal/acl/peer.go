package acl

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// Peer is the remote end of a connection. It is an IP address without a port, or the process at the
// other end of an IPC connection. Make one with [ParsePeer]. Nothing is known of the zero value: it
// passes only if there are no lists.
type Peer struct {
	ip      netip.Addr // unmapped, without a zone; invalid for a process
	ipc     bool       // the peer is a process
	process process
}

// process is the credentials of an IPC peer. Those that the system did not tell are unknownID.
type process struct{ uid, gid, pid int64 }

const unknownID = -1

// ipcHost is what libzmq reports in place of an IP address for IPC.
const ipcHost = "localhost"

// ParsePeer reads the address of a ZAP request (RFC 27). That is an IP address such as 192.0.2.1,
// 2001:db8::1, fe80::1%eth0 or ::ffff:192.0.2.1, which means 192.0.2.1, or localhost:uid:gid:pid
// for IPC. Zones are ignored. Ids may be empty, and all three may be missing, because not every
// system knows them. Any other address gives the zero Peer and an error.
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
