package acl

import (
	"errors"
	"fmt"
	"testing"
)

func TestPass(t *testing.T) {
	for _, test := range []struct {
		entry string
		match []string // addresses that the entry matches
		other []string // addresses that it does not match
	}{
		{
			"192.0.2.1",
			[]string{"192.0.2.1", "::ffff:192.0.2.1", "::ffff:c000:201"},
			[]string{"192.0.2.2", "::1", "192.0.2.10", "localhost:0:0:1"},
		},
		{"::ffff:192.0.2.1", []string{"192.0.2.1", "::ffff:192.0.2.1"}, []string{"192.0.2.2"}},
		{
			"192.0.2.0/24",
			[]string{"192.0.2.0", "192.0.2.255", "::ffff:192.0.2.7"},
			[]string{"192.0.3.0", "2001:db8::1"},
		},
		{"192.0.2.77/24", []string{"192.0.2.1"}, []string{"192.0.3.77"}},
		{
			"0.0.0.0/0",
			[]string{"0.0.0.0", "255.255.255.255", "::ffff:1.2.3.4"},
			[]string{"::1", "localhost:0:0:1"},
		},
		{"::ffff:10.0.0.0/104", []string{"10.1.2.3", "::ffff:10.1.2.3"}, []string{"11.0.0.1"}},
		{
			"2001:db8::/32",
			[]string{"2001:db8::1", "2001:0DB8:0:0::1"},
			[]string{"2001:db9::1", "32.1.13.184"},
		},
		{"2001:db8::1", []string{"2001:db8::1", "2001:db8:0:0:0:0:0:1"}, []string{"2001:db8::10"}},
		{"fe80::1", []string{"fe80::1", "fe80::1%eth0"}, []string{"fe80::2%eth0"}},
		{
			"ipc",
			[]string{"localhost:1000:100:4321", "localhost", "localhost:::"},
			[]string{"127.0.0.1", "::1"},
		},
		{
			"uid:1000",
			[]string{"localhost:1000:100:4321", "localhost:1000::"},
			[]string{"localhost:1001:1000:1000", "localhost:10000:1:1", "127.0.0.1"},
		},
		{"gid:100", []string{"localhost:1000:100:4321"}, []string{"localhost:100:101:100"}},
		{"pid:4321", []string{"localhost:1000:100:4321"}, []string{"localhost:4321:4321:1"}},
		{"uid:0", []string{"localhost:0:0:1"}, []string{"localhost:1:0:1", "0.0.0.0"}},
	} {
		t.Run(test.entry, func(t *testing.T) {
			for _, kind := range []Kind{Allow, Deny} {
				rules := newRules(t, kind, General, test.entry)
				for _, address := range test.match {
					if got, want := rules.Pass(nil, []byte(address)), kind == Allow; got != want {
						t.Errorf("%v: %s passes: %v, want %v", kind, address, got, want)
					}
				}
				for _, address := range test.other {
					if got, want := rules.Pass(nil, []byte(address)), kind == Deny; got != want {
						t.Errorf("%v: %s passes: %v, want %v", kind, address, got, want)
					}
				}
			}
		})
	}
}

// TestUnreadableAddresses: an unreadable address passes no list.
func TestUnreadableAddresses(t *testing.T) {
	for _, address := range []string{
		"", "example.org", "127.0.0.1:5555", "127.1", "0127.0.0.1", " 127.0.0.1", "127.0.0.1\x00",
		"::ffff:999.0.0.1", "localhost:1:2", "localhost:a:b:c", "localhost:-1:0:0", "localhostess",
		"localhost:1:2:3:4", "localhost:5:6:4294967296", "localhost:0:0:x",
	} {
		for _, kind := range []Kind{Allow, Deny} {
			t.Run(fmt.Sprintf("%q, %v", address, kind), func(t *testing.T) {
				rules := newRules(t, kind, "d", "192.0.2.1", "uid:5", "uid:0", "gid:0", "ipc")
				if rules.Pass([]byte("d"), []byte(address)) {
					t.Error("it passes")
				}
				if !rules.Pass([]byte("another"), []byte(address)) {
					t.Error("it does not pass where there are no rules")
				}
			})
		}
	}
}

