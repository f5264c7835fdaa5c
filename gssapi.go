package zmqauth

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/zmqauth/zmqauth/internal/zap"
)

// gssapiSetup decides on the GSSAPI clients of a domain, whose principals Kerberos has proved (RFC 38): by the names, or
// by the callback if there is one. Without a setup all are accepted.
type gssapiSetup struct {
	any      bool
	exact    map[string]struct{}
	patterns []principalPattern
	callback GSSAPICallback
}

// principalPattern is a principal with "*" for components that may be any.
type principalPattern struct {
	components []string
	realm      string
}

const anyComponent = "*"

// ConfigureGSSAPI lets in only these principals of a domain's clients: "alice@REALM", "host/a.example@REALM", or patterns
// in which "*" stands for one whole component, "*@REALM", "host/*@REALM". The realm is compared exactly. None named
// means every principal that the KDC vouches for. It replaces what the domain had before. A bad entry is an error that
// changes nothing. The user id is the principal.
//
// Start and Attach answer repeated refusals of one address and principal later and later, up to 1.6 s, because libzmq's
// client comes back at once: it takes the one answer that keeps a GSSAPI client out (see HandleZAPMessage) for an accident.
// A client that is let in meanwhile gets in at its next try.
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

func newGSSAPISetup(principals []string) (*gssapiSetup, error) {
	setup := &gssapiSetup{any: len(principals) == 0, exact: make(map[string]struct{})}
	for _, entry := range principals {
		pattern, wild, err := parsePrincipalPattern(entry)
		if err != nil {
			return nil, fmt.Errorf("principal %q: %w", entry, err)
		}
		if wild {
			setup.patterns = append(setup.patterns, pattern)
		} else {
			setup.exact[entry] = struct{}{}
		}
	}
	return setup, nil
}

// ConfigureGSSAPICallback has a callback decide on the principals of a domain's clients. It replaces what the domain had
// before.
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
	principal := string(r.Credentials[0])
	if principal == "" || zap.CheckUserID(principal) != nil {
		return denied(ReasonMalformed), nil
	}
	setup := setupFor(a.policy.gssapi, r.Domain)
	switch {
	case setup == nil || setup.any:
		return a.accepted(principal, nil), nil
	case setup.callback != nil:
		domain := string(r.Domain)
		return verdict{}, &inquiry{
			ask:       func(ctx context.Context) (*Identity, error) { return setup.callback(ctx, domain, principal) },
			defaultID: principal,
			about:     [2]string{"principal", principal},
		}
	case setup.names(principal):
		return a.accepted(principal, nil), nil
	default:
		return denied(ReasonUnknownPrincipal).about("principal", principal), nil
	}
}

func (s *gssapiSetup) names(principal string) bool {
	if _, ok := s.exact[principal]; ok {
		return true
	}
	components, realm, err := splitPrincipal(principal)
	if err != nil {
		return false
	}
	for _, pattern := range s.patterns {
		if pattern.matches(components, realm) {
			return true
		}
	}
	return false
}

func (p principalPattern) matches(components []string, realm string) bool {
	if realm != p.realm || len(components) != len(p.components) {
		return false
	}
	for i, want := range p.components {
		if want != anyComponent && want != components[i] {
			return false
		}
	}
	return true
}

// parsePrincipalPattern reads an entry of ConfigureGSSAPI; wild tells whether it has a "*".
func parsePrincipalPattern(entry string) (pattern principalPattern, wild bool, err error) {
	pattern.components, pattern.realm, err = splitPrincipal(entry)
	if err != nil {
		return principalPattern{}, false, err
	}
	if strings.Contains(pattern.realm, anyComponent) {
		return principalPattern{}, false, errors.New("the realm is compared exactly")
	}
	for _, component := range pattern.components {
		if component == anyComponent {
			wild = true
		} else if strings.Contains(component, anyComponent) {
			return principalPattern{}, false, errors.New("* stands for a whole component")
		}
	}
	return pattern, wild, nil
}

// splitPrincipal takes a principal apart in the form that Kerberos displays: components between slashes, an @, the realm;
// a backslash before a character that has lost its meaning (RFC 1964, section 2.1.1).
func splitPrincipal(principal string) (components []string, realm string, err error) {
	if strings.IndexByte(principal, 0) >= 0 {
		return nil, "", errors.New("a NUL byte")
	}
	start := 0
	for i := 0; i < len(principal); i++ {
		switch principal[i] {
		case '\\':
			i++
		case '/', '@':
			if i == start {
				return nil, "", errors.New("an empty component")
			}
			components = append(components, principal[start:i])
			start = i + 1
			if principal[i] == '@' {
				return components, principal[start:], checkRealm(principal[start:])
			}
		}
	}
	return nil, "", errors.New("no realm, as in alice@REALM")
}

func checkRealm(realm string) error {
	if realm == "" {
		return errors.New("the realm is empty")
	}
	for i := 0; i < len(realm); i++ {
		switch realm[i] {
		case '@':
			return errors.New("more than one @")
		case '\\':
			if i++; i == len(realm) {
				return errors.New("a backslash at the end")
			}
		}
	}
	return nil
}
