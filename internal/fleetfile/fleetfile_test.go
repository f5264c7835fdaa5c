package fleetfile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/fleet/natsstore"
	"github.com/zmqauth/zmqauth/internal/fleetfile"
	"github.com/zmqauth/zmqauth/internal/must"
)

func newFleet(t *testing.T, engines ...string) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "fleet")
	must.OK(t, fleetfile.Init(fleetfile.Plan{Dir: dir, Fleet: "test", Bucket: "b", Admin: "ann",
		Servers: []string{"one", "two"}, Engines: engines}))
	return dir
}

// TestInit: what Init makes can be read, fits together, and is secret but for the list of members.
func TestInit(t *testing.T) {
	dir := newFleet(t, "a.example.org:4222", "127.0.0.1:4222", "[::1]:4222")
	entries, err := os.ReadDir(dir)
	must.OK(t, err)
	if len(entries) != 8 {
		t.Errorf("%d files: %v", len(entries), entries)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		must.OK(t, err)
		want := os.FileMode(0o600)
		if entry.Name() == fleetfile.MembersFile {
			want = 0o644
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v", entry.Name(), info.Mode())
		}
	}
	members, err := fleetfile.ReadMembers(filepath.Join(dir, fleetfile.MembersFile))
	must.OK(t, err)
	if len(members.List) != 6 || len(members.Signers()) != 1 || members.Bucket != "b" {
		t.Errorf("the members are %+v", members)
	}
	for i, listen := range []string{"*:4222", "127.0.0.1:4222", "[::1]:4222"} {
		e, err := fleetfile.ReadEngine(filepath.Join(dir, fmt.Sprintf("engine-%d.engine", i+1)))
		must.OK(t, err)
		must.OK(t, e.Check(members))
		certificate, err := e.Certificate()
		must.OK(t, err)
		host := []string{"a.example.org", "127.0.0.1", "::1"}[i]
		if err := certificate.Leaf.VerifyHostname(host); err != nil {
			t.Error(err)
		}
		if e.Listen != listen || len(e.Peers) != 2 || !filepath.IsAbs(e.Store) {
			t.Errorf("%s listens at %s, its peers are %v, its store %s", e.Name, e.Listen, e.Peers, e.Store)
		}
	}
	admin, err := fleetfile.ReadMember(filepath.Join(dir, "ann.admin"))
	must.OK(t, err)
	key, err := admin.Key()
	must.OK(t, err)
	server, err := fleetfile.ReadMember(filepath.Join(dir, "one.server"))
	must.OK(t, err)
	if server.Role != natsstore.RoleServer || len(server.Signers) != 1 ||
		!server.Signers[0].Equal(key.Public()) || len(server.Engines) != 3 {
		t.Errorf("the server is %v, %v, %v", server, server.Signers, server.Engines)
	}
}

// TestPlan: plans that Init refuses, without a file.
func TestPlan(t *testing.T) {
	good := fleetfile.Plan{Fleet: "f", Bucket: "b", Admin: "ann", Engines: []string{"h:4222"}}
	for name, c := range map[string]struct {
		change func(*fleetfile.Plan)
		says   string
	}{
		"a name":           {func(p *fleetfile.Plan) { p.Admin = "a.b" }, `"a.b": a name has`},
		"a flag":           {func(p *fleetfile.Plan) { p.Servers = []string{"-x"} }, "no - first"},
		"twice":            {func(p *fleetfile.Plan) { p.Servers = []string{"ann"} }, "two members"},
		"an engine's name": {func(p *fleetfile.Plan) { p.Admin = "engine-1" }, "name of an engine"},
		"two engines":      {func(p *fleetfile.Plan) { p.Engines = []string{"h:1", "h:2"} }, "2 engines"},
		"no engine":        {func(p *fleetfile.Plan) { p.Engines = nil }, "0 engines"},
		"one place": {func(p *fleetfile.Plan) { p.Engines = []string{"h:1", "h:1", "h:2"} },
			"two engines are at h:1"},
		"an address": {func(p *fleetfile.Plan) { p.Engines = []string{"h"} }, `"h": not HOST:PORT`},
		"a port": {func(p *fleetfile.Plan) { p.Engines = []string{"h:1", "h:2", "h:64000"} },
			"the port is above"},
	} {
		plan := good
		plan.Dir = filepath.Join(t.TempDir(), "fleet")
		c.change(&plan)
		if err := fleetfile.Init(plan); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good.Dir = newFleet(t, "h:4222")
	if err := fleetfile.Init(good); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a directory that is not empty: %v", err)
	}
}

