package zmqauth

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/zmqauth/zmqauth/internal/acl"
	"github.com/zmqauth/zmqauth/internal/principal"
)

// The names of a policy's entries.
const (
	policyDomainEntry   = "domain"
	policyFrontendEntry = "frontend"

	policyAllow  = "allow"
	policyDeny   = "deny"
	policyPlain  = "plain"
	policyCurve  = "curve"
	policyGSSAPI = "gssapi"
)

// parsePolicy reads a policy from its text; no other file is looked at. Relative paths start from dir.
func parsePolicy(file, dir string, data []byte) (*Policy, error) {
	root, err := parseZPL(file, data)
	if err != nil {
		return nil, err
	}
	r := policyReader{policy: &Policy{file: file, dir: dir}, domains: make(map[string]int), frontends: make(map[string]int),
		binds: make(map[string][]boundEndpoint)}
	for _, n := range root.children {
		switch n.name {
		case policyDomainEntry:
			r.domain(n)
		case policyFrontendEntry:
			r.frontend(n)
		default:
			r.unknown(n, "in a policy", policyDomainEntry, policyFrontendEntry)
		}
	}
	if len(r.errs) > 0 {
		return nil, r.err()
	}
	return r.policy, nil
}

// policyReader collects all that is wrong with a policy.
type policyReader struct {
	policy    *Policy
	errs      []*FileError
	domains   map[string]int // where each has been seen first
	frontends map[string]int
	binds     map[string][]boundEndpoint // by gate
}

func (r *policyReader) fail(line int, format string, args ...any) {
	r.errs = append(r.errs, &FileError{File: r.policy.file, Line: line, Err: fmt.Errorf(format, args...)})
}

// err joins the errors in the order of their lines.
func (r *policyReader) err() error {
	slices.SortStableFunc(r.errs, func(a, b *FileError) int { return a.Line - b.Line })
	var errs []error
	for _, err := range r.errs {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (r *policyReader) unknown(n *zplNode, where string, known ...string) {
	r.fail(n.line, "unknown name %.40q %s: %s", n.name, where, strings.Join(known, ", "))
}

// name checks the value of an entry that is to be the only one of its kind with that value.
func (r *policyReader) name(n *zplNode, seen map[string]int) {
	switch first := seen[n.value]; {
	case n.value == "":
		r.fail(n.line, "the %s has no name", n.name)
	case first != 0:
		r.fail(n.line, "a second %s %.40q, the first is in line %d", n.name, n.value, first)
	default:
		seen[n.value] = n.line
	}
}

// leaf checks an entry that has a value and nothing below it.
func (r *policyReader) leaf(n *zplNode) bool {
	for _, child := range n.children {
		r.fail(child.line, "nothing belongs below %s", n.name)
	}
	if n.value == "" {
		r.fail(n.line, "%s has no value: leave the line out, or write one", n.name)
	}
	return n.value != "" && len(n.children) == 0
}

// domain reads the entry of a domain.
func (r *policyReader) domain(n *zplNode) {
	r.name(n, r.domains)
	if len(n.value) > maxDomainLength {
		r.fail(n.line, "a domain has at most %d bytes", maxDomainLength)
	}
	domain := policyDomain{name: n.value, line: n.line}
	for _, child := range n.children {
		switch child.name {
		case policyAllow:
			r.addresses(&domain, child, acl.Allow)
		case policyDeny:
			r.addresses(&domain, child, acl.Deny)
		case policyPlain:
			r.only(&domain.plain, child)
		case policyCurve:
			r.only(&domain.curve, child)
		case policyGSSAPI:
			r.principals(&domain, child)
		default:
			r.unknown(child, "below a domain", policyAllow, policyDeny, policyPlain, policyCurve, policyGSSAPI)
		}
	}
	r.policy.domains = append(r.policy.domains, domain)
}

// only reads an entry that a domain has once.
func (r *policyReader) only(entry **policyEntry, n *zplNode) {
	if *entry != nil {
		r.fail(n.line, "a second %s, the first is in line %d", n.name, (*entry).line)
		return
	}
	*entry = &policyEntry{text: n.value, line: n.line}
	r.leaf(n)
}

// list reads the items of a list. A list of nothing is an error: whoever has emptied it may mean everybody, or nobody.
func (r *policyReader) list(n *zplNode) []string {
	if !r.leaf(n) {
		return nil
	}
	items := splitPolicyList(n.value)
	if len(items) == 0 {
		r.fail(n.line, "%s names nothing", n.name)
	}
	return items
}

func (r *policyReader) addresses(domain *policyDomain, n *zplNode, kind acl.Kind) {
	if domain.kind != acl.None && domain.kind != kind {
		r.fail(n.line, "%w: line %d has the other kind", acl.ErrMixed, domain.addresses[0].line)
		return
	}
	for _, item := range r.list(n) {
		if err := acl.CheckEntry(item); err != nil {
			r.fail(n.line, "%s: %w", n.name, err)
		}
		domain.kind = kind
		domain.addresses = append(domain.addresses, policyEntry{item, n.line})
	}
}

func (r *policyReader) principals(domain *policyDomain, n *zplNode) {
	for _, item := range r.list(n) {
		if err := principal.Check(item); err != nil {
			r.fail(n.line, "%s: %w", n.name, err)
		}
		domain.gssapi = append(domain.gssapi, policyEntry{item, n.line})
	}
}
