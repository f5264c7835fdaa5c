package policyfile

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/zmqauth/zmqauth/internal/endpoint"
	"github.com/zmqauth/zmqauth/internal/zpl"
)

// field describes one entry below a frontend.
type field struct {
	name     string
	value    *string                  // where the value goes
	check    func(value string) error // nil: every value except the empty one is right
	required bool
}

var mechanisms = []string{"null", "plain", "curve", "gssapi"}

// fields describes the entries that f may have. Whether the certificate is required depends on
// f.Mechanism.
func (f *Frontend) fields() []field {
	return append([]field{
		{"type", &f.Type, oneOf("router", "xsub", "xpub", "pull"), true},
		{"bind", &f.Bind, checkBind, f.TLS == ""},
		{"tls", &f.TLS, nil, false},
		{"backend", &f.Backend, checkBackend, true},
		{"mechanism", &f.Mechanism, oneOf(mechanisms...), true},
		{"domain", &f.Domain, checkDomainLength, true},
		{"certificate", &f.Certificate, nil, f.Mechanism == "curve"},
		{"principal", &f.Principal, nil, false},
		{"max-message", new(string), f.setMaxMessage, false},
		{"identity", &f.Identity, checkIdentity, false},
		{"mode", new(string), f.setMode, false},
		{"group", &f.Group, nil, false},
	}, append(f.frontFields(), f.limitFields()...)...)
}

// defaultMaxMessage is the largest message in bytes unless the entry max-message says otherwise. It
// is far more than most messages have. Many strangers together would have to send a lot to fill the
// memory with such messages.
const defaultMaxMessage = 64 << 20

// MaxSubscription is the size in bytes of the largest message that a client of an xpub frontend may
// send: a subscription. libzmq uses stack for each byte of a topic, and would crash at some ten
// thousand.
const MaxSubscription = 8192

// minMaxMessage is the smallest limit that is accepted, in bytes. A handshake needs less.
const minMaxMessage = 1024

// setMaxMessage reads the entry max-message.
func (f *Frontend) setMaxMessage(value string) error {
	limit, err := strconv.ParseInt(value, 10, 64)
	if err != nil || limit < minMaxMessage {
		return fmt.Errorf("not a number of bytes, from %d on", minMaxMessage)
	}
	f.MaxMessage = limit
	return nil
}

// setMode reads the entry mode.
func (f *Frontend) setMode(value string) error {
	mode, err := parseMode(value)
	f.Mode = mode
	return err
}

// parseMode reads the permissions of a file.
func parseMode(value string) (fs.FileMode, error) {
	mode, err := strconv.ParseUint(value, 8, 32)
	if err != nil || mode == 0 || mode > 0o777 {
		return 0, errors.New("not the mode of a file in octal digits, such as 0660")
	}
	return fs.FileMode(mode), nil
}

