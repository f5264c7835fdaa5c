package proxy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/policyfile"
)

// A Warning is about a frontend that admits everybody or nobody.
type Warning struct {
	Who string // "everybody" or "nobody"
	Err error  // the text, with the frontend's file and line
}

// unruled says what a missing rule means for a mechanism: who is admitted, and what is missing.
var unruled = map[string]struct{ who, what string }{
	"null":  {"everybody", "addresses"},
	"plain": {"nobody", "passwords"},
	"curve": {"nobody", "keys"},
}

// Warnings finds the frontends whose domain has no rule for their mechanism. A misspelt domain is
// enough to cause that. GSSAPI frontends are never among them: Kerberos has proved who the clients
// are.
func (c *Config) Warnings() (found []Warning) {
	for _, f := range c.File.Frontends {
		_, ruled := c.File.RuleFor(policyfile.Question{
			Domain: f.Domain, Mechanism: strings.ToUpper(f.Mechanism)})
		without, ok := unruled[f.Mechanism]
		if f.Mechanism != "null" && slices.Contains(c.File.FleetDomains(), f.Domain) {
			continue // the fleet knows the clients
		}
		if !ok || ruled {
			continue
		}
		err := fmt.Errorf("warning: %s gets into the frontend %q: "+
			"there are no %s for the domain %q, nor for %q",
			without.who, f.Name, without.what, f.Domain, policyfile.AnyDomain)
		found = append(found, Warning{without.who, locate(f, err)})
	}
	return found
}

// DomainWarning warns of a domain that the policy does not name, neither as a domain nor for a
// frontend. A question about it is answered by the rules for every domain, and may be misspelt. The
// error is nil where the policy names the domain, or where it names no domain at all: its rules are
// the same for all of them then.
func (c *Config) DomainWarning(domain string) error {
	named := make(map[string]bool)
	for _, d := range c.File.Domains {
		named[d.Name] = true
	}
	for _, f := range c.File.Frontends {
		named[f.Domain] = true
	}
	if slices.Contains(c.File.FleetDomains(), domain) {
		return &zmqauth.FileError{File: c.File.File, Line: c.File.Fleet.Line, Err: fmt.Errorf(
			"warning: the fleet decides about the domain %.40q, and it is not asked here: "+
				"zmqauth fleet list", domain)}
	}
	others := len(named)
	if named[policyfile.AnyDomain] {
		others--
	}
	if named[domain] || others == 0 {
		return nil
	}
	return &zmqauth.FileError{File: c.File.File, Err: fmt.Errorf(
		"warning: no domain and no frontend has the domain %.40q: what holds for %q decides, or else "+
			"the default", domain, policyfile.AnyDomain)}
}
