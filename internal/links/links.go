// Package links is the engine of "zmqauth tls-serve", "zmqauth tls-connect" and "zmqauth tunnel",
// and of the sections of a policy with the same names. A link accepts connections at its ports and
// carries each of them somewhere else: from TLS to clear, from clear to TLS, or through an SSH
// server, the gateway.
//
// A [Spec] says what a link is to do. A [Set] is all links of a process. It is updated as a whole:
// links that have not changed go on with their connections.
package links

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"

	"github.com/zmqauth/zmqauth/internal/endpoint"
	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/policyfile"
	"github.com/zmqauth/zmqauth/internal/privatedir"
)

// A Spec describes a link. It is one of policyfile's TLSServe, TLSConnect and Tunnel.
type Spec struct{ description }

// description is what the kinds of links differ in.
type description interface {
	// section returns where the link stands in the policy.
	section() policyfile.Section
	// bare returns the link without its place in the policy, for comparison.
	bare() any
	// ports returns where it listens on this host.
	ports() []portSpec
	// maxConns returns how many connections each port may have at once; 0: a share of what the
	// process may have.
	maxConns() int
	// check reads the files that it names, and returns what is wrong with them.
	check() error
	// build makes the link. It neither listens nor connects.
	build(o Options, log *slog.Logger) (*link, error)
}

// Of returns the links of a policy.
func Of(p *policyfile.Policy) (specs []Spec) {
	for _, s := range p.TLSServes {
		specs = append(specs, TLSServe(s))
	}
	for _, c := range p.TLSConnects {
		specs = append(specs, TLSConnect(c))
	}
	for _, t := range p.Tunnels {
		specs = append(specs, Tunnel(t))
	}
	return specs
}

// Check reads the files that links name, and finds what else can be wrong before they start. The
// error joins one error for each link.
func Check(specs []Spec) error {
	var errs []error
	for _, spec := range specs {
		err := spec.check()
		for _, port := range spec.ports() {
			_, accessErr := port.access()
			err = errors.Join(err, accessErr, port.checkPath())
		}
		if err != nil {
			errs = append(errs, spec.locate(err))
		}
	}
	return errors.Join(errs...)
}

// Conflicts tells whether one of the links listens where a ZeroMQ socket that binds e does.
func Conflicts(specs []Spec, e endpoint.Endpoint) bool {
	for _, spec := range specs {
		for _, port := range spec.ports() {
			if port.at.Bound().Conflicts(e) {
				return true
			}
		}
	}
	return false
}

// Section returns where a link stands in its policy.
func (s Spec) Section() policyfile.Section { return s.section() }

// Ports returns the addresses at which a link listens on this host.
func (s Spec) Ports() (all []policyfile.Address) {
	for _, port := range s.ports() {
		all = append(all, port.at)
	}
	return all
}

// same tells whether two specs describe the same link, wherever they stand in the policy.
func (s Spec) same(other Spec) bool { return reflect.DeepEqual(s.bare(), other.bare()) }

// key tells the links of a policy apart.
type key struct{ kind, name string }

func (s Spec) key() key { return key{s.section().Kind, s.section().Name} }

// locate adds what the link is, and its place in the policy, to an error.
func (s Spec) locate(err error) error {
	section := s.section()
	if section.File == "" {
		return plain{err}
	}
	return &policyfile.Error{File: section.File, Line: section.Line,
		Err: fmt.Errorf("%s %q: %w", section.Kind, section.Name, plain{err})}
}

// plain is an error without the names of packages and fields that a user of the tool does not know.
type plain struct{ error }

// inWords has the entries in the place of fields.
var inWords = strings.NewReplacer(
	"set Config.AcceptNewHostKeys", "use accept-new-host-keys",
	"Config.KeyFile", "identity",
	"there is no Config.Password", "there is nobody to ask for a password",
	"there is no Config.Prompt", "there is nobody to ask",
	"AllowedNames", policyfile.EntryAllow,
)

func (p plain) Error() string {
	var text strings.Builder
	for line := range strings.Lines(p.error.Error()) {
		for _, prefix := range []string{"stream: ", "sshtunnel: ", "TLSAuthenticator: "} {
			line = strings.TrimPrefix(line, prefix)
		}
		text.WriteString(line)
	}
	return inWords.Replace(text.String())
}

func (p plain) Unwrap() error { return p.error }

// checkFile checks that a file can be trusted; with secret, also that others cannot read it. "" and
// "none" are no files.
func checkFile(path string, secret bool) error {
	if path == "" || path == policyfile.None {
		return nil
	}
	stamp, err := files.StampOf(path)
	if err == nil && secret {
		err = stamp.CheckSecret(path)
	} else if err == nil {
		err = stamp.Check(path)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, files.Bare(err))
	}
	return nil
}

// lookupGroup returns the id of a group; nil for "".
func lookupGroup(name string) (*int, error) {
	if name == "" {
		return nil, nil
	}
	id, err := privatedir.LookupGroup(name)
	if err != nil {
		return nil, fmt.Errorf("group: %w", err)
	}
	return id, nil
}
