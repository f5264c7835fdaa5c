package proxy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/policyfile"
)

// Config is a policy with the certificates of its frontends.
type Config struct {
	Policy *zmqauth.Policy    // what is put in force
	File   *policyfile.Policy // the same, as it stands in the file

	frontends []frontendSpec
}

// Load reads a policy. The certificates of its frontends come with LoadCertificates. The error
// joins one for each thing that is wrong, with its line.
func Load(path string) (*Config, error) {
	text, err := policyfile.Read(path)
	if err != nil {
		return nil, fmt.Errorf("zmqauth: %w", err)
	}
	policy, err := zmqauth.ParsePolicy(path, text)
	if err != nil {
		return nil, err
	}
	file, err := policyfile.Parse(path, text)
	if err != nil {
		return nil, err
	}
	return &Config{Policy: policy, File: file}, nil
}

// LoadCertificates reads the certificates of the frontends. The error joins one for each frontend
// whose certificate cannot be used, with its line.
func (c *Config) LoadCertificates() error {
	c.frontends = nil
	var errs []error
	for _, f := range c.File.Frontends {
		spec := frontendSpec{Frontend: f}
		if f.Certificate != "" {
			var err error
			if spec.certificate, err = LoadSecret(f.Certificate); err != nil {
				err = fmt.Errorf("certificate: %s: %s", f.Certificate, bare(err))
				errs = append(errs, blame(f, err))
			}
		}
		c.frontends = append(c.frontends, spec)
	}
	return errors.Join(errs...)
}

// LoadSecret reads a certificate that has its secret key.
func LoadSecret(file string) (*zmqauth.Certificate, error) {
	cert, err := zmqauth.LoadCertificate(file)
	if err == nil && cert.Secret == nil {
		err = &zmqauth.FileError{File: file,
			Err: errors.New("a public certificate, without a secret key")}
	}
	if err != nil {
		return nil, err
	}
	return cert, nil
}

// bare is what an error says, without the library's prefix and the file's name.
func bare(err error) string {
	fault, ok := errors.AsType[*zmqauth.FileError](err)
	switch {
	case !ok:
		return strings.TrimPrefix(err.Error(), "zmqauth: ")
	case fault.Line > 0:
		return fmt.Sprintf("line %d: %v", fault.Line, fault.Err)
	}
	return fault.Err.Error()
}

// blame says which frontend of the file an error is about.
func blame(f policyfile.Frontend, err error) error {
	return &zmqauth.FileError{File: f.File, Line: f.Line, Err: err}
}

// A Warning is about a frontend that lets everybody or nobody in.
type Warning struct {
	Who string // "everybody" or "nobody"
	Err error  // with the frontend's line
}

// unruled is who gets in by a mechanism for which there is no rule, and what there is none of.
var unruled = map[string]struct{ who, what string }{
	"null":  {"everybody", "addresses"},
	"plain": {"nobody", "passwords"},
	"curve": {"nobody", "keys"},
}

// Warnings finds the frontends whose domain has no rule for their mechanism. A domain's name that
// is not the one that was meant is enough for that. GSSAPI is not among them: Kerberos has proved
// who its clients are.
func (c *Config) Warnings() (found []Warning) {
	for _, f := range c.File.Frontends {
		_, ruled := c.File.RuleFor(policyfile.Question{
			Domain: f.Domain, Mechanism: strings.ToUpper(f.Mechanism)})
		without, ok := unruled[f.Mechanism]
		if !ok || ruled {
			continue
		}
		found = append(found, Warning{without.who, blame(f, fmt.Errorf("warning: %s gets into the "+
			"frontend %q: there are no %s for the domain %q, nor for %q",
			without.who, f.Name, without.what, f.Domain, policyfile.AnyDomain))})
	}
	return found
}
