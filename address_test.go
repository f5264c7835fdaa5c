package zmqauth

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
)

func TestAddressRules(t *testing.T) {
	for _, test := range []struct {
		entry string
		match []string // addresses that the entry names
		other []string // and some that it does not
	}{
		{"192.0.2.1", []string{"192.0.2.1", "::ffff:192.0.2.1", "::ffff:c000:201"}, []string{"192.0.2.2", "::1", "192.0.2.10", "localhost:0:0:1"}},
		{"::ffff:192.0.2.1", []string{"192.0.2.1", "::ffff:192.0.2.1"}, []string{"192.0.2.2"}},
		{"192.0.2.0/24", []string{"192.0.2.0", "192.0.2.255", "::ffff:192.0.2.7"}, []string{"192.0.3.0", "2001:db8::1"}},
		{"192.0.2.77/24", []string{"192.0.2.1"}, []string{"192.0.3.77"}},
		{"0.0.0.0/0", []string{"0.0.0.0", "255.255.255.255", "::ffff:1.2.3.4"}, []string{"::1", "localhost:0:0:1"}},
		{"::ffff:10.0.0.0/104", []string{"10.1.2.3", "::ffff:10.1.2.3"}, []string{"11.0.0.1"}},
		{"2001:db8::/32", []string{"2001:db8::1", "2001:0DB8:0:0::1"}, []string{"2001:db9::1", "32.1.13.184"}},
		{"2001:db8::1", []string{"2001:db8::1", "2001:db8:0:0:0:0:0:1"}, []string{"2001:db8::10"}},
		{"fe80::1", []string{"fe80::1", "fe80::1%eth0"}, []string{"fe80::2%eth0"}},
		{"ipc", []string{"localhost:1000:100:4321", "localhost", "localhost:::"}, []string{"127.0.0.1", "::1"}},
		{"uid:1000", []string{"localhost:1000:100:4321", "localhost:1000::"}, []string{"localhost:1001:1000:1000", "localhost:10000:1:1", "127.0.0.1"}},
		{"gid:100", []string{"localhost:1000:100:4321"}, []string{"localhost:100:101:100"}},
		{"pid:4321", []string{"localhost:1000:100:4321"}, []string{"localhost:4321:4321:1"}},
		{"uid:0", []string{"localhost:0:0:1"}, []string{"localhost:1:0:1", "0.0.0.0"}},
	} {
		t.Run(test.entry, func(t *testing.T) {
			for _, kind := range []listKind{allowList, denyList} {
				var rules addressRules
				must(t, rules.add(kind, AnyDomain, []string{test.entry}))
				for _, address := range test.match {
					if got, want := rules.pass(nil, []byte(address)), kind == allowList; got != want {
						t.Errorf("%v: %s passes: %v, want %v", kind, address, got, want)
					}
				}
				for _, address := range test.other {
					if got, want := rules.pass(nil, []byte(address)), kind == denyList; got != want {
						t.Errorf("%v: %s passes: %v, want %v", kind, address, got, want)
					}
				}
			}
		})
	}
}

// TestUnreadableAddresses: where rules exist, an address that cannot be read is refused, and so is an IPC peer whose
// denied property the system did not tell.
func TestUnreadableAddresses(t *testing.T) {
	for _, address := range []string{"", "example.org", "127.0.0.1:5555", "127.1", "0127.0.0.1", "localhost:1:2", "localhost:a:b:c",
		"localhost:-1:0:0", "localhostess", "localhost:1:2:3:4", " 127.0.0.1", "127.0.0.1\x00", "::ffff:999.0.0.1"} {
		for _, kind := range []listKind{allowList, denyList} {
			var rules addressRules
			must(t, rules.add(kind, "d", []string{"192.0.2.1", "uid:5"}))
			if rules.pass([]byte("d"), []byte(address)) {
				t.Errorf("%v: %q passes", kind, address)
			}
			if !rules.pass([]byte("another"), []byte(address)) {
				t.Errorf("%v: %q does not pass where there are no rules", kind, address)
			}
		}
	}
	var rules addressRules
	must(t, rules.add(denyList, AnyDomain, []string{"gid:5"}))
	for address, want := range map[string]bool{"localhost": false, "localhost:1::2": false, "localhost:1:6:2": true, "localhost:1:5:2": false} {
		if got := rules.pass(nil, []byte(address)); got != want {
			t.Errorf("denied gid:5: %q passes: %v, want %v", address, got, want)
		}
	}
}