// TestUntoldIDs: an IPC peer whose id the system did not tell passes neither a list that denies
// such an id nor one that allows it.
func TestUntoldIDs(t *testing.T) {
	denied := newRules(t, Deny, General, "gid:5")
	allowed := newRules(t, Allow, General, "gid:5")
	for _, test := range []struct {
		address         string
		denied, allowed bool // what passes
	}{
		{"localhost", false, false},
		{"localhost:1::2", false, false},
		{"localhost:1:6:2", true, false},
		{"localhost:1:5:2", false, true},
	} {
		t.Run(test.address, func(t *testing.T) {
			if got := denied.Pass(nil, []byte(test.address)); got != test.denied {
				t.Errorf("denied gid:5: passes: %v, want %v", got, test.denied)
			}
			if got := allowed.Pass(nil, []byte(test.address)); got != test.allowed {
				t.Errorf("allowed gid:5: passes: %v, want %v", got, test.allowed)
			}
		})
	}
}

// TestBadEntriesChangeNothing: after a bad entry the good entries of the same call are not added
// either.
func TestBadEntriesChangeNothing(t *testing.T) {
	for _, entry := range badEntries {
		for _, domain := range []string{General, "d"} {
			for _, kind := range []Kind{Allow, Deny} {
				t.Run(fmt.Sprintf("%q, %q, %v", entry, domain, kind), func(t *testing.T) {
					var rules Rules
					if err := rules.Add(kind, domain, []string{"127.0.0.1", entry}); err == nil {
						t.Error("no error")
					}
					for _, address := range []string{"127.0.0.1", "192.0.2.1"} {
						if !rules.Pass([]byte("d"), []byte(address)) {
							t.Errorf("it left rules behind: %s does not pass", address)
						}
					}
					if err := rules.Add(Allow+Deny-kind, domain, []string{"ipc"}); err != nil {
						t.Errorf("it left a list behind: %v", err)
					}
				})
			}
		}
	}
}

func TestScopesHoldOneKind(t *testing.T) {
	rules := newRules(t, Allow, General, "127.0.0.1", "127.0.0.2")
	if err := rules.Add(Deny, "d", []string{"127.0.0.2"}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, domain string
		kind         Kind
		want         string
	}{
		{"general", General, Deny,
			"a scope holds allowed or denied addresses, not both: this one has an allow list"},
		{"domain", "d", Allow,
			`domain "d": a scope holds allowed or denied addresses, not both: this one has a deny list`},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := rules.Add(test.kind, test.domain, []string{"127.0.0.2"})
			if !errors.Is(err, ErrMixed) || err.Error() != test.want {
				t.Errorf("%v, want %s", err, test.want)
			}
		})
	}
	// The general rules hold, and the domain's besides.
	for _, test := range []struct {
		domain, address string
		want            bool
	}{
		{"d", "127.0.0.1", true}, {"d", "127.0.0.2", false}, {"d", "127.0.0.3", false},
		{"e", "127.0.0.1", true}, {"e", "127.0.0.2", true}, {"e", "127.0.0.3", false},
		{"", "127.0.0.3", false},
	} {
		if got := rules.Pass([]byte(test.domain), []byte(test.address)); got != test.want {
			t.Errorf("domain %q, %s passes: %v", test.domain, test.address, got)
		}
	}
}

// TestManyNetworks: the cost of a look-up does not grow with the number of networks.
func TestManyNetworks(t *testing.T) {
	var entries []string
	for i := range 100_000 {
		entries = append(entries, fmt.Sprintf("10.%d.%d.%d/32", i>>16, i>>8&255, i&255))
	}
	rules := newRules(t, Deny, General, entries...)
	if got := len(rules.general.lengths); got != 1 {
		t.Errorf("%d look-ups for an address, want 1", got)
	}
	if rules.Pass(nil, []byte("10.0.3.5")) || !rules.Pass(nil, []byte("11.0.3.5")) {
		t.Error("the list does not hold")
	}
}

// TestPassAllocatesLittle: every decision calls Pass. It allocates the address as a string and, for
// IPC, the slice of ids.
func TestPassAllocatesLittle(t *testing.T) {
	rules := newRules(t, Deny, General, "10.0.0.0/8", "uid:5", "2001:db9::/32")
	if err := rules.Add(Allow, "d", []string{"192.0.0.0/16", "ipc", "2001:db8::/32"}); err != nil {
		t.Fatal(err)
	}
	for address, limit := range map[string]float64{
		"192.0.2.1":               1,
		"2001:db8::1":             1,
		"10.1.2.3":                1,
		"localhost:1000:100:4321": 2, // and the ids
	} {
		domain, bytes := []byte("d"), []byte(address)
		if n := testing.AllocsPerRun(100, func() { rules.Pass(domain, bytes) }); n > limit {
			t.Errorf("%s: %.0f allocations, at most %.0f are wanted", address, n, limit)
		}
	}
	var none Rules
	if n := testing.AllocsPerRun(100, func() { none.Pass(nil, []byte("192.0.2.1")) }); n != 0 {
		t.Errorf("without rules: %.0f allocations", n)
	}
}

