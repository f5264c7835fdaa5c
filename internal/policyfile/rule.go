package policyfile

import (
	"fmt"
	"strings"

	"github.com/zmqauth/zmqauth/internal/acl"
	"github.com/zmqauth/zmqauth/internal/principal"
)

// Rule is the line of a policy that has decided about a client.
type Rule struct {
	File  string // the path of the policy, as the caller gave it
	Line  int    // from 1
	Entry string // the name of the entry: EntryAllow …
	Text  string // the entry and its value, or why it decided: "deny 10.0.0.0/8"

	// Location is the absolute path of the password file or of the directory of certificates that
	// has decided, or AnyKey. It is empty for other rules.
	Location string
}

// String returns "FILE:LINE: TEXT".
func (r Rule) String() string { return fmt.Sprintf("%s:%d: %s", r.File, r.Line, r.Text) }

// Question describes a client and the decision about its address.
type Question struct {
	Domain    string
	Mechanism string // NULL, PLAIN, CURVE, GSSAPI
	Address   string // as libzmq reports it
	Principal string // GSSAPI: as Kerberos has proved it

	AddressDenied bool // the client was refused because of its address
}

// RuleFor finds the line that has made a decision. It assumes that this policy alone was in force.
// There may be no such line: the policy may say nothing of the mechanism, or NULL clients may be
// admitted from anywhere.
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

// domainWith returns the domain whose rules count for a request: the one of that name if it has
// such rules, else AnyDomain if that has them, else nil.
func (p *Policy) domainWith(name string, has func(*Domain) bool) *Domain {
	for _, name := range []string{name, AnyDomain} {
		if domain := p.Domain(name); domain != nil && has(domain) {
			return domain
		}
	}
	return nil
}

// ruleForAddress finds the rule that has refused an address, or with passed the one that has
// admitted it. If both decided, a refusal names the general rule, and an admission the rule of the
// domain.
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

// entryFor returns the first entry of the list that matches an address, or nil.
func (d *Domain) entryFor(address acl.Peer) *Entry {
	for i := range d.Addresses {
		var list acl.List
		if err := list.Add(d.Kind, []string{d.Addresses[i].Text}); err != nil {
			continue // impossible: Parse has checked it
		}
		if list.Names(address) {
			return &d.Addresses[i]
		}
	}
	return nil
}

// ruleForFile returns the rule that names a password file or a directory of certificates.
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

// ruleForPrincipal returns the entry that matches a principal, or else the list that does not.
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

// none is the text of a rule that decided because no item of its list matches. Long lists are not
// repeated.
func none(name string, items []Entry) string {
	const few = 8
	if len(items) > few {
		return fmt.Sprintf("%s: none of the %d entries", name, len(items))
	}
	return fmt.Sprintf("%s: none of %s", name, strings.Join(Texts(items), " "))
}