// TestBadEntriesChangeNothing: neither for themselves nor for the good ones beside them.
func TestBadEntriesChangeNothing(t *testing.T) {
	for _, entry := range []string{"", "*", "example.org", "127.0.0.1:5555", "127.0.0.256", "127.0.0.1/33", "10/8", "::1/129", "::ffff:0:0/90",
		"fe80::1%eth0", "uid:", "uid:-1", "uid:root", "uid:4294967296", "ipc:1", "IPC", "tcp://127.0.0.1", "127.0.0.1 ", "fe80::%eth0/64"} {
		for _, name := range []string{"Allow", "Deny", "AllowDomain", "DenyDomain"} {
			a := newAuthenticator(t, Config{})
			add := map[string]func(...string) error{
				"Allow": a.Allow, "Deny": a.Deny,
				"AllowDomain": func(e ...string) error { return a.AllowDomain("d", e...) },
				"DenyDomain":  func(e ...string) error { return a.DenyDomain("d", e...) },
			}[name]
			if err := add("127.0.0.1", entry); err == nil {
				t.Errorf("%s(127.0.0.1, %q): no error", name, entry)
			}
			for _, address := range []string{"127.0.0.1", "192.0.2.1"} {
				if status, _ := ask(t, a, zapRequest("d", address, "NULL")); status != "200" {
					t.Errorf("%s(127.0.0.1, %q) left rules behind: %s gets %s", name, entry, address, status)
				}
			}
		}
	}
}

func TestScopesHoldOneKind(t *testing.T) {
	a := newAuthenticator(t, Config{})
	must(t, a.Allow("127.0.0.1", "127.0.0.2"))
	if err := a.Deny("127.0.0.1"); !errors.Is(err, errMixedLists) {
		t.Errorf("Deny after Allow: %v", err)
	}
	must(t, a.DenyDomain("d", "127.0.0.2"))
	if err := a.AllowDomain("d", "127.0.0.2"); !errors.Is(err, errMixedLists) {
		t.Errorf("AllowDomain after DenyDomain: %v", err)
	}
	if err := a.DenyDomain(AnyDomain, "127.0.0.1"); !errors.Is(err, errMixedLists) {
		t.Errorf("DenyDomain of any domain after Allow: %v", err)
	}
	// The general rules hold, and the domain's besides.
	for _, test := range []struct{ domain, address, want string }{
		{"d", "127.0.0.1", "200"}, {"d", "127.0.0.2", "400"}, {"d", "127.0.0.3", "400"},
		{"e", "127.0.0.1", "200"}, {"e", "127.0.0.2", "200"}, {"e", "127.0.0.3", "400"}, {"", "127.0.0.3", "400"},
	} {
		if status, _ := ask(t, a, zapRequest(test.domain, test.address, "NULL")); status != test.want {
			t.Errorf("domain %q, %s: status %s, want %s", test.domain, test.address, status, test.want)
		}
	}
	a.ResetAddresses()
	must(t, a.Deny("192.0.2.1"))
	if status, _ := ask(t, a, zapRequest("d", "127.0.0.2", "NULL")); status != "200" {
		t.Errorf("status %s after ResetAddresses", status)
	}
}

func TestEmptyLists(t *testing.T) {
	a := newAuthenticator(t, Config{})
	must(t, a.Deny())
	if status, _ := ask(t, a, nullRequest()); status != "200" {
		t.Errorf("denying nobody: status %s", status)
	}
	must(t, a.Allow())
	if status, _ := ask(t, a, nullRequest()); status != "400" {
		t.Errorf("allowing nobody: status %s", status)
	}
}

