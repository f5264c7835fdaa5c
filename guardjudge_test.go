package zmqauth

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/session"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// judged is an authenticator with a guarded server of each mechanism, in the domain "d".
type judged struct {
	testing.TB
	a       *Authenticator
	zctx    *zmq4.Context
	dir     string
	changes chan Session // sessions that have ended
	ann     *Certificate
	creds   Credentials
	from    string    // the clients' network
	expires time.Time // when what ends by itself does
}

func newJudged(t testing.TB, cfg Config) *judged {
	j := &judged{TB: t, zctx: testzmq.NewContext(t), dir: t.TempDir(),
		changes: make(chan Session, 100), from: "127.0.0.1"}
	cfg.OnSession = func(s Session, open bool) {
		if !open {
			j.changes <- s
		}
	}
	var err error
	j.a, err = New(j.zctx, &cfg)
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, j.a.Close()) })
	must.OK(t, j.a.Start())
	j.ann, err = NewCertificate()
	must.OK(t, err)
	return j
}

// connect connects a client of a mechanism, and waits for its session.
func (j *judged) connect(mechanism, bind string) Session {
	j.Helper()
	return j.connectAs(mechanism, bind, 1)
}

// connectAs is connect for the client that has the session of that number.
func (j *judged) connectAs(mechanism, bind string, number int) Session {
	j.Helper()
	client, endpoint := j.serve(mechanism, bind)
	must.OK(j, client.Connect(endpoint))
	return j.await(number)[number-1]
}

// serve binds a guarded server. It returns a client that has not connected yet, and the endpoint.
func (j *judged) serve(mechanism, bind string) (client *zmq4.Socket, endpoint string) {
	j.Helper()
	server := testzmq.NewSocket(j, j.zctx, zmq4.ROUTER)
	client = testzmq.NewSocket(j, testzmq.NewContext(j), zmq4.DEALER)
	switch mechanism {
	case "NULL":
		must.OK(j, NullServer(server, "d"))
	case "PLAIN":
		must.OK(j, PlainServer(server, "d"))
		must.OK(j, PlainClient(client, "ann", "secret"))
	case "CURVE":
		cert, err := NewCertificate()
		must.OK(j, err)
		must.OK(j, CurveServer(server, "d", cert))
		must.OK(j, CurveClient(client, cert.Public, j.ann))
	}
	must.OK(j, j.a.Guard(server, nil))
	must.OK(j, server.Bind(bind))
	endpoint, err := server.GetLastEndpoint()
	must.OK(j, err)
	return client, endpoint
}

// await waits until there are so many sessions.
func (j *judged) await(count int) (all []Session) {
	j.Helper()
	testpeer.Eventually(j, fmt.Sprintf("there are %d sessions", count), func() bool {
		all = j.a.Sessions()
		return len(all) == count
	})
	return all
}

