package fleet

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/acl"
	"github.com/zmqauth/zmqauth/internal/passhash"
	"github.com/zmqauth/zmqauth/internal/principal"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// Kind says what an entry is about. The zero value is none.
type Kind uint8

// The kinds of entries.
const (
	KindKey       Kind = iota + 1 // a CURVE key in a domain
	KindUser                      // a user of PLAIN in a domain
	KindPrincipal                 // a Kerberos principal, or a pattern, in a domain
	KindAddresses                 // the address rules of a domain: the whole list
	KindServer                    // what a server reports of itself
	KindMeta                      // the fleet itself: there is one
	KindSums                      // what a signer vouches for, see Sums
)

// State says whether an entry lets in. The zero value does not, and is an error.
type State string

// The states of entries of clients. Addresses and meta are always granted: they are replaced.
const (
	Granted State = "granted"
	Revoked State = "revoked"
)

// List is the kind of a list of addresses.
type List string

// The kinds of lists of addresses.
const (
	Allow List = "allow" // only these pass; none: nobody
	Deny  List = "deny"  // all but these pass
)

// The limits of entries. None of them is one that a stranger can reach.
const (
	MaxValue     = 512 << 10 // bytes of an encoded entry
	maxReport    = 16 << 10  // bytes of an encoded report: each server gets those of all
	MaxAddresses = 10_000    // of a list
	maxText      = 1024      // bytes of why, a pattern, a user id
	maxName      = 255       // bytes of a domain, a user's name, by
	maxToken     = 64        // bytes of a server's id, an epoch
	maxRevision  = 1 << 62   // another one can always follow
)

// Hash is the hash of a password. Every way of formatting or logging it shows a placeholder.
type Hash string

// Format writes the placeholder for every verb.
func (Hash) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// LogValue is the placeholder, for log/slog.
func (Hash) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// MarshalText is the placeholder, for encoding/json and its like. Entry.Encode has the hash itself.
func (Hash) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// Entry is what the fleet knows of one key, user, principal, domain or server. The zero value is
// not valid. What a kind does not use is zero.
type Entry struct {
	Kind   Kind
	Domain string // of clients and addresses; zmqauth.AnyDomain as in ConfigureCredentials

	PublicKey zmqauth.PublicKey // of KindKey
	Name      string            // of a user; a principal or a pattern; the id of a server, of sums

	State     State             // of all but KindServer
	UserID    string            // see zmqauth.Identity
	Metadata  map[string]string // see zmqauth.Identity
	Hash      Hash              // of a user that is granted: bcrypt or argon2id
	NotBefore time.Time         // accepted from then on; zero: no bound
	NotAfter  time.Time         // accepted before that; zero: no bound

	List      List     // of KindAddresses
	Addresses []string // of KindAddresses, as in zmqauth.Authenticator.Allow

	Epoch  string  // of KindMeta: another one makes every server load everything again
	Report *Status // of KindServer
	Sums   []byte  // of KindSums, see Sums

	By, Why string    // who made the change, and the reason
	At      time.Time // when

	// Revision grows with each change of what has this key. A server takes no older one in place of
	// what it knows, but a revocation. Use NextRevision.
	Revision  uint64
	Signature []byte // Ed25519, see Sign

	text   string // what ParseEntry has read; empty: the entry did not come from there
	key    string // of an entry that cannot be read, else empty
	broken error  // why it cannot be read
}

// NextRevision is a revision for the change of an entry whose last known revision is given (0:
// there is none). It follows the clock, in microseconds since 1970, so that a revocation is newer
// than a grant that its author has not seen.
func NextRevision(last uint64, now time.Time) uint64 {
	return max(last+1, uint64(max(now.UnixMicro(), 0)))
}

// Err says why an entry that came from ParseEntry cannot be used; nil: it can be read.
func (e Entry) Err() error { return e.broken }

// String is the key, the state and the revision.
func (e Entry) String() string { return fmt.Sprintf("%s %s@%d", e.Key(), e.State, e.Revision) }

// Format writes String for every verb: an entry may hold a hash.
func (e Entry) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(e.String())) }

// LogValue is String, for log/slog.
func (e Entry) LogValue() slog.Value { return slog.StringValue(e.String()) }

// isClient tells whether entries of a kind let clients in.
func (k Kind) isClient() bool { return k == KindKey || k == KindUser || k == KindPrincipal }

// isForLoading says that entries of a kind let nobody in and mean nothing once they are loaded.
func (k Kind) isForLoading() bool { return k == KindServer || k == KindSums }

// check tells whether an entry is valid, its signature apart. The error names no key and no secret.
func (e Entry) check() error {
	if e.broken != nil {
		return e.broken
	}
	if err := errors.Join(checkText("by", e.By, maxName), checkText("why", e.Why, maxText),
		checkText("user id", e.UserID, maxText), checkTime("at", e.At),
		checkTime("not-before", e.NotBefore), checkTime("not-after", e.NotAfter)); err != nil {
		return err
	}
	if e.Kind != KindServer && (e.Revision == 0 || e.Revision > maxRevision) {
		return fmt.Errorf("the revision is not in 1 to %d", uint64(maxRevision))
	}
	if extra := e.extra(); extra != "" {
		return fmt.Errorf("%s is not for this kind of entry", extra)
	}
	switch e.Kind {
	case KindKey, KindUser, KindPrincipal:
		return e.checkClient()
	case KindAddresses:
		return e.checkAddresses()
	case KindServer:
		if e.Report == nil {
			return errors.New("there is no report")
		}
		return checkToken("server", e.Name)
	case KindMeta:
		if e.State != Granted {
			return errors.New(`the state is not "granted"`)
		}
		return checkToken("epoch", e.Epoch)
	case KindSums:
		return e.checkSums()
	}
	return errors.New("there is no such kind of entry")
}

