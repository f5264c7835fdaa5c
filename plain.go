package zmqauth

import (
	"context"
	"fmt"
	"slices"

	"github.com/zmqauth/zmqauth/internal/follow"
	"github.com/zmqauth/zmqauth/internal/passhash"
	"github.com/zmqauth/zmqauth/internal/passwd"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// plainSetup decides on the PLAIN clients of a domain (RFC 24): by the callback if there is one,
// else by the users of credentials.
type plainSetup struct {
	credentials *Credentials
	callback    PlainCallback
	file        *follow.File   // that the users come from, nil: they come from elsewhere
	source      *follow.Source // the same file; nil: there is none
}

// ConfigurePlain lets in the users of a domain with these passwords. It replaces what the domain
// had before. An empty table means nobody. The user id is the user name.
//
// A value that begins with $2a$, $2b$, $2y$ (bcrypt) or $argon2id$ is a hash (see [HashPassword]).
// Hashes are verified beside the loop. A password that was found right is remembered in memory
// until its entry changes.
//
// These are errors that change nothing: a name or password that is empty or longer than 255 bytes;
// a NUL byte in a name; a hash that cannot be read, that costs too much, or that is of another
// kind.
func (a *Authenticator) ConfigurePlain(domain string, passwords map[string]string) error {
	if err := checkDomain(domain); err != nil {
		return err
	}
	users, name, err := passwd.TableOf[*credential](passwords)
	if err != nil {
		return fmt.Errorf("zmqauth: domain %q: user %.40q: %w", domain, name, err)
	}
	return a.configurePlain(domain, &plainSetup{credentials: withUsers(users)})
}

// withUsers are credentials with these users.
func withUsers(users passwd.Table[*credential]) *Credentials {
	c := new(Credentials)
	c.now.Store(&credentialSet{users: users})
	return c
}

// ConfigurePlainCallback has a callback decide on the users of a domain: a directory service, a
// database. It replaces what the domain had before.
func (a *Authenticator) ConfigurePlainCallback(domain string, cb PlainCallback) error {
	if err := checkDomain(domain); err != nil {
		return err
	}
	if cb == nil {
		return fmt.Errorf("zmqauth: domain %q: the callback is nil", domain)
	}
	return a.configurePlain(domain, &plainSetup{callback: cb})
}

// HashPassword makes an entry for a table or file of passwords from a password of 1 to 255 bytes:
// an argon2id hash with a new salt, in the PHC string format ($argon2id$v=19$m=19456,t=2,p=1$…).
func HashPassword(password string) (string, error) {
	hash, err := passhash.New(password)
	if err != nil {
		return "", fmt.Errorf("zmqauth: %w", err)
	}
	return hash, nil
}

// configurePlain puts a setup in force.
func (a *Authenticator) configurePlain(domain string, setup *plainSetup) error {
	return a.change(func(next *policy) error {
		next.plain[domain] = setup
		return nil
	})
}

func (a *Authenticator) judgePlain(p *policy, r *zap.Request) (verdict, *inquiry) {
	setup := setupFor(p.plain, r.Domain)
	if setup == nil {
		return denied(ReasonNotConfigured), nil
	}
	if setup.callback != nil {
		return setup.askAbout(string(r.Domain), string(r.Credentials[0]), string(r.Credentials[1]))
	}
	if setup.source.IsStale(p.staleLimit) {
		return denied(ReasonStale), nil
	}
	name := string(r.Credentials[0])
	user, isRight, attempt := setup.credentials.set().users.Check(r.Credentials[0], r.Credentials[1])
	switch {
	case isRight:
		return a.acceptUser(name, user), nil
	case attempt != nil:
		return verdict{}, a.verify(user, attempt, string(r.Domain), name, slices.Clone(r.Credentials[1]))
	}
	return refusalOf(user, name), nil
}

// acceptUser is the verdict on a user whose password is right.
func (a *Authenticator) acceptUser(name string, user *passwd.User[*credential]) verdict {
	known := user.Value
	if v, refused := known.refusal(ReasonUserExpired, ReasonUserNotYetValid); refused {
		return v.about("user", name)
	}
	v := a.accepted(idOf(known, name), a.metadataOf(known))
	v.user = user
	return v
}

// refusalOf is the verdict on a wrong password. user is nil if there is none of that name.
func refusalOf(user *passwd.User[*credential], name string) verdict {
	if user == nil {
		return denied(ReasonUnknownUser)
	}
	return denied(ReasonWrongPassword).about("user", name)
}

// verify computes a hash beside the loop.
func (a *Authenticator) verify(user *passwd.User[*credential], attempt *passwd.Attempt[*credential],
	domain, name string, password []byte) *inquiry {
	return &inquiry{
		lane: a.hashes,
		decide: func(context.Context) verdict {
			defer clear(password)
			if !attempt.Matches(password) {
				return refusalOf(user, name)
			}
			now := a.userNow(domain, name)
			if !attempt.Remember(now) {
				return refusalOf(user, name)
			}
			return a.acceptUser(name, now)
		},
	}
}

// userNow is a user as it is in force; nil: there is none. The user may have been changed or
// removed while a hash was computed. If another setup with the same hash is in force by now, the
// user is let in all the same.
func (a *Authenticator) userNow(domain, name string) *passwd.User[*credential] {
	setup := setupFor(a.policy.Load().plain, []byte(domain))
	if setup == nil || setup.credentials == nil {
		return nil
	}
	return setup.credentials.set().users.Get(name)
}

func (s *plainSetup) askAbout(domain, name, password string) (verdict, *inquiry) {
	if zap.CheckUserID(name) != nil { // no reader of the user id would see all of it
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