func (j *judged) write(name, text string) string {
	path := filepath.Join(j.dir, name)
	must.OK(j, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// refusal is a change that refuses a client of a mechanism who was let in before.
type refusal struct {
	mechanism string
	prepare   func(j *judged)
	change    func(j *judged)
}

var refusals = map[string]refusal{
	"an address is denied": {"NULL", func(*judged) {}, func(j *judged) {
		must.OK(j, j.a.Deny(j.from))
	}},
	"another address is allowed": {"NULL", func(j *judged) {
		must.OK(j, j.a.AllowDomain("d", j.from))
	}, func(j *judged) { must.OK(j, j.a.SetAllowed("d", "127.0.0.2")) }},
	"an address is removed": {"NULL", func(j *judged) {
		must.OK(j, j.a.AllowDomain("d", j.from, "127.0.0.2"))
	}, func(j *judged) { must.OK(j, j.a.RemoveAddresses("d", j.from)) }},
	"the password in a table": {"PLAIN", func(j *judged) {
		must.OK(j, j.a.ConfigurePlain("d", map[string]string{"ann": "secret"}))
	}, func(j *judged) {
		must.OK(j, j.a.ConfigurePlain("d", map[string]string{"ann": "other"}))
	}},
	"the password in a file": {"PLAIN", func(j *judged) {
		must.OK(j, j.a.ConfigurePlainFile("d", j.write("passwords", "ann=secret\n")))
	}, func(j *judged) { j.write("passwords", "ann=another\n") }},
	"the user in a file": {"PLAIN", func(j *judged) {
		must.OK(j, j.a.ConfigurePlainFile("d", j.write("passwords", "ann=secret\n")))
	}, func(j *judged) { j.write("passwords", "bob=secret\n") }},
	"the key in a set": {"CURVE", func(j *judged) {
		must.OK(j, j.a.ConfigureCurveKeys("d", j.ann.Public))
	}, func(j *judged) { must.OK(j, j.a.ConfigureCurveKeys("d")) }},
	"the certificate": {"CURVE", func(j *judged) {
		j.write("ann.key", string(text(j, j.ann)))
		must.OK(j, j.a.ConfigureCurve("d", j.dir))
	}, func(j *judged) { must.OK(j, os.Remove(filepath.Join(j.dir, "ann.key"))) }},
	"the time": {"CURVE", func(j *judged) {
		c := new(Credentials)
		must.OK(j, c.SetKey(j.ann.Public, Entry{NotAfter: j.expires}))
		must.OK(j, j.a.ConfigureCredentials("d", c))
	}, func(*judged) {}},
	"the setup": {"CURVE", func(j *judged) {
		must.OK(j, j.a.ConfigureCurve("d", CurveAllowAny))
	}, func(j *judged) { must.OK(j, j.a.Unconfigure("d", "CURVE")) }},
	"the callback": {"CURVE", func(j *judged) {
		must.OK(j, j.a.ConfigureCurveCallback("d", yesToKeys))
	}, func(j *judged) { must.OK(j, j.a.ConfigureCurveCallback("d", yesToKeys)) }},
	"the key in Credentials": {"CURVE", func(j *judged) {
		must.OK(j, j.creds.SetKey(j.ann.Public, Entry{}))
		must.OK(j, j.a.ConfigureCredentials("d", &j.creds))
	}, func(j *judged) { j.creds.DeleteKey(j.ann.Public) }},
	"the time of a key in Credentials": {"CURVE", func(j *judged) {
		must.OK(j, j.creds.SetKey(j.ann.Public, Entry{}))
		must.OK(j, j.a.ConfigureCredentials("d", &j.creds))
	}, func(j *judged) {
		must.OK(j, j.creds.SetKey(j.ann.Public, Entry{NotAfter: time.Now()}))
	}},
	"the password in Credentials": {"PLAIN", func(j *judged) {
		must.OK(j, j.creds.SetUser("ann", "secret", Entry{}))
		must.OK(j, j.a.ConfigureCredentials("d", &j.creds))
	}, func(j *judged) { must.OK(j, j.creds.SetUser("ann", "other", Entry{})) }},
	"the user in Credentials": {"PLAIN", func(j *judged) {
		must.OK(j, j.creds.SetUser("ann", "secret", Entry{}))
		must.OK(j, j.a.ConfigureCredentials("d", &j.creds))
	}, func(j *judged) { j.creds.DeleteUser("ann") }},
	"the password behind a hash": {"PLAIN", func(j *judged) {
		must.OK(j, j.a.ConfigurePlain("d", map[string]string{
			"ann": cheapBcrypt(j, "$2y$", "secret")}))
	}, func(j *judged) {
		must.OK(j, j.a.ConfigurePlain("d", map[string]string{
			"ann": cheapBcrypt(j, "$2y$", "other")}))
	}},
	"a password file that is gone": {"PLAIN", func(j *judged) {
		must.OK(j, j.a.ConfigurePlainFile("d", j.write("passwords", "ann=secret\n")))
	}, func(j *judged) { must.OK(j, os.Remove(filepath.Join(j.dir, "passwords"))) }},
	"a password file that is stale": {"PLAIN", func(j *judged) {
		p, err := ParsePolicy(filepath.Join(j.dir, "p.zpl"), []byte("stale-limit = 300ms\n"+
			"domain = d\n    plain = "+filepath.Base(j.write("passwords", "ann=secret\n"))+"\n"))
		must.OK(j, err)
		must.OK(j, j.a.Apply(p))
	}, func(j *judged) { must.OK(j, os.Chmod(filepath.Join(j.dir, "passwords"), 0o666)) }},
	"the end of a certificate": {"CURVE", func(j *judged) {
		j.ann.Metadata = map[string]string{
			"not-after": j.expires.Format(time.RFC3339Nano)}
		j.write("ann.key", string(text(j, j.ann)))
		must.OK(j, j.a.ConfigureCurve("d", j.dir))
	}, func(*judged) {}},
	"a setup of the domain's own": {"CURVE", func(j *judged) {
		must.OK(j, j.a.ConfigureCurveKeys("*", j.ann.Public))
	}, func(j *judged) { must.OK(j, j.a.ConfigureCurveKeys("d")) }},
	"a setup that was there for a moment": {"CURVE", func(j *judged) {
		must.OK(j, j.a.ConfigureCurveKeys("*"))
		must.OK(j, j.a.ConfigureCurveKeys("d", j.ann.Public))
	}, func(j *judged) { must.OK(j, j.a.Unconfigure("d", "CURVE")) }},
	"the setup of all domains again": {"PLAIN", func(j *judged) {
		must.OK(j, j.a.ConfigurePlain("*", map[string]string{"ann": "other"}))
		must.OK(j, j.a.ConfigurePlain("d", map[string]string{"ann": "secret"}))
	}, func(j *judged) { must.OK(j, j.a.Unconfigure("d", "PLAIN")) }},
	"a table in place of a callback": {"CURVE", func(j *judged) {
		must.OK(j, j.a.ConfigureCurveCallback("d", yesToKeys))
	}, func(j *judged) { must.OK(j, j.a.ConfigureCurveKeys("d")) }},
	"a file that the policy names": {"PLAIN", func(j *judged) {
		j.write("passwords", "ann=secret\n")
		p, err := ParsePolicy(filepath.Join(j.dir, "p.zpl"),
			[]byte("domain = d\n    plain = passwords\n"))
		must.OK(j, err)
		must.OK(j, j.a.Apply(p))
	}, func(j *judged) { j.write("passwords", "ann=other\n") }},
	"the policy's addresses": {"NULL", func(j *judged) {}, func(j *judged) {
		p, err := ParsePolicy("p.zpl", []byte("domain = d\n    deny = 127.0.0.0/8\n"))
		must.OK(j, err)
		must.OK(j, j.a.Apply(p))
	}},
	"a stop":  {"NULL", func(*judged) {}, func(j *judged) { must.OK(j, j.a.Stop()) }},
	"the end": {"NULL", func(*judged) {}, func(j *judged) { must.OK(j, j.a.Close()) }},
	"the policy": {"CURVE", func(j *judged) {
		must.OK(j, j.a.ConfigureCurve("d", CurveAllowAny))
	}, func(j *judged) {
		p, err := ParsePolicy("p.zpl", []byte("domain = other\n    curve = *\n"))
		must.OK(j, err)
		must.OK(j, j.a.Apply(p))
	}},
}

// TestRejudge: whatever change refuses a client ends its session.
func TestRejudge(t *testing.T) {
	for name, test := range refusals {
		t.Run(name, func(t *testing.T) {
			j := newJudged(t, Config{EndSessions: true})
			j.expires = time.Now().Add(3 * time.Second)
			test.prepare(j)
			s := j.connect(test.mechanism, "tcp://127.0.0.1:*")
			begun := time.Now()
			test.change(j)
			select {
			case ended := <-j.changes:
				if ended.ID != s.ID {
					t.Errorf("another has ended: %+v", ended)
				}
			case <-time.After(30 * time.Second):
				t.Fatal("it goes on")
			}
			t.Logf("after %v", time.Since(begun))
			if j.a.Alive(s.ID) {
				t.Error("it is alive")
			}
		})
	}
}

// TestExpiryWithoutChange: a session that opens after the last change of the rules ends when its
// key expires.
func TestExpiryWithoutChange(t *testing.T) {
	j := newJudged(t, Config{Logger: quiet()})
	must.OK(t, j.creds.SetKey(j.ann.Public, Entry{NotAfter: time.Now().Add(3 * time.Second)}))
	must.OK(t, j.a.ConfigureCredentials("d", &j.creds))
	must.OK(t, j.a.ConfigurePlain("d", map[string]string{"ann": "secret"}))
	first := j.connect("PLAIN", "tcp://127.0.0.1:*")
	must.OK(t, j.a.ConfigurePlain("d", map[string]string{"ann": "other"}))
	if ended := <-j.changes; ended.ID != first.ID {
		t.Fatalf("%+v", ended)
	}
	second := j.connect("CURVE", "tcp://127.0.0.1:*")
	select {
	case ended := <-j.changes:
		if ended.ID != second.ID || time.Now().Before(second.Expires) {
			t.Errorf("%+v", ended)
		}
	case <-time.After(30 * time.Second):
		t.Error("it goes on")
	}
}

func yesToKeys(context.Context, string, PublicKey) (*Identity, error) { return &Identity{}, nil }

// TestRejudgeKeeps: a change that does not refuse a client leaves its session.
func TestRejudgeKeeps(t *testing.T) {
	j := newJudged(t, Config{Logger: quiet()})
	path := j.write("passwords", "ann=secret\nbob=x\n")
	must.OK(t, j.a.ConfigurePlainFile("d", path))
	must.OK(t, j.a.ConfigureCurveKeys("d", j.ann.Public))
	s := j.connect("PLAIN", "tcp://127.0.0.1:*")
	must.OK(t, j.a.Deny("10.0.0.1"))
	j.write("passwords", "bob=y\nann=secret\n")
	testpeer.Eventually(t, "the file is in force", func() bool {
		status, _ := ask(t, j.a, plainRequest("d", "bob", "y"))
		return status == "200"
	})
	j.otherEnds("CURVE", func() { must.OK(t, j.a.ConfigureCurveKeys("d")) }, s)
	policy, err := ParsePolicy(j.dir+"/p.zpl",
		[]byte("domain = *\n    plain = passwords\n    curve = *\n"))
	must.OK(t, err)
	must.OK(t, j.a.Apply(policy))
	j.otherEnds("CURVE", func() { must.OK(t, j.a.Unconfigure("*", "CURVE")) }, s)
}

// otherEnds has another client's session end by a change. So all sessions have been judged since.
// The first one must not have ended.
func (j *judged) otherEnds(mechanism string, change func(), first Session) {
	j.Helper()
	other := j.connectAs(mechanism, "tcp://127.0.0.1:*", 2)
	change()
	if ended := <-j.changes; ended.ID != other.ID || !j.a.Alive(first.ID) {
		j.Errorf("%+v has ended", ended)
	}
}

// TestRejudgePrincipals: a principal is judged by the list, the credentials or the callback that
// are in force.
func TestRejudgePrincipals(t *testing.T) {
	a := newAuthenticator(t, Config{})
	callback := func(context.Context, string, string) (*Identity, error) { return &Identity{}, nil }
	var creds Credentials
	must.OK(t, creds.SetPrincipal("*@EXAMPLE.ORG", Entry{}))
	letIn := func() session.Session {
		r := &zap.Request{Domain: []byte("d"), Mechanism: []byte("GSSAPI"),
			Address: []byte("127.0.0.1"), Credentials: [2][]byte{[]byte("ann@EXAMPLE.ORG")}}
		return *a.newSession(1, r, verdict{policy: a.policy.Load()}, time.Now())
	}
	by := map[string]session.Session{"nothing": letIn()}
	steps := []struct {
		name      string
		configure func() error
		stay      []string // by what they were let in
	}{
		{"a list", func() error { return a.ConfigureGSSAPI("d", "ann@EXAMPLE.ORG") },
			[]string{"nothing"}},
		{"credentials", func() error { return a.ConfigureCredentials("d", &creds) },
			[]string{"nothing", "a list"}},
		{"callback", func() error { return a.ConfigureGSSAPICallback("d", callback) }, nil},
		{"another callback", func() error { return a.ConfigureGSSAPICallback("d", callback) }, nil},
		{"nobody", func() error { return a.ConfigureGSSAPI("d", "bob@EXAMPLE.ORG") }, nil},
		{"the default", func() error { return a.Unconfigure("d", "GSSAPI") },
			[]string{"nothing", "a list", "credentials", "callback", "another callback"}},
	}
	for _, step := range steps {
		must.OK(t, step.configure())
		for name, s := range by {
			if _, ok := a.judgeSession(s); ok != slices.Contains(step.stay, name) {
				t.Errorf("let in by %s, then %s: stays %t", name, step.name, ok)
			}
		}
		if step.name != "nobody" {
			by[step.name] = letIn()
			if _, ok := a.judgeSession(by[step.name]); !ok {
				t.Errorf("let in by %s: does not stay", step.name)
			}
		}
	}
	creds.DeletePrincipal("*@EXAMPLE.ORG")
	must.OK(t, a.ConfigureCredentials("d", &creds))
	if _, ok := a.judgeSession(by["credentials"]); ok {
		t.Error("a principal that was deleted stays")
	}
}

// TestGuardIPC: the sessions of a process are known as a group, and end together.
func TestGuardIPC(t *testing.T) {
	j := newJudged(t, Config{})
	must.OK(t, j.a.ConfigureCurveKeys("d", j.ann.Public))
	s := j.connect("CURVE", "ipc://"+j.dir+"/s.sock")
	if s.Exact || s.Peer == "" || s.Client.IsValid() {
		t.Errorf("%+v", s)
	}
	must.OK(t, j.a.ConfigureCurveKeys("d"))
	if ended := <-j.changes; ended.ID != s.ID {
		t.Errorf("%+v", ended)
	}
}

// TestEndSessions: Stop ends the sessions if Config says so, and leaves them otherwise.
func TestEndSessions(t *testing.T) {
	for _, end := range []bool{true, false} {
		j := newJudged(t, Config{EndSessions: end})
		s := j.connect("NULL", "tcp://127.0.0.1:*")
		must.OK(t, j.a.Stop())
		if j.a.Alive(s.ID) == end {
			t.Errorf("EndSessions %t: alive is %t", end, !end)
		}
	}
}

// TestGuardRefuses: what cannot be guarded is an error that says why.
func TestGuardRefuses(t *testing.T) {
	j := newJudged(t, Config{})
	if err := j.a.Guard(nil, nil); err == nil {
		t.Error("no socket")
	}
	s := testzmq.NewSocket(t, j.zctx, zmq4.ROUTER)
	if err := j.a.Guard(s, nil); err == nil {
		t.Error("a socket without a domain")
	}
	must.OK(t, NullServer(s, "d"))
	must.OK(t, j.a.Guard(s, nil))
	if err := j.a.Guard(s, nil); err == nil {
		t.Error("twice")
	}
	bound := testzmq.NewSocket(t, j.zctx, zmq4.ROUTER)
	must.OK(t, NullServer(bound, "d"))
	must.OK(t, bound.Bind("tcp://127.0.0.1:*"))
	if err := j.a.Guard(bound, nil); err == nil {
		t.Error("a bound socket")
	}
}

// TestGuardMonitor: the program gets the events of a guarded socket, too.
func TestGuardMonitor(t *testing.T) {
	j := newJudged(t, Config{})
	server := testzmq.NewSocket(t, j.zctx, zmq4.ROUTER)
	must.OK(t, NullServer(server, "d"))
	must.OK(t, j.a.Guard(server, nil))
	must.OK(t, j.a.Monitor(server, "inproc://events", zmq4.EVENT_LISTENING|zmq4.EVENT_ACCEPTED))
	reader := testzmq.NewSocket(t, j.zctx, zmq4.PAIR)
	must.OK(t, reader.Connect("inproc://events"))
	must.OK(t, server.Bind("tcp://127.0.0.1:*"))
	endpoint, err := server.GetLastEndpoint()
	must.OK(t, err)
	client := testzmq.NewSocket(t, j.zctx, zmq4.DEALER)
	must.OK(t, client.Connect(endpoint))
	for _, want := range []zmq4.Event{zmq4.EVENT_LISTENING, zmq4.EVENT_ACCEPTED} {
		if event, address, value, err := reader.RecvEvent(0); err != nil || event != want ||
			address != endpoint || value == 0 {
			t.Errorf("%v %s %d, %v", event, address, value, err)
		}
	}
	if err := j.a.Monitor(client, "inproc://others", zmq4.EVENT_ALL); err == nil {
		t.Error("a socket that is not guarded")
	}
}
