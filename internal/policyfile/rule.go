package policyfile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/zmqauth/zmqauth/internal/acl"
	"github.com/zmqauth/zmqauth/internal/principal"
)

// Rule is a line of a policy that has decided on a client.
type Rule struct {
	File  string // the policy, as it was given
	Line  int    // from 1
	Entry string // the entry's name: EntryAllow …
	Text  string // what stands there, and how it has decided: "deny 10.0.0.0/8"

	// Location is the absolute path of the password file or directory of certificates that has
	// decided, or AnyKey; empty for other rules.
	Location string
}

// String is "FILE:LINE: TEXT".
func (r Rule) String() string { return fmt.Sprintf("%s:%d: %s", r.File, r.Line, r.Text) }

// Question is a client, and what has been decided about it.
type Question struct {
	Domain    string
	Mechanism string // NULL, PLAIN, CURVE, GSSAPI
	Address   string // as libzmq reports it
	Principal string // of GSSAPI, as Kerberos has proved it

	AddressDenied bool // the client was refused for its address
}

// RuleFor finds the line that a decision goes back to, where it was made by this policy alone.
// There may be none: nothing is set up for the mechanism, say, or NULL clients may come from
// anywhere.
func (p *Policy) RuleFor(q Question) (rule Rule, found bool) {
	if q.AddressDenied {
		return p.ruleForAddress(q, false)
	}
	switch q.Mechanism {
	case "NULL":
		return p.ruleForAddress(q, true)
	case "PLAIN":
		return p.ruleForFile(EntryPlain, q.Domain, func(d *Domain) *Entry { return d.Plain })
	case "CURVE":
		return p.ruleForFile(EntryCurve, q.Domain, func(d *Domain) *Entry { return d.Curve })
	case "GSSAPI":
		return p.ruleForPrincipal(q.Domain, q.Principal)
	}
	return Rule{}, false
}

func (p *Policy) rule(line int, entry, text string) (Rule, bool) {
	return Rule{File: p.File, Line: line, Entry: entry, Text: text}, true
}

// domainWith is the domain whose setup counts for a request: the one of that name if it has any,
// else AnyDomain.
func (p *Policy) domainWith(name string, has func(*Domain) bool) *Domain {
	for _, name := range []string{name, AnyDomain} {
		if domain := p.Domain(name); domain != nil && has(domain) {
			return domain
		}
	}
	return nil
}

// ruleForAddress finds the rule that has kept an address out, or with passed one that has let it
// in: that of the domain rather than the general one.
func (p *Policy) ruleForAddress(q Question, passed bool) (Rule, bool) {
	address, err := acl.ParsePeer(q.Address)
	names := []string{AnyDomain, q.Domain}
	if passed {
		names = []string{q.Domain, AnyDomain}
	}
	for _, name := range names {
		domain := p.Domain(name)
		if domain == nil || domain.Kind == acl.None {
			continue
		}
		first, verb := domain.Addresses[0].Line, domain.verb()
		if err != nil {
			return p.rule(first, verb, "no address that can be read, where there are rules")
		}
		entry := domain.entryFor(address)
		switch {
		case entry != nil && (domain.Kind == acl.Allow) == passed:
			return p.rule(entry.Line, verb, fmt.Sprintf("%s %s", verb, entry.Text))
		case entry == nil && domain.Kind == acl.Allow && !passed:
			return p.rule(first, verb, none(EntryAllow, domain.Addresses))
		}
	}
	return Rule{}, false
}

func (d *Domain) verb() string {
	if d.Kind == acl.Deny {
		return EntryDeny
	}
	return EntryAllow
}

// entryFor is the first entry of the list that names an address.
func (d *Domain) entryFor(address acl.Peer) *Entry {
	for i := range d.Addresses {
		var list acl.List
		if err := list.Add(d.Kind, []string{d.Addresses[i].Text}); err != nil {
			continue // Parse has read it
		}
		if list.Names(address) {
			return &d.Addresses[i]
		}
	}
	return nil
}

func (p *Policy) ruleForFile(name, domain string, get func(*Domain) *Entry) (Rule, bool) {
	with := p.domainWith(domain, func(d *Domain) bool { return get(d) != nil })
	if with == nil {
		return Rule{}, false
	}
	entry := get(with)
	rule := Rule{File: p.File, Line: entry.Line, Entry: name, Text: name + " " + entry.Text,
		Location: AnyKey}
	if name != EntryCurve || entry.Text != AnyKey {
		rule.Location = p.Resolve(entry.Text)
	}
	return rule, true
}

func (p *Policy) ruleForPrincipal(domain, name string) (Rule, bool) {
	with := p.domainWith(domain, func(d *Domain) bool { return len(d.GSSAPI) > 0 })
	if with == nil {
		return Rule{}, false
	}
	for _, entry := range with.GSSAPI {
		set, err := principal.NewSet([]string{entry.Text})
		if entry.Text == AnyPrincipal || err == nil && set.Has(name) {
			return p.rule(entry.Line, EntryGSSAPI, EntryGSSAPI+" "+entry.Text)
		}
	}
	return p.rule(with.GSSAPI[0].Line, EntryGSSAPI, none(EntryGSSAPI, with.GSSAPI))
}

// SameRules tells whether two policies say the same about the clients of a domain, in its own entry
// and in that of AnyDomain. It looks at what stands in them, not at the files that they name. nil
// is the policy of an empty file.
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
	if p == nil {
		return domainRules{}
	}
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

// none says that no item of a list holds.
func none(name string, items []Entry) string {
	const few = 8
	if len(items) > few {
		return fmt.Sprintf("%s: none of the %d entries", name, len(items))
	}
	return fmt.Sprintf("%s: none of %s", name, strings.Join(Texts(items), " "))
}
