package zmqauth

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/zmqauth/zmqauth/internal/admission"
	"github.com/zmqauth/zmqauth/internal/policyfile"
	"github.com/zmqauth/zmqauth/internal/principal"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// GSSAPIAllowAny, as a principal given to ConfigureGSSAPI, accepts every principal that Kerberos
// has proved.
const GSSAPIAllowAny = policyfile.AnyPrincipal

// How long refusals are held back. libzmq's client takes the one refusal that it honours over
// GSSAPI (see zap.StatusCut) for an accident and tries again every 0.1 to 0.2 s, for ever. So the
// loop makes it wait: refusals of one address and principal are held back, each longer than the one
// before, up to a bound. That calms clients that are not wanted. It keeps nobody out who would come
// in otherwise.
const (
	// firstRefusalDelay is that of the second refusal: the first goes out at once.
	firstRefusalDelay = 100 * time.Millisecond

	// maxRefusalDelay is less than 2 s, so that Connect keeps its word to a client that has been
	// refused before. It is also less than the handshake interval of server sockets, at whose end
	// the client would come back by itself.
	maxRefusalDelay = 1600 * time.Millisecond

	// refusalMemory is how long a refusal counts: long enough for a client that pauses before it
	// tries again, short enough for one whose access has been mended meanwhile.
	refusalMemory = time.Minute

	// maxRefusedPeers bounds what is remembered, to some 2 MB. To have a peer forgotten before its
	// time takes as many handshakes of other peers, and saves it a handful of delays.
	maxRefusedPeers = 1 << 14

	// maxHeldRefusals bounds the refusals that wait; one more goes out at once.
	maxHeldRefusals = 1 << 12
)

// newRefusalPenalties returns the delays of peers, each an address and a principal.
func newRefusalPenalties() *admission.Penalties {
	return &admission.Penalties{
		First: firstRefusalDelay, Max: maxRefusalDelay, Memory: refusalMemory, Peers: maxRefusedPeers,
	}
}

// gssapiSetup decides on the GSSAPI clients of a domain, whose principals Kerberos has proved
// (RFC 38): by their names, by those of credentials, or by the callback. Without a setup all are
// accepted.
type gssapiSetup struct {
	any         bool // every principal, whatever principals has
	principals  *principal.Set
	credentials *Credentials
	callback    GSSAPICallback
}

// ConfigureGSSAPI lets in only these principals of a domain's clients: "alice@REALM",
// "host/a.example@REALM", or patterns in which "*" stands for one whole component, "*@REALM",
// "host/*@REALM". The realm is compared exactly. Without principals nobody is let in.
// [GSSAPIAllowAny] accepts every principal that Kerberos has proved, as where nothing is
// configured. ConfigureGSSAPI replaces what the domain had before. A bad entry is an error that
// changes nothing. The user id is the principal.
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
	return a.configureGSSAPI(domain, setup)
}

// newGSSAPISetup is the setup for a list of principals.
func newGSSAPISetup(principals []string) (*gssapiSetup, error) {
	named := slices.DeleteFunc(slices.Clone(principals), func(p string) bool {
		return p == GSSAPIAllowAny
	})
	set, err := principal.NewSet(named)
	if err != nil {
		return nil, err
	}
	return &gssapiSetup{any: len(named) < len(principals), principals: set}, nil
}

// configureGSSAPI puts a setup in force.
func (a *Authenticator) configureGSSAPI(domain string, setup *gssapiSetup) error {
	return a.change(func(next *policy) error {
		next.gssapi[domain] = setup
		return nil
	})
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
	return a.configureGSSAPI(domain, &gssapiSetup{callback: cb})
}

func (a *Authenticator) judgeGSSAPI(p *policy, r *zap.Request) (verdict, *inquiry) {
	name := string(r.Credentials[0])
	if name == "" || zap.CheckUserID(name) != nil {
		return denied(ReasonMalformed), nil
	}
	setup := setupFor(p.gssapi, r.Domain)
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
	case setup.credentials != nil:
		return a.judgePrincipal(setup.credentials, name), nil
	case setup.principals.Has(name):
		return a.accepted(name, nil), nil
	default:
		return denied(ReasonUnknownPrincipal).about("principal", name), nil
	}
}

// judgePrincipal judges a principal by credentials.
func (a *Authenticator) judgePrincipal(c *Credentials, name string) verdict {
	known, ok := c.principal(name)
	if !ok {
		return denied(ReasonUnknownPrincipal).about("principal", name)
	}
	if v, refused := known.refusal(ReasonPrincipalExpired, ReasonPrincipalNotYetValid); refused {
		return v.about("principal", name)
	}
	return a.accepted(idOf(known, name), a.metadataOf(known))
}

// principal is what is known of a principal, by the pattern with the fewest wildcards.
func (c *Credentials) principal(name string) (known *credential, ok bool) {
	principals := c.set().principals
	if principals.Len() == 0 {
		return nil, false
	}
	for pattern := range principal.Patterns(name) {
		if known, ok = principals.Get(pattern); ok {
			return known, true
		}
	}
	return nil, false
}
