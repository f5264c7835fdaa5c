package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"time"
)

// A Rejudger is an [Authenticator] that may take back its answer while a client is connected, as
// [TLSAuthenticator] does when a certificate is revoked. A [Server] asks it, unless KeepRefused is
// set, and ends the connections of clients that would be refused now. It may be an element of a
// [Chain].
type Rejudger interface {
	Authenticator
	// Revision returns a number that is another one whenever Rejudge may have another answer than
	// before. The Server calls it four times a second, from one goroutine.
	Revision() uint64
	// Rejudge returns an error if the client would be refused now. conn and credentials are what
	// Authenticate has returned. until is when to ask again even if Revision stays the same; the zero
	// time: not before it changes. The Server asks at once for each new client, and then for all of
	// them after each change. Rejudge must not block.
	Rejudge(conn net.Conn, credentials any) (until time.Time, err error)
}

// rejudgeInterval is how often Rejudgers are asked whether anything has changed.
const rejudgeInterval = 250 * time.Millisecond

// proof is a client's authentication by a Rejudger. After the handshake, only the goroutine of
// rejudge uses it.
type proof struct {
	by          Rejudger
	conn        net.Conn
	credentials any
	asked       bool
	revision    uint64
	until       time.Time // zero: until another revision
}

type proofsKey struct{}

// record adds a proof to the client whose handshake ctx belongs to. It does nothing outside of a
// Server.
func record(ctx context.Context, by Rejudger, conn net.Conn, credentials any) {
	if proofs, ok := ctx.Value(proofsKey{}).(*[]*proof); ok {
		*proofs = append(*proofs, &proof{by: by, conn: conn, credentials: credentials})
	}
}

// rejudgers returns the Rejudgers of a, in a chain too.
func rejudgers(a Authenticator) (all []Rejudger) {
	if links, ok := a.(chain); ok {
		for _, link := range links {
			all = append(all, rejudgers(link)...)
		}
	}
	if r, ok := a.(Rejudger); ok {
		all = append(all, r)
	}
	return all
}

// watch starts the goroutine of rejudge if it does not run. The caller holds the mutex.
func (s *Server) watch() {
	if !s.rejudging {
		s.rejudging = true
		go s.rejudge()
	}
}

// rejudge has the Rejudgers look at their files, and ends the connections of clients that would be
// refused now. It ends with the last listener and client.
func (s *Server) rejudge() {
	ticker := time.NewTicker(rejudgeInterval)
	defer ticker.Stop()
	static := rejudgers(s.Authenticator)
	for {
		clients, busy := s.provedClients()
		if !busy {
			return
		}
		revisions := make(map[Rejudger]uint64)
		for _, r := range static {
			s.revision(r, revisions)
		}
		for _, c := range clients {
			if err := s.rejudgeClient(c, revisions); err != nil {
				s.endSession(c, refusal(err))
			}
		}
		select {
		case <-ticker.C:
		case <-s.unwatched:
		}
	}
}

// provedClients returns the clients that a Rejudger has let in. If there is nothing left to watch,
// busy is false, and the caller must return.
func (s *Server) provedClients() (clients []*session, busy bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isUnwatched() {
		s.rejudging = false
		s.notify()
		return nil, false
	}
	if s.KeepRefused {
		return nil, true
	}
	for c := range s.entered {
		if len(c.proofs) > 0 && !c.isEnding {
			clients = append(clients, c)
		}
	}
	return clients, true
}

// isUnwatched reports whether there is nothing left to watch. The caller holds the mutex.
func (s *Server) isUnwatched() bool {
	return len(s.listeners)+len(s.entered)+s.pending.count == 0
}

// rejudgeClient asks the Rejudgers that have let in a client, where their answer may be another
// one.
func (s *Server) rejudgeClient(c *session, revisions map[Rejudger]uint64) error {
	for _, p := range c.proofs {
		revision := s.revision(p.by, revisions)
		isOver := !p.until.IsZero() && !time.Now().Before(p.until)
		if p.asked && p.revision == revision && !isOver {
			continue
		}
		until, err := s.ask(p)
		if err != nil {
			return err
		}
		p.asked, p.revision, p.until = true, revision, until
	}
	return nil
}

// revision returns the revision of a Rejudger, which is asked once for all clients if it can be
// told apart from others. A panic is logged, and is no change.
func (s *Server) revision(r Rejudger, known map[Rejudger]uint64) (revision uint64) {
	if reflect.ValueOf(r).Comparable() {
		if revision, ok := known[r]; ok {
			return revision
		}
		defer func() { known[r] = revision }()
	}
	defer func() {
		if fault := recover(); fault != nil {
			s.logSoon(func(log *slog.Logger) {
				log.Error("stream: Revision of an Authenticator panicked", "panic", fault)
			})
		}
	}()
	return r.Revision()
}

// ask calls Rejudge. A panic is a refusal.
func (s *Server) ask(p *proof) (until time.Time, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			until, err = time.Time{}, errors.New("Rejudge panicked")
			s.logSoon(func(log *slog.Logger) {
				log.Error("stream: Rejudge of an Authenticator panicked", "panic", fmt.Sprint(fault))
			})
		}
	}()
	return p.by.Rejudge(p.conn, p.credentials)
}
