package policyfile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zmqauth/zmqauth/internal/endpoint"
	"github.com/zmqauth/zmqauth/internal/zpl"
)

// Service is a section service of a policy: where the programs of other processes ask.
type Service struct {
	Name        string
	Line        int
	Bind        string // ipc:///PATH or tcp://HOST:PORT
	Group       string // whose members may connect to a Unix socket; "": nobody but root and the owner
	Certificate string // of TCP: the absolute path of a secret certificate
}

// Program is a section program of a policy: one that may ask.
type Program struct {
	Name   string
	Line   int
	Users  []Entry // by name or number
	Groups []Entry // the same
	Keys   []Entry // absolute paths of certificates
	Serve  []Entry // the domains; AnyDomain is every one
}

// The names of the entries of services and programs.
const (
	EntryService = "service"
	EntryProgram = "program"

	EntryBind        = "bind"
	EntryCertificate = "certificate"
	EntryUser        = "user"
	EntryServe       = "serve"
	EntryGrace       = "grace"
)

// maxGrace is the longest time of the entry grace.
const maxGrace = time.Hour

// parseGrace reads how long relays let clients of a domain in without the service.
func (p *parser) parseGrace(domain *Domain, n *zpl.Node) {
	if !p.checkLeaf(n) {
		return
	}
	grace, err := time.ParseDuration(n.Value)
	switch {
	case domain.Grace != 0:
		p.fail(n.Line, "a second %s", n.Name)
	case err != nil || grace < time.Millisecond || grace > maxGrace:
		p.fail(n.Line, "%s %.40q: not a time up to %v, such as 30s", n.Name, n.Value, maxGrace)
	default:
		domain.Grace = grace
	}
}

// parseService reads a section service.
func (p *parser) parseService(n *zpl.Node) {
	p.checkSection(n)
	s := Service{Name: n.Value, Line: n.Line}
	values := map[string]*string{
		EntryBind: &s.Bind, EntryGroup: &s.Group, EntryCertificate: &s.Certificate,
	}
	lines := make(map[string]int)
	for _, child := range n.Children {
		value := values[child.Name]
		switch {
		case value == nil:
			p.unknown(child, "below a service", EntryBind, EntryGroup, EntryCertificate)
		case lines[child.Name] != 0:
			p.fail(child.Line, "a second %s, the first is in line %d", child.Name, lines[child.Name])
		case p.checkLeaf(child):
			*value = child.Value
		}
		lines[child.Name] = child.Line
	}
	if s.Certificate != "" {
		s.Certificate = p.policy.Resolve(s.Certificate)
	}
	if lines[EntryBind] == 0 {
		p.fail(n.Line, "the service has no %s", EntryBind)
	} else if s.Bind != "" {
		p.checkService(&s, lines)
	}
	p.policy.Services = append(p.policy.Services, s)
}

// checkService checks what the entries of a service say together.
func (p *parser) checkService(s *Service, lines map[string]int) {
	line := lines[EntryBind]
	bind, err := endpoint.ParseBind(s.Bind)
	switch {
	case err != nil:
		p.fail(line, "%s %.100q: %w", EntryBind, s.Bind, err)
		return
	case !bind.HasFile() && bind.Transport != endpoint.TCP:
		p.fail(line, "%s %.100q: neither ipc:///PATH nor tcp://HOST:PORT", EntryBind, s.Bind)
		return
	case bind.HasFile() && s.Certificate != "":
		p.fail(lines[EntryCertificate], "%s is for tcp", EntryCertificate)
	case !bind.HasFile() && s.Certificate == "":
		p.fail(line, "tcp needs a %s: passwords never cross in clear", EntryCertificate)
	case !bind.HasFile() && s.Group != "":
		p.fail(lines[EntryGroup], "%s is for ipc:///PATH", EntryGroup)
	}
	if bind.IsChosen() {
		return
	}
	for _, other := range p.binds[bind.Key()] {
		if bind.Conflicts(other.Endpoint) {
			p.fail(line, "another section binds this endpoint, in line %d", other.line)
			break
		}
	}
	p.binds[bind.Key()] = append(p.binds[bind.Key()], bound{bind, EntryService, line})
}

// checkSection checks the name of a section of a kind that has names of its own.
func (p *parser) checkSection(n *zpl.Node) {
	if p.links[n.Name] == nil {
		p.links[n.Name] = make(map[string]int)
	}
	p.checkName(n, p.links[n.Name])
}

// parseProgram reads a section program.
func (p *parser) parseProgram(n *zpl.Node) {
	p.checkSection(n)
	program := Program{Name: n.Value, Line: n.Line}
	lists := map[string]*[]Entry{
		EntryUser: &program.Users, EntryGroup: &program.Groups, EntryKey: &program.Keys,
		EntryServe: &program.Serve,
	}
	for _, child := range n.Children {
		list := lists[child.Name]
		if list == nil {
			p.unknown(child, "below a program", EntryUser, EntryGroup, EntryKey, EntryServe)
			continue
		}
		for _, item := range p.parseList(child) {
			if err := checkItem(child.Name, item); err != nil {
				p.fail(child.Line, "%s %.40q: %w", child.Name, item, err)
			}
			if child.Name == EntryKey {
				item = p.policy.Resolve(item)
			}
			*list = append(*list, Entry{item, child.Line})
		}
	}
	if len(program.Serve) == 0 {
		p.fail(n.Line, "the program has no %s", EntryServe)
	}
	if len(program.Users)+len(program.Groups)+len(program.Keys) == 0 {
		p.fail(n.Line, "the program has none of %s", strings.Join(
			[]string{EntryUser, EntryGroup, EntryKey}, ", "))
	}
	p.policy.Programs = append(p.policy.Programs, program)
}

func checkItem(name, item string) error {
	if name != EntryServe {
		return nil
	}
	return checkDomainLength(item)
}

// checkPrograms checks that somebody may ask each service of TCP.
func (p *parser) checkPrograms() {
	keyed := slices.ContainsFunc(p.policy.Programs, func(p Program) bool { return len(p.Keys) > 0 })
	for _, s := range p.policy.Services {
		if s.Certificate != "" && !keyed {
			p.fail(s.Line, "nobody may ask: no %s has a %s", EntryProgram, EntryKey)
		}
	}
}

// String describes the program, for errors.
func (p Program) String() string { return fmt.Sprintf("%s %.40q", EntryProgram, p.Name) }
