package policyfile

import (
	"strings"
	"time"

	"github.com/zmqauth/zmqauth/internal/acl"
	"github.com/zmqauth/zmqauth/internal/principal"
	"github.com/zmqauth/zmqauth/internal/zpl"
)

// parseDomain reads the entry of a domain.
func (p *parser) parseDomain(n *zpl.Node) {
	p.checkName(n, p.domains)
	if len(n.Value) > MaxDomain {
		p.fail(n.Line, "a domain has at most %d bytes", MaxDomain)
	}
	domain := Domain{Name: n.Value, Line: n.Line}
	var unknown, window *Entry
	for _, child := range n.Children {
		switch child.Name {
		case EntryAllow:
			p.parseAddresses(&domain, child, acl.Allow)
		case EntryDeny:
			p.parseAddresses(&domain, child, acl.Deny)
		case EntryPlain:
			p.parseOnce(&domain.Plain, child)
		case EntryCurve:
			p.parseOnce(&domain.Curve, child)
		case EntryGSSAPI:
			p.parsePrincipals(&domain, child)
		case EntryUnknown:
			p.parseOnce(&unknown, child)
		case EntryEnrolWindow:
			p.parseOnce(&window, child)
		case EntryGrace:
			p.parseGrace(&domain, child)
		default:
			p.unknown(child, "below a domain", EntryAllow, EntryDeny, EntryPlain, EntryCurve,
				EntryGSSAPI, EntryUnknown, EntryEnrolWindow, EntryGrace)
		}
	}
	p.parseEnrolment(&domain, unknown, window)
	p.policy.Domains = append(p.policy.Domains, domain)
}

// parseEnrolment reads what happens to clients with unknown keys. Both entries may be nil.
func (p *parser) parseEnrolment(domain *Domain, unknown, window *Entry) {
	domain.Pending, domain.EnrolWindow = p.parsePending(unknown, window)
	if domain.Pending && (domain.Curve == nil || domain.Curve.Text == AnyKey) {
		p.fail(unknown.Line, "%s = %s needs %s with a directory in the same domain", EntryUnknown,
			UnknownPending, EntryCurve)
	}
}

// parsePending reads whether unknown keys wait, and how long that is so. Both entries may be nil.
func (p *parser) parsePending(unknown, window *Entry) (pending bool, length time.Duration) {
	if unknown != nil {
		pending = unknown.Text == UnknownPending
		if !pending && unknown.Text != UnknownRefused {
			p.fail(unknown.Line, "%s is %s or %s, not %q", EntryUnknown, UnknownPending,
				UnknownRefused, unknown.Text)
		}
	}
	if window == nil {
		return pending, 0
	}
	length, err := time.ParseDuration(window.Text)
	switch {
	case err != nil || length <= 0:
		p.fail(window.Line, "%s is a time such as 10m, not %q", EntryEnrolWindow, window.Text)
	case !pending:
		p.fail(window.Line, "%s needs %s = %s", EntryEnrolWindow, EntryUnknown, UnknownPending)
	}
	return pending, length
}

// parseOnce reads an entry that a domain may have once.
func (p *parser) parseOnce(entry **Entry, n *zpl.Node) {
	if *entry != nil {
		p.fail(n.Line, "a second %s, the first is in line %d", n.Name, (*entry).Line)
		return
	}
	*entry = &Entry{Text: n.Value, Line: n.Line}
	p.checkLeaf(n)
}

// parseList reads the items of a list. An empty list is an error: it might mean everybody or
// nobody.
func (p *parser) parseList(n *zpl.Node) []string {
	if !p.checkLeaf(n) {
		return nil
	}
	items := splitList(n.Value)
	if len(items) == 0 {
		p.fail(n.Line, "%s names nothing", n.Name)
	}
	return items
}

// parseAddresses reads a list of addresses, all of which are allowed or all denied.
func (p *parser) parseAddresses(domain *Domain, n *zpl.Node, kind acl.Kind) {
	if domain.Kind != acl.None && domain.Kind != kind {
		p.fail(n.Line, "%w: line %d has the other kind", acl.ErrMixed, domain.Addresses[0].Line)
		return
	}
	for _, item := range p.parseList(n) {
		if err := acl.CheckEntry(item); err != nil {
			p.fail(n.Line, "%s: %w", n.Name, err)
		}
		domain.Kind = kind
		domain.Addresses = append(domain.Addresses, Entry{item, n.Line})
	}
}

// parsePrincipals reads a list of principals.
func (p *parser) parsePrincipals(domain *Domain, n *zpl.Node) {
	for _, item := range p.parseList(n) {
		if err := principal.Check(item); err != nil && item != AnyPrincipal {
			p.fail(n.Line, "%s: %w", n.Name, err)
		}
		domain.GSSAPI = append(domain.GSSAPI, Entry{item, n.Line})
	}
}

// splitList splits a list at blanks and commas.
func splitList(value string) []string {
	return strings.FieldsFunc(value, func(c rune) bool { return c == ' ' || c == '\t' || c == ',' })
}
