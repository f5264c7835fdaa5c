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

// firstReminder is the time until a file that cannot be used is logged again.
const firstReminder = time.Minute

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
	current *terms                // nil before the first use
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
	f := &a.followed
	f.mu.Lock()
	var lines []func()
	defer func() { // a slow logger delays no other handshake
		f.mu.Unlock()
		for _, line := range lines {
			line()
		}
	}()
	if f.current == nil {
		if err := a.begin(); err != nil {
			return nil, err
		}
		return f.current, nil
	}
	now := f.now()
	var changed []string
	for _, source := range f.all() {
		again, err := source.look(now)
		if again {
			changed = append(changed, source.names()...)
		}
		if line := source.report(a.logger(), err, now); line != nil {
			lines = append(lines, line)
		}
	}
	if changed != nil {
		f.current = a.terms()
		lines = append(lines, func() {
			a.logger().Info("stream: changed TLS files are in force", "files", changed)
		})
	}
	return f.current, a.stale(now)
}

// begin reads all files for the first time.
func (a *TLSAuthenticator) begin() error {
	if _, err := a.policy(); err != nil {
		return err
	}
	f := &a.followed
	f.pairs = []*pair{pairSource(a.CertFile, a.KeyFile)}
	if a.CAFile != "" {
		f.ca = authoritySource(a.CAFile, clientUse)
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
	f.current = a.terms()
	return nil
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
		t.rules = &rules{use: clientUse, ca: f.ca.value}
		t.config.VerifyConnection = func(state tls.ConnectionState) error {
			_, err := t.judge(state, f.now())
			return err
		}
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
	if a.StaleLimit == 0 || a.followed.ca == nil {
		return nil
	}
	since := a.followed.ca.staleSince()
	if since.IsZero() || now.Sub(since) < a.StaleLimit {
		return nil
	}
	return fmt.Errorf("stream: nobody is let in, since the files are older than %v: %w",
		a.StaleLimit, a.followed.ca.fault)
}
