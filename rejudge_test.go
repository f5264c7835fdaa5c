package zmqauth

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/passwd"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// TestChangesThatUndoEachOther: whom one change lets in, and the next one refuses, is out, also
// where both come between two looks at the rules.
func TestChangesThatUndoEachOther(t *testing.T) {
	a := newAuthenticator(t, Config{Logger: quiet()})
	cert, err := NewCertificate()
	must.OK(t, err)
	var c Credentials
	must.OK(t, a.ConfigureCredentials("d", &c))
	file := &passwordFile{a: a, path: "passwords", users: new(Credentials),
		source: a.newSource("password file", "passwords")}
	must.OK(t, a.configurePlain("file", &plainSetup{credentials: file.users}))
	ann, _, err := passwd.TableOf[*credential](map[string]string{"ann": "secret"})
	must.OK(t, err)
	for name, test := range map[string]struct {
		let, refuse              func()
		domain, mechanism, proof string
	}{
		"a key": {func() { must.OK(t, c.SetKey(cert.Public, Entry{})) },
			func() { c.DeleteKey(cert.Public) }, "d", "CURVE", string(cert.Public[:])},
		"a user": {func() { must.OK(t, c.SetUser("ann", "secret", Entry{})) },
			func() { c.DeleteUser("ann") }, "d", "PLAIN", "ann"},
		"a principal": {func() { must.OK(t, c.SetPrincipal("ann@R", Entry{})) },
			func() { c.DeletePrincipal("ann@R") }, "d", "GSSAPI", "ann@R"},
		"a password file": {func() { file.replace(ann) }, file.Gone, "file", "PLAIN", "ann"},
	} {
		t.Run(name, func(t *testing.T) {
			test.let()
			test.refuse()
			before := a.policy.Load().rules()
			test.let()
			v := verdict{policy: a.policy.Load()}
			if test.mechanism == "PLAIN" {
				v.user = setupFor(v.policy.plain, []byte(test.domain)).credentials.set().users.Get("ann")
			}
			s := a.newSession(1, &zap.Request{Domain: []byte(test.domain),
				Mechanism: []byte(test.mechanism), Address: []byte("127.0.0.1"),
				Credentials: [2][]byte{[]byte(test.proof)}}, v, time.Now())
			if _, ok := a.judgeSession(*s); !ok {
				t.Fatal("it is not let in")
			}
			test.refuse()
			now := a.policy.Load().rules()
			if now.equal(before) {
				t.Error("the changes do not show")
			}
			for _, again := range []bool{false, true} {
				if _, ok := rejudgment(before, now)(*s, again); ok {
					t.Errorf("it goes on, judged again: %t", again)
				}
			}
		})
	}
}

// TestSessionsOfGroupEnd: over IPC there are no more sessions than connections, also while other
// connections of the process go on.
func TestSessionsOfGroupEnd(t *testing.T) {
	j := newJudged(t, Config{Logger: quiet()})
	client, endpoint := j.serve("NULL", "ipc://"+filepath.Join(j.dir, "s"))
	must.OK(t, client.Connect(endpoint))
	first := j.await(1)[0]
	var others []*zmq4.Socket
	for n := range 3 {
		other := testzmq.NewSocket(t, j.zctx, zmq4.DEALER)
		must.OK(t, other.Connect(endpoint))
		j.await(n + 2)
		others = append(others, other)
	}
	for _, other := range others {
		must.OK(t, other.Close())
	}
	testpeer.Eventually(t, "one session is left", func() bool { return len(j.a.Sessions()) == 1 })
	if !j.a.Alive(first.ID) {
		t.Error("messages of a client that is connected are denied")
	}
}