// TestFaults: what is wrong with a file is said with its line, and without what is secret.
func TestFaults(t *testing.T) {
	dir := newFleet(t, "h:4222")
	for _, c := range []struct{ file, from, to, says string }{
		{"one.server", "fleet = ", "flee = ", `unknown name "flee"`},
		{"one.server", "fleet = ", "nkey = SUSECRET\nfleet = ", "nkey: not the seed"},
		{"one.server", "server = ", "administrator = two\nserver = ", "a file is that of a server or"},
		{"one.server", "server = \"one\"\n", "", "it is the file of neither"},
		{"one.server", "engine = ", "ca = AAAA\nengine = ", "ca: not the certificate of a CA"},
		{"one.server", "signer = ", "signer = AAAA\nsigner = ", "not an Ed25519 public key"},
		{"one.server", "signer = ", "sign = SECRET\nsigner = ", "sign: not the seed"},
		{"one.server", "signer = ", "max-stale = soon\nsigner = ", "not a time"},
		{"ann.admin", "sign = ", "# sign = ", "there is no sign"},
		{"members", "role = \"server\"", "role = king", "role: none of server"},
		{"members", "member = \"one\"", "member = two", "there is a member two already"},
		{"members", "    nkey = \"U", "    nkey = \"V", "not the public nkey"},
		{"members", "    signer = ", "    # signer = ", "an administrator has a signer"},
		{"engine-1.engine", "store = ", "peer = h:1\nstore = ", "cluster-listen and peer"},
		{"engine-1.engine", "listen = ", "listen = nowhere\n#", "not HOST:PORT"},
	} {
		text, err := os.ReadFile(filepath.Join(dir, c.file))
		must.OK(t, err)
		broken := strings.Replace(string(text), c.from, c.to, 1)
		if broken == string(text) {
			t.Errorf("%s has no %s", c.file, c.from)
		}
		path := filepath.Join(t.TempDir(), c.file)
		must.OK(t, os.WriteFile(path, []byte(broken), 0o600))
		switch filepath.Ext(path) {
		case ".engine":
			_, err = fleetfile.ReadEngine(path)
		case "":
			_, err = fleetfile.ReadMembers(path)
		default:
			_, err = fleetfile.ReadMember(path)
		}
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), path) ||
			strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s with %q: %v", c.file, c.to, err)
		}
	}
}

// TestMemberIsSecret: no way of formatting shows a seed, and a file that others can read is
// refused.
func TestMemberIsSecret(t *testing.T) {
	path := filepath.Join(newFleet(t, "h:4222"), "ann.admin")
	text, err := os.ReadFile(path)
	must.OK(t, err)
	m, err := fleetfile.ReadMember(path)
	must.OK(t, err)
	shown := fmt.Sprintf("%v %+v %#v %+v %#v", m, m, m, *m, *m)
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
		if (name == "nkey" || name == "sign") && strings.Contains(shown, strings.Trim(value, `"`)) {
			t.Errorf("%s is shown", name)
		}
	}
	must.OK(t, os.Chmod(path, 0o644))
	if _, err := fleetfile.ReadMember(path); err == nil {
		t.Error("a file that others can read")
	}
}

// TestWriteTo: a server's file in another place says the same.
func TestWriteTo(t *testing.T) {
	dir := newFleet(t, "h:4222")
	m, err := fleetfile.ReadMember(filepath.Join(dir, "one.server"))
	must.OK(t, err)
	path := filepath.Join(t.TempDir(), "server.conf")
	must.OK(t, m.WriteTo(path, "snapshot"))
	again, err := fleetfile.ReadMember(path)
	must.OK(t, err)
	if again.Name != "one" || again.Nkey() != m.Nkey() || !again.CA.Equal(m.CA) ||
		again.Snapshot != filepath.Join(filepath.Dir(path), "snapshot") {
		t.Errorf("it is %v, %s", again, again.Snapshot)
	}
	if again.Same(m) || !again.Same(again) || again.Same(nil) {
		t.Error("Same compares contents")
	}
	if err := m.WriteTo(path, ""); err == nil {
		t.Error("it replaces a file")
	}
}

// TestAdd: a server that is added is on the list, and one that is removed is not.
func TestAdd(t *testing.T) {
	dir := newFleet(t, "h:4222")
	list := filepath.Join(dir, fleetfile.MembersFile)
	admin, err := fleetfile.ReadMember(filepath.Join(dir, "ann.admin"))
	must.OK(t, err)
	_, err = fleetfile.Add(admin, natsstore.RoleAdministrator, "bob")
	must.OK(t, err)
	path, err := fleetfile.Add(admin, natsstore.RoleServer, "three")
	must.OK(t, err)
	three, err := fleetfile.ReadMember(path)
	must.OK(t, err)
	members, err := fleetfile.ReadMembers(list)
	must.OK(t, err)
	if len(three.Signers) != 2 || len(members.List) != 6 {
		t.Errorf("%d signers, the members are %+v", len(three.Signers), members)
	}
	if _, err := fleetfile.Add(admin, natsstore.RoleServer, "three"); err == nil {
		t.Error("two of one name")
	}
	must.OK(t, fleetfile.RemoveMember(list, "three"))
	if err := fleetfile.RemoveMember(list, "three"); err == nil {
		t.Error("removed twice")
	}
}
