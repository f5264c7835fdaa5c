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
	if p == nil {
		return errors.New("zmqauth: Apply: the policy is nil")
	}
	prepared, err := a.prepare(p)
	if err != nil {
		prepared.abandon(a)
		if errors.Is(err, ErrClosed) { // no line is to blame
			return ErrClosed
		}
		return err
	}
	a.mu.Lock()
	if a.state == stateClosed {
		a.mu.Unlock()
		prepared.abandon(a)
		return ErrClosed
	}
	old := a.policy
	a.policy = prepared.policy
	a.mu.Unlock()
	prepared.begin()
	old.release()
	return nil
}

// preparedPolicy is a policy that is not in force yet. What it follows stands in slices of its own: once it is in force, its maps
// are Authenticator.mu's.
type preparedPolicy struct {
	policy policy
	plain  []*plainSetup
	curve  []*curveSetup
}

// prepare reads all that a policy names. What it returns is to be abandoned where there is an error.
func (a *Authenticator) prepare(p *Policy) (*preparedPolicy, error) {
	next := &preparedPolicy{policy: policy{
		plain:  make(map[string]*plainSetup),
		curve:  make(map[string]*curveSetup),
		gssapi: make(map[string]*gssapiSetup),
	}}
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

func (n *preparedPolicy) addAddresses(p *Policy, domain *policyDomain) error {
	if domain.kind == noList {
		return nil
	}
	if err := n.policy.addresses.add(domain.kind, domain.name, texts(domain.addresses)); err != nil {
		return &FileError{File: p.file, Line: domain.line, Err: err}
	}
	return nil
}

func (n *preparedPolicy) addGSSAPI(p *Policy, domain *policyDomain) error {
	if len(domain.gssapi) == 0 {
		return nil
	}
	setup, err := newGSSAPISetup(texts(domain.gssapi))
	if err != nil {
		return &FileError{File: p.file, Line: domain.gssapi[0].line, Err: fmt.Errorf("%s: %w", policyGSSAPI, err)}
	}
	n.policy.gssapi[domain.name] = setup
	return nil
}

func (n *preparedPolicy) addPlain(a *Authenticator, domain, path string) error {
	setup, err := a.openPasswordFile(path)
	if err != nil {
		return err
	}
	n.policy.plain[domain] = setup
	n.plain = append(n.plain, setup)
	a.mu.RLock()
	old := setupFor(a.policy.plain, []byte(domain))
	if old != nil && old.table != nil {
		setup.table.keep(old.table)
	}
	a.mu.RUnlock()
	return nil
}

func (n *preparedPolicy) addCurve(a *Authenticator, p *Policy, domain, location string) error {
	setup := &curveSetup{any: true}
	if location != CurveAllowAny {
		var err error
		if setup, err = a.openCertificates(p.resolve(location)); err != nil {
			return err
		}
		n.curve = append(n.curve, setup)
	}
	n.policy.curve[domain] = setup
	return nil
}

// begin has what is in force followed.
func (n *preparedPolicy) begin() {
	for _, setup := range n.plain {
		go setup.file.run()
	}
	for _, setup := range n.curve {
		setup.follow.begin()
	}
}

// abandon undoes what prepare has begun.
func (n *preparedPolicy) abandon(a *Authenticator) {
	for _, setup := range n.curve {
		a.watcher.forget(setup.follow)
	}
}

// release lets go of all that a policy follows which is not in force any more.
func (p *policy) release() {
	for _, setup := range p.plain {
		if setup.file != nil {
			setup.file.stop()
		}
	}
	for _, setup := range p.curve {
		if setup.follow != nil {
			setup.follow.stop()
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
