package zmqauth

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/zmqauth/zmqauth/internal/zpl"
)

// Frontend is one frontend entry of a policy, for a program that puts an authenticated socket in front of a service that
// has none: cmd/zmqauth's proxy. The Authenticator has no use for it.
//
//	frontend = orders
//	    type = router
//	    bind = tcp://*:5555
//	    backend = tcp://127.0.0.1:6666
//	    mechanism = curve
//	    domain = global
//	    certificate = server.key_secret
//
// LoadPolicy has checked that all is there that must be and nothing that has no meaning, and that no two frontends bind the
// same endpoint and none its own backend, as far as the file tells; but it has not looked at the certificate.
type Frontend struct {
	Name      string // no other frontend's
	Type      string // of the bound socket: "router", "xsub" (its clients publish), "xpub" (they subscribe) or "pull"
	Bind      string // tcp:// with a port or *, or ipc:// with an absolute path or an abstract name (@name)
	Backend   string // the service's endpoint: tcp:// with a host and a port, or ipc:// as for Bind
	Mechanism string // "null", "plain", "curve" or "gssapi"
	Domain    string // never empty

	// MaxMessage is the size in bytes of the largest message that a client may send; one that announces more is cut off. It
	// counts before a client is let in, too: else a stranger could have the process keep what he likes to send. It is what
	// the entry max-message says, at least 1024, or without one 64 MiB.
	MaxMessage int64

	Certificate string // of curve: the path of the secret certificate, absolute; else empty
	Principal   string // of gssapi, the entry principal: see [GSSAPIServer]; mostly empty

	File string // the policy, as it was given to LoadPolicy
	Line int    // of the frontend in it
}

// frontendField is one entry below a frontend.
type frontendField struct {
	name     string
	value    *string
	check    func(value string) error // nil: anything but nothing
	required bool
}

var frontendMechanisms = []string{"null", "plain", "curve", "gssapi"}

// fields are the entries that f may have; which of them its mechanism wants is known once that has been read.
func (f *Frontend) fields() []frontendField {
	return []frontendField{
		{"type", &f.Type, oneOf("router", "xsub", "xpub", "pull"), true},
		{"bind", &f.Bind, checkBind, true},
		{"backend", &f.Backend, checkBackend, true},
		{"mechanism", &f.Mechanism, oneOf(frontendMechanisms...), true},
		{"domain", &f.Domain, checkDomainLength, true},
		{"certificate", &f.Certificate, nil, f.Mechanism == "curve"},
		{"principal", &f.Principal, nil, false},
		{"max-message", new(string), f.limitMessages, false},
	}
}

// defaultMaxMessage is far more than messages mostly have, and little enough that a crowd of strangers needs to send a lot.
const defaultMaxMessage = 64 << 20

func (f *Frontend) limitMessages(value string) error {
	limit, err := strconv.ParseInt(value, 10, 64)
	if err != nil || limit < 1024 {
		return errors.New("not a number of bytes, from 1024 on") // a handshake needs some hundred
	}
	f.MaxMessage = limit
	return nil
}

// frontend reads the entry of a frontend.
func (r *policyReader) frontend(n *zpl.Node) {
	r.name(n, r.frontends)
	f := Frontend{Name: n.Value, File: r.policy.file, Line: n.Line, MaxMessage: defaultMaxMessage}
	lines := make(map[string]int)
	for _, child := range n.Children {
		r.frontendEntry(&f, child, lines)
	}
	for _, field := range f.fields() {
		if field.required && lines[field.name] == 0 {
			r.fail(n.Line, "the frontend has no %s", field.name)
		}
	}
	for name, mechanism := range map[string]string{"certificate": "curve", "principal": "gssapi"} {
		if lines[name] != 0 && f.Mechanism != mechanism && slices.Contains(frontendMechanisms, f.Mechanism) {
			r.fail(lines[name], "%s is for the mechanism %s", name, mechanism)
		}
	}
	r.endpoints(&f, lines)
	if f.Certificate != "" {
		f.Certificate = r.policy.resolve(f.Certificate)
	}
	r.policy.frontends = append(r.policy.frontends, f)
}

// endpoints finds what is wrong with a frontend's endpoints beside each other and beside those of the frontends before it.
func (r *policyReader) endpoints(f *Frontend, lines map[string]int) {
	bind, err := parseEndpoint(f.Bind, true)
	if err != nil || bind.gate == anyGate { // that has been said, or they differ
		return
	}
	for _, other := range r.binds[bind.gate] {
		if bind.holds(other.endpoint) || other.holds(bind) {
			r.fail(lines["bind"], "another frontend binds this endpoint, in line %d", other.line)
			break
		}
	}
	r.binds[bind.gate] = append(r.binds[bind.gate], boundEndpoint{bind, lines["bind"]})
	if backend, err := parseEndpoint(f.Backend, false); err == nil && bind.receives(backend) {
		r.fail(lines["backend"], "the frontend itself binds this endpoint, in line %d: it would be its own service", lines["bind"])
	}
}

func (r *policyReader) frontendEntry(f *Frontend, n *zpl.Node, lines map[string]int) {
	fields := f.fields()
	at := slices.IndexFunc(fields, func(field frontendField) bool { return field.name == n.Name })
	switch {
	case at < 0:
		var names []string
		for _, field := range fields {
			names = append(names, field.name)
		}
		r.unknown(n, "below a frontend", names...)
		return
	case lines[n.Name] != 0:
		r.fail(n.Line, "a second %s, the first is in line %d", n.Name, lines[n.Name])
		return
	}
	lines[n.Name] = n.Line
	*fields[at].value = n.Value
	if r.leaf(n) && fields[at].check != nil {
		if err := fields[at].check(n.Value); err != nil {
			r.fail(n.Line, "%s %.100q: %w", n.Name, n.Value, err)
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

func checkDomainLength(domain string) error {
	if len(domain) > maxDomainLength {
		return fmt.Errorf("a domain has at most %d bytes", maxDomainLength)
	}
	return nil
}
