package admin

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/fleet"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// fleetStore has one key, and proves once that this is all.
type fleetStore struct{ proof time.Time }

func (s fleetStore) Follow(ctx context.Context, _ fleet.Position, sink fleet.Sink) error {
	key := fleet.Entry{Kind: fleet.KindKey, Domain: "d", PublicKey: zmqauth.PublicKey{1},
		State: fleet.Granted, Revision: 1}
	sink.Reset([]fleet.Entry{key}, fleet.Position{Epoch: "e", Revision: 7})
	sink.Fresh(s.proof)
	<-ctx.Done()
	return ctx.Err()
}

func (fleetStore) Put(context.Context, fleet.Entry, *uint64) (fleet.Position, error) {
	return fleet.Position{}, errors.ErrUnsupported
}

func (fleetStore) Report(context.Context, string, fleet.Status) error { return nil }

// newMember is a member of a fleet, whose last proof gets as old as old says.
func newMember(t *testing.T) (auth *zmqauth.Authenticator, m *fleet.Member, old *atomic.Int64) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	auth, err := zmqauth.New(testzmq.NewContext(t), &zmqauth.Config{Logger: log})
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, auth.Close()) })
	begun := time.Now()
	old = new(atomic.Int64)
	m, err = fleet.Join(t.Context(), auth, fleetStore{begun}, fleet.Options{Fleet: "f", Server: "s",
		InsecureUnsigned: true, Logger: log, MaxStale: time.Hour,
		Clock: func() time.Time { return begun.Add(time.Duration(old.Load())) }})
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, m.Close()) })
	must.OK(t, auth.Start())
	return auth, m, old
}

// TestFleet: how old a fleet's news are is in the answer of /readyz, in the metrics and in the
// status: before nobody new gets in, and then.
func TestFleet(t *testing.T) {
	auth, member, old := newMember(t)
	s := serveHTTP(t, "127.0.0.1:0", HTTPConfig{Auth: auth, Program: Program{Fleet: member}})
	for _, c := range []struct {
		name    string
		old     time.Duration
		status  int
		says    string
		metrics string
		problem string
	}{
		{"fresh", time.Minute, http.StatusOK, "ok\n", "fresh 1 closed 0 age_seconds 60", ""},
		{"half of the time is over", 30 * time.Minute, http.StatusOK,
			"ok: the fleet's news are old: soon nobody new gets in to its domains\n",
			"fresh 0 closed 0 age_seconds 1800", "the news are 30m0s old, at 1h0m0s nobody new gets in"},
		{"all of it", time.Hour, http.StatusServiceUnavailable,
			"no: the fleet's news are too old: nobody new gets in to its domains\n",
			"fresh 0 closed 1 age_seconds 3600", "the news are 1h0m0s old, nobody new gets in"},
	} {
		old.Store(int64(c.old))
		if answer, text := s.do(t, http.MethodGet, "/readyz"); answer.StatusCode != c.status ||
			text != c.says {
			t.Errorf("%s: %s: %s", c.name, answer.Status, text)
		}
		s.expect(t, c.name, map[string]int{"/healthz": http.StatusOK})
		_, text := s.do(t, http.MethodGet, "/metrics")
		want := strings.Fields(c.metrics + ` entries{kind="key"} 1 entries{kind="user"} 0 revision 7`)
		for i := 0; i < len(want); i += 2 {
			if line := "\nzmqauth_fleet_" + want[i] + " " + want[i+1] + "\n"; !strings.Contains(text, line) {
				t.Errorf("%s: no %s in %s", c.name, line, text)
			}
		}
		out, err := json.Marshal((&Program{Fleet: member}).status(auth))
		must.OK(t, err)
		var shown Status
		must.OK(t, json.Unmarshal(out, &shown))
		f := shown.Fleet
		if shown.Ready != (c.status == http.StatusOK) || !strings.Contains(f.Problem, c.problem) ||
			(f.Problem == "") != (c.problem == "") || f.Age != c.old.Seconds() || f.Keys != 1 {
			t.Errorf("%s: %s", c.name, out)
		}
	}
}
