package session

import (
	"fmt"
	"testing"
	"time"
)

// newTable is a table of sessions that are on no connection: each in a group of its own.
func newTable(t testing.TB, sessions int, judge func(Session) (time.Time, bool)) (
	table *Table, changes chan string) {
	t.Helper()
	changes = make(chan string, 10*sessions+10)
	table = New(Config{Judge: judge, Refused: func(Refusal, int) {},
		Changed: func(s Session, open bool) { changes <- fmt.Sprint(s.UserID, " ", open) }})
	t.Cleanup(table.Close)
	for n := range sessions {
		table.open(fmt.Sprint(n), nil)
	}
	return table, changes
}

// open opens the session of a user.
func (t *Table) open(user string, proof any) uint64 { return t.openUntil(user, proof, time.Time{}) }

// openUntil is open for a session that expires.
func (t *Table) openUntil(user string, proof any, expires time.Time) uint64 {
	s := &Session{ID: t.NextID(), Domain: "d", Mechanism: mechanismPlain, UserID: user, Proof: proof,
		Expires: expires}
	r := &Reply{Domain: "d", Mechanism: mechanismPlain, Address: ipcPrefix + user, Session: s,
		Send: func() {}}
	t.Offer(r)
	t.Sent(r, false)
	return s.ID
}

// judge is what the table judges new sessions by.
func (t *Table) judge(s Session, _ bool) (time.Time, bool) { return t.cfg.Judge(s) }

func always(Session) (time.Time, bool) { return time.Time{}, true }

// TestTable: sessions are known until they are cut, and their changes are told in order.
func TestTable(t *testing.T) {
	table, changes := newTable(t, 0, always)
	var ids []uint64
	for _, user := range []string{"ann", "bob", "eve"} {
		ids = append(ids, table.open(user, nil))
	}
	for i, s := range table.Sessions() {
		if s.ID != ids[i] || s.Exact || !table.Alive(s.ID) {
			t.Errorf("%+v", s)
		}
	}
	if n := table.Cut(func(s Session) bool { return s.UserID == "bob" }); n != 1 {
		t.Errorf("%d were cut", n)
	}
	if table.Alive(ids[1]) || len(table.Sessions()) != 2 {
		t.Errorf("%+v", table.Sessions())
	}
	table.CutAll()
	if len(table.Sessions()) != 0 {
		t.Errorf("%+v", table.Sessions())
	}
	for _, want := range []string{"ann true", "bob true", "eve true", "bob false"} {
		if got := <-changes; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if len(changes) != 2 {
		t.Errorf("%d more changes", len(changes))
	}
}

// TestRejudge: who is refused is out; the next expiry is that of those who stay.
func TestRejudge(t *testing.T) {
	first, second := time.Unix(1000, 0), time.Unix(2000, 0)
	var judging bool
	table, _ := newTable(t, 0, func(s Session) (time.Time, bool) {
		switch at, _ := s.Proof.(time.Time); {
		case !judging:
			return time.Time{}, true
		case s.UserID == "eve":
			return first, false
		default:
			return at, true
		}
	})
	table.open("ann", time.Time{})
	table.open("bob", second)
	table.open("eve", first)
	table.settled(t)
	judging = true
	if count := table.Rejudge(table.judge); count != 1 {
		t.Errorf("%d have ended", count)
	}
	if table.IsDue(second.Add(-1)) || !table.IsDue(second) {
		t.Error("the next expiry is another one")
	}
	if all := table.Sessions(); len(all) != 2 || !all[1].Expires.Equal(second) {
		t.Errorf("%+v", all)
	}
}

// TestExpiryOfLater: a session that opens after a Rejudge expires as well, and so does one whose
// rules have changed while it was opened.
func TestExpiryOfLater(t *testing.T) {
	at := time.Unix(1000, 0)
	for name, test := range map[string]struct{ opened, judged time.Time }{
		"as opened": {at, at}, "as judged since": {time.Time{}, at}, "never": {},
	} {
		table, _ := newTable(t, 0, func(Session) (time.Time, bool) { return test.judged, true })
		table.Rejudge(table.judge)
		table.openUntil("ann", nil, test.opened)
		table.settled(t)
		if table.IsDue(at.Add(-1)) || table.IsDue(at) != (name != "never") {
			t.Errorf("%s: due at %v", name, table.due)
		}
		if all := table.Sessions(); len(all) != 1 || all[0].Expires != test.judged {
			t.Errorf("%s: %+v", name, all)
		}
	}
}

// TestRejudgeAgain: what has passed a Rejudge is known to have at the next one, and nothing else
// is.
func TestRejudgeAgain(t *testing.T) {
	table, _ := newTable(t, 0, always)
	seen := func() (all string) {
		table.Rejudge(func(s Session, again bool) (time.Time, bool) {
			all += fmt.Sprint(s.UserID, " ", again, " ")
			return time.Time{}, true
		})
		return all
	}
	table.open("ann", nil)
	for _, want := range []string{"ann false ", "ann true bob false ", "ann true bob true "} {
		if got := seen(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if len(table.Sessions()) == 1 {
			table.open("bob", nil)
		}
	}
}

// settled waits until new sessions have been judged.
func (t *Table) settled(test *testing.T) {
	test.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		t.mu.Lock()
		fresh := len(t.fresh)
		t.mu.Unlock()
		if fresh == 0 {
			t.Close() // which waits for the goroutine that judges them
			return
		}
		time.Sleep(time.Millisecond)
	}
	test.Fatal("new sessions are not judged")
}

// TestFreshIsJudged: a session that opens while the rules change is judged once more.
func TestFreshIsJudged(t *testing.T) {
	table, changes := newTable(t, 0, func(s Session) (time.Time, bool) {
		return time.Time{}, s.UserID != "eve"
	})
	table.open("eve", nil)
	for _, want := range []string{"eve true", "eve false"} {
		if got := <-changes; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestRejudgeHoldsUpNobody: while sessions are judged, others open, end and are asked about.
func TestRejudgeHoldsUpNobody(t *testing.T) {
	judging, free := make(chan bool), make(chan bool)
	table, _ := newTable(t, 0, func(s Session) (time.Time, bool) {
		if s.UserID == "slow" {
			judging <- true
			<-free
		}
		return time.Time{}, true
	})
	slow := table.open("slow", nil)
	<-judging // as a new one
	free <- true
	done := make(chan bool)
	go func() {
		table.Rejudge(table.judge)
		close(done)
	}()
	<-judging
	other := table.open("other", nil)
	if !table.Alive(other) || len(table.Sessions()) != 2 || table.Guards("d") {
		t.Error("not as without judging")
	}
	if n := table.Cut(func(s Session) bool { return s.ID == slow }); n != 1 {
		t.Errorf("%d were cut", n)
	}
	free <- true
	<-done
	if table.Alive(slow) || !table.Alive(other) {
		t.Error("another one is out")
	}
}
