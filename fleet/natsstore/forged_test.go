package natsstore_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/zmqauth/zmqauth/fleet"
	"github.com/zmqauth/zmqauth/fleet/internal/testfleet"
	"github.com/zmqauth/zmqauth/internal/must"
)

// bare is a connection as a user that writes what no library would.
type bare struct {
	*testing.T
	conn net.Conn
	in   *bufio.Reader
}

func newBare(t *testing.T, engines *testfleet.Engines, user string) *bare {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(engines.URL(0), "nats://"))
	must.OK(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	b := &bare{t, conn, bufio.NewReader(conn)}
	var info struct{ Nonce string }
	must.OK(t, json.Unmarshal([]byte(strings.TrimPrefix(b.line(), "INFO ")), &info))
	pair, err := nkeys.FromSeed([]byte(engines.Seed(user)))
	must.OK(t, err)
	public, err := pair.PublicKey()
	must.OK(t, err)
	signature, err := pair.Sign([]byte(info.Nonce))
	must.OK(t, err)
	b.write(fmt.Sprintf("CONNECT {%q:false,%q:true,%q:true,%q:%q,%q:%q}\r\n", "verbose", "headers",
		"no_responders", "nkey", public, "sig", base64.RawURLEncoding.EncodeToString(signature)))
	b.flush()
	return b
}

func (b *bare) line() string {
	b.Helper()
	must.OK(b, b.conn.SetReadDeadline(time.Now().Add(patience)))
	line, err := b.in.ReadString('\n')
	must.OK(b, err)
	return strings.TrimSpace(line)
}

func (b *bare) write(text string) {
	b.Helper()
	_, err := b.conn.Write([]byte(text))
	must.OK(b, err)
}

// flush waits until the engine has taken everything.
func (b *bare) flush() {
	b.Helper()
	b.write("PING\r\n")
	for line := b.line(); line != "PONG"; line = b.line() {
		if strings.HasPrefix(line, "-ERR") {
			b.Fatal(line)
		}
	}
}

// publish publishes a message with a header as it is.
func (b *bare) publish(subject, header string, body []byte) {
	b.Helper()
	b.write(fmt.Sprintf("HPUB %s %d %d\r\n%s%s\r\n", subject, len(header), len(header)+len(body),
		header, body))
	b.flush()
}

// forgedHeaders are headers of messages of a stream that are to pass for others.
func forgedHeaders(subject string, sequence uint64) map[string]string {
	fields := fmt.Sprintf("Nats-Stream: KV_zmqauth\r\nNats-Subject: %s\r\nNats-Sequence: %d\r\n"+
		"Nats-Time-Stamp: 2026-01-01T00:00:00Z\r\n", subject, sequence)
	const first = "NATS/1.0\r\n"
	return map[string]string{
		"a field":            first + fields + "\r\n",
		"a hidden end":       first + fields + "\r\n\r\n",
		"a short hidden end": first + "\r\n\r\n",
		"a status":           first + "Status: 404\r\n\r\n",
		"an end":             first + "Status: 204\r\n\r\n",
		"a hidden status":    first + "Status: 404\r\n\r\n\r\n",
		"an inline status":   "NATS/1.0 404 Message Not Found\r\n\r\n\r\n",
		"an inline end":      "NATS/1.0 204 EOB\r\n\r\n",
		"nobody":             "NATS/1.0 503\r\n\r\n",
		"nobody, hidden":     "NATS/1.0 503\r\n\r\n\r\n",
		"no field":           first + "x\r\n\r\n",
		"another protocol":   "HTTP/1.0\r\n\r\n",
		"a notice":           first + "Key: c.d.00\r\n\r\n",
	}
}

