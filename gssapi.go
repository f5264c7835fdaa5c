package zmqauth

import (
	"context"
	"fmt"

	"github.com/zmqauth/zmqauth/internal/principal"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// gssapiSetup decides on the GSSAPI clients of a domain, whose principals Kerberos has proved
// (RFC 38): by their names, or by the callback if there is one. Without a setup all are accepted.
type gssapiSetup struct {
	any        bool // everybody, whatever principals has
	principals *principal.Set
	callback   GSSAPICallback
}

// ConfigureGSSAPI lets in only these principals of a domain's clients: "alice@REALM",
// "host/a.example@REALM", or patterns in which "*" stands for one whole component, "*@REALM",
// "host/*@REALM". The realm is compared exactly. None named means every principal that the KDC
// vouches for. It replaces what the domain had before. A bad entry is an error that changes
// nothing. The user id is the principal.
//
// Start and Attach answer repeated refusals of one address and principal later and later, up to
// 1.6 s, because libzmq's client comes back at once: it takes the one answer that keeps a GSSAPI
// client out (see HandleZAPMessage) for an accident. A client that is let in meanwhile gets in at
// its next try.
func (a *Authenticator) ConfigureGSSAPI(domain string, principals ...string) error {
	if err := checkDomain(domain); err != nil {
		return err
	}
	setup, err := newGSSAPISetup(principals)
	if err != nil {
		return fmt.Errorf("zmqauth: domain %q: %w", domain, err)
	}
	configure(a, &a.policy.gssapi, domain, setup)
	return nil
}

// newGSSAPISetup is the setup for a list of principals, in which none means everybody.
func newGSSAPISetup(principals []string) (*gssapiSetup, error) {
	set, err := principal.NewSet(principals)
	if err != nil {
		return nil, err
	}
	return &gssapiSetup{any: len(principals) == 0, principals: set}, nil
}

// ConfigureGSSAPICallback has a callback decide on the principals of a domain's clients. It
// replaces what the domain had before.
func (a *Authenticator) ConfigureGSSAPICallback(domain string, cb GSSAPICallback) error {
	if err := checkDomain(domain); err != nil {
		return err
	}
	if cb == nil {
		return fmt.Errorf("zmqauth: domain %q: the callback is nil", domain)
	}
	configure(a, &a.policy.gssapi, domain, &gssapiSetup{callback: cb})
	return nil
}

func (a *Authenticator) judgeGSSAPI(r *zap.Request) (verdict, *inquiry) {
	name := string(r.Credentials[0])
	if name == "" || zap.CheckUserID(name) != nil {
		return denied(ReasonMalformed), nil
	}
	setup := setupFor(a.policy.gssapi, r.Domain)
	switch {
	case setup == nil || setup.any:
		return a.accepted(name, nil), nil
	case setup.callback != nil:
		domain := string(r.Domain)
		return verdict{}, &inquiry{
			ask: func(ctx context.Context) (*Identity, error) {
				return setup.callback(ctx, domain, name)
			},
			defaultID: name,
			about:     [2]string{"principal", name},
		}
	case setup.principals.Has(name):
		return a.accepted(name, nil), nil
	default:
		return denied(ReasonUnknownPrincipal).about("principal", name), nil
	}
}
