package stream

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// follower is a source, whatever is made of it.
type follower interface {
	look(now time.Time) (changed bool, err error)
	staleSince() time.Time
	names() []string
	report(log *slog.Logger, err error, now time.Time) func()
}

// followed is what a TLSAuthenticator has made of its files.
type followed struct {
	mu      sync.Mutex
	clock   func() time.Time // nil: time.Now
	pairs   []*pair
	ca      *source[*authorities] // nil: none
	lists   *source[*revocations] // nil: none
	allowed *allowed
	current *terms // nil before the first use
	expires expiries
	lines   logLines // of Revision

	isStale  bool
	revision uint64    // of the terms
	changed  time.Time // when they changed
	// The last terms of which the files have been left alone for a while, and their revision:
	settled         *terms
	settledRevision uint64
}

// terms are what handshakes begin with. They never change.
type terms struct {
	config *tls.Config
	rules  *rules // nil: certificates are not verified
	always bool   // a client without a certificate is refused
}

// now returns the time.
func (f *followed) now() time.Time {
	if f.clock != nil {
		return f.clock()
	}
	return time.Now()
}

// all returns the sources, those first that others depend on.
func (f *followed) all() (all []follower) {
	if f.ca != nil {
		all = append(all, f.ca)
	}
	if f.lists != nil {
		all = append(all, f.lists)
	}
	for _, p := range f.pairs {
		all = append(all, p)
	}
	return all
}

// current returns the terms for the files as they are now. For a file that cannot be used, they are
// those of its last content that could. The error says why nobody can be let in.
func (a *TLSAuthenticator) current() (*terms, error) {
	if a == nil {
		return nil, errNilAuthenticator
	}
	t, lines, err := a.look()
	for _, line := range lines { // a slow logger delays no other handshake
		line()
	}
	return t, err
}

// look is current, but the caller writes the lines of the log. It must not hold the mutex then.
func (a *TLSAuthenticator) look() (t *terms, lines []func(), err error) {
	f := &a.followed
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.current == nil {
		if err := a.begin(); err != nil {
			return nil, nil, err
		}
		return f.current, nil, nil
	}
	now := f.now()
	var changed []string
	for _, source := range f.all() {
		again, err := source.look(now)
		if again {
			changed = append(changed, source.names()...)
			if source == follower(f.ca) && f.lists != nil {
				f.lists.again() // it has been checked with the CAs of before
			}
		}
		if line := source.report(a.logger(), err, now); line != nil {
			lines = append(lines, line)
		}
	}
	if changed != nil {
		a.renew(now)
		lines = append(lines, func() {
			a.logger().Info("stream: changed TLS files are in force", "files", changed)
		})
	}
	lines = append(lines, f.expires.look(a.logger(), now)...)
	err = a.stale(now)
	if isStale := err != nil; isStale != f.isStale {
		f.isStale = isStale
		f.revision++
	}
	return f.current, lines, err
}

// begin reads all files for the first time.
func (a *TLSAuthenticator) begin() error {
	if _, err := a.policy(); err != nil {
		return err
	}
	f := &a.followed
	if f.allowed == nil {
		allowed, err := newAllowed(a.AllowedNames, a.AllowedFingerprints)
		if err != nil {
			return err
		}
		f.allowed = allowed
	}
	f.pairs = []*pair{pairSource(a.CertFile, a.KeyFile)}
	for _, more := range a.Certificates {
		f.pairs = append(f.pairs, pairSource(more.CertFile, more.KeyFile))
	}
	if a.CAFile != "" {
		f.ca = authoritySource(a.CAFile, clientUse)
	}
	if a.CRLFile != "" {
		f.lists = revocationSource(a.CRLFile, func() *authorities { return f.ca.value })
	}
	now := f.now()
	for _, source := range f.all() {
		if _, err := source.look(now); err != nil {
			return err
		}
	}
	if f.ca != nil && len(f.ca.value.certificates) == 0 {
		return fileError(a.CAFile, errors.New("no certificate in it is trusted for clients"))
	}
	a.renew(now)
	return nil
}

