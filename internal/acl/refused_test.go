package acl

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// TestRefused: of the network around an address nobody passes.
func TestRefused(t *testing.T) {
	deny, allow := Deny, Allow
	type scope struct {
		kind    Kind
		entries []string
	}
	for _, c := range []struct {
		name            string
		general, domain scope
		ip, want        string // empty: it passes
	}{
		{"no rules", scope{}, scope{}, "192.0.2.1", ""},
		{"denied", scope{deny, []string{"192.0.2.1"}}, scope{}, "192.0.2.1", "192.0.2.1/32"},
		{"not denied", scope{deny, []string{"192.0.2.1"}}, scope{}, "192.0.2.2", ""},
		{"mapped", scope{deny, []string{"192.0.2.0/24"}}, scope{}, "::ffff:192.0.2.1", "192.0.2.0/24"},
		{"with a zone", scope{deny, []string{"fe80::/10"}}, scope{}, "fe80::1%1", "fe80::/10"},
		{"the widest", scope{deny, []string{"10.0.0.0/8", "10.1.0.0/16", "10.1.2.3"}}, scope{},
			"10.1.2.3", "10.0.0.0/8"},
		{"the wider scope", scope{deny, []string{"10.1.0.0/16"}}, scope{deny, []string{"10.0.0.0/8"}},
			"10.1.2.3", "10.0.0.0/8"},
		{"the domain's", scope{}, scope{deny, []string{"10.0.0.0/8"}}, "10.1.2.3", "10.0.0.0/8"},
		{"all", scope{deny, []string{"0.0.0.0/0"}}, scope{}, "10.1.2.3", "0.0.0.0/0"},
		{"the other family", scope{deny, []string{"0.0.0.0/0"}}, scope{}, "2001:db8::1", ""},
		{"nobody allowed", scope{allow, nil}, scope{}, "2001:db8::1", "::/0"},
		{"allowed", scope{allow, []string{"127.10.0.0/16"}}, scope{}, "127.10.0.1", ""},
		{"beside", scope{allow, []string{"127.10.0.0/16"}}, scope{}, "127.11.0.1", "127.11.0.0/16"},
		{"near", scope{allow, []string{"127.10.0.0/16"}}, scope{}, "127.9.0.1", "127.8.0.0/15"},
		{"far", scope{allow, []string{"127.10.0.0/16"}}, scope{}, "192.0.2.1", "128.0.0.0/1"},
		{"none of its family", scope{allow, []string{"127.10.0.0/16"}}, scope{}, "::1", "::/0"},
		{"next to an address", scope{allow, []string{"::2", "::8"}}, scope{}, "::3", "::3/128"},
		{"an allowed one in a denied network",
			scope{deny, []string{"10.0.0.0/8"}}, scope{allow, []string{"10.1.0.0/16"}},
			"10.1.2.3", "10.0.0.0/8"},
		{"a process", scope{allow, []string{"ipc"}}, scope{}, "10.1.2.3", "0.0.0.0/0"},
		{"a process denied", scope{deny, []string{"ipc", "uid:3"}}, scope{}, "10.1.2.3", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			rules := new(Rules)
			for name, s := range map[string]scope{General: c.general, "d": c.domain} {
				if s.kind == None {
					continue
				}
				if err := rules.Add(s.kind, name, s.entries); err != nil {
					t.Fatal(err)
				}
			}
			got, ok := rules.Refused("d", netip.MustParseAddr(c.ip))
			if ok != (c.want != "") || ok && got.String() != c.want {
				t.Errorf("%v, %v, want %q", got, ok, c.want)
			}
		})
	}
	if _, ok := (*Rules)(nil).Refused("d", netip.IPv6Loopback()); ok {
		t.Error("nil rules refuse somebody")
	}
}

// TestRefusedNobodyPasses: whatever the lists, every address of the network is refused. That one
// bit less of an allow list is not says that the network is as wide as can be.
func TestRefusedNobodyPasses(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	ip := func() netip.Addr { // of a few, so that there are hits
		return netip.AddrFrom4([4]byte{10, 0, byte(random.IntN(4)), byte(random.IntN(256))})
	}
	refused := 0
	for range 300 {
		rules := new(Rules)
		entries := make([]string, 1+random.IntN(2*few))
		for i := range entries {
			entries[i] = netip.PrefixFrom(ip(), 22+random.IntN(11)).String()
		}
		kind := Kind(1 + random.IntN(2))
		if err := rules.Add(kind, General, entries); err != nil {
			t.Fatal(err)
		}
		addr := ip()
		network, ok := rules.Refused("d", addr)
		if ok == rules.Pass([]byte("d"), []byte(addr.String())) {
			t.Fatalf("%v of %v %v: %v", addr, kind, entries, ok)
		}
		if !ok {
			continue
		}
		refused++
		if passing(rules, network) || !network.Contains(addr) {
			t.Fatalf("%v in %v of %v %v", addr, network, kind, entries)
		}
		wider, err := addr.Prefix(max(network.Bits()-1, 0))
		if err != nil || kind == Allow && network.Bits() > 22 && !passing(rules, wider) {
			t.Fatalf("%v in %v of %v %v: %v", addr, network, kind, entries, wider)
		}
	}
	if refused < 50 {
		t.Errorf("%d are refused", refused)
	}
}

// passing tells whether somebody of a network passes, of at most 1,024 addresses.
func passing(rules *Rules, network netip.Prefix) bool {
	bytes := network.Masked().Addr().As4()
	from := binary.BigEndian.Uint32(bytes[:])
	for i := range uint32(1) << (32 - max(network.Bits(), 22)) {
		ip := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, from+i)))
		if rules.Pass([]byte("d"), []byte(ip.String())) {
			return true
		}
	}
	return false
}
