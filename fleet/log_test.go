package fleet

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
)

// TestLog: a log gives back what was read and added, in order, of each server the last report, and
// keeps nothing of what it was given.
func TestLog(t *testing.T) {
	var values []Value
	var want []string
	for key, e := range validEntries() {
		if e.Name == "\x00a?" {
			continue
		}
		text, err := e.Encode()
		must.OK(t, err)
		values, want = append(values, Value{key, text}), append(want, key+" "+string(text))
	}
	values = append(values, Value{"server.s-1", []byte(`{"report":{"version":"2"}}`)},
		Value{"c.d", []byte("secret")}, Value{"server.s-1", []byte(`{}`)})
	log := new(Log)
	log.Read(values)
	for _, v := range values {
		clear(v.Text)
	}
	e := keyEntry(1)
	e.State, e.Revision = Granted, 1
	log.Add(e, Entry{Kind: KindKey})
	log.Grow(10)
	all := slices.Collect(log.Entries())
	if log.Len() != len(all) || len(all) != len(want)+4 {
		t.Fatalf("%d entries, %d of them", log.Len(), len(all))
	}
	for i, w := range want {
		text, err := all[i].Encode()
		must.OK(t, err)
		if got := all[i].Key() + " " + string(text); got != w &&
			(all[i].Kind != KindServer || all[i].Report.Version != "2") {
			t.Errorf("%s\nnot\n%s", got, w)
		}
	}
	for i, key := range map[int]string{0: "c.d", 1: "server.s-1", 3: "c.=."} {
		got := all[len(want)+i]
		if !strings.HasPrefix(got.Key(), key) || got.Err() == nil {
			t.Errorf("%v, with the error %v", got, got.Err())
		}
	}
	if got := all[len(want)+2]; got.Key() != e.Key() || got.Err() != nil || got.State != Granted {
		t.Errorf("%v, with the error %v", got, got.Err())
	}
	for range log.Entries() {
		break
	}
}

// TestLogHidesHash: no way of showing a log or a value shows a hash.
func TestLogHidesHash(t *testing.T) {
	const key = "u.a_-b.YW5u"
	text, err := validEntries()[key].Encode()
	must.OK(t, err)
	log, v := new(Log), Value{key, text}
	log.Read([]Value{v})
	shown := fmt.Sprintf("%v %+v %#v %s %q %v %v %+v %s", log, log, log, log, log, *log, v, v, &v)
	if strings.Contains(shown, "$2y$") || strings.Contains(shown, fmt.Sprint([]byte("$2y$"))) ||
		!strings.Contains(shown, "1 entries "+key) {
		t.Errorf("it is shown: %s", shown)
	}
}
