package natsstore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/zmqauth/zmqauth/fleet"
	"github.com/zmqauth/zmqauth/fleet/natsstore"
	"github.com/zmqauth/zmqauth/internal/must"
)

// TestLoadBig: entries that are many and large come in batches of some megabytes, all of them.
func TestLoadBig(t *testing.T) {
	engine := newEngine(t)
	s, conn := engine.store()
	must.OK(t, s.Create(t.Context(), 1))
	const count = 30
	for n := range count {
		must.OK(t, conn.Publish(fmt.Sprint("$KV.zmqauth.c.", n), make([]byte, 200_000)))
	}
	must.OK(t, conn.Flush())
	entries, p, err := s.Load(t.Context())
	must.OK(t, err)
	if len(entries) != count || p.Revision != count {
		t.Errorf("%d entries, at %d", len(entries), p.Revision)
	}
}

// hostile is what answers in place of an engine: to each request for a batch the next of these.
type hostile struct {
	*testing.T
	conn    *nats.Conn
	batches [][]*nats.Msg
}

// message is one of a stream.
func message(subject, sequence string, value []byte) *nats.Msg {
	return &nats.Msg{Data: value, Header: nats.Header{"Nats-Subject": {subject},
		"Nats-Sequence": {sequence}, "Nats-Time-Stamp": {"2026-01-01T00:00:00Z"}}}
}

func status(code string) *nats.Msg { return &nats.Msg{Header: nats.Header{"Status": {code}}} }

// newHostile has a store whose engine answers so. The last of its log is at last.
func newHostile(t *testing.T, last uint64, batches ...[]*nats.Msg) *natsstore.Store {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT,
		NoLog: true, NoSigs: true})
	must.OK(t, err)
	s.Start()
	t.Cleanup(s.Shutdown)
	h := &hostile{T: t, batches: batches}
	h.conn, err = nats.Connect(s.ClientURL())
	must.OK(t, err)
	t.Cleanup(h.conn.Close)
	_, err = h.conn.Subscribe("zmqauth.info", func(m *nats.Msg) {
		_ = m.Respond(fmt.Appendf(nil, `{"created":"2026-01-01T00:00:00Z",`+
			`"state":{"last_seq":%d,"messages":18446744073709551615}}`, last))
	})
	must.OK(t, err)
	_, err = h.conn.Subscribe("$JS.API.DIRECT.GET.KV_zmqauth", h.answer)
	must.OK(t, err)
	must.OK(t, h.conn.Flush())
	conn, err := nats.Connect(s.ClientURL())
	must.OK(t, err)
	t.Cleanup(conn.Close)
	store, err := natsstore.New(conn, &natsstore.Config{Jitter: -1})
	must.OK(t, err)
	return store
}

func (h *hostile) answer(m *nats.Msg) {
	var r struct{ Batch int }
	if err := json.Unmarshal(m.Data, &r); err != nil {
		h.Error(err)
	}
	answers := []*nats.Msg{status("404")}
	if r.Batch > 0 && len(h.batches) > 0 {
		answers, h.batches = h.batches[0], h.batches[1:]
	}
	for _, answer := range answers {
		if err := m.RespondMsg(answer); err != nil {
			return // the connection is closed: the test has ended
		}
	}
}

// TestLoadHostile: what an engine must not answer ends a load, and fills no memory.
func TestLoadHostile(t *testing.T) {
	const subject = "$KV.zmqauth.meta"
	at := func(sequence int) *nats.Msg { return message(subject, strconv.Itoa(sequence), nil) }
	var many []*nats.Msg
	for n := range 100_000 {
		many = append(many, at(n+1))
	}
	for name, test := range map[string]struct {
		batches [][]*nats.Msg
		want    string
	}{
		"more than was asked for": {[][]*nats.Msg{many}, "cannot be read"},
		"backwards":               {[][]*nats.Msg{{at(2), at(1)}}, "cannot be read"},
		"one twice":               {[][]*nats.Msg{{at(1), at(1)}}, "cannot be read"},
		"a batch twice": {[][]*nats.Msg{{at(1), status("204")}, {at(1), status("204")}},
			"cannot be read"},
		"no sequence": {[][]*nats.Msg{{message(subject, "", nil)}}, "cannot be read"},
		"2^64": {[][]*nats.Msg{{message(subject, "18446744073709551616", nil)}},
			"cannot be read"},
		"2^64-1": {[][]*nats.Msg{{message(subject, "18446744073709551615", nil)}},
			"cannot be read"},
		"no time": {[][]*nats.Msg{{{Header: nats.Header{"Nats-Sequence": {"1"}}}}},
			"cannot be read"},
		"another status": {[][]*nats.Msg{{at(1), status("500")}}, `status "500"`},
		"no end":         {[][]*nats.Msg{{at(1)}}, context.DeadlineExceeded.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			entries, _, err := newHostile(t, 9, test.batches...).Load(t.Context())
			if err == nil || entries != nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%d entries, %v", len(entries), err)
			}
		})
	}
}

// TestLoadForeign: of a stream that has more than the fleet only what is the fleet's counts, and
// its last change is the mark. Reports are none.
func TestLoadForeign(t *testing.T) {
	good := entry(t, 1, fleet.Granted, 1)
	text, err := good.Encode()
	must.OK(t, err)
	report, err := fleet.Entry{Kind: fleet.KindServer, Name: "s", Report: new(fleet.Status)}.Encode()
	must.OK(t, err)
	s := newHostile(t, 6, []*nats.Msg{message("$KV.zmqauth."+good.Key(), "3", text),
		message(good.Key(), "4", text), message("$KV.zmqauth.server.s", "5", report),
		message("$KV.zmqauth.server.s", "6", report), status("204")})
	entries, p, err := s.Load(t.Context())
	must.OK(t, err)
	mark := fmt.Sprint("3@", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	if len(entries) != 2 || entries[0].Key() != good.Key() || entries[1].Key() != "server.s" ||
		p.Revision != 6 || p.Mark != mark {
		t.Errorf("%v, %+v", entries, p)
	}
}
