package zapservice

import (
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"time"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/policyfile"
	"github.com/zmqauth/zmqauth/internal/privatedir"
	"github.com/zmqauth/zmqauth/zapproxy"
)

// config is a policy, with what its services and programs name.
type config struct {
	policy   *zmqauth.Policy // the rules, ready for Authenticator.Apply
	rules    zapproxy.Rules
	services []spec
}

// spec is a section service, with what it names.
type spec struct {
	policyfile.Service
	group       *int
	certificate *zmqauth.Certificate
}

// same tells whether a running service is what another policy wants, wherever it stands there.
func (s spec) same(other spec) bool {
	key := func(s spec) (key [32]byte) {
		if s.certificate != nil {
			key = s.certificate.Public
		}
		return key
	}
	equal := (s.group == nil) == (other.group == nil) &&
		(s.group == nil || *s.group == *other.group)
	return equal && s.Name == other.Name && s.Bind == other.Bind && key(s) == key(other)
}

// ErrNothing is the fault of a policy without a section service.
var ErrNothing = errors.New("no service: a section with the endpoint at which programs ask")

// load reads a policy and what it names. The error joins one error for each fault, with its line.
func load(path string) (*config, error) {
	text, err := policyfile.Read(path)
	if err != nil {
		return nil, fmt.Errorf("zmqauth: %w", err)
	}
	c := new(config)
	if c.policy, err = zmqauth.ParsePolicy(path, text); err != nil {
		return nil, err
	}
	file, err := policyfile.Parse(path, text)
	if err != nil {
		return nil, err
	}
	if len(file.Services) == 0 {
		return nil, fmt.Errorf("%s: %w", path, ErrNothing)
	}
	var errs []error
	fail := func(line int, format string, args ...any) {
		err := fmt.Errorf(format, args...)
		errs = append(errs, &zmqauth.FileError{File: path, Line: line, Err: err})
	}
	for _, s := range file.Services {
		resolved, err := resolve(s)
		if err != nil {
			fail(s.Line, "%w", err)
		}
		c.services = append(c.services, resolved)
	}
	c.rules.Grace = make(map[string]time.Duration)
	for _, d := range file.Domains {
		if d.Grace > 0 {
			c.rules.Grace[d.Name] = d.Grace
		}
	}
	for _, p := range file.Programs {
		c.rules.Programs = append(c.rules.Programs, resolveProgram(p, fail))
	}
	return c, errors.Join(errs...)
}

// resolve reads what a service names.
func resolve(s policyfile.Service) (r spec, err error) {
	r.Service = s
	if s.Group != "" {
		if r.group, err = privatedir.LookupGroup(s.Group); err != nil {
			return r, fmt.Errorf("group: %w", err)
		}
	}
	if s.Certificate == "" {
		return r, nil
	}
	r.certificate, err = zmqauth.LoadCertificate(s.Certificate)
	if err == nil && r.certificate.Secret == nil {
		err = fmt.Errorf("%s: a public certificate, without a secret key", s.Certificate)
	}
	return r, err
}

// resolveProgram looks up the users, groups and keys of a program. fail gets what is wrong.
func resolveProgram(p policyfile.Program, fail func(int, string, ...any)) zapproxy.Program {
	out := zapproxy.Program{Name: p.Name, Domains: policyfile.Texts(p.Serve)}
	for _, entry := range p.Users {
		id, err := lookupUser(entry.Text)
		if err != nil {
			fail(entry.Line, "user: %w", err)
		}
		out.Users = append(out.Users, id)
	}
	for _, entry := range p.Groups {
		id, err := privatedir.LookupGroup(entry.Text)
		if err != nil {
			fail(entry.Line, "group: %w", err)
			continue
		}
		out.Groups = append(out.Groups, *id)
	}
	for _, entry := range p.Keys {
		cert, err := zmqauth.LoadCertificate(entry.Text)
		if err != nil {
			fail(entry.Line, "key: %w", err)
			continue
		}
		out.Keys = append(out.Keys, cert.Public)
	}
	return out
}

// lookupUser returns the id of a user by name or number; -1, which nobody has, with an error.
func lookupUser(name string) (int, error) {
	u, err := user.Lookup(name)
	if err == nil {
		name = u.Uid
	}
	id, numberErr := strconv.ParseUint(name, 10, 31)
	if numberErr != nil {
		return -1, err
	}
	return int(id), nil
}
