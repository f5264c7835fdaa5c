package admin

import (
	"net/netip"
	"time"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/acl"
)

// Session is a zmqauth.Session in JSON.
type Session struct {
	ID        uint64    `json:"id"`
	Frontends []string  `json:"frontends,omitempty"` // of a proxy, that it may be at: mostly one
	Domain    string    `json:"domain"`
	Mechanism string    `json:"mechanism"`
	User      string    `json:"user,omitempty"`
	Key       string    `json:"key,omitempty"`  // of CURVE, in Z85
	Address   string    `json:"address"`        // of IP, or localhost:UID:GID:PID
	Port      uint16    `json:"port,omitempty"` // of the client; 0: not known
	Since     time.Time `json:"since"`
	Expires   time.Time `json:"expires,omitzero"` // zero: it does not
	Exact     bool      `json:"exact"`            // false: it ends together with others of its address
}

// Event is what a watch tells.
type Event struct {
	Event   string   `json:"event"`
	Session *Session `json:"session,omitempty"` // of EventOpen and EventClose
	Count   uint64   `json:"count,omitempty"`   // of EventLost
}

// The kinds of Event.
const (
	EventWatching = "watching" // the first: all that follows is told
	EventOpen     = "open"
	EventClose    = "close"
	EventLost     = "lost" // so many events were left out, because the watcher was slow
)

// show makes a Session of one of the Authenticator.
func (c *Control) show(s zmqauth.Session) Session { return shownSession(s, c.cfg.Frontends) }

// shownSession makes a Session of one of an Authenticator. frontends may be nil.
func shownSession(s zmqauth.Session, frontends func(zmqauth.Session) []string) Session {
	shown := Session{ID: s.ID, Domain: s.Domain, Mechanism: s.Mechanism, User: s.UserID,
		Address: addressOf(s), Port: s.Client.Port(), Since: s.Since.UTC(), Exact: s.Exact}
	if s.Key != (zmqauth.PublicKey{}) {
		shown.Key = s.Key.String()
	}
	if !s.Expires.IsZero() {
		shown.Expires = s.Expires.UTC()
	}
	if frontends != nil {
		shown.Frontends = frontends(s)
	}
	return shown
}

// addressOf is the address of a session's client as ZAP has it.
func addressOf(s zmqauth.Session) string {
	if s.Client != (netip.AddrPort{}) {
		return s.Client.Addr().String()
	}
	return "localhost:" + s.Peer
}

// peerOf is the client of a session as address rules see it.
func peerOf(s zmqauth.Session) acl.Peer {
	peer, _ := acl.ParsePeer(addressOf(s)) // of an unknown one, no allow list names it
	return peer
}
