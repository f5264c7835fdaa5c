package zmqauth

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/session"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// sessionCount is how many sessions the measurements have.
const sessionCount = 100_000

// manySessions is an authenticator with sessions of clients that are nowhere: a third each by CURVE
// keys, by passwords, and by principals.
func manySessions(tb testing.TB) (a *Authenticator, c *Credentials) {
	tb.Helper()
	a, c = newAuthenticator(tb, Config{Logger: quiet()}), new(Credentials)
	must.OK(tb, a.ConfigureCredentials("d", c))
	must.OK(tb, a.Deny("10.0.0.0/8", "192.0.2.0/24"))
	a.guard.begin.Do(func() { // without the goroutine that re-judges by itself
		a.guard.table.Store(session.New(session.Config{Judge: a.judgeSession,
			Changed: a.sessionChanged, Refused: a.turnedAway}))
		tb.Cleanup(a.guard.table.Load().Close)
	})
	table := a.guard.table.Load()
	requests := make([]*zap.Request, sessionCount)
	must.OK(tb, c.Update(func(c *Credentials) (err error) {
		for n := range requests {
			name := fmt.Sprintf("client%d", n)
			r := &zap.Request{Domain: []byte("d"), Address: fmt.Appendf(nil, "localhost:1:1:%d", n)}
			switch n % 3 {
			case 0:
				key := PublicKey{1}
				binary.BigEndian.PutUint32(key[1:], uint32(n))
				r.Mechanism, r.Credentials[0] = []byte("CURVE"), key[:]
				err = c.SetKey(key, Entry{})
			case 1:
				r.Mechanism, r.Credentials[0] = []byte("PLAIN"), []byte(name)
				err = c.SetUser(name, "secret", Entry{})
			case 2:
				r.Mechanism, r.Credentials[0] = []byte("GSSAPI"), []byte(name+"@EXAMPLE.ORG")
				err = c.SetPrincipal(name+"@EXAMPLE.ORG", Entry{})
			}
			if err != nil {
				return err
			}
			requests[n] = r
		}
		return nil
	}))
	since := time.Now().Add(time.Hour) // too young for anybody to miss their connections
	for _, r := range requests {
		v := verdict{policy: a.policy.Load()}
		if string(r.Mechanism) == "PLAIN" {
			v.user = c.set().users.Get(string(r.Credentials[0]))
		}
		reply := &session.Reply{Domain: "d", Mechanism: string(r.Mechanism),
			Address: string(r.Address), Send: func() {},
			Session: a.newSession(table.NextID(), r, v, since)}
		table.Offer(reply)
		table.Sent(reply, false)
	}
	if n := len(a.Sessions()); n != sessionCount {
		tb.Fatalf("%d sessions", n)
	}
	return a, c
}

// BenchmarkRejudge100000 re-judges 100,000 sessions after a change, and reports the time of that,
// and the longest that a decision took meanwhile.
func BenchmarkRejudge100000(b *testing.B) {
	a, c := manySessions(b)
	table, rules := a.guard.table.Load(), a.policy.Load().rules()
	stop, longest := make(chan bool), make(chan time.Duration)
	go func() {
		request := curveRequest("d", PublicKey{1})
		var most time.Duration
		for {
			select {
			case <-stop:
				longest <- most
				return
			case <-time.After(time.Millisecond):
				begun := time.Now()
				a.HandleZAPMessage(b.Context(), request)
				table.Guards("d") // what the loop asks besides
				most = max(most, time.Since(begun))
			}
		}
	}()
	for b.Loop() { // what all of them rest on has changed
		must.OK(b, c.Update(func(c *Credentials) error {
			return errors.Join(c.SetKey(PublicKey{2}, Entry{}), c.SetUser("new", "secret", Entry{}),
				c.SetPrincipal("new@EXAMPLE.ORG", Entry{}))
		}))
		before := rules
		rules = a.policy.Load().rules()
		count := table.Rejudge(rejudgment(before, rules))
		if count != 0 {
			b.Fatalf("%d sessions have ended", count)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N), "ms/rejudge")
	close(stop)
	b.ReportMetric(float64((<-longest).Microseconds())/1000, "ms/longest-decision")
}

// TestRejudgeMany: 100,000 sessions are re-judged far faster than anybody could connect them, and
// the few whose credentials are taken away are out.
func TestRejudgeMany(t *testing.T) {
	a, c := manySessions(t)
	key := PublicKey{1}
	must.OK(t, c.Update(func(c *Credentials) error {
		c.DeleteKey(key)
		c.DeleteUser("client1")
		c.DeletePrincipal("client2@EXAMPLE.ORG")
		return nil
	}))
	begun, now := time.Now(), a.policy.Load().rules()
	count := a.guard.table.Load().Rejudge(rejudgment(now, now))
	took := time.Since(begun)
	t.Logf("%d of %d sessions have ended, after %v", count, sessionCount, took)
	if left := len(a.Sessions()); count != 3 || left != sessionCount-3 {
		t.Errorf("%d sessions are left", left)
	}
	if took > 10*time.Second { // an order of magnitude more than it takes anywhere
		t.Errorf("%v", took)
	}
}
