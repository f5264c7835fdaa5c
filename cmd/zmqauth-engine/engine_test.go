package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/fleet"
	"github.com/zmqauth/zmqauth/fleet/natsstore"
	"github.com/zmqauth/zmqauth/internal/fleetfile"
	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// freeAddress is an address on loopback that nobody uses, and nor is the port for other engines.
func freeAddress(t *testing.T) string {
	t.Helper()
	for {
		port := testpeer.FreePort(t)
		other, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+2000))
		if err == nil {
			must.OK(t, other.Close())
			return fmt.Sprintf("127.0.0.1:%d", port)
		}
	}
}

// newFleet makes the files of a fleet of the server "orders".
func newFleet(t *testing.T, engines int) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "fleet")
	plan := fleetfile.Plan{Dir: dir, Fleet: "test", Bucket: "zmqauth", Admin: "ann",
		Servers: []string{"orders"}}
	for len(plan.Engines) < engines {
		plan.Engines = append(plan.Engines, freeAddress(t))
	}
	must.OK(t, fleetfile.Init(plan))
	return dir
}

// running is an engine in this process.
type running struct {
	log    logbuffer.Buffer
	reload chan os.Signal
	cancel func()
	ended  chan error
}

func start(t *testing.T, dir, name string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{reload: make(chan os.Signal), cancel: cancel, ended: make(chan error, 1)}
	go func() {
		r.ended <- serve(ctx, filepath.Join(dir, name+".engine"),
			slog.New(slog.NewTextHandler(&r.log, nil)), nil, r.reload)
	}()
	t.Cleanup(func() { r.stop(t) })
	return r
}

// stop ends the engine, once.
func (r *running) stop(t *testing.T) {
	if r.cancel == nil {
		return
	}
	r.cancel()
	r.cancel = nil
	if err := <-r.ended; err != nil {
		t.Errorf("the engine ends with %v", err)
	}
	if t.Failed() {
		t.Log(r.log.String())
	}
}

func (r *running) await(t *testing.T, message string) {
	t.Helper()
	testpeer.Eventually(t, "the log says "+message, func() bool {
		return strings.Contains(r.log.String(), message)
	})
}

// member connects with a file.
func member(t *testing.T, dir, file string) (*fleetfile.Member, *nats.Conn, *natsstore.Store) {
	t.Helper()
	m, err := fleetfile.ReadMember(filepath.Join(dir, file))
	must.OK(t, err)
	conn, err := m.Connect(nil, false)
	must.OK(t, err)
	t.Cleanup(conn.Close)
	store, err := m.Store(conn, -1)
	must.OK(t, err)
	return m, conn, store
}

// grant lets a key in.
func grant(t *testing.T, m *fleetfile.Member, s *natsstore.Store, n byte) {
	t.Helper()
	key, err := m.Key()
	must.OK(t, err)
	e := fleet.Entry{Kind: fleet.KindKey, Domain: "d", PublicKey: zmqauth.PublicKey{n},
		State: fleet.Granted, Revision: 1}
	must.OK(t, e.Sign(m.Fleet, key))
	var none uint64
	_, err = s.Put(t.Context(), e, &none)
	must.OK(t, err)
}

// TestEngine: one engine serves with TLS that its clients verify, lets in who is a member and
// nobody else, and keeps what was written.
func TestEngine(t *testing.T) {
	dir := newFleet(t, 1)
	e := start(t, dir, "engine-1")
	e.await(t, messageBucket)
	admin, conn, store := member(t, dir, "ann.admin")
	if state, err := conn.TLSConnectionState(); err != nil || len(state.VerifiedChains) == 0 {
		t.Errorf("the connection is not verified: %v", err)
	}
	grant(t, admin, store, 1)

	stranger := newFleet(t, 1) // of another fleet
	other, err := fleetfile.ReadMember(filepath.Join(stranger, "orders.server"))
	must.OK(t, err)
	other.Engines = admin.Engines
	if _, err := other.Connect(nil, false); err == nil {
		t.Error("it trusts an engine of another CA")
	}
	other.CA = admin.CA
	if _, err := other.Connect(nil, false); err == nil ||
		!strings.Contains(err.Error(), "is it among the members") {
		t.Errorf("a stranger: %v", err)
	}

	e.stop(t)
	e = start(t, dir, "engine-1")
	e.await(t, messageBucket)
	_, _, again := member(t, dir, "ann.admin")
	key := fleet.Entry{Kind: fleet.KindKey, Domain: "d", PublicKey: zmqauth.PublicKey{1}}.Key()
	if entry, _, err := again.Get(t.Context(), key); err != nil || entry.State != fleet.Granted {
		t.Errorf("after a restart: %v, %v", entry, err)
	}
}