// extra is the name of what an entry has and its kind does not use.
func (e Entry) extra() string {
	client := e.Kind.isClient()
	for _, field := range []struct {
		name     string
		has, may bool
	}{
		{"domain", e.Domain != "", client || e.Kind == KindAddresses},
		{"key", e.PublicKey != zmqauth.PublicKey{}, e.Kind == KindKey},
		{"name", e.Name != "", e.Kind == KindUser || e.Kind == KindPrincipal || e.Kind == KindServer ||
			e.Kind == KindSums},
		{"user", e.UserID != "", client},
		{"metadata", e.Metadata != nil, client},
		{"hash", e.Hash != "", e.Kind == KindUser},
		{"not-before", !e.NotBefore.IsZero(), client},
		{"not-after", !e.NotAfter.IsZero(), client},
		{"list", e.List != "" || e.Addresses != nil, e.Kind == KindAddresses},
		{"epoch", e.Epoch != "", e.Kind == KindMeta},
		{"report", e.Report != nil, e.Kind == KindServer},
		{"sums", e.Sums != nil, e.Kind == KindSums},
		{"state", e.State != "", e.Kind != KindServer},
	} {
		if field.has && !field.may {
			return field.name
		}
	}
	return ""
}

func (e Entry) checkClient() error {
	if err := checkDomain(e.Domain); err != nil {
		return err
	}
	switch {
	case e.State != Granted && e.State != Revoked:
		return errors.New(`the state is neither "granted" nor "revoked"`)
	case e.Kind == KindKey && e.PublicKey == (zmqauth.PublicKey{}):
		return errors.New("the public key is zero")
	case e.Kind == KindUser && !isName(e.Name):
		return fmt.Errorf("a user's name has 1 to %d bytes and no NUL", maxName)
	case e.Kind == KindUser && (e.Hash != "" || e.State == Granted):
		if err := checkHash(string(e.Hash)); err != nil {
			return err
		}
	case e.Kind == KindPrincipal && len(e.Name) > maxText:
		return fmt.Errorf("a principal has at most %d bytes", maxText)
	case e.Kind == KindPrincipal:
		if err := principal.Check(e.Name); err != nil {
			return err
		}
	}
	if !e.NotAfter.IsZero() && !e.NotAfter.After(e.NotBefore) {
		return errors.New("not-after is not later than not-before")
	}
	for name, value := range e.Metadata {
		if !utf8.ValidString(value) {
			return fmt.Errorf("metadata %.40q: it is not UTF-8", name)
		}
	}
	return errors.Join(zap.CheckUserID(e.UserID), zap.CheckMetadata(e.Metadata))
}

func (e Entry) checkAddresses() error {
	switch {
	case e.State != Granted:
		return errors.New(`the state is not "granted": a list is replaced, not revoked`)
	case e.List != Allow && e.List != Deny:
		return errors.New(`the list is neither "allow" nor "deny"`)
	case len(e.Addresses) > MaxAddresses:
		return fmt.Errorf("more than %d addresses", MaxAddresses)
	}
	for _, address := range e.Addresses {
		if err := acl.CheckEntry(address); err != nil {
			return err
		}
	}
	return checkDomain(e.Domain)
}

// checkHash tells whether a text is the hash of a password. The error does not repeat it.
func checkHash(text string) error {
	_, isHash, err := passhash.Parse(text)
	if err == nil && !isHash {
		err = errors.New("it is no bcrypt or argon2id hash")
	}
	if err != nil {
		return fmt.Errorf("the password's hash: %w", err)
	}
	return nil
}

func isName(name string) bool {
	return name != "" && len(name) <= maxName && !strings.Contains(name, "\x00")
}

func checkDomain(domain string) error {
	if !isName(domain) {
		return fmt.Errorf("a domain has 1 to %d bytes and no NUL", maxName)
	}
	return nil
}

// checkToken tells whether a text can stand in a key as it is.
func checkToken(what, text string) error {
	if !isToken(text) {
		return fmt.Errorf("%s %.80q: 1 to %d letters, digits, - and _", what, text, maxToken)
	}
	return nil
}

func isToken(text string) bool {
	return text != "" && len(text) <= maxToken && strings.IndexFunc(text, func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
			c == '-' || c == '_')
	}) < 0
}

// checkText tells whether a text is UTF-8 without control characters: people read it in logs.
func checkText(what, text string, limit int) error {
	switch {
	case len(text) > limit:
		return fmt.Errorf("%s has more than %d bytes", what, limit)
	case !utf8.ValidString(text):
		return fmt.Errorf("%s is not UTF-8", what)
	case strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f }):
		return fmt.Errorf("%s has a control character", what)
	}
	return nil
}

func checkTime(what string, t time.Time) error {
	if year := t.UTC().Year(); year < 1 || year > 9999 {
		return fmt.Errorf("%s is not in the years 1 to 9999", what)
	}
	return nil
}
