package stream

import (
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// ErrDisconnected is the cause of the end of a Handler's context after [Server.Disconnect].
var ErrDisconnected = errors.New("stream: disconnected")

// A Session is an authenticated client of a [Server].
type Session struct {
	// ID is different for each client of a Server. The first one that is let in has 1.
	ID uint64
	// Remote is the address of the client.
	Remote net.Addr
	// Since is when the client was let in.
	Since time.Time
	// Credentials are what the Authenticator has returned; nil: none.
	Credentials any
}

// Summary says in a line who the client is: the subject, the serial number and the SHA-256 of a
// client's certificate, or what the credentials' method String says. It is "" for all other
// credentials, which may be secret. What cannot be printed, such as the end of a line, is escaped
// as in a Go string: who gets a certificate may choose its names.
func (s Session) Summary() string {
	switch credentials := s.Credentials.(type) {
	case []*x509.Certificate:
		if len(credentials) == 0 {
			return ""
		}
		c := credentials[0]
		return fmt.Sprintf("%s serial %x sha256 %x",
			printable(c.Subject.String()), c.SerialNumber, sha256.Sum256(c.Raw))
	case fmt.Stringer:
		return printable(credentials.String())
	}
	return ""
}

// printable escapes what cannot be printed.
func printable(text string) string {
	var b strings.Builder
	for i, r := range text {
		_, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return b.String()
}

// String returns the ID, the address and the summary.
func (s Session) String() string { return fmt.Sprintf("%d %v %s", s.ID, s.Remote, s.Summary()) }

// LogValue returns String, so that no log shows the credentials.
func (s Session) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Sessions returns the authenticated clients, those first that were let in first. Some of them may
// still wait for MaxConns to allow them in the Handler.
func (s *Server) Sessions() []Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Session, 0, len(s.entered))
	for c := range s.entered {
		if !c.isEnding {
			all = append(all, c.view())
		}
	}
	slices.SortFunc(all, func(a, b Session) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// Disconnect ends the connections of the clients that match returns true for, and returns how many
// those are. It does not wait for the Handlers. The context of each ends, with ErrDisconnected as
// the cause, and its connection is reset. A nil match matches nobody. A client that is
// disconnected may come back: it is the Authenticator that keeps it out.
func (s *Server) Disconnect(match func(Session) bool) (n int) {
	if match == nil {
		return 0
	}
	s.mu.Lock()
	clients := make(map[*session]Session, len(s.entered))
	for c := range s.entered {
		clients[c] = c.view()
	}
	s.mu.Unlock()
	for c, view := range clients {
		if match(view) && s.endSession(c, ErrDisconnected) {
			n++
		}
	}
	return n
}

// view returns what others may know of an authenticated client. The caller holds the mutex.
func (c *session) view() Session {
	return Session{ID: c.id, Remote: c.raw.RemoteAddr(), Since: c.since, Credentials: c.credentials}
}

// endSession ends the connection of an authenticated client, and reports whether it was open. The
// context goes first, so that the Handler knows why.
func (s *Server) endSession(c *session, why error) bool {
	s.mu.Lock()
	if _, open := s.entered[c]; !open || c.isEnding {
		s.mu.Unlock()
		return false
	}
	c.isEnding = true
	c.end(why)
	s.notify() // it may wait for its turn
	s.mu.Unlock()
	remote := c.raw.RemoteAddr()
	s.logSoon(func(log *slog.Logger) {
		log.Info("stream: a client's connection is ended", "remote", remote, "error", why)
	})
	end{conn: c.raw}.reset()
	return true
}
