package acl

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"
)

func TestParsePeer(t *testing.T) {
	ip := func(text string) Peer { return Peer{ip: netip.MustParseAddr(text)} }
	ipc := func(uid, gid, pid int64) Peer { return Peer{ipc: true, process: process{uid, gid, pid}} }
	for address, want := range map[string]Peer{
		"192.0.2.1":                      ip("192.0.2.1"),
		"::ffff:192.0.2.1":               ip("192.0.2.1"),
		"::ffff:192.0.2.1%eth0":          ip("192.0.2.1"),
		"2001:0DB8:0:0::1":               ip("2001:db8::1"),
		"fe80::1%eth0":                   ip("fe80::1"),
		"localhost":                      ipc(-1, -1, -1),
		"localhost:::":                   ipc(-1, -1, -1),
		"localhost:0:0:1":                ipc(0, 0, 1),
		"localhost:1000::4321":           ipc(1000, -1, 4321),
		"localhost:4294967295:1:2":       ipc(4294967295, 1, 2),
		"localhost:4294967296:1:2":       {},
		"localhost:1:2":                  {},
		"localhost:1:2:x":                {},
		"localhost:1:-1:2":               {},
		"localhostess":                   {},
		"":                               {},
		"example.org":                    {},
		"192.0.2.1:5555":                 {},
		"192.0.2.1\x00":                  {},
		"LOCALHOST":                      {},
		" localhost":                     {},
		"localhost:1:2:3:4":              {},
		"localhost 1:2:3":                {},
		"localhost:0x1:2:3":              {},
		"localhost:+1:2:3":               {},
		"localhost:1:2:3 ":               {},
		"localhost:1_000:2:3":            {},
		"localhost:01:02:03":             ipc(1, 2, 3),
		"0:0:0:0:0:ffff:c000:0201":       ip("192.0.2.1"),
		"0000:0000::ffff:192.0.2.1%lo":   ip("192.0.2.1"),
		"localhost:18446744073709551617": {},
	} {
		t.Run(address, func(t *testing.T) {
			got, err := ParsePeer(address)
			if got != want || (err != nil) != (want == Peer{}) {
				t.Errorf("%+v, %v, want %+v", got, err, want)
			}
		})
	}
}

// FuzzPeerAddress: whatever the address, nobody passes a list that denies everybody, and only the
// members of a network pass a list that allows it.
func FuzzPeerAddress(f *testing.F) {
	everybody := newList(f, Deny, "0.0.0.0/0", "::/0", "ipc")
	network := newList(f, Allow, "192.0.2.0/24", "uid:1000")
	f.Fuzz(func(t *testing.T, address string) {
		p, err := ParsePeer(address)
		if everybody.passes(p) {
			t.Fatalf("%q passes where everybody is denied", address)
		}
		ip, _ := netip.ParseAddr(address)
		inNetwork := ip.Unmap().Is4() && strings.HasPrefix(ip.Unmap().String(), "192.0.2.")
		may := inNetwork || isUser(address, "1000")
		if got := network.passes(p); got != may {
			t.Fatalf("%q passes: %v", address, got)
		}
		local := strings.HasPrefix(address, "localhost")
		if err == nil && (p.ip.IsValid() == local || p.ipc != local) || err != nil && p != (Peer{}) {
			t.Fatalf("%q became %+v, %v", address, p, err)
		}
	})
}

// isUser tells whether an address is localhost:uid:gid:pid with the given uid. gid and pid are
// numbers or empty.
func isUser(address, uid string) bool {
	parts := strings.Split(address, ":")
	for _, part := range parts[1:] {
		if _, err := strconv.ParseUint(part, 10, 32); err != nil && part != "" {
			return false
		}
	}
	return len(parts) == 4 && parts[0] == "localhost" && strings.TrimLeft(parts[1], "0") == uid
}