// TestManyNetworks: what an address costs does not grow with the number of networks.
func TestManyNetworks(t *testing.T) {
	var rules addressRules
	var entries []string
	for i := range 100_000 {
		entries = append(entries, fmt.Sprintf("10.%d.%d.%d/32", i>>16, i>>8&255, i&255))
	}
	must(t, rules.add(denyList, AnyDomain, entries))
	if got := len(rules.general.bits); got != 1 {
		t.Errorf("%d look-ups for an address, want 1", got)
	}
	if rules.pass(nil, []byte("10.0.3.5")) || !rules.pass(nil, []byte("11.0.3.5")) {
		t.Error("the list does not hold")
	}
}

// FuzzPeerAddress: whatever libzmq says, a list that denies everybody lets nobody pass, and one that allows a network
// only those that are in it.
func FuzzPeerAddress(f *testing.F) {
	var everybody, network addressList
	must(f, everybody.add(denyList, []string{"0.0.0.0/0", "::/0", "ipc"}))
	must(f, network.add(allowList, []string{"192.0.2.0/24", "uid:1000"}))
	f.Fuzz(func(t *testing.T, address string) {
		p, err := parsePeer(address)
		if everybody.passes(p, err == nil) {
			t.Fatalf("%q passes where everybody is denied", address)
		}
		ip, _ := netip.ParseAddr(address)
		may := ip.Unmap().Is4() && strings.HasPrefix(ip.Unmap().String(), "192.0.2.") || isUser(address, "1000")
		if got := network.passes(p, err == nil); got != may {
			t.Fatalf("%q passes: %v", address, got)
		}
		if err == nil && p.ip.IsValid() == strings.HasPrefix(address, "localhost") {
			t.Fatalf("%q became %+v", address, p)
		}
	})
}

// isUser tells whether an address is localhost:uid:gid:pid, of that user, each a number or, the others, missing.
func isUser(address, uid string) bool {
	parts := strings.Split(address, ":")
	for _, part := range parts[1:] {
		if _, err := strconv.ParseUint(part, 10, 32); err != nil && part != "" {
			return false
		}
	}
	return len(parts) == 4 && parts[0] == "localhost" && strings.TrimLeft(parts[1], "0") == uid
}

// FuzzAddressRule: an entry that is taken means something, and the same when it is written anew.
func FuzzAddressRule(f *testing.F) {
	f.Fuzz(func(t *testing.T, entry string) {
		var allowed, denied addressList
		rule, err := parseRule(entry)
		if err != nil {
			if !strings.Contains(err.Error(), strconv.Quote(entry)) {
				t.Fatalf("%q: the error does not name it: %v", entry, err)
			}
			if allowed.add(allowList, []string{"192.0.2.1", entry}) == nil || allowed.kind != noList {
				t.Fatalf("%q: the list takes it", entry)
			}
			return
		}
		must(t, errors.Join(allowed.add(allowList, []string{entry}), denied.add(denyList, []string{entry})))
		again, member := "ipc", peer{ipc: processCredentials{1, 1, 1}}
		switch rule.ipc {
		case "":
			again, member = rule.network.String(), peer{ip: rule.network.Addr()}
			if rule.network != rule.network.Masked() || rule.network.Addr().Is4In6() || rule.network.Addr().Zone() != "" {
				t.Fatalf("%q became %v", entry, rule.network)
			}
		case ipcUID, ipcGID, ipcPID:
			again = fmt.Sprintf("%s:%d", rule.ipc, rule.id)
			member = peer{ipc: processCredentials{rule.id, rule.id, rule.id}}
		}
		if same, err := parseRule(again); err != nil || same != rule {
			t.Fatalf("%q became %q: %+v, %v", entry, again, same, err)
		}
		if !allowed.passes(member, true) || denied.passes(member, true) {
			t.Fatalf("%q does not mean %+v", entry, member)
		}
	})
}
