package zmqauth

import (
	"errors"
	"fmt"
	"slices"

	"github.com/zmqauth/zmqauth/internal/acl"
	"github.com/zmqauth/zmqauth/internal/policyfile"
)

// Policy is a whole configuration from one file: for each domain its address rules, passwords, keys
// and principals. Make one with [LoadPolicy] and put it in force with [Authenticator.Apply]. It
// never changes. It may be applied any number of times, and by several Authenticators. The zero
// value is the policy of an empty file.
type Policy struct {
	file   policyfile.Policy
	except []string // domains that Apply leaves as they are
}

// LoadPolicy reads a policy from a file in ZPL (RFC 4):
//
//	domain = "*"
//	    allow = 10.0.0.0/8 127.0.0.1
//	    plain = passwords
//	    curve = certificates
//	    gssapi = "*@EXAMPLE.ORG"
//	domain = admin
//	    allow = 10.1.0.0/16
//	    curve = admins
//
// Each domain stands there once. A domain has allow or deny, which are lists of addresses (see
// [Authenticator.Allow]), and not both. plain is a password file (see
// [Authenticator.ConfigurePlainFile]). curve is a directory of certificates, or "*" for
// [CurveAllowAny] (see [Authenticator.ConfigureCurve]). gssapi is a list of principals, or "*" for
// [GSSAPIAllowAny] (see [Authenticator.ConfigureGSSAPI]).
//
// The items of a list are separated by blanks or commas. As a line has at most 4096 bytes, allow,
// deny and gssapi may be repeated. Paths are relative to the policy's directory. The addresses of
// the domain "*" are the general rules: they hold for every domain, together with its own. The
// other entries of "*" serve the domains that have none of their own ([AnyDomain]). A mechanism
// that is not mentioned is as it is without any configuration. The file may also hold what the
// proxy of the zmqauth tool runs: frontends, and links of TLS and SSH. That is checked, and means
// nothing to an Authenticator.
//
// The error joins (see errors.Join) one *FileError with the line for each thing that is wrong:
// names that are unknown or repeated, values that are missing or bad, password files and
// directories that cannot be read. In a text that is no ZPL only the first fault is found. A policy
// that cannot be trusted is refused (see [LoadCertificate] for the rule). [Authenticator.Apply]
// reads the files that the policy names.
func LoadPolicy(path string) (*Policy, error) {
	text, err := policyfile.Read(path)
	if err != nil {
		return nil, policyError(err)
	}
	return ParsePolicy(path, text)
}

// ParsePolicy is [LoadPolicy] for a text that has been read already, or comes from elsewhere.
// Errors name file, and relative paths start from the directory of file. The file itself need not
// exist, and is not looked at.
func ParsePolicy(file string, text []byte) (*Policy, error) {
	parsed, err := policyfile.Parse(file, text)
	if err == nil {
		err = parsed.CheckFiles()
	}
	if err != nil {
		return nil, policyError(err)
	}
	return &Policy{file: *parsed}, nil
}

// policyError makes a *FileError of each error about a policy's line.
func policyError(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var errs []error
		for _, err := range joined.Unwrap() {
			errs = append(errs, policyError(err))
		}
		return errors.Join(errs...)
	}
	if fault, ok := errors.AsType[*policyfile.Error](err); ok {
		return &FileError{File: fault.File, Line: fault.Line, Err: fault.Err}
	}
	return err
}

// Except is the policy without some domains, which something else configures, such as package
// fleet: Apply leaves the setups and address rules that they have as they are. What the policy
// itself has for them counts for nothing. That of AnyDomain still holds where they have nothing of
// their own.
func (p *Policy) Except(domains ...string) *Policy {
	return &Policy{file: p.file, except: append(slices.Clone(p.except), domains...)}
}

// Domains are the names of the domains in the file's order, "*" included. The caller may change the
// slice.
func (p *Policy) Domains() []string {
	var names []string
	for _, domain := range p.file.Domains {
		names = append(names, domain.Name)
	}
	return names
}

// blame turns an error about a file that an entry names into one about the entry's line.
func (p *Policy) blame(name string, entry *policyfile.Entry, err error) *FileError {
	if inner, ok := errors.AsType[*FileError](err); ok {
		at := inner.File
		if inner.Line != 0 {
			at = fmt.Sprintf("%s:%d", at, inner.Line)
		}
		err = fmt.Errorf("%s: %w", at, inner.Err)
	}
	return &FileError{File: p.file.File, Line: entry.Line, Err: fmt.Errorf("%s: %w", name, err)}
}

// Apply puts a policy in force, in one step and with all that it names, or changes nothing. The
// policy is the whole configuration then. All address rules and setups of before are gone, whether
// they came from another policy or from the methods that configure, callbacks included. Those
// methods may be called afterwards. What they change holds until the next Apply. Every request is
// judged by all of the old rules or by all of the new ones. Requests that are received after Apply
// has returned are judged by the new ones.
//
// Password files and directories of certificates are read anew and followed from then on, as
// ConfigurePlainFile and ConfigureCurve do. One that cannot be used is an error, with the policy's
// line, and changes nothing. Broken entries are logged, counted in Stats and left out. Passwords
// that were found right stay remembered where the user of a domain has the same hash as before.
// What [Authenticator.Suspend] has closed stays closed.
//
// The error joins (see errors.Join) a *FileError for each line of the policy that is to blame, or
// is ErrClosed.
func (a *Authenticator) Apply(p *Policy) error {
	return a.ApplyAfter(p, func() error { return nil })
}

