package zmqauth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// plainSetup decides on the PLAIN clients of a domain (RFC 24): by the table, or by the callback if there is one.
type plainSetup struct {
	table    map[string]passwordDigest
	callback PlainCallback
}

// passwordDigest is what is kept of a password: enough to recognise it, nothing to read it from.
type passwordDigest [sha256.Size]byte

// maxPlainLength is what a PLAIN user name or password has room for on the wire (RFC 24).
const maxPlainLength = 255

// ConfigurePlain lets in the users of a domain with these passwords. It replaces the domain's table; an empty one means
// nobody. The user id is the user name. A name or password that is empty or longer than 255 bytes, or a NUL byte in a
// name, is an error that changes nothing.
func (a *Authenticator) ConfigurePlain(domain string, passwords map[string]string) error {
	if err := checkDomain(domain); err != nil {
		return err
	}
	table := make(map[string]passwordDigest, len(passwords))
	for _, name := range slices.Sorted(maps.Keys(passwords)) {
		if err := checkPlainEntry(name, passwords[name]); err != nil {
			return fmt.Errorf("zmqauth: domain %q: %w", domain, err)
		}
		table[name] = a.digest([]byte(passwords[name]))
	}
	configure(a, &a.policy.plain, domain, &plainSetup{table: table})
	return nil
}

func checkPlainEntry(name, password string) error {
	switch {
	case name == "":
		return errors.New("an empty user name")
	case len(name) > maxPlainLength:
		return fmt.Errorf("user %.40q…: a name has at most %d bytes", name, maxPlainLength)
	case strings.IndexByte(name, 0) >= 0:
		return fmt.Errorf("user %q: a NUL byte in the name", name)
	case password == "":
		return fmt.Errorf("user %q: the password is empty", name)
	case len(password) > maxPlainLength:
		return fmt.Errorf("user %q: a password has at most %d bytes", name, maxPlainLength)
	}
	return nil
}

// ConfigurePlainCallback has a callback decide on the users of a domain: a directory service, a database. It replaces
// what the domain had before.
func (a *Authenticator) ConfigurePlainCallback(domain string, cb PlainCallback) error {
	if err := checkDomain(domain); err != nil {
		return err
	}
	if cb == nil {
		return fmt.Errorf("zmqauth: domain %q: the callback is nil", domain)
	}
	configure(a, &a.policy.plain, domain, &plainSetup{callback: cb})
	return nil
}

func (a *Authenticator) digest(password []byte) passwordDigest {
	mac := hmac.New(sha256.New, a.passwordKey[:])
	mac.Write(password)
	return passwordDigest(mac.Sum(nil))
}

func (a *Authenticator) judgePlain(r *request) (verdict, *inquiry) {
	setup := setupFor(a.policy.plain, r.domain)
	if setup == nil {
		return denied(ReasonNotConfigured), nil
	}
	name, password := r.credentials[0], r.credentials[1]
	if setup.callback != nil {
		return setup.askAbout(string(r.domain), string(name), string(password))
	}
	// An unknown user costs what a wrong password does: the same digest, the same comparison.
	want, known := setup.table[string(name)]
	given := a.digest(password)
	equal := hmac.Equal(want[:], given[:])
	switch {
	case !known:
		return denied(ReasonUnknownUser), nil
	case !equal:
		return denied(ReasonWrongPassword).about("user", string(name)), nil
	}
	return a.accepted(string(name), nil), nil
}

func (s *plainSetup) askAbout(domain, name, password string) (verdict, *inquiry) {
	if checkUserID(name) != nil { // no reader of the user id would see all of it
		return denied(ReasonMalformed), nil
	}
	return verdict{}, &inquiry{
		ask: func(ctx context.Context) (*Identity, error) {
			return s.callback(ctx, domain, name, password)
		},
		defaultID: name,
		secret:    password,
	}
}