// TestMembers: another list of members is in force by itself, and after SIGHUP. Who is not on it
// any more is cut off. A list that is wrong changes nothing.
func TestMembers(t *testing.T) {
	dir := newFleet(t, 1)
	e := start(t, dir, "engine-1")
	e.await(t, messageReady)
	admin, _, _ := member(t, dir, "ann.admin")
	_, err := fleetfile.Add(admin, natsstore.RoleServer, "billing")
	must.OK(t, err)
	e.await(t, messageMembers)
	_, conn, _ := member(t, dir, "billing.server")
	lost := conn.StatusChanged(nats.RECONNECTING)
	list := filepath.Join(dir, fleetfile.MembersFile)
	must.OK(t, fleetfile.RemoveMember(list, "billing"))
	<-lost
	m, err := fleetfile.ReadMember(filepath.Join(dir, "billing.server"))
	must.OK(t, err)
	if _, err := m.Connect(nil, false); err == nil {
		t.Error("who is no member any more is let in")
	}
	must.OK(t, os.WriteFile(list, []byte("fleet = test\nmember = nonsense\n"), 0o600))
	e.reload <- os.Interrupt
	e.await(t, messageWrong)
	member(t, dir, "orders.server")
}

// TestThreeEngines: of three engines one may be away.
func TestThreeEngines(t *testing.T) {
	dir := newFleet(t, 3)
	one, two, three := start(t, dir, "engine-1"), start(t, dir, "engine-2"), start(t, dir, "engine-3")
	for _, e := range []*running{one, two, three} {
		e.await(t, messageBucket)
	}
	admin, _, store := member(t, dir, "ann.admin")
	grant(t, admin, store, 1)
	two.stop(t)
	_, _, again := member(t, dir, "ann.admin")
	key := fleet.Entry{Kind: fleet.KindKey, Domain: "d", PublicKey: zmqauth.PublicKey{1}}.Key()
	testpeer.Eventually(t, "the others answer", func() bool {
		e, _, err := again.Get(t.Context(), key)
		return err == nil && e.State == fleet.Granted
	})
	testpeer.Eventually(t, "the others take changes", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), lookInterval)
		defer cancel()
		return putMeta(ctx, admin, again)
	})
}

// TestAdvertised: an engine tells the others the address that they have in their files. They would
// try any other, too, for which no certificate is valid.
func TestAdvertised(t *testing.T) {
	for _, hosts := range [][]string{
		{"a.example.org", "B.example.org", "c"},
		{"192.0.2.1", "192.0.2.2", "2001:db8::3"},
	} {
		plan := fleetfile.Plan{Dir: filepath.Join(t.TempDir(), "fleet"), Fleet: "test",
			Bucket: "zmqauth", Admin: "ann", Servers: []string{"orders"}}
		for _, host := range hosts {
			plan.Engines = append(plan.Engines, net.JoinHostPort(host, "4222"))
		}
		must.OK(t, fleetfile.Init(plan))
		var all []*server.Options
		for i := range hosts {
			file, err := fleetfile.ReadEngine(
				filepath.Join(plan.Dir, fmt.Sprintf("engine-%d.engine", i+1)))
			must.OK(t, err)
			o, err := (&engine{file: file}).options()
			must.OK(t, err)
			all = append(all, o)
		}
		for i, one := range all {
			for j, other := range all {
				known := slices.ContainsFunc(other.Routes, func(u *url.URL) bool {
					return strings.EqualFold(u.Host, one.Cluster.Advertise)
				})
				if known != (i != j) {
					t.Errorf("%s advertises %q; among the routes of %s: %t", one.ServerName,
						one.Cluster.Advertise, other.ServerName, known)
				}
			}
		}
	}
}