// parseFrontend reads the entry of a frontend.
func (p *parser) parseFrontend(n *zpl.Node) {
	p.checkName(n, p.frontends)
	f := Frontend{Name: n.Value, File: p.policy.File, Line: n.Line, MaxMessage: defaultMaxMessage}
	lines := make(map[string]int) // by field
	for _, child := range n.Children {
		p.parseField(&f, child, lines)
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
	p.checkEndpoints(&f, lines)
	if f.TLS != "" && f.Bind != "" {
		p.fail(lines["tls"], "the frontend has tls and bind: clients come by one of them")
	}
	if f.TLS != "" {
		p.tls = append(p.tls, frontendTLS{f.Name, f.TLS, lines["tls"]})
	}
	if f.Type == "xpub" && lines["max-message"] != 0 && f.MaxMessage > MaxSubscription {
		p.fail(lines["max-message"], "clients of an xpub frontend send subscriptions, of at most "+
			"%d bytes", MaxSubscription)
	}
	p.checkAccess(&f, lines)
	p.checkFront(&f, lines)
	p.checkLimits(&f, lines)
	if lines["identity"] != 0 && f.Type != "router" {
		p.fail(lines["identity"], "identity is for the type router")
	}
	if f.Certificate != "" {
		f.Certificate = p.policy.Resolve(f.Certificate)
	}
	p.policy.Frontends = append(p.policy.Frontends, f)
}

// checkEndpoints checks that no earlier frontend binds the endpoint of f, and that f is not its own
// service.
func (p *parser) checkEndpoints(f *Frontend, lines map[string]int) {
	bind, err := endpoint.ParseBind(f.Bind)
	if err != nil || bind.IsChosen() {
		return // the error has been reported; an endpoint that the system chooses never conflicts
	}
	for _, other := range p.binds[bind.Key()] {
		if bind.Conflicts(other.Endpoint) {
			p.fail(lines["bind"], "another %s binds this endpoint, in line %d", other.what, other.line)
			break
		}
	}
	p.binds[bind.Key()] = append(p.binds[bind.Key()], bound{bind, EntryFrontend, lines["bind"]})
	if backend, err := endpoint.ParseConnect(f.Backend); err == nil && bind.Receives(backend) {
		p.fail(lines["backend"], "the frontend itself binds this endpoint, in line %d: "+
			"it would be its own service", lines["bind"])
	}
}

// checkAccess checks that only an endpoint with a file has a mode and a group.
func (p *parser) checkAccess(f *Frontend, lines map[string]int) {
	bind, err := endpoint.ParseBind(f.Bind)
	if err != nil || bind.HasFile() {
		return
	}
	for _, name := range []string{"mode", "group"} {
		if lines[name] != 0 {
			p.fail(lines[name], "%s is for endpoints with a file: ipc:///PATH", name)
		}
	}
}

// frontendTLS is a frontend that clients reach through a tls-serve.
type frontendTLS struct {
	frontend, serve string
	line            int // of the entry tls
}

// checkTLS checks that each frontend with TLS has a tls-serve of its own, which connects to nothing
// else, and that each other tls-serve has something to connect to.
func (p *parser) checkTLS() {
	used := make(map[string]string) // the frontend, by its tls-serve
	for _, f := range p.tls {
		at := slices.IndexFunc(p.policy.TLSServes, func(s TLSServe) bool { return s.Name == f.serve })
		switch {
		case at < 0:
			p.fail(f.line, "tls: there is no tls-serve %.40q", f.serve)
		case p.policy.TLSServes[at].Connect != Address{}:
			p.fail(f.line, "tls: the tls-serve %.40q connects to something else: leave its connect out",
				f.serve)
		case used[f.serve] != "":
			p.fail(f.line, "tls: the frontend %.40q has the tls-serve %.40q already", used[f.serve],
				f.serve)
		}
		used[f.serve] = f.frontend
	}
	for _, s := range p.policy.TLSServes {
		if s.Connect == (Address{}) && used[s.Name] == "" {
			p.fail(s.Line, "the tls-serve has no connect, and no frontend names it")
		}
	}
}

// parseField reads one entry below a frontend and adds its line to lines.
func (p *parser) parseField(f *Frontend, n *zpl.Node, lines map[string]int) {
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
	if p.checkLeaf(n) && fields[at].check != nil {
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

// maxIdentity is the length of the longest routing id in bytes. The limit is libzmq's.
const maxIdentity = 255

func checkIdentity(identity string) error {
	if len(identity) > maxIdentity {
		return fmt.Errorf("an identity has at most %d bytes", maxIdentity)
	}
	return nil
}

func checkDomainLength(domain string) error {
	if len(domain) > MaxDomain {
		return errors.New("a domain has at most " + strconv.Itoa(MaxDomain) + " bytes")
	}
	return nil
}

// bound is an endpoint that a frontend or a link binds, with its line.
type bound struct {
	endpoint.Endpoint
	what string // EntryFrontend, or what a link is
	line int
}
