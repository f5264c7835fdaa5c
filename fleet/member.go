package fleet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/backoff"
	"github.com/zmqauth/zmqauth/internal/reminder"
)

// firstContact is how long a server with a snapshot waits for the store before it lets in those
// whom the snapshot has.
const firstContact = 5 * time.Second

// Member is a server's membership in a fleet. Any goroutine may call its methods.
type Member struct {
	options Options
	auth    *zmqauth.Authenticator
	store   Store
	cancel  context.CancelFunc
	running sync.WaitGroup
	turn    backoff.Turn
	begun   time.Time
	hurry   chan struct{} // there is something to report
	done    chan struct{} // closed when the membership has ended
	ready   chan struct{} // closed once clients can be judged

	mu       sync.Mutex // guards all below
	ledger   *ledger
	enforcer *enforcer
	position Position
	loaded   bool      // by a snapshot or a Reset
	awaiting bool      // a snapshot is loaded, and the store has not been heard yet
	proof    time.Time // as of when this server was proved to be up to date
	age      age
	refused  uint64
	trouble  string
	changed  bool // what the snapshot has

	journal    journal
	savedProof time.Time // that the snapshot has
	unsaved    reminder.Condition

	refusals  reminder.Events
	following reminder.Condition
	reporting reminder.Condition
	closed    bool
	err       error // why the membership has ended

	saving sync.Mutex // held while the snapshot is written
}

// ErrClosed says that Close has ended the membership.
var ErrClosed = errors.New("fleet: the membership is closed")

// Join makes an Authenticator follow a fleet: keys, users and principals of its domains by
// ConfigureCredentials, and addresses by SetAllowed and SetDenied. Join it before Start. Join
// returns once clients can be judged: when everything has been loaded and a quorum of the store has
// confirmed that it is all; or, with a snapshot, five seconds later in any case. An error, or the
// end of ctx before that, ends the membership. ctx is for joining alone.
func Join(ctx context.Context, auth *zmqauth.Authenticator, s Store, o Options) (*Member, error) {
	if auth == nil || s == nil {
		return nil, errors.New("fleet: Join: the Authenticator or the Store is nil")
	}
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("fleet: Join: %w", err)
	}
	m := newMember(auth, s, o)
	if err := m.begin(); err != nil {
		return nil, fmt.Errorf("fleet: Join: %w", err)
	}
	if o.Audit != nil {
		o.Audit.join(m)
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	m.cancel = cancel
	for _, work := range []func(context.Context){m.follow, m.report, m.watch} {
		m.running.Go(func() { work(run) })
	}
	select {
	case <-m.ready:
		return m, nil
	case <-m.done:
		m.running.Wait()
		return nil, fmt.Errorf("fleet: Join: %w", m.err)
	case <-ctx.Done():
		trouble := m.Status().Trouble
		_ = m.Close()
		return nil, fmt.Errorf("fleet: Join: %w (%s)", context.Cause(ctx), trouble)
	}
}

func newMember(auth *zmqauth.Authenticator, s Store, o Options) *Member {
	return &Member{options: o, auth: auth, store: s, begun: o.Clock(), age: stale,
		ledger: newLedger(o.trust()), enforcer: newEnforcer(auth, o),
		hurry: make(chan struct{}, 1), done: make(chan struct{}), ready: make(chan struct{})}
}

// begin closes the domains and loads the snapshot.
func (m *Member) begin() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := errors.Join(m.enforcer.suspend(true), m.enforcer.begin())
	if err == nil && m.options.Snapshot != "" {
		err = m.load()
	}
	return err
}

// follow follows the store until ctx ends.
func (m *Member) follow(ctx context.Context) {
	for m.turn.Await(ctx) {
		m.mu.Lock()
		from := m.position
		if !m.loaded {
			from = Position{}
		}
		m.mu.Unlock()
		err := m.store.Follow(ctx, from, sink{m})
		m.turn.Note(true)
		if ctx.Err() == nil {
			m.tell(&m.following, "cannot follow the store, what is known stays in force", err)
		}
	}
}