// putMeta puts the entry of the fleet itself.
func putMeta(ctx context.Context, admin *fleetfile.Member, s *natsstore.Store) bool {
	key, err := admin.Key()
	if err != nil {
		return false
	}
	old, at, err := s.Get(ctx, "meta")
	if err != nil {
		return false
	}
	e := fleet.Entry{Kind: fleet.KindMeta, State: fleet.Granted, Epoch: "again",
		Revision: old.Revision + 1}
	if err := e.Sign(admin.Fleet, key); err != nil {
		return false
	}
	_, err = s.Put(ctx, e, &at)
	return err == nil
}

// TestNothingSecret: neither the log nor an error shows a seed or a key.
func TestNothingSecret(t *testing.T) {
	dir := newFleet(t, 1)
	path := filepath.Join(dir, "engine-1.engine")
	text, err := os.ReadFile(path)
	must.OK(t, err)
	file, err := fleetfile.ReadEngine(path)
	must.OK(t, err)
	e := start(t, dir, "engine-1")
	e.await(t, messageBucket)
	shown := fmt.Sprintf("%v %+v %#v %s", file, file, file, e.log.String())
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
		if name != "key" && name != "nkey" {
			continue
		}
		if value = strings.Trim(value, `"`); strings.Contains(shown, value) {
			t.Errorf("%s is shown", name)
		}
		broken := strings.Replace(string(text), value, value[8:], 1)
		other := filepath.Join(t.TempDir(), "broken.engine")
		must.OK(t, os.WriteFile(other, []byte(broken), 0o600))
		if read, err := fleetfile.ReadEngine(other); err == nil {
			_, err = read.Certificate()
			if err == nil || strings.Contains(err.Error(), value[8:]) {
				t.Errorf("a broken %s: %v", name, err)
			}
		} else if strings.Contains(err.Error(), value[8:]) {
			t.Errorf("a broken %s is shown", name)
		}
	}
	must.OK(t, os.Chmod(path, 0o644))
	if _, err := fleetfile.ReadEngine(path); err == nil {
		t.Error("others may read the file")
	}
}

// TestUsage: what the command line says.
func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"", exitUsage, "usage: zmqauth-engine FILE.engine"},
		{"--nonsense", exitUsage, "usage: zmqauth-engine"},
		{"--log-format xml file", exitUsage, "usage: zmqauth-engine"},
		{"--help", 0, "usage: zmqauth-engine"},
		{"nowhere.engine", exitFailure, "nowhere.engine: no such file or directory"},
	} {
		var said strings.Builder
		if code := run(strings.Fields(c.args), &said); code != c.code ||
			!strings.Contains(said.String(), c.says) {
			t.Errorf("%q: exit code %d: %s", c.args, code, &said)
		}
	}
}

// TestFlood: what a server sends faster than the disk takes it is refused, and keeps nobody's
// changes back.
func TestFlood(t *testing.T) {
	dir := newFleet(t, 1)
	start(t, dir, "engine-1").await(t, messageBucket)
	_, conn, _ := member(t, dir, "orders.server")
	answers, err := conn.SubscribeSync(conn.NewInbox())
	must.OK(t, err)
	must.OK(t, answers.SetPendingLimits(-1, -1))
	report, err := fleet.Entry{Kind: fleet.KindServer, Name: "orders",
		Report: new(fleet.Status)}.Encode()
	must.OK(t, err)
	const count = 20_000
	for range count {
		must.OK(t, conn.PublishRequest("$KV.zmqauth.server.orders", answers.Subject, report))
	}
	must.OK(t, conn.Flush())
	refused := 0
	for range count {
		answer, err := answers.NextMsg(time.Minute)
		must.OK(t, err)
		if answer.Header.Get("Status") == "429" {
			refused++
		}
	}
	if refused == 0 {
		t.Errorf("all %d reports waited", count)
	}
	admin, _, store := member(t, dir, "ann.admin")
	grant(t, admin, store, 1)
}
