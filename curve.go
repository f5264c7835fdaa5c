package zmqauth

import (
	"context"
	"fmt"
	"time"
)

// CurveAllowAny, as the location given to ConfigureCurve, accepts every key: the connection is encrypted, but anybody's.
const CurveAllowAny = "*"

// curveSetup decides on the CURVE clients of a domain (RFC 26): by the keys, by the callback if there is one, or not at
// all.
type curveSetup struct {
	any      bool
	keys     map[PublicKey]*curveEntry
	callback CurveCallback
}

// curveEntry is what is known about a key besides. nil: nothing.
type curveEntry struct {
	identity            Identity
	metadata            []byte // identity's, encoded
	notBefore, notAfter time.Time
}

// ConfigureCurve lets in the clients of a domain whose public certificates are in a directory (see [LoadCertificates]),
// or with [CurveAllowAny] everybody. It replaces what the domain had before. The metadata of a certificate becomes that
// of its client's messages. A directory that cannot be read is an error that changes nothing; a broken certificate in it
// is logged, counted in Stats, and left out.
func (a *Authenticator) ConfigureCurve(domain, location string) error {
	if err := checkDomain(domain); err != nil {
		return err
	}
	if location == CurveAllowAny {
		configure(a, &a.policy.curve, domain, &curveSetup{any: true})
		return nil
	}
	certificates, err := LoadCertificates(location)
	if certificates == nil {
		return err
	}
	a.reportBroken(err)
	keys := make(map[PublicKey]*curveEntry, len(certificates))
	for key, certificate := range certificates {
		keys[key] = a.newCurveEntry(certificate)
	}
	configure(a, &a.policy.curve, domain, &curveSetup{keys: keys})
	return nil
}

// reportBroken logs and counts the errors that have been joined.
func (a *Authenticator) reportBroken(err error) {
	broken := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		broken = joined.Unwrap()
	}
	for _, err := range broken {
		if err != nil {
			a.counters.broken.Add(1)
			a.log.Warn("zmqauth: left out", "error", err)
		}
	}
}

func (a *Authenticator) newCurveEntry(c *Certificate) *curveEntry {
	if len(c.Metadata) == 0 {
		return nil
	}
	entry := &curveEntry{
		identity: Identity{Metadata: c.Metadata},
		metadata: encodeMetadata(c.Metadata, a.metadataNames),
	}
	return entry
}

// ConfigureCurveKeys lets in the clients of a domain that hold the secret key to one of these. It replaces the domain's
// keys; none means nobody. The zero key is an error that changes nothing.
func (a *Authenticator) ConfigureCurveKeys(domain string, keys ...PublicKey) error {
	if err := checkDomain(domain); err != nil {
		return err
	}
	set := make(map[PublicKey]*curveEntry, len(keys))
	for i, key := range keys {
		if key == (PublicKey{}) {
			return fmt.Errorf("zmqauth: domain %q: key %d is zero", domain, i)
		}
		set[key] = nil
	}
	configure(a, &a.policy.curve, domain, &curveSetup{keys: set})
	return nil
}

// ConfigureCurveCallback has a callback decide on the keys of a domain. It replaces what the domain had before.
func (a *Authenticator) ConfigureCurveCallback(domain string, cb CurveCallback) error {
	if err := checkDomain(domain); err != nil {
		return err
	}
	if cb == nil {
		return fmt.Errorf("zmqauth: domain %q: the callback is nil", domain)
	}
	configure(a, &a.policy.curve, domain, &curveSetup{callback: cb})
	return nil
}

func (a *Authenticator) judgeCurve(r *request) (verdict, *inquiry) {
	setup := setupFor(a.policy.curve, r.domain)
	if setup == nil {
		return denied(ReasonNotConfigured), nil
	}
	key := PublicKey(r.credentials[0])
	if setup.callback != nil {
		return verdict{}, a.askAboutKey(setup.callback, string(r.domain), key)
	}
	entry, known := setup.keys[key]
	if !known && !setup.any {
		return denied(ReasonUnknownKey).about("key", key.String()), nil
	}
	if reason := entry.invalid(); reason != "" {
		return denied(reason).about("key", key.String()), nil
	}
	if a.cfg.CurveUserID != nil {
		return verdict{}, a.askAboutKey(entry.known, "", key)
	}
	if entry == nil {
		return a.accepted(key.String(), nil), nil
	}
	return a.accepted(key.String(), entry.metadata), nil
}

// invalid is the reason why a key is not to be accepted now, or "".
func (e *curveEntry) invalid() string {
	if e == nil || e.notBefore.IsZero() && e.notAfter.IsZero() {
		return ""
	}
	switch now := time.Now(); {
	case !e.notAfter.IsZero() && now.After(e.notAfter):
		return ReasonKeyExpired
	case now.Before(e.notBefore):
		return ReasonKeyNotYetValid
	}
	return ""
}

// known is a CurveCallback for a key that has been found, whose user only Config.CurveUserID can name.
func (e *curveEntry) known(context.Context, string, PublicKey) (*Identity, error) {
	if e == nil {
		return &Identity{}, nil
	}
	return &e.identity, nil
}

func (a *Authenticator) askAboutKey(cb CurveCallback, domain string, key PublicKey) *inquiry {
	name := key.String()
	in := &inquiry{defaultID: name, detail: detail{"key", name}}
	in.ask = func(ctx context.Context) (*Identity, error) {
		identity, err := cb(ctx, domain, key)
		if err == nil && identity != nil && identity.UserID == "" && a.cfg.CurveUserID != nil {
			in.defaultID = a.cfg.CurveUserID(key)
		}
		return identity, err
	}
	return in
}