// TestForgedHeaders: a server chooses the headers of its reports. Whatever they say, they pass for
// no change, for no other server's report, and for no end of the log.
func TestForgedHeaders(t *testing.T) {
	engines := testfleet.NewEngines(t, 1, "s1", "s2")
	admin, _ := engines.Store("admin", -1)
	key := entry(t, 1, fleet.Granted, 1).Key()
	at := grant(t, admin, 1).Revision
	revoked := entry(t, 1, fleet.Revoked, 2)
	_, err := admin.Put(t.Context(), revoked, nil)
	must.OK(t, err)
	at++
	_, err = admin.Put(t.Context(), entry(t, 1, fleet.Granted, 3), &at)
	must.OK(t, err)
	old, err := revoked.Encode()
	must.OK(t, err)
	report, err := fleet.Entry{Kind: fleet.KindServer, Name: "s2", Report: new(fleet.Status)}.Encode()
	must.OK(t, err)
	store, _ := engines.Store("s2", -1)
	r := follow(t, store, fleet.Position{})
	r.eventually(t, "it loads", func() bool { return r.at.Revision >= 3 })
	seen := follow(t, admin, fleet.Position{})
	seen.eventually(t, "it loads", func() bool { return seen.at.Revision >= 3 })
	thief := newBare(t, engines, "s1")
	_, asker := engines.Store("s1", -1)
	n := 10
	for _, ahead := range []uint64{1, 2, 3, 1 << 40} {
		for _, of := range []struct {
			key  string
			body []byte
		}{{key, old}, {"server.s2", report}, {key, nil}, {"meta", nil}} {
			for name, header := range forgedHeaders("$KV.zmqauth."+of.key, r.position().Revision+ahead) {
				thief.publish("$KV.zmqauth.server.s1", header, of.body)
				thief.publish("$KV.zmqauth.server.s1", header, of.body)
				for _, to := range []string{"zmqauth.changes." + of.key, "zmqauth.notices"} {
					must.OK(t, asker.PublishRequest("$JS.API.DIRECT.GET.KV_zmqauth", to,
						[]byte(`{"last_by_subj":"$KV.zmqauth.server.s1"}`)))
				}
				must.OK(t, asker.Flush())
				n++
				p := grant(t, admin, n)
				for who, one := range map[string]*recorder{"s2": r, "admin": seen} {
					one.eventually(t, fmt.Sprint(who, " has the next change after ", name), func() bool {
						_, there := one.entries["server.s2"]
						if one.entries[key].State != fleet.Granted || there || one.resets != 1 ||
							len(one.notices) != 0 {
							t.Fatalf("%s: after %s of %s: %v, s2 has reported: %t, %d loads, notices: %v",
								who, name, of.key, one.entries[key], there, one.resets, one.notices)
						}
						return one.at.Revision == p.Revision
					})
				}
			}
		}
	}
	again, _ := engines.Store("s2", -1)
	loaded := follow(t, again, fleet.Position{})
	loaded.eventually(t, "another loads all", func() bool {
		return loaded.at.Includes(r.position())
	})
	if loaded.entries[key].State != fleet.Granted || len(loaded.entries) < n-9 {
		t.Errorf("%v of %d", loaded.entries[key], len(loaded.entries))
	}
	begun := time.Now()
	must.OK(t, again.Report(t.Context(), "s2", fleet.Status{}))
	loaded.eventually(t, "it is fresh", func() bool { return !loaded.fresh.Before(begun) })
}

// TestForgedReports: a server's events and pending keys pass for no other server's, and hide none.
func TestForgedReports(t *testing.T) {
	engines := testfleet.NewEngines(t, 1, "s1", "s2")
	admin, _ := engines.Store("admin", -1)
	honest, _ := engines.Store("s1", -1)
	thief := newBare(t, engines, "s1")
	events, err := json.Marshal([]fleet.Event{{Kind: fleet.EventCut, Server: "s2"}})
	must.OK(t, err)
	pending, err := json.Marshal([]fleet.Pending{pendingKey()})
	must.OK(t, err)
	for name, header := range forgedHeaders("zmqauth.audit.s2", 1) {
		thief.publish("zmqauth.audit.s1", header, events)
		must.OK(t, honest.Record(t.Context(), "s1",
			[]fleet.Event{{Kind: fleet.EventCut, Server: "s1", Reason: name}}))
	}
	found := 0
	must.OK(t, admin.Events(t.Context(), time.Time{}, func(e fleet.Event) bool {
		if found++; e.Server != "s1" {
			t.Errorf("an event of another server: %v", e)
		}
		return true
	}))
	if want := len(forgedHeaders("", 0)); found != want {
		t.Errorf("%d events, not %d", found, want)
	}
	other, _ := engines.Store("s2", -1)
	must.OK(t, other.ReportPending(t.Context(), "s2", []fleet.Pending{pendingKey()}))
	for name, header := range forgedHeaders("zmqauth.pending.s2", 1) {
		thief.publish("zmqauth.pending.s1", header, pending)
		must.OK(t, other.ReportPending(t.Context(), "s2", []fleet.Pending{pendingKey()}))
		all, err := admin.Pending(t.Context())
		must.OK(t, err)
		count := make(map[string]int)
		for _, p := range all {
			count[p.Server]++
		}
		if count["s2"] != 1 || count["s1"] > 1 || len(count) > 2 {
			t.Errorf("after %s: %v", name, count)
		}
	}
}

func pendingKey() fleet.Pending {
	return fleet.Pending{Domain: "d", Key: keyOf(1), Address: "192.0.2.1", Attempts: 1}
}
