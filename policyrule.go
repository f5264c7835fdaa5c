package zmqauth

import (
	"fmt"
	"slices"
	"strings"

	"github.com/zmqauth/zmqauth/internal/acl"
	"github.com/zmqauth/zmqauth/internal/principal"
)

// Rule is a line of a policy that has decided on a client.
type Rule struct {
	File string // the policy, as it was given to LoadPolicy
	Line int    // from 1
	Text string // what stands there, and how it has decided: "deny 10.0.0.0/8", "curve certificates"

	// Location is the absolute path of the password file or directory of certificates that has decided, or CurveAllowAny;
	// empty for other rules.
	Location string
}

// String is "FILE:LINE: TEXT".
func (r Rule) String() string { return fmt.Sprintf("%s:%d: %s", r.File, r.Line, r.Text) }

// RuleFor finds the line that a decision goes back to, where an Authenticator has made it by this policy alone, or tells
// that there is none: nothing is set up for the mechanism, say, or NULL clients may come from anywhere. who is what the
// client has proved or claimed to be: its principal for GSSAPI; for the other mechanisms it does not matter.
func (p *Policy) RuleFor(d Decision, who string) (rule Rule, found bool) {
	switch d.Reason {
	case ReasonMalformed, ReasonStopped, ReasonUnknownMechanism, ReasonNotConfigured:
		return Rule{}, false
	case ReasonAddressDenied:
		return p.ruleForAddress(d, false)
	}
	switch d.Mechanism {
	case mechanismNull:
		return p.ruleForAddress(d, true)
	case mechanismPlain:
		return p.ruleForFile(policyPlain, d.Domain, func(domain *policyDomain) *policyEntry { return domain.plain })
	case mechanismCurve:
		return p.ruleForFile(policyCurve, d.Domain, func(domain *policyDomain) *policyEntry { return domain.curve })
	case mechanismGSSAPI:
		return p.ruleForPrincipal(d.Domain, who)
	}
	return Rule{}, false
}

func (p *Policy) rule(line int, text string) (Rule, bool) {
	return Rule{File: p.file, Line: line, Text: text}, true
}

// domainWith is the domain whose setup counts for a request: the one of that name if it has any, else AnyDomain.
func (p *Policy) domainWith(name string, has func(*policyDomain) bool) *policyDomain {
	for _, name := range []string{name, AnyDomain} {
		if domain := p.domain(name); domain != nil && has(domain) {
			return domain
		}
	}
	return nil
}

// ruleForAddress finds the rule that has kept an address out, or with passed one that has let it in: that of the domain
// rather than the general one.
func (p *Policy) ruleForAddress(d Decision, passed bool) (Rule, bool) {
	peer, err := acl.ParsePeer(d.Address)
	names := []string{AnyDomain, d.Domain}
	if passed {
		names = []string{d.Domain, AnyDomain}
	}
	for _, name := range names {
		domain := p.domain(name)
		if domain == nil || domain.kind == acl.None {
			continue
		}
		if err != nil {
			return p.rule(domain.addresses[0].line, "no address that can be read, where there are rules")
		}
		entry := domain.entryFor(peer)
		switch {
		case entry != nil && (domain.kind == acl.Allow) == passed:
			return p.rule(entry.line, fmt.Sprintf("%s %s", domain.verb(), entry.text))
		case entry == nil && domain.kind == acl.Allow && !passed:
			return p.rule(domain.addresses[0].line, none(policyAllow, domain.addresses))
		}
	}
	return Rule{}, false
}

func (d *policyDomain) verb() string {
	if d.kind == acl.Deny {
		return policyDeny
	}
	return policyAllow
}

// entryFor is the first entry of the list that names a peer.
func (d *policyDomain) entryFor(peer acl.Peer) *policyEntry {
	for i := range d.addresses {
		var list acl.List
		if err := list.Add(d.kind, []string{d.addresses[i].text}); err != nil {
			continue // LoadPolicy has read it
		}
		if list.Names(peer) {
			return &d.addresses[i]
		}
	}
	return nil
}

func (p *Policy) ruleForFile(name, domain string, get func(*policyDomain) *policyEntry) (Rule, bool) {
	with := p.domainWith(domain, func(d *policyDomain) bool { return get(d) != nil })
	if with == nil {
		return Rule{}, false
	}
	entry := get(with)
	rule := Rule{File: p.file, Line: entry.line, Text: name + " " + entry.text, Location: CurveAllowAny}
	if name != policyCurve || entry.text != CurveAllowAny {
		rule.Location = p.resolve(entry.text)
	}
	return rule, true
}

func (p *Policy) ruleForPrincipal(domain, name string) (Rule, bool) {
	with := p.domainWith(domain, func(d *policyDomain) bool { return len(d.gssapi) > 0 })
	if with == nil {
		return Rule{}, false
	}
	for _, entry := range with.gssapi {
		if set, err := principal.NewSet([]string{entry.text}); err == nil && set.Has(name) {
			return p.rule(entry.line, policyGSSAPI+" "+entry.text)
		}
	}
	return p.rule(with.gssapi[0].line, none(policyGSSAPI, with.gssapi))
}

// SameRules tells whether two policies say the same about the clients of a domain, in its own entry and in that of AnyDomain.
// It looks at what stands in them, not at the files that they name.
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

// domainRules is what a domain's entry says, wherever it stands in the file.
type domainRules struct {
	kind              acl.Kind
	addresses, gssapi []string
	plain, curve      string // "": none
}

func (p *Policy) rulesOf(name string) domainRules {
	d := p.domain(name)
	if d == nil {
		return domainRules{}
	}
	rules := domainRules{kind: d.kind, addresses: texts(d.addresses), gssapi: texts(d.gssapi)}
	if d.plain != nil {
		rules.plain = p.resolve(d.plain.text)
	}
	if d.curve != nil {
		rules.curve = d.curve.text
		if rules.curve != CurveAllowAny {
			rules.curve = p.resolve(d.curve.text)
		}
	}
	return rules
}

// none says that no item of a list holds.
func none(name string, items []policyEntry) string {
	const few = 8
	if len(items) > few {
		return fmt.Sprintf("%s: none of the %d entries", name, len(items))
	}
	return fmt.Sprintf("%s: none of %s", name, strings.Join(texts(items), " "))
}