// ApplyAfter is Apply in two steps, with something between them. When all is read and nothing is
// wrong with the policy it calls last, and puts the policy in force once last has returned nil.
// Until then the old rules hold. An error of last's is returned, and changes nothing.
//
// last is the place for what must not be done for a policy that turns out to be wrong. It may end
// sockets for which the new rules were not made. It may put the policy in force in another
// Authenticator, too: in both or in none. last may take its time: what the policy names is followed
// meanwhile. It may call every method, but what it configures is replaced with the rest. The one
// error that may come after last is ErrClosed.
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
	inForce := false
	defer func() {
		if !inForce { // where last panics, too
			next.release()
		}
	}()
	if err := last(); err != nil {
		return err
	}
	err = a.change(func(now *policy) error {
		next.keep(now, p.except)
		*now = *next
		return nil
	})
	inForce = err == nil
	return err
}

// prepare reads all that a policy names. The caller releases what it returns, if there is an error.
func (a *Authenticator) prepare(p *Policy) (*policy, error) {
	next := newPolicy()
	next.staleLimit = a.cfg.StaleLimit
	if p.file.StaleLimit > 0 {
		next.staleLimit = p.file.StaleLimit
	}
	var errs []error
	for i := range p.file.Domains {
		domain := &p.file.Domains[i]
		if slices.Contains(p.except, domain.Name) {
			continue
		}
		errs = append(errs, next.addAddresses(p, domain), next.addGSSAPI(p, domain))
		if entry := domain.Plain; entry != nil {
			if err := next.addPlain(a, domain.Name, p.file.Resolve(entry.Text)); err != nil {
				errs = append(errs, p.blame(policyfile.EntryPlain, entry, err))
			}
		}
		if entry := domain.Curve; entry != nil {
			if err := next.addCurve(a, p, domain.Name, entry.Text); err != nil {
				errs = append(errs, p.blame(policyfile.EntryCurve, entry, err))
			}
		}
	}
	return next, errors.Join(errs...)
}

// keep takes over what Apply leaves as it is.
func (next *policy) keep(now *policy, domains []string) {
	next.suspended = now.suspended
	for _, name := range domains {
		next.addresses.Take(now.addresses, name)
		if setup := now.plain[name]; setup != nil {
			next.plain[name] = setup
		}
		if setup := now.curve[name]; setup != nil {
			next.curve[name] = setup
		}
		if setup := now.gssapi[name]; setup != nil {
			next.gssapi[name] = setup
		}
	}
}

func (next *policy) addAddresses(p *Policy, domain *policyfile.Domain) error {
	if domain.Kind == acl.None {
		return nil
	}
	entries := policyfile.Texts(domain.Addresses)
	if err := next.addresses.Add(domain.Kind, domain.Name, entries); err != nil {
		return &FileError{File: p.file.File, Line: domain.Line, Err: err}
	}
	return nil
}

func (next *policy) addGSSAPI(p *Policy, domain *policyfile.Domain) error {
	if len(domain.GSSAPI) == 0 {
		return nil
	}
	setup, err := newGSSAPISetup(policyfile.Texts(domain.GSSAPI))
	if err != nil {
		err = fmt.Errorf("%s: %w", policyfile.EntryGSSAPI, err)
		return &FileError{File: p.file.File, Line: domain.GSSAPI[0].Line, Err: err}
	}
	next.gssapi[domain.Name] = setup
	return nil
}

func (next *policy) addPlain(a *Authenticator, domain, path string) error {
	setup, err := a.openPasswordFile(path)
	if err != nil {
		return err
	}
	next.plain[domain] = setup
	old := setupFor(a.policy.Load().plain, []byte(domain))
	if old != nil && old.credentials != nil {
		setup.credentials.set().users.Keep(old.credentials.set().users)
	}
	return nil
}

func (next *policy) addCurve(a *Authenticator, p *Policy, domain, location string) error {
	setup := &curveSetup{any: true}
	if location != CurveAllowAny {
		var err error
		if setup, err = a.openCertificates(p.file.Resolve(location)); err != nil {
			return err
		}
	}
	next.curve[domain] = setup
	return nil
}

// begin starts to follow all that the policy names, until release.
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

// release stops following all that the policy names.
func (p *policy) release() { p.releaseBut(newPolicy()) }

// releaseBut stops following what the policy names and the other one does not.
func (p *policy) releaseBut(other *policy) {
	kept := make(map[any]bool)
	for _, setup := range other.plain {
		kept[setup.file] = true
	}
	for _, setup := range other.curve {
		kept[setup.directory] = true
	}
	for _, setup := range p.plain {
		if setup.file != nil && !kept[setup.file] {
			setup.file.Stop()
		}
	}
	for _, setup := range p.curve {
		if setup.directory != nil && !kept[setup.directory] {
			setup.directory.Stop()
		}
	}
}
