package relay

import (
	"net/netip"
	"testing"

	"github.com/zmqauth/zmqauth/internal/acl"
)

// TestTable: each client has an address of its own, in its domain alone; others are nobody's.
func TestTable(t *testing.T) {
	var table Table
	if _, dialled := table.Find([]byte("d"), []byte("127.20.0.1")); dialled {
		t.Error("an address is a front's before there is one")
	}
	table.Open("d")
	table.Open("e")
	seen := make(map[netip.Addr]bool)
	for range 1000 {
		c := &Client{Domain: "d"}
		addr, ok := table.Add(c)
		if !ok || seen[addr] || !isDialled(addr) {
			t.Fatalf("%v, %v", addr, ok)
		}
		seen[addr] = true
		for _, text := range []string{addr.String(), "::ffff:" + addr.String()} {
			if found, dialled := table.Find([]byte("d"), []byte(text)); found != c || !dialled {
				t.Errorf("%s: %v, %v", text, found, dialled)
			}
		}
		if found, dialled := table.Find([]byte("e"), []byte(addr.String())); found != nil || !dialled {
			t.Errorf("in another domain: %v, %v", found, dialled)
		}
		if _, dialled := table.Find([]byte("f"), []byte(addr.String())); dialled {
			t.Error("in a domain without a front")
		}
		table.Remove(addr)
		if found, dialled := table.Find([]byte("d"), []byte(addr.String())); found != nil || !dialled {
			t.Errorf("after its end: %v, %v", found, dialled)
		}
	}
}

// TestRange: which addresses are fronts'.
func TestRange(t *testing.T) {
	for text, want := range map[string]bool{
		"127.16.0.0": true, "127.255.255.254": true, "127.15.255.255": false, "127.0.0.1": false,
		"127.255.255.255": false, "128.16.0.0": false, "::1": false, "::7f10:0": false,
	} {
		if got := isDialled(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// TestTurns: an address is used again as late as can be, and never twice at once.
func TestTurns(t *testing.T) {
	var table Table
	table.Open("d")
	table.next = last - 1
	var got []string
	for range 4 {
		addr, _ := table.Add(&Client{Domain: "d"})
		got = append(got, addr.String())
	}
	table.next = last
	addr, _ := table.Add(&Client{Domain: "d"})
	got = append(got, addr.String())
	want := []string{"127.255.255.253", "127.255.255.254", "127.16.0.0", "127.16.0.1", "127.16.0.2"}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%v, want %v", got, want)
			break
		}
	}
}

// TestRules: who watches is told of other rules before SetRules returns, and not of the same.
func TestRules(t *testing.T) {
	var table Table
	if table.Rules() != nil {
		t.Error("there are rules")
	}
	told := 0
	stop := table.Watch(func() { told++ })
	table.Watch(func() {})
	for i, rules := range []*acl.Rules{new(acl.Rules), new(acl.Rules)} {
		for range 2 {
			table.SetRules(rules)
		}
		if told != i+1 || table.Rules() != rules {
			t.Errorf("told %d times, want %d", told, i+1)
		}
	}
	stop()
	table.SetRules(nil)
	if told != 2 {
		t.Error("told after the end")
	}
}
