package policyfile

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/zmqauth/zmqauth/internal/acl"
	"github.com/zmqauth/zmqauth/internal/endpoint"
	"github.com/zmqauth/zmqauth/internal/principal"
	"github.com/zmqauth/zmqauth/internal/zpl"
)

func parse(file, dir string, text []byte) (*Policy, error) {
	root, err := zpl.Parse(text)
	if err != nil {
		fault := &Error{File: file, Err: err}
		if zplErr, ok := errors.AsType[*zpl.Error](err); ok {
			fault.Line, fault.Err = zplErr.Line, zplErr.Err
		}
		return nil, fault
	}
	p := parser{
		policy:    &Policy{File: file, dir: dir},
		domains:   make(map[string]int),
		frontends: make(map[string]int),
		binds:     make(map[string][]bound),
	}
	for _, n := range root.Children {
		switch n.Name {
		case EntryDomain:
			p.domain(n)
		case EntryFrontend:
			p.frontend(n)
		default:
			p.unknown(n, "in a policy", EntryDomain, EntryFrontend)
		}
	}
	if len(p.errs) > 0 {
		return nil, p.err()
	}
	return p.policy, nil
}

// parser makes a policy of a tree, and collects all that is wrong with it.
type parser struct {
	policy    *Policy
	errs      []*Error
	domains   map[string]int // the line where each has been seen first
	frontends map[string]int
	binds     map[string][]bound // by endpoint.Endpoint.Key
}

// bound is the endpoint of a frontend, and the line where it stands.
type bound struct {
	endpoint.Endpoint
	line int
}

func (p *parser) fail(line int, format string, args ...any) {
	p.errs = append(p.errs, &Error{File: p.policy.File, Line: line, Err: fmt.Errorf(format, args...)})
}

// err joins the errors in the order of their lines.
func (p *parser) err() error {
	slices.SortStableFunc(p.errs, func(a, b *Error) int { return a.Line - b.Line })
	var errs []error
	for _, err := range p.errs {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (p *parser) unknown(n *zpl.Node, where string, known ...string) {
	p.fail(n.Line, "unknown name %.40q %s: %s", n.Name, where, strings.Join(known, ", "))
}

// name checks the value of an entry that is to be the only one of its kind with that value.
func (p *parser) name(n *zpl.Node, seen map[string]int) {
	switch first := seen[n.Value]; {
	case n.Value == "":
		p.fail(n.Line, "the %s has no name", n.Name)
	case first != 0:
		p.fail(n.Line, "a second %s %.40q, the first is in line %d", n.Name, n.Value, first)
	default:
		seen[n.Value] = n.Line
	}
}

// leaf checks an entry that has a value and nothing below it.
func (p *parser) leaf(n *zpl.Node) bool {
	for _, child := range n.Children {
		p.fail(child.Line, "nothing belongs below %s", n.Name)
	}
	if n.Value == "" {
		p.fail(n.Line, "%s has no value: leave the line out, or write one", n.Name)
	}
	return n.Value != "" && len(n.Children) == 0
}

// domain reads the entry of a domain.
func (p *parser) domain(n *zpl.Node) {
	p.name(n, p.domains)
	if len(n.Value) > MaxDomain {
		p.fail(n.Line, "a domain has at most %d bytes", MaxDomain)
	}
	domain := Domain{Name: n.Value, Line: n.Line}
	for _, child := range n.Children {
		switch child.Name {
		case EntryAllow:
			p.addresses(&domain, child, acl.Allow)
		case EntryDeny:
			p.addresses(&domain, child, acl.Deny)
		case EntryPlain:
			p.only(&domain.Plain, child)
		case EntryCurve:
			p.only(&domain.Curve, child)
		case EntryGSSAPI:
			p.principals(&domain, child)
		default:
			p.unknown(child, "below a domain", EntryAllow, EntryDeny, EntryPlain, EntryCurve,
				EntryGSSAPI)
		}
	}
	p.policy.Domains = append(p.policy.Domains, domain)
}

// only reads an entry that a domain has once.
func (p *parser) only(entry **Entry, n *zpl.Node) {
	if *entry != nil {
		p.fail(n.Line, "a second %s, the first is in line %d", n.Name, (*entry).Line)
		return
	}
	*entry = &Entry{Text: n.Value, Line: n.Line}
	p.leaf(n)
}

// list reads the items of a list. A list of nothing is an error: whoever has emptied it may mean
// everybody, or nobody.
func (p *parser) list(n *zpl.Node) []string {
	if !p.leaf(n) {
		return nil
	}
	items := splitList(n.Value)
	if len(items) == 0 {
		p.fail(n.Line, "%s names nothing", n.Name)
	}
	return items
}

func (p *parser) addresses(domain *Domain, n *zpl.Node, kind acl.Kind) {
	if domain.Kind != acl.None && domain.Kind != kind {
		p.fail(n.Line, "%w: line %d has the other kind", acl.ErrMixed, domain.Addresses[0].Line)
		return
	}
	for _, item := range p.list(n) {
		if err := acl.CheckEntry(item); err != nil {
			p.fail(n.Line, "%s: %w", n.Name, err)
		}
		domain.Kind = kind
		domain.Addresses = append(domain.Addresses, Entry{item, n.Line})
	}
}

func (p *parser) principals(domain *Domain, n *zpl.Node) {
	for _, item := range p.list(n) {
		if err := principal.Check(item); err != nil && item != AnyPrincipal {
			p.fail(n.Line, "%s: %w", n.Name, err)
		}
		domain.GSSAPI = append(domain.GSSAPI, Entry{item, n.Line})
	}
}
