package acl

import (
	"errors"
	"testing"
)

func TestEmptyLists(t *testing.T) {
	peer, err := ParsePeer("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		adds   []Kind // each with no entries
		kind   Kind
		passes bool
	}{
		{"none", nil, None, true},
		{"denying nobody", []Kind{Deny}, None, true},
		{"allowing nobody", []Kind{Allow}, Allow, false},
		{"denying nobody, then allowing nobody", []Kind{Deny, Allow}, Allow, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var list List
			for _, kind := range test.adds {
				if err := list.Add(kind, nil); err != nil {
					t.Fatal(err)
				}
			}
			if list.Kind() != test.kind || list.passes(peer) != test.passes || list.Names(peer) {
				t.Errorf("%v, passes %v, named %v", list.Kind(), list.passes(peer), list.Names(peer))
			}
			if unknown := list.passes(Peer{}); unknown != test.passes {
				t.Errorf("the zero Peer passes: %v", unknown)
			}
		})
	}
}

// TestUnknownPeer: the zero Peer passes no list, whatever its entries are.
func TestUnknownPeer(t *testing.T) {
	entries := []string{"0.0.0.0/0", "::/0", "ipc", "uid:0", "gid:0", "pid:0"}
	for _, kind := range []Kind{Allow, Deny} {
		list := newList(t, kind, entries...)
		if list.passes(Peer{}) || list.Names(Peer{}) != (kind == Deny) {
			t.Errorf("%v: passes %v, named %v", kind, list.passes(Peer{}), list.Names(Peer{}))
		}
	}
}

func TestAddIsAllOrNothing(t *testing.T) {
	list := newList(t, Allow, "192.0.2.1")
	for name, test := range map[string]struct {
		kind    Kind
		entries []string
		mixed   bool
	}{
		"the other kind":                   {Deny, []string{"192.0.2.2"}, true},
		"the other kind, without an entry": {Deny, nil, true},
		"a bad entry":                      {Allow, []string{"192.0.2.2", "ipc", "uid:2", "10/8"}, false},
		"a bad entry of the other kind":    {Deny, []string{"192.0.2.2", "10/8"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := list.Add(test.kind, test.entries)
			if err == nil || errors.Is(err, ErrMixed) != test.mixed {
				t.Errorf("error %v", err)
			}
			if list.Kind() != Allow {
				t.Errorf("it is %v", list.Kind())
			}
			for address, want := range map[string]bool{
				"192.0.2.1": true, "192.0.2.2": false, "localhost:2:2:2": false,
			} {
				peer, err := ParsePeer(address)
				if err != nil || list.Names(peer) != want {
					t.Errorf("%s: %v, %v", address, list.Names(peer), err)
				}
			}
		})
	}
}

func TestKinds(t *testing.T) {
	for kind, want := range map[Kind]string{
		None:  "no list",
		Allow: "an allow list",
		Deny:  "a deny list",
	} {
		if kind.String() != want {
			t.Errorf("%d: %s, want %s", int(kind), kind, want)
		}
	}
}

func newList(t testing.TB, kind Kind, entries ...string) *List {
	t.Helper()
	list := new(List)
	if err := list.Add(kind, entries); err != nil {
		t.Fatal(err)
	}
	return list
}