// TestSetAndRemove: a list is replaced, of either kind, and entries are taken out. A copy from
// before stays as it was.
func TestSetAndRemove(t *testing.T) {
	many := func(n int) (entries []string) {
		for i := range n {
			entries = append(entries, fmt.Sprintf("10.1.%d.0/24", i))
		}
		return entries
	}
	tests := map[string]struct {
		change        func(r *Rules) error
		pass, refused []string // addresses, afterwards
	}{
		"a list in place of another": {
			func(r *Rules) error { return r.Set(Allow, General, []string{"10.2.0.0/16"}) },
			[]string{"10.2.3.4"}, []string{"10.1.1.1", "192.0.2.1"}},
		"a list of the other kind": {
			func(r *Rules) error { return r.Set(Deny, General, []string{"10.2.0.0/16"}) },
			[]string{"10.1.1.1", "192.0.2.1"}, []string{"10.2.3.4"}},
		"allowing nobody": {
			func(r *Rules) error { return r.Set(Allow, General, nil) },
			nil, []string{"10.1.1.1", "192.0.2.1"}},
		"denying nobody": {
			func(r *Rules) error { return r.Set(Deny, General, nil) },
			[]string{"10.1.1.1", "192.0.2.1"}, nil},
		"one entry less": {
			func(r *Rules) error { return r.Remove(General, []string{"10.1.1.0/24", "uid:7"}) },
			[]string{"10.1.2.1"}, []string{"10.1.1.1", "192.0.2.1"}},
		"an entry that is not there": {
			func(r *Rules) error { return r.Remove(General, []string{"10.3.0.0/16"}) },
			[]string{"10.1.1.1"}, []string{"192.0.2.1"}},
		"all entries less": {
			func(r *Rules) error { return r.Remove(General, many(40)) },
			nil, []string{"10.1.1.1", "192.0.2.1"}},
		"a domain": {
			func(r *Rules) error { return r.Set(Deny, "d", []string{"10.1.1.1"}) },
			[]string{"10.1.1.2"}, []string{"10.1.1.1", "192.0.2.1"}},
	}
	for _, size := range []int{few, 40} {
		for name, test := range tests {
			t.Run(fmt.Sprintf("%s, of %d", name, size), func(t *testing.T) {
				before := newRules(t, Allow, General, many(size)...)
				after := before.Clone()
				if err := test.change(after); err != nil {
					t.Fatal(err)
				}
				for _, address := range test.pass {
					if !after.Pass([]byte("d"), []byte(address)) {
						t.Errorf("%s is refused", address)
					}
				}
				for _, address := range test.refused {
					if after.Pass([]byte("d"), []byte(address)) {
						t.Errorf("%s passes", address)
					}
				}
				if !before.Pass([]byte("d"), []byte("10.1.1.1")) ||
					before.Pass([]byte("d"), []byte("10.2.3.4")) {
					t.Error("the copy from before has changed")
				}
			})
		}
	}
	rules := newRules(t, Deny, General, "10.1.1.1", "uid:7", "ipc")
	err := rules.Remove(General, []string{"10.1.1.1", "uid:7", "ipc"})
	if kind := rules.general.Kind(); err != nil || kind != None {
		t.Errorf("a deny list without entries is %v, %v", kind, err)
	}
	for name, err := range map[string]error{
		"Set":    rules.Set(Allow, General, []string{"10.1.1.1", "10/8"}),
		"Remove": rules.Remove(General, []string{"10/8"}),
	} {
		if err == nil || !rules.Pass(nil, []byte("10.1.1.1")) {
			t.Errorf("%s with a bad entry: %v", name, err)
		}
	}
}

func BenchmarkPass(b *testing.B) {
	rules := newRules(b, Deny, General, "10.0.0.0/8", "uid:5", "2001:db9::/32")
	if err := rules.Add(Allow, "d", []string{"192.0.0.0/16", "ipc", "2001:db8::/32"}); err != nil {
		b.Fatal(err)
	}
	for _, address := range []string{
		"192.0.2.1", "2001:db8::1", "localhost:1000:100:4321", "example.org",
	} {
		b.Run(address, func(b *testing.B) {
			b.ReportAllocs()
			domain, bytes := []byte("d"), []byte(address)
			for b.Loop() {
				rules.Pass(domain, bytes)
			}
		})
	}
}

func newRules(t testing.TB, kind Kind, domain string, entries ...string) *Rules {
	t.Helper()
	rules := new(Rules)
	if err := rules.Add(kind, domain, entries); err != nil {
		t.Fatal(err)
	}
	return rules
}
