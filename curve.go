package zmqauth

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/zmqauth/zmqauth/internal/keyset"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// CurveAllowAny, as the location given to ConfigureCurve, accepts every key: the connection is encrypted, but anybody's.
const CurveAllowAny = "*"

// curveSetup decides on the CURVE clients of a domain (RFC 26): by the keys, by the callback if there is one, or not at
// all.
type curveSetup struct {
	any      bool
	set      *keyset.Set               // of keys alone
	keys     map[PublicKey]*curveEntry // of a directory's certificates
	callback CurveCallback
	follow   *follow // of the directory that the keys come from, nil: they come from elsewhere
}

func (s *curveSetup) find(key PublicKey) (entry *curveEntry, known bool) {
	if s.any || s.set.Has(key) {
		return nil, true
	}
	entry, known = s.keys[key]
	return entry, known
}

// curveEntry is what is known about a key besides. nil: nothing.
type curveEntry struct {
	identity            Identity
	metadata            []byte // identity's, encoded
	notBefore, notAfter time.Time
}

// ConfigureCurve lets in the clients of a domain whose public certificates are in a directory (see [LoadCertificates]),
// or with [CurveAllowAny] everybody. It replaces what the domain had before. The metadata of a certificate becomes that
// of its client's messages; outside of its "not-before" and "not-after" (RFC 3339) a key is refused.
//
// The directory is followed until Close or until something else is configured for the domain: files that are added,
// replaced, renamed or removed take effect within a second, at a cost that does not depend on how many there are. A
// broken certificate is logged and counted in Stats; a file that was good keeps its last good content until it is mended
// or removed. The directory must be on a local file system, and its files be written by their names in it or by those that
// symbolic links lead to: the system tells of nothing else. A directory that cannot be read, or that holds more than
// 1,048,576 certificates or 1 GiB of them, is an error that changes nothing; one that grows beyond that later is logged as
// an error, and what there is no room for is left out until others are removed.
func (a *Authenticator) ConfigureCurve(domain, location string) error {
	if err := checkDomain(domain); err != nil {
		return err
	}
	if location == CurveAllowAny {
		a.configureCurve(domain, &curveSetup{any: true})
		return nil
	}
	if location == "" {
		return fmt.Errorf("zmqauth: domain %q: the directory has no name", domain)
	}
	setup, err := a.openCertificates(location)
	if err != nil {
		return err
	}
	a.configureCurve(domain, setup)
	setup.follow.begin()
	return nil
}

// openCertificates is a setup with the keys of a directory, which is watched already. Put it in force and begin to follow, or
// have the watcher forget it.
func (a *Authenticator) openCertificates(location string) (*curveSetup, error) {
	path, err := filepath.Abs(location) // the working directory may change
	if err != nil {
		return nil, fileError(location, err)
	}
	return a.followCertificates(newCertificateDirectory(a, path))
}

// followCertificates loads a directory that it has had watched before.
func (a *Authenticator) followCertificates(d *certificateDirectory) (*curveSetup, error) {
	follow, err := a.watcher.follow(d.path, d) // before it is read, so that nothing is missed
	if err != nil {
		return nil, err
	}
	if err := d.load(); err != nil {
		a.watcher.forget(follow)
		return nil, err
	}
	d.setup.follow = follow
	return d.setup, nil
}

// configureCurve puts a setup in force, and lets go of the directory of the one before it.
func (a *Authenticator) configureCurve(domain string, setup *curveSetup) {
	if old := configure(a, &a.policy.curve, domain, setup); old != nil && old.follow != nil {
		old.follow.stop()
	}
}

func (a *Authenticator) newCurveEntry(c *Certificate) *curveEntry {
	if len(c.Metadata) == 0 {
		return nil
	}
	notBefore, notAfter, _ := validity(c.Metadata) // it has been checked with the rest of the certificate
	return &curveEntry{
		identity:  Identity{Metadata: c.Metadata},
		metadata:  zap.EncodeMetadata(c.Metadata, a.metadataNames),
		notBefore: notBefore,
		notAfter:  notAfter,
	}
}

// ConfigureCurveKeys lets in the clients of a domain that hold the secret key to one of these. It replaces the domain's
// keys; none means nobody. The zero key is an error that changes nothing.
func (a *Authenticator) ConfigureCurveKeys(domain string, keys ...PublicKey) error {
	if err := checkDomain(domain); err != nil {
		return err
	}
	if i := slices.Index(keys, PublicKey{}); i >= 0 {
		return fmt.Errorf("zmqauth: domain %q: key %d is zero", domain, i)
	}
	a.configureCurve(domain, &curveSetup{set: keyset.New(keys)})
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
	a.configureCurve(domain, &curveSetup{callback: cb})
	return nil
}

func (a *Authenticator) judgeCurve(r *zap.Request) (verdict, *inquiry) {
	setup := setupFor(a.policy.curve, r.Domain)
	if setup == nil {
		return denied(ReasonNotConfigured), nil
	}
	key := PublicKey(r.Credentials[0])
	if setup.callback != nil {
		return verdict{}, a.askAboutKey(setup.callback, string(r.Domain), key)
	}
	entry, known := setup.find(key)
	if !known {
		return denied(ReasonUnknownKey).about("key", key.String()), nil
	}
	if entry.expires() { // to ask the clock takes longer than all the rest
		if reason := entry.invalid(time.Now()); reason != "" {
			return denied(reason).about("key", key.String()), nil
		}
	}
	if a.cfg.CurveUserID != nil {
		return verdict{}, a.askAboutKey(entry.known, "", key)
	}
	if entry == nil {
		return a.accepted(key.String(), nil), nil
	}
	return a.accepted(key.String(), entry.metadata), nil
}

// expires tells whether a key is good at some times only.
func (e *curveEntry) expires() bool {
	return e != nil && !(e.notBefore.IsZero() && e.notAfter.IsZero())
}

// invalid is the reason why a key that expires is not to be accepted at a time, or "".
func (e *curveEntry) invalid(now time.Time) string {
	switch {
	case !e.notAfter.IsZero() && !now.Before(e.notAfter):
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
	in := &inquiry{defaultID: name, about: [2]string{"key", name}}
	in.ask = func(ctx context.Context) (*Identity, error) {
		identity, err := cb(ctx, domain, key)
		if err == nil && identity != nil && identity.UserID == "" && a.cfg.CurveUserID != nil {
			in.defaultID = a.cfg.CurveUserID(key)
		}
		return identity, err
	}
	return in
}
