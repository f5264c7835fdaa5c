package acl

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// badEntries are texts that are not entries.
var badEntries = []string{
	"", "*", "example.org", "127.0.0.1:5555", "127.0.0.256", "127.0.0.1/33", "10/8", "::1/129",
	"::ffff:0:0/90", "fe80::1%eth0", "uid:", "uid:-1", "uid:root", "uid:4294967296", "ipc:1", "IPC",
	"tcp://127.0.0.1", "127.0.0.1 ", "fe80::%eth0/64",
}

func TestCheckEntry(t *testing.T) {
	for _, entry := range badEntries {
		if err := CheckEntry(entry); err == nil || !strings.Contains(err.Error(), strconv.Quote(entry)) {
			t.Errorf("%q: %v", entry, err)
		}
	}
	const noAddress = "not an IPv4 or IPv6 address, a network (address/bits), " +
		"ipc, uid:N, gid:N or pid:N"
	for entry, want := range map[string]string{
		"192.0.2.1": "", "10.0.0.0/8": "", "2001:db8::/32": "", "ipc": "", "uid:0": "", "gid:10": "",
		"pid:4294967295": "", "::ffff:10.0.0.0/104": "",

		"10/8":          `address "10/8": ` + noAddress,
		"localhost":     `address "localhost": ` + noAddress,
		"fe80::1%eth0":  `address "fe80::1%eth0": a zone cannot be told apart here, leave it out`,
		"gid:staff":     `address "gid:staff": gid:N wants a whole number`,
		"::ffff:0:0/90": `address "::ffff:0:0/90": an IPv4-mapped network has at least 96 bits`,
	} {
		got := ""
		if err := CheckEntry(entry); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", entry, got, want)
		}
	}
}

// FuzzAddressRule: an accepted entry matches some peer, and means the same in its normal spelling.
func FuzzAddressRule(f *testing.F) {
	f.Fuzz(func(t *testing.T, entry string) {
		r, err := parseRule(entry)
		if check := CheckEntry(entry); (check == nil) != (err == nil) {
			t.Fatalf("%q: %v, CheckEntry says %v", entry, err, check)
		}
		if err != nil {
			if !strings.Contains(err.Error(), strconv.Quote(entry)) {
				t.Fatalf("%q: the error does not name it: %v", entry, err)
			}
			var list List
			if list.Add(Allow, []string{"192.0.2.1", entry}) == nil || list.Kind() != None {
				t.Fatalf("%q: the list takes it", entry)
			}
			return
		}
		again, member := "ipc", Peer{ipc: true, process: process{1, 1, 1}}
		switch r.ipc {
		case "":
			again, member = r.network.String(), Peer{ip: r.network.Addr()}
			ip := r.network.Addr()
			if r.network != r.network.Masked() || ip.Is4In6() || ip.Zone() != "" {
				t.Fatalf("%q became %v", entry, r.network)
			}
		case ipcUID, ipcGID, ipcPID:
			again = fmt.Sprintf("%s:%d", r.ipc, r.id)
			member = Peer{ipc: true, process: process{r.id, r.id, r.id}}
		}
		if same, err := parseRule(again); err != nil || same != r {
			t.Fatalf("%q became %q: %+v, %v", entry, again, same, err)
		}
		if !newList(t, Allow, entry).passes(member) || newList(t, Deny, entry).passes(member) {
			t.Fatalf("%q does not mean %+v", entry, member)
		}
	})
}
