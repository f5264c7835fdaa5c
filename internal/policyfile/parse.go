package policyfile

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/zpl"
)

// Parse reads a policy from its text. file names the policy in errors, and its directory is where
// relative paths in the text start. Parse reads no file. The error joins (see errors.Join) an
// *Error for each fault. A text that is not ZPL has only its first fault reported.
func Parse(file string, text []byte) (*Policy, error) {
	absolute, err := filepath.Abs(file) // the working directory may change
	if err != nil {
		return nil, &Error{File: file, Err: files.Bare(err)}
	}
	return parse(file, filepath.Dir(absolute), text)
}

// parse is Parse for a file in the directory dir.
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
		links:     make(map[string]map[string]int),
		binds:     make(map[string][]bound),
	}
	for _, n := range root.Children {
		switch n.Name {
		case EntryDomain:
			p.parseDomain(n)
		case EntryFrontend:
			p.parseFrontend(n)
		case EntryStaleLimit:
			p.parseStaleLimit(n)
		case EntryFleet:
			p.parseFleet(n)
		case EntryTLSServe:
			p.parseTLSServe(n)
		case EntryTLSConnect:
			p.parseTLSConnect(n)
		case EntryTunnel:
			p.parseTunnel(n)
		case EntryService:
			p.parseService(n)
		case EntryProgram:
			p.parseProgram(n)
		default:
			p.unknown(n, "in a policy", EntryDomain, EntryFrontend, EntryStaleLimit, EntryFleet,
				EntryTLSServe, EntryTLSConnect, EntryTunnel, EntryService, EntryProgram)
		}
	}
	if len(p.errs) == 0 {
		p.checkTLS()
		p.checkPrograms()
		p.checkFleet()
	}
	if len(p.errs) > 0 {
		return nil, p.err()
	}
	return p.policy, nil
}

// parseStaleLimit reads the entry stale-limit.
func (p *parser) parseStaleLimit(n *zpl.Node) {
	if !p.checkLeaf(n) {
		return
	}
	limit, err := time.ParseDuration(n.Value)
	switch {
	case p.policy.StaleLimit != 0:
		p.fail(n.Line, "a second %s", n.Name)
	case err != nil || limit <= 0:
		p.fail(n.Line, "%s %.40q: not a time, such as 10m or 1h", n.Name, n.Value)
	default:
		p.policy.StaleLimit = limit
	}
}

// parser makes a policy of a ZPL tree. It collects all faults, so that the user sees them at once.
type parser struct {
	policy    *Policy
	errs      []*Error
	domains   map[string]int            // the line of the first entry, by name
	frontends map[string]int            // the same
	links     map[string]map[string]int // the same, by kind of section
	binds     map[string][]bound        // by the key of the endpoint
	tls       []frontendTLS
}

// fail adds a fault.
func (p *parser) fail(line int, format string, args ...any) {
	err := fmt.Errorf(format, args...)
	p.errs = append(p.errs, &Error{File: p.policy.File, Line: line, Err: err})
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

// unknown adds the fault of an entry whose name is none of the known ones.
func (p *parser) unknown(n *zpl.Node, where string, known ...string) {
	p.fail(n.Line, "unknown name %.40q %s: %s", n.Name, where, strings.Join(known, ", "))
}

// checkName checks the name of a section: it is there, and no other entry has it.
func (p *parser) checkName(n *zpl.Node, seen map[string]int) {
	switch first := seen[n.Value]; {
	case n.Value == "":
		p.fail(n.Line, "the %s has no name", n.Name)
	case first != 0:
		p.fail(n.Line, "a second %s %.40q, the first is in line %d", n.Name, n.Value, first)
	default:
		seen[n.Value] = n.Line
	}
}

// checkLeaf checks that an entry has a value and nothing below it. It returns whether that is so.
func (p *parser) checkLeaf(n *zpl.Node) bool {
	for _, child := range n.Children {
		p.fail(child.Line, "nothing belongs below %s", n.Name)
	}
	if n.Value == "" {
		p.fail(n.Line, "%s has no value: leave the line out, or write one", n.Name)
	}
	return n.Value != "" && len(n.Children) == 0
}
