package zmqauth

import (
	"errors"
	"fmt"
)

// Apply puts a policy in force, in one step and with all that it names, or changes nothing. It is the whole configuration
// then: the address rules of all scopes and the setups of all domains that were there before are gone, whether from another
// policy or from Allow, Deny and the Configure methods, callbacks too. Those methods may be called afterwards, and change it
// until the next Apply. Every request is judged by all of the old rules or by all of the new ones; those received after Apply has
// returned by the new ones.
//
// Password files and directories of certificates are read anew and followed from then on, as ConfigurePlainFile and
// ConfigureCurve do: one that cannot be used is an error, with the policy's line, and changes nothing; broken entries are
// logged, counted in Stats and left out. Passwords that were found right stay remembered where the user of a domain has the
// same hash as before.
//
// The error joins (see errors.Join) a *FileError for each line of the policy that is to blame, or is ErrClosed.
func (a *Authenticator) Apply(p *Policy) error {
	return a.ApplyAfter(p, func() error { return nil })
}

// ApplyAfter is Apply in two steps, with something between them: when all is read and nothing is wrong with the policy it
// calls last, and puts the policy in force once last has returned nil. Until then the old rules hold. An error of last's is
// returned, and changes nothing. It is for what must not be done for a policy that turns out to be wrong: to end sockets for
// which the new rules were not made, or to put it in force in another Authenticator too, in both or in none. last may take
// its time, what the policy names is followed meanwhile; and it may call every method, but what it configures is replaced with
// the rest. The one error that may come after last is ErrClosed.
func (a *Authenticator) ApplyAfter(p *Policy, last func() error) error {
	switch {
	case p == nil:
		return errors.New("zmqauth: Apply: the policy is nil")
	case last == nil:
		return errors.New("zmqauth: ApplyAfter: the function is nil")
	}
	next, err := a.prepare(p)
	if err != nil {
		next.release()
		if errors.Is(err, ErrClosed) { // no line is to blame
			return ErrClosed
		}
		return err
	}
	next.begin()
	obsolete := next
	defer func() { obsolete.release() }() // where last panics, too
	if err := last(); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state == stateClosed {
		return ErrClosed
	}
	old := a.policy
	a.policy, obsolete = *next, &old
	return nil
}

// prepare reads all that a policy names. What it returns is to be released where there is an error.
func (a *Authenticator) prepare(p *Policy) (*policy, error) {
	next := &policy{
		plain:  make(map[string]*plainSetup),
		curve:  make(map[string]*curveSetup),
		gssapi: make(map[string]*gssapiSetup),
	}
	var errs []error
	for i := range p.domains {
		domain := &p.domains[i]
		errs = append(errs, next.addAddresses(p, domain), next.addGSSAPI(p, domain))
		if entry := domain.plain; entry != nil {
			if err := next.addPlain(a, domain.name, p.resolve(entry.text)); err != nil {
				errs = append(errs, p.blame(policyPlain, entry, err))
			}
		}
		if entry := domain.curve; entry != nil {
			if err := next.addCurve(a, p, domain.name, entry.text); err != nil {
				errs = append(errs, p.blame(policyCurve, entry, err))
			}
		}
	}
	return next, errors.Join(errs...)
}

func (next *policy) addAddresses(p *Policy, domain *policyDomain) error {
	if domain.kind == noList {
		return nil
	}
	if err := next.addresses.add(domain.kind, domain.name, texts(domain.addresses)); err != nil {
		return &FileError{File: p.file, Line: domain.line, Err: err}
	}
	return nil
}

func (next *policy) addGSSAPI(p *Policy, domain *policyDomain) error {
	if len(domain.gssapi) == 0 {
		return nil
	}
	setup, err := newGSSAPISetup(texts(domain.gssapi))
	if err != nil {
		return &FileError{File: p.file, Line: domain.gssapi[0].line, Err: fmt.Errorf("%s: %w", policyGSSAPI, err)}
	}
	next.gssapi[domain.name] = setup
	return nil
}

func (next *policy) addPlain(a *Authenticator, domain, path string) error {
	setup, err := a.openPasswordFile(path)
	if err != nil {
		return err
	}
	next.plain[domain] = setup
	a.mu.RLock()
	old := setupFor(a.policy.plain, []byte(domain))
	if old != nil && old.table != nil {
		setup.table.keep(old.table)
	}
	a.mu.RUnlock()
	return nil
}

func (next *policy) addCurve(a *Authenticator, p *Policy, domain, location string) error {
	setup := &curveSetup{any: true}
	if location != CurveAllowAny {
		var err error
		if setup, err = a.openCertificates(p.resolve(location)); err != nil {
			return err
		}
	}
	next.curve[domain] = setup
	return nil
}

// begin has all that the policy names followed, until it is released.
func (p *policy) begin() {
	for _, setup := range p.plain {
		setup.file.Start()
	}
	for _, setup := range p.curve {
		if setup.directory != nil {
			setup.directory.Start()
		}
	}
}

// release lets go of all that the policy follows, or would have followed.
func (p *policy) release() {
	for _, setup := range p.plain {
		if setup.file != nil {
			setup.file.Stop()
		}
	}
	for _, setup := range p.curve {
		if setup.directory != nil {
			setup.directory.Stop()
		}
	}
}

func texts(entries []policyEntry) []string {
	out := make([]string, len(entries))
	for i, entry := range entries {
		out[i] = entry.text
	}
	return out
}
