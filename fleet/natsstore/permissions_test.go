package natsstore_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zmqauth/zmqauth/fleet"
	"github.com/zmqauth/zmqauth/fleet/internal/testfleet"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

func TestMain(m *testing.M) { testfleet.Main(m) }

// TestPermissions: with a server's credentials nobody can write, forge, play back, or listen to
// what is not his, and he can do all that a server needs.
func TestPermissions(t *testing.T) {
	engines := testfleet.NewEngines(t, 1, "s1", "s2")
	admin, root := engines.Store("admin", -1)
	position := grant(t, admin, 1)
	_, err := admin.Put(t.Context(), entry(t, 1, fleet.Revoked, 2), nil)
	must.OK(t, err)
	store, conn := engines.Store("s1", -1)
	var mu sync.Mutex
	var refused []string
	conn.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		mu.Lock()
		defer mu.Unlock()
		refused = append(refused, err.Error())
	})

	r := follow(t, store, fleet.Position{})
	r.eventually(t, "it loads", func() bool { return r.at.Revision >= 2 })
	begun := time.Now()
	must.OK(t, store.Report(t.Context(), "s1", fleet.Status{}))
	must.OK(t, store.Record(t.Context(), "s1", []fleet.Event{{Kind: fleet.EventCut, Server: "s1"}}))
	must.OK(t, store.ReportPending(t.Context(), "s1", nil))
	r.eventually(t, "it is fresh", func() bool { return !r.fresh.Before(begun) })
	_, err = admin.Put(t.Context(), entry(t, 2, fleet.Revoked, 2), nil)
	must.OK(t, err)
	r.eventually(t, "it hears notices", func() bool { return len(r.notices) == 1 })
	before, err := admin.History(t.Context(), entry(t, 1, fleet.Granted, 1).Key())
	must.OK(t, err)

	key := "$KV.zmqauth." + entry(t, 1, fleet.Granted, 1).Key()
	old, err := entry(t, 1, fleet.Granted, 1).Encode()
	must.OK(t, err)
	replay, err := json.Marshal(map[string]uint64{"seq": position.Revision})
	must.OK(t, err)
	for _, subject := range []string{key, "$KV.zmqauth.meta", "$KV.zmqauth.server.s2",
		"zmqauth.notices", "zmqauth.changes.x", "zmqauth.audit.s2", "zmqauth.pending.s2",
		"$JS.API.STREAM.INFO.KV_zmqauth", "$JS.API.STREAM.MSG.GET.KV_zmqauth",
		"$JS.API.STREAM.PURGE.KV_zmqauth", "$JS.API.STREAM.DELETE.KV_zmqauth",
		"$JS.API.STREAM.CREATE.X", "$JS.API.CONSUMER.CREATE.KV_zmqauth",
		"$JS.API.DIRECT.GET.AUDIT_zmqauth", "_INBOX_s2.x", "$SYS.REQ.SERVER.PING"} {
		must.OK(t, conn.Publish(subject, old))
		violates(t, conn, &mu, &refused, `Publish to "`+subject+`"`)
	}
	for _, subject := range []string{">", "$KV.>", "_INBOX_s2.>", "_INBOX.>", "zmqauth.audit.>",
		"zmqauth.pending.>", "$JS.>", "$SYS.>"} {
		sub, err := conn.SubscribeSync(subject)
		must.OK(t, err)
		violates(t, conn, &mu, &refused, `Subscription to "`+subject+`"`)
		_ = sub.Unsubscribe()
	}
	// The answer to what a server may ask is sent where he says, within his own account.
	for ask, body := range map[string][]byte{"$JS.API.DIRECT.GET.KV_zmqauth": replay,
		"zmqauth.info": nil, "$KV.zmqauth.server.s1": old} {
		for _, to := range []string{key, "$KV.zmqauth.server.s2", "zmqauth.audit.s2"} {
			must.OK(t, conn.PublishRequest(ask, to, body))
		}
	}
	must.OK(t, conn.Flush())
	must.OK(t, root.Flush())
	grant(t, admin, 3) // behind all that
	after, err := admin.History(t.Context(), entry(t, 1, fleet.Granted, 1).Key())
	must.OK(t, err)
	if len(before) != 2 || len(after) != 2 {
		t.Errorf("the key has %d changes, and had %d", len(after), len(before))
	}
	for _, of := range []string{"server.s2", "meta"} {
		if _, revision, err := admin.Get(t.Context(), of); revision != 0 || err != nil {
			t.Errorf("%s is written at %d, %v", of, revision, err)
		}
	}
	events := 0
	must.OK(t, admin.Events(t.Context(), time.Time{}, func(e fleet.Event) bool {
		if events++; e.Server == "s2" {
			t.Errorf("an event of another server: %v", e)
		}
		return true
	}))
	if events != 5 { // a cut, and four changes
		t.Errorf("%d events", events)
	}

	// Administrators have no more than they need, either.
	mu.Lock()
	refused = nil
	mu.Unlock()
	root.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		mu.Lock()
		defer mu.Unlock()
		refused = append(refused, err.Error())
	})
	for _, subject := range []string{"$KV.zmqauth.server.s1", "$JS.API.STREAM.PURGE.KV_zmqauth",
		"$JS.API.STREAM.DELETE.KV_zmqauth", "zmqauth.changes.x"} {
		must.OK(t, root.Publish(subject, nil))
		violates(t, root, &mu, &refused, `Publish to "`+subject+`"`)
	}
}

// violates waits until the engine says that something is not allowed.
func violates(t *testing.T, conn *nats.Conn, mu *sync.Mutex, refused *[]string, what string) {
	t.Helper()
	must.OK(t, conn.Flush())
	testpeer.Eventually(t, "the engine refuses: "+what, func() bool {
		mu.Lock()
		defer mu.Unlock()
		for _, text := range *refused {
			if strings.Contains(strings.ToLower(text), strings.ToLower(what)) {
				return true
			}
		}
		return false
	})
}
