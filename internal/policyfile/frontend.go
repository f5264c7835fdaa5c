package policyfile

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/zmqauth/zmqauth/internal/endpoint"
	"github.com/zmqauth/zmqauth/internal/zpl"
)

// Frontend is one frontend entry of a policy: an authenticated socket before a service that has
// none.
//
//	frontend = orders
//	    type = router
//	    bind = tcp://*:5555
//	    backend = tcp://127.0.0.1:6666
//	    mechanism = curve
//	    domain = global
//	    certificate = server.key_secret
//
// All is there that must be, and nothing that has no meaning. No two frontends bind one endpoint,
// and none its own backend, as far as the file tells. Nobody has looked at the certificate.
type Frontend struct {
	Name      string // no other frontend's
	Type      string // of the bound socket: "router", "xsub", "xpub" or "pull"
	Bind      string // tcp:// with a port or *, or ipc:// with an absolute path or @name
	Backend   string // the service's endpoint: tcp:// with host and port, or ipc:// as for Bind
	Mechanism string // "null", "plain", "curve" or "gssapi"
	Domain    string // never empty

	// MaxMessage is the size in bytes of the largest message that a client may send. One that
	// announces more is cut off, whether it has been let in or not: else a stranger could have the
	// process keep what he likes to send. It is what the entry max-message says, at least 1024, or
	// without one 64 MiB.
	MaxMessage int64

	Certificate string // of curve: the path of the secret certificate, absolute; else empty
	Principal   string // of gssapi, the service's principal; mostly empty

	File string // the policy, as it was given
	Line int    // where the frontend begins in it
}

// field is one entry below a frontend.
type field struct {
	name     string
	value    *string
	check    func(value string) error // nil: anything but nothing
	required bool
}

var mechanisms = []string{"null", "plain", "curve", "gssapi"}

// fields are the entries that f may have. Which of them its mechanism wants is known once that has
// been read.
func (f *Frontend) fields() []field {
	return []field{
		{"type", &f.Type, oneOf("router", "xsub", "xpub", "pull"), true},
		{"bind", &f.Bind, checkBind, true},
		{"backend", &f.Backend, checkBackend, true},
		{"mechanism", &f.Mechanism, oneOf(mechanisms...), true},
		{"domain", &f.Domain, checkDomainLength, true},
		{"certificate", &f.Certificate, nil, f.Mechanism == "curve"},
		{"principal", &f.Principal, nil, false},
		{"max-message", new(string), f.limitMessages, false},
	}
}

// defaultMaxMessage is far more than most messages have, in bytes. A crowd of strangers needs to
// send a lot to fill the memory with it.
const defaultMaxMessage = 64 << 20

// minMaxMessage is what a handshake needs, in bytes, and more.
const minMaxMessage = 1024

func (f *Frontend) limitMessages(value string) error {
	limit, err := strconv.ParseInt(value, 10, 64)
	if err != nil || limit < minMaxMessage {
		return fmt.Errorf("not a number of bytes, from %d on", minMaxMessage)
	}
	f.MaxMessage = limit
	return nil
}

// frontend reads the entry of a frontend.
func (p *parser) frontend(n *zpl.Node) {
	p.name(n, p.frontends)
	f := Frontend{Name: n.Value, File: p.policy.File, Line: n.Line, MaxMessage: defaultMaxMessage}
	lines := make(map[string]int)
	for _, child := range n.Children {
		p.frontendField(&f, child, lines)
	}
	for _, field := range f.fields() {
		if field.required && lines[field.name] == 0 {
			p.fail(n.Line, "the frontend has no %s", field.name)
		}
	}
	for name, mechanism := range map[string]string{"certificate": "curve", "principal": "gssapi"} {
		if lines[name] != 0 && f.Mechanism != mechanism && slices.Contains(mechanisms, f.Mechanism) {
			p.fail(lines[name], "%s is for the mechanism %s", name, mechanism)
		}
	}
	p.endpoints(&f, lines)
	if f.Certificate != "" {
		f.Certificate = p.policy.Resolve(f.Certificate)
	}
	p.policy.Frontends = append(p.policy.Frontends, f)
}

// endpoints finds what is wrong with a frontend's endpoints beside each other and beside those of
// the frontends before it.
func (p *parser) endpoints(f *Frontend, lines map[string]int) {
	bind, err := endpoint.ParseBind(f.Bind)
	if err != nil || bind.IsChosen() { // that has been said, or they differ
		return
	}
	for _, other := range p.binds[bind.Key()] {
		if bind.Conflicts(other.Endpoint) {
			p.fail(lines["bind"], "another frontend binds this endpoint, in line %d", other.line)
			break
		}
	}
	p.binds[bind.Key()] = append(p.binds[bind.Key()], bound{bind, lines["bind"]})
	if backend, err := endpoint.ParseConnect(f.Backend); err == nil && bind.Receives(backend) {
		p.fail(lines["backend"], "the frontend itself binds this endpoint, in line %d: "+
			"it would be its own service", lines["bind"])
	}
}

func (p *parser) frontendField(f *Frontend, n *zpl.Node, lines map[string]int) {
	fields := f.fields()
	at := slices.IndexFunc(fields, func(field field) bool { return field.name == n.Name })
	switch {
	case at < 0:
		var names []string
		for _, field := range fields {
			names = append(names, field.name)
		}
		p.unknown(n, "below a frontend", names...)
		return
	case lines[n.Name] != 0:
		p.fail(n.Line, "a second %s, the first is in line %d", n.Name, lines[n.Name])
		return
	}
	lines[n.Name] = n.Line
	*fields[at].value = n.Value
	if p.leaf(n) && fields[at].check != nil {
		if err := fields[at].check(n.Value); err != nil {
			p.fail(n.Line, "%s %.100q: %w", n.Name, n.Value, err)
		}
	}
}

func oneOf(values ...string) func(string) error {
	return func(value string) error {
		if !slices.Contains(values, value) {
			return fmt.Errorf("none of %s", strings.Join(values, ", "))
		}
		return nil
	}
}

func checkBind(text string) error {
	_, err := endpoint.ParseBind(text)
	return err
}

func checkBackend(text string) error {
	_, err := endpoint.ParseConnect(text)
	return err
}

func checkDomainLength(domain string) error {
	if len(domain) > MaxDomain {
		return errors.New("a domain has at most " + strconv.Itoa(MaxDomain) + " bytes")
	}
	return nil
}
