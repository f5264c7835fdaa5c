package policyfile

import (
	"slices"

	"github.com/zmqauth/zmqauth/internal/acl"
)

// SameRules tells whether two policies have the same rules for the clients of a domain, in its own
// entry and in that of AnyDomain. It compares the paths of files, not their content. nil is the
// policy of an empty file.
func (p *Policy) SameRules(other *Policy, domain string) bool {
	for _, name := range []string{domain, AnyDomain} {
		a, b := p.rulesOf(name), other.rulesOf(name)
		if a.kind != b.kind || a.plain != b.plain || a.curve != b.curve ||
			!slices.Equal(a.addresses, b.addresses) || !slices.Equal(a.gssapi, b.gssapi) {
			return false
		}
	}
	return true
}

// domainRules is the content of a domain's entry without the lines.
type domainRules struct {
	kind              acl.Kind
	addresses, gssapi []string
	plain, curve      string // absolute paths; curve may be AnyKey; "": none
}

func (p *Policy) rulesOf(name string) domainRules {
	d := p.Domain(name)
	if d == nil {
		return domainRules{}
	}
	rules := domainRules{kind: d.Kind, addresses: Texts(d.Addresses), gssapi: Texts(d.GSSAPI)}
	if d.Plain != nil {
		rules.plain = p.Resolve(d.Plain.Text)
	}
	if d.Curve != nil {
		rules.curve = d.Curve.Text
		if rules.curve != AnyKey {
			rules.curve = p.Resolve(d.Curve.Text)
		}
	}
	return rules
}
