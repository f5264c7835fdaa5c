package policyfile

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/zmqauth/zmqauth/internal/zpl"
)

// parseTLSServe reads a section tls-serve.
func (p *parser) parseTLSServe(n *zpl.Node) {
	s := TLSServe{Section: p.section(n)}
	p.parseLink(n, s.section(p.linkReader()))
	p.policy.TLSServes = append(p.policy.TLSServes, s)
}

// parseTLSConnect reads a section tls-connect.
func (p *parser) parseTLSConnect(n *zpl.Node) {
	c := TLSConnect{Section: p.section(n)}
	p.parseLink(n, c.section(p.linkReader()))
	p.policy.TLSConnects = append(p.policy.TLSConnects, c)
}

// parseTunnel reads a section tunnel.
func (p *parser) parseTunnel(n *zpl.Node) {
	t := Tunnel{Section: p.section(n)}
	p.parseLink(n, t.section(p.linkReader()))
	p.policy.Tunnels = append(p.policy.Tunnels, t)
}

func (p *parser) linkReader() linkReader { return linkReader{resolve: p.policy.Resolve} }

// section returns the head of a link's section, after checking its name.
func (p *parser) section(n *zpl.Node) Section {
	if p.links[n.Name] == nil {
		p.links[n.Name] = make(map[string]int)
	}
	p.checkName(n, p.links[n.Name])
	return Section{Kind: n.Name, Name: n.Value, File: p.policy.File, Line: n.Line}
}

// parseLink reads what is below the name of a link.
func (p *parser) parseLink(n *zpl.Node, s linkSection) {
	lines := make(map[string]int) // by entry; of the first one
	before := len(p.errs)
	for _, child := range n.Children {
		p.parseLinkEntry(n.Name, child, s.entries, lines)
	}
	for _, entry := range s.entries {
		if entry.required && lines[entry.name] == 0 {
			p.fail(n.Line, "the %s has no %s", n.Name, entry.name)
		}
	}
	if len(p.errs) > before {
		return // what is wrong with the entries together would only follow from that
	}
	s.check(func(entry string) bool { return lines[entry] != 0 }, func(entry string, err error) {
		if entry == "" {
			p.fail(n.Line, "the %s: %w", n.Name, err)
			return
		}
		p.fail(lines[entry], "%s: %w", entry, err)
	})
	for _, l := range s.listens() {
		p.checkListening(l, lines[l.entry])
	}
}

// parseLinkEntry reads one entry of a link.
func (p *parser) parseLinkEntry(
	kind string, n *zpl.Node, entries []linkEntry, lines map[string]int,
) {
	at := slices.IndexFunc(entries, func(e linkEntry) bool { return e.name == n.Name })
	switch {
	case at < 0:
		var names []string
		for _, entry := range entries {
			names = append(names, entry.name)
		}
		p.unknown(n, "below a "+kind, names...)
		return
	case lines[n.Name] != 0 && !entries[at].many:
		p.fail(n.Line, "a second %s, the first is in line %d", n.Name, lines[n.Name])
		return
	case lines[n.Name] == 0:
		lines[n.Name] = n.Line
	}
	if p.checkLeaf(n) {
		if err := entries[at].set(n.Value); err != nil {
			p.fail(n.Line, "%s %.100q: %w", n.Name, n.Value, err)
		}
	}
}

// checkListening checks that no earlier section listens at an address.
func (p *parser) checkListening(l listening, line int) {
	at := l.at.Bound()
	if at.IsChosen() {
		return
	}
	for _, other := range p.binds[at.Key()] {
		if at.Conflicts(other.Endpoint) {
			p.fail(line, "another section listens there, in line %d", other.line)
			break
		}
	}
	p.binds[at.Key()] = append(p.binds[at.Key()], bound{at, "section", line})
}

// A Value is a flag of a command line, with the name of an entry.
type Value struct{ Entry, Text string }

// A ValueError says what is wrong with the flags of a command line.
type ValueError struct {
	Entry string // the entry, or "" for all of them together
	Err   error
}

// Error returns the entry and what is wrong with it.
func (e *ValueError) Error() string {
	if e.Entry == "" {
		return e.Err.Error()
	}
	return e.Entry + ": " + e.Err.Error()
}

// Unwrap returns Err.
func (e *ValueError) Unwrap() error { return e.Err }

// NewTLSServe makes a link of the flags of a command line. The error is a *ValueError.
func NewTLSServe(values []Value) (s TLSServe, err error) {
	s.Section = Section{Kind: EntryTLSServe}
	err = setValues(s.section(fromCommand), values)
	return s, err
}

// NewTLSConnect makes a link of the flags of a command line. The error is a *ValueError.
func NewTLSConnect(values []Value) (c TLSConnect, err error) {
	c.Section = Section{Kind: EntryTLSConnect}
	err = setValues(c.section(fromCommand), values)
	return c, err
}

// NewTunnel makes a link of the flags of a command line. The error is a *ValueError.
func NewTunnel(values []Value) (t Tunnel, err error) {
	t.Section = Section{Kind: EntryTunnel}
	err = setValues(t.section(fromCommand), values)
	return t, err
}

// fromCommand reads the flags of a command line.
var fromCommand = linkReader{resolve: fromHere, prefix: "--"}

// fromHere makes a path absolute. Without a working directory there is none, and the path stays.
func fromHere(path string) string {
	if absolute, err := filepath.Abs(path); err == nil {
		return absolute
	}
	return path
}

// setValues sets the values of a section.
func setValues(s linkSection, values []Value) error {
	given := make(map[string]bool)
	for _, v := range values {
		at := slices.IndexFunc(s.entries, func(e linkEntry) bool { return e.name == v.Entry })
		if at < 0 {
			return &ValueError{v.Entry, fmt.Errorf("no such entry")}
		}
		err := error(nil)
		switch {
		case v.Text == "":
			err = fmt.Errorf("is empty")
		case given[v.Entry] && !s.entries[at].many:
			err = fmt.Errorf("is given twice")
		default:
			err = s.entries[at].set(v.Text)
		}
		if err != nil {
			return &ValueError{v.Entry, fmt.Errorf("%.100q: %w", v.Text, err)}
		}
		given[v.Entry] = true
	}
	for _, entry := range s.entries {
		if entry.required && !given[entry.name] {
			return &ValueError{entry.name, fmt.Errorf("is missing")}
		}
	}
	var first error
	s.check(func(entry string) bool { return given[entry] }, func(entry string, err error) {
		if first == nil {
			first = &ValueError{entry, err}
		}
	})
	listens := s.listens()
	for i, l := range listens {
		for _, other := range listens[:i] {
			if first == nil && l.at.Conflicts(other.at) {
				first = &ValueError{l.entry, fmt.Errorf("%s is listened at twice", l.at)}
			}
		}
	}
	return first
}
