package zmqauth

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/zmqauth/zmqauth/internal/follow"
	"github.com/zmqauth/zmqauth/internal/keyset"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// CurveAllowAny, as the location given to ConfigureCurve, accepts every key: the connection is
// encrypted, but anybody's.
const CurveAllowAny = "*"

// curveSetup decides on the CURVE clients of a domain (RFC 26): by the keys of credentials, by the
// callback, or not at all.
type curveSetup struct {
	any         bool
	credentials *Credentials
	callback    CurveCallback
	directory   *follow.Directory // that the keys come from; nil: they come from elsewhere
	source      *follow.Source    // the same directory; nil: there is none
}

// find is what is known of a key that is accepted.
func (s *curveSetup) find(key PublicKey) (known *credential, ok bool) {
	if s.any {
		return nil, true
	}
	set := s.credentials.set()
	if set.bulk.Has(key) {
		return nil, true
	}
	return set.keys.Get(key)
}

// ConfigureCurve lets in the clients of a domain whose public certificates are in a directory (see
// [LoadCertificates]), or with [CurveAllowAny] everybody. It replaces what the domain had before.
// The metadata of a certificate becomes that of its client's messages; outside of its "not-before"
// and "not-after" (RFC 3339) a key is refused.
//
// The directory is followed until Close, or until something else is configured for the domain.
// Files that are added, replaced, renamed or removed take effect within a second, at a cost that
// does not depend on how many there are. A broken certificate is logged and counted in Stats. A
// file that was good keeps its last good content until it is mended or removed. A program that
// changes a file must open it by its path in the directory, or by the path that a symbolic link
// there leads to: the system tells of no other changes. A directory that cannot be watched is
// scanned twice a second instead. So is one on the file system of a network or of a program, such
// as NFS or FUSE.
//
// A directory that cannot be read, that cannot be trusted, or that holds more than 1,048,576
// certificates or 1 GiB of them, is an error that changes nothing. The rule of trust (see
// [LoadCertificate]) holds for the directory as for each file. A directory that cannot be trusted
// any more, because everybody can write it by now, is logged as an error. What is in force stays,
// and nothing new is taken over until it is mended. A directory that grows too large is logged as
// an error, too. What there is no room for is left out until others are removed.
func (a *Authenticator) ConfigureCurve(domain, location string) error {
	if err := checkDomain(domain); err != nil {
		return err
	}
	if location == CurveAllowAny {
		return a.configureCurve(domain, &curveSetup{any: true})
	}
	if location == "" {
		return fmt.Errorf("zmqauth: domain %q: the directory has no name", domain)
	}
	setup, err := a.openCertificates(location)
	if err != nil {
		return err
	}
	if err := a.configureCurve(domain, setup); err != nil {
		setup.directory.Stop()
		return err
	}
	setup.directory.Start()
	return nil
}

// openCertificates is a setup with the keys of a directory, which is watched already. The caller
// puts the setup in force and starts the directory, or stops the directory.
func (a *Authenticator) openCertificates(location string) (*curveSetup, error) {
	path, err := filepath.Abs(location) // the working directory may change
	if err != nil {
		return nil, fileError(location, err)
	}
	return a.followCertificates(newCertificateDirectory(a, path))
}

// followCertificates has a directory watched, and then loads it.
func (a *Authenticator) followCertificates(d *certificateDirectory) (*curveSetup, error) {
	followed, err := a.watcher.FollowDirectory(d.path, d) // before it is read: nothing is missed
	if err != nil {
		return nil, followError(d.path, err)
	}
	if err := d.load(); err != nil {
		followed.Stop()
		return nil, err
	}
	d.source.Follows(followed.Failing)
	return &curveSetup{credentials: &d.keys, directory: followed, source: d.source}, nil
}

// configureCurve puts a setup in force.
func (a *Authenticator) configureCurve(domain string, setup *curveSetup) error {
	return a.change(func(next *policy) error {
		next.curve[domain] = setup
		return nil
	})
}

// ConfigureCurveKeys lets in the clients of a domain that hold the secret key to one of these. It
// replaces the domain's keys; none means nobody. The zero key is an error that changes nothing.
func (a *Authenticator) ConfigureCurveKeys(domain string, keys ...PublicKey) error {
	if err := checkDomain(domain); err != nil {
		return err
	}
	if i := keyset.IndexZero(keys); i >= 0 {
		return fmt.Errorf("zmqauth: domain %q: key %d is zero", domain, i)
	}
	c := new(Credentials)
	c.now.Store(&credentialSet{bulk: keyset.New(keys)})
	return a.configureCurve(domain, &curveSetup{credentials: c})
}

// ConfigureCurveCallback has a callback decide on the keys of a domain. It replaces what the domain
// had before.
func (a *Authenticator) ConfigureCurveCallback(domain string, cb CurveCallback) error {
	if err := checkDomain(domain); err != nil {
		return err
	}
	if cb == nil {
		return fmt.Errorf("zmqauth: domain %q: the callback is nil", domain)
	}
	return a.configureCurve(domain, &curveSetup{callback: cb})
}

func (a *Authenticator) judgeCurve(p *policy, r *zap.Request) (verdict, *inquiry) {
	setup := setupFor(p.curve, r.Domain)
	if setup == nil {
		return denied(ReasonNotConfigured), nil
	}
	key := PublicKey(r.Credentials[0])
	if setup.callback != nil {
		return verdict{}, a.askAboutKey(setup.callback, string(r.Domain), key)
	}
	if setup.source.IsStale(p.staleLimit) {
		return denied(ReasonStale), nil
	}
	known, ok := setup.find(key)
	if !ok {
		return a.unknown(r, key).about("key", key.String()), nil
	}
	if v, refused := known.refusal(ReasonKeyExpired, ReasonKeyNotYetValid); refused {
		return v.about("key", key.String()), nil
	}
	userID := idOf(known, "")
	if userID == "" && a.cfg.CurveUserID != nil {
		in := a.askAboutKey(known.accept, "", key)
		in.lane = a.names
		return verdict{}, in
	}
	if userID == "" {
		userID = key.String()
	}
	return a.accepted(userID, a.metadataOf(known)), nil
}

// unknown is the verdict on a key that is not there.
func (a *Authenticator) unknown(r *zap.Request, key PublicKey) verdict {
	ask := a.cfg.UnknownKey
	if ask != nil && ask(string(r.Domain), key, string(r.Address)) {
		return temporary(ReasonPending)
	}
	return denied(ReasonUnknownKey)
}

// accept is a CurveCallback for a key that has been found. It names no user: Config.CurveUserID is
// to do that.
func (c *credential) accept(context.Context, string, PublicKey) (*Identity, error) {
	if c == nil {
		return &Identity{}, nil
	}
	return &Identity{UserID: c.userID, Metadata: zap.DecodeMetadata(c.metadata)}, nil
}

func (a *Authenticator) askAboutKey(cb CurveCallback, domain string, key PublicKey) *inquiry {
	name := key.String()
	in := &inquiry{defaultID: name, about: [2]string{"key", name}}
	in.ask = func(ctx context.Context) (*Identity, error) {
		identity, err := cb(ctx, domain, key)
		if err == nil && identity != nil && identity.UserID == "" && a.cfg.CurveUserID != nil {
			if id := a.cfg.CurveUserID(key); id != "" {
				in.defaultID = id
			}
		}
		return identity, err
	}
	return in
}
