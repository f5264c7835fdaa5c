package proxy

import (
	"fmt"
	"strings"

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