// renew makes new terms of the files as they were read last. The caller holds the mutex.
func (a *TLSAuthenticator) renew(now time.Time) {
	f := &a.followed
	f.current = a.terms()
	f.revision++
	f.changed = now
	var all []expiring
	for _, p := range f.pairs {
		all = append(all, expiringCertificate(p.files[0].name, p.value.Leaf))
	}
	if f.ca != nil {
		for _, c := range f.ca.value.certificates {
			all = append(all, expiringCertificate(a.CAFile, c))
		}
	}
	if f.lists != nil {
		for _, l := range f.lists.value.lists {
			if !l.NextUpdate.IsZero() {
				all = append(all, expiringList(a.CRLFile, l))
			}
		}
	}
	f.expires.set(all)
}

// terms makes new terms of the files as they were read last.
func (a *TLSAuthenticator) terms() *terms {
	f := &a.followed
	policy, _ := a.policy() // checked by begin
	t := &terms{always: policy == tls.RequireAndVerifyClientCert}
	// Each tls.Config makes its own keys for session tickets. So a new one ends the old sessions.
	t.config = &tls.Config{
		ClientAuth:   policy,
		CipherSuites: slices.Clone(a.CipherSuites),
		MinVersion:   oldestVersion(a.MinVersion),
		MaxVersion:   a.MaxVersion,
		NextProtos:   slices.Clone(a.NextProtos),
		// Dynamic sizes begin with small records. That helps browsers, but slows down bulk messages.
		DynamicRecordSizingDisabled: true,
	}
	for _, p := range f.pairs {
		t.config.Certificates = append(t.config.Certificates, *p.value)
	}
	if f.ca != nil {
		t.config.ClientCAs = f.ca.value.pool
	}
	if policy >= tls.VerifyClientCertIfGiven {
		t.rules = &rules{use: clientUse, ca: f.ca.value, allowed: f.allowed}
		if f.lists != nil {
			t.rules.revoked = f.lists.value
		}
	}
	if a.Configure != nil {
		a.Configure(t.config)
	}
	further := t.config.VerifyConnection
	t.config.VerifyConnection = func(state tls.ConnectionState) error {
		_, err := t.judge(state, f.now())
		if err == nil && further != nil {
			err = further(state)
		}
		return err
	}
	return t
}

// judge is rules.judge for clients that may come without a certificate. Where certificates are not
// verified, the chain of the verdict is nil.
func (t *terms) judge(state tls.ConnectionState, now time.Time) (verdict, error) {
	if t.rules == nil || !t.always && len(state.PeerCertificates) == 0 {
		return verdict{}, nil
	}
	return t.rules.judge(state, now)
}

// judge says whether a client is let in by the terms that are in force at the end of its handshake.
func (a *TLSAuthenticator) judge(state tls.ConnectionState) (verdict, error) {
	t, err := a.current()
	if err != nil {
		return verdict{}, err
	}
	return t.judge(state, a.followed.now())
}

// stale returns an error if a file that clients are judged by cannot be used for StaleLimit. The
// caller holds the mutex.
func (a *TLSAuthenticator) stale(now time.Time) error {
	if a.StaleLimit == 0 {
		return nil
	}
	isOver := func(since time.Time) bool { return !since.IsZero() && now.Sub(since) >= a.StaleLimit }
	f, fault := &a.followed, error(nil)
	switch {
	case f.ca != nil && isOver(f.ca.staleSince()):
		fault = f.ca.fault
	case f.lists != nil && isOver(f.lists.staleSince()):
		fault = f.lists.fault
	default:
		return nil
	}
	return fmt.Errorf("stream: nobody is let in, since this has lasted for %v: %w",
		a.StaleLimit, fault)
}