// report reports again and again, which proves that this server is up to date. After a revocation
// it does so at once: somebody waits for it.
func (m *Member) report(ctx context.Context) {
	var pending []Pending
	for ctx.Err() == nil {
		limited, cancel := context.WithTimeout(ctx, m.options.ReportInterval)
		err := m.store.Report(limited, m.options.Server, m.Status())
		if err == nil {
			pending, err = m.reportPending(limited, pending)
		}
		cancel()
		wait, hurry := m.options.ReportInterval, m.hurry
		if err != nil {
			wait, hurry = min(wait, backoff.Max), nil
		}
		if ctx.Err() == nil {
			m.tell(&m.reporting, "cannot report to the store", err)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-hurry:
			pause(ctx, rand.N(min(wait, hurryTime))) // what comes together is reported together
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// hurryTime is the longest time from a revocation to a report of it.
const hurryTime = 100 * time.Millisecond

// reportPending reports the pending keys if they are others than those before.
func (m *Member) reportPending(ctx context.Context, before []Pending) ([]Pending, error) {
	store, ok := m.store.(PendingStore)
	if !ok || m.options.Pending == nil {
		return nil, nil
	}
	now := m.options.Pending()
	if slices.Equal(before, now) {
		return now, nil
	}
	if err := store.ReportPending(ctx, m.options.Server, now); err != nil {
		return before, err
	}
	return now, nil
}

// watch judges the age of the last proof, and saves the snapshot.
func (m *Member) watch(ctx context.Context) {
	saved, judged := m.options.Clock(), m.options.Clock()
	interval := checkInterval(m.options.MaxStale)
	for pause(ctx, min(interval, syncInterval)) {
		m.sync()
		now := m.options.Clock()
		if now.Sub(judged) >= interval || now.Before(judged) {
			judged = now
			m.judge(now)
		}
		m.mu.Lock()
		isFull := m.journal.isFull()
		m.mu.Unlock()
		if isFull && now.Sub(saved) >= retryInterval || now.Sub(saved) >= snapshotInterval ||
			now.Before(saved) {
			saved = now
			_ = m.save() // logs
		}
	}
}

// pause waits. It returns false if ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// tell logs what is wrong for a while, and its end.
func (m *Member) tell(condition *reminder.Condition, what string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	log := m.options.Logger
	if err == nil {
		if condition.Over() {
			log.Info("zmqauth: the fleet's store answers again", "server", m.options.Server)
		}
		return
	}
	m.trouble = strings.ToValidUTF8(fmt.Sprintf("%s: %.400s", what, err), "?")
	if condition.Due(what, m.options.Clock(), reminder.First) {
		log.Error("zmqauth: fleet: "+what, "error", err, "fresh", m.proof)
	}
}

// judge suspends the domains where nobody knows what holds, and ends that.
func (m *Member) judge(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.judgeLocked(now)
}

func (m *Member) judgeLocked(now time.Time) {
	if m.closed {
		return
	}
	if m.awaiting && now.Sub(m.begun) >= firstContact {
		m.awaiting = false
		m.options.Logger.Warn("zmqauth: fleet: the store does not answer, the snapshot is in force",
			"snapshot", m.options.Snapshot, "fresh", m.proof)
		defer m.isReady()
	}
	was, proof := m.age, m.proof
	m.enforcer.proof.Store(&proof)
	m.age = ageOf(m.proof, now, m.options.MaxStale)
	closed := !m.loaded || m.awaiting || m.age == stale
	if closed != m.enforcer.suspended {
		m.check(m.enforcer.suspend(closed))
	}
	if !closed {
		m.isReady()
	}
	if m.age != was && m.loaded {
		m.tellAge()
	}
}

// isReady ends Join.
func (m *Member) isReady() {
	select {
	case <-m.ready:
	default:
		close(m.ready)
	}
}

func (m *Member) tellAge() {
	log := m.options.Logger.With("fresh", m.proof, "max-stale", m.options.MaxStale)
	switch m.age {
	case fresh:
		log.Info("zmqauth: the fleet's news are fresh")
	case half:
		log.Warn("zmqauth: the fleet's news are old, half of the time until nobody new gets in is over")
	case nearly:
		log.Error("zmqauth: the fleet's news are old, soon nobody new gets in")
	case stale:
		log.Error("zmqauth: the fleet's news are too old, nobody new gets in")
	}
}

// check logs errors of the Authenticator. Its end ends the membership.
func (m *Member) check(err error) {
	if err == nil {
		return
	}
	if errors.Is(err, zmqauth.ErrClosed) {
		m.end(err)
		return
	}
	m.refused++
	m.options.Logger.Error("zmqauth: fleet: an entry cannot be put in force", "error", err)
}

// end ends the membership; m.mu is held.
func (m *Member) end(err error) {
	if m.closed {
		return
	}
	m.closed, m.err = true, err
	if m.cancel != nil {
		m.cancel()
	}
	close(m.done)
}

// Close ends the membership and saves the snapshot. From then on nobody new gets in to the fleet's
// domains, because nobody knows what holds. It is idempotent.
func (m *Member) Close() error {
	m.mu.Lock()
	if !m.closed {
		_ = m.enforcer.suspend(true) // ErrClosed: nobody gets in anyway
		m.end(ErrClosed)
	}
	m.mu.Unlock()
	m.running.Wait()
	err := m.save()
	m.sync()
	m.saving.Lock()
	defer m.saving.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.journal.close()
	return err
}

// Wait waits until the membership has ended. It returns nil after Close, else why.
func (m *Member) Wait() error {
	<-m.done
	if errors.Is(m.err, ErrClosed) {
		return nil
	}
	return m.err
}

// Status is how the server stands now.
func (m *Member) Status() Status {
	sessions := 0
	for _, count := range m.auth.Observe().Sessions { // of each domain
		sessions += count
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := Status{Version: m.options.Version, At: wall(m.options.Clock()), Since: wall(m.begun),
		Position: m.position, Fresh: wall(m.proof), Suspended: m.enforcer.suspended,
		Sessions: sessions, Notices: len(m.ledger.notices), Refused: m.refused, Trouble: m.trouble}
	s.Keys, s.Users, s.Principals = m.enforcer.count()
	return s
}

// wall is a time as it can be told to others.
func wall(t time.Time) time.Time { return t.UTC().Round(0) }

// whyCut is why the fleet lets the client of a session in no more; empty: it does.
func (m *Member) whyCut(s zmqauth.Session) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, domain := range []string{s.Domain, zmqauth.AnyDomain} {
		e := Entry{Domain: domain}
		switch s.Mechanism {
		case "CURVE":
			e.Kind, e.PublicKey = KindKey, s.Key
		case "PLAIN":
			e.Kind, e.Name = KindUser, s.UserID
		default:
			return ""
		}
		key := e.Key()
		if _, announced := m.ledger.notices[key]; announced {
			return "revocation-announced"
		}
		if r, known := m.ledger.records[key]; known && r.state != Granted {
			return "revoked"
		}
	}
	return ""
}

// IsRevoked tells whether a key of a domain is revoked, or announced to be. It waits for nothing:
// while changes come into force it may say no. It is for zmqauth.Config.UnknownKey.
func (m *Member) IsRevoked(domain string, key zmqauth.PublicKey) bool {
	if !m.mu.TryLock() {
		return false
	}
	defer m.mu.Unlock()
	at := Entry{Kind: KindKey, Domain: domain, PublicKey: key}.Key()
	_, announced := m.ledger.notices[at]
	return announced || m.ledger.records[at].state == Revoked
}
