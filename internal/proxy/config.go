package proxy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/fleet/natsstore"
	"github.com/zmqauth/zmqauth/internal/activation"
	"github.com/zmqauth/zmqauth/internal/endpoint"
	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/fleetfile"
	"github.com/zmqauth/zmqauth/internal/links"
	"github.com/zmqauth/zmqauth/internal/policyfile"
	"github.com/zmqauth/zmqauth/internal/privatedir"
)

// Config is a policy, the certificates of its frontends, and its links.
type Config struct {
	Policy *zmqauth.Policy    // the rules, ready for Authenticator.Apply
	File   *policyfile.Policy // the same policy as the file states it

	frontends []frontendSpec // set by Resolve
	links     []links.Spec   // the same

	member *fleetfile.Member // of the fleet, set by Resolve; nil: there is none
}

// Load reads a policy without the certificates of its frontends, which Resolve reads. The
// error joins one error for each fault, with its line.
func Load(path string) (*Config, error) {
	text, err := policyfile.Read(path)
	if err != nil {
		return nil, fmt.Errorf("zmqauth: %w", err)
	}
	policy, err := zmqauth.ParsePolicy(path, text)
	if err != nil {
		return nil, err
	}
	file, err := policyfile.Parse(path, text)
	if err != nil {
		return nil, err
	}
	return &Config{Policy: policy, File: file}, nil
}

// loadServed reads a policy, and what its frontends and links need. It is an error if there are
// none. sockets is for those between the two; the frontends take those that inherited has.
func loadServed(path string, sockets *privatedir.Dir, inherited *activation.Sockets) (*Config,
	error) {
	config, err := Load(path)
	if err == nil {
		config.joinTLS(sockets)
		err = config.Resolve()
	}
	if err == nil && len(config.frontends)+len(config.links) == 0 {
		err = fmt.Errorf("%s: %w", path, ErrNothing)
	}
	if err != nil {
		return nil, err
	}
	for i := range config.frontends {
		config.frontends[i].inherit(inherited)
	}
	return config, nil
}

// joinTLS has each frontend with TLS bind a private socket, and its tls-serve connect to that. The
// path of the socket belongs to the content of both. So the clients that an old tls-serve has let
// in never reach a new frontend, whose rules may count on the new tls-serve.
func (c *Config) joinTLS(sockets *privatedir.Dir) {
	for i := range c.File.Frontends {
		f := &c.File.Frontends[i]
		if f.TLS == "" {
			continue
		}
		for j := range c.File.TLSServes {
			if s := &c.File.TLSServes[j]; s.Name == f.TLS {
				path := sockets.Join(socketName(*f, *s))
				f.Bind, s.Connect = "ipc://"+path, policyfile.Address{Path: path}
			}
		}
	}
}

// socketName is the name of the private socket between a tls-serve and a frontend: short, and the
// same for the same pair, wherever it stands in the policy. As in frontendSpec.same, it does not
// matter which file has the frontend's certificate, nor what its limits are.
func socketName(f policyfile.Frontend, s policyfile.TLSServe) string {
	fronted := f.Front != nil
	f.File, f.Line, f.Bind, f.Certificate, f.Limits, f.Front = "", 0, "", "", nil, nil
	s.File, s.Line, s.Connect = "", 0, policyfile.Address{}
	sum := sha256.Sum256(fmt.Appendf(nil, "%#v %v %#v", f, fronted, s))
	return hex.EncodeToString(sum[:socketNameLength/2])
}

const socketNameLength = 16

// ErrNothing is the fault of a policy that gives a proxy nothing to serve.
var ErrNothing = errors.New("no frontend, and no tls-serve, tls-connect or tunnel")

// Resolve reads the files that the frontends and links name, looks up their groups, and checks that
// no other file is where a Unix socket is to be. The error joins one error for each fault, with the
// line of the section.
func (c *Config) Resolve() error {
	c.frontends = nil
	var errs []error
	for _, f := range c.File.Frontends {
		spec, err := resolve(f)
		if err != nil {
			errs = append(errs, locate(f, err))
		}
		c.frontends = append(c.frontends, spec)
	}
	c.links = links.Of(c.File)
	if entry := c.File.Fleet; entry != nil {
		var err error
		if c.member, err = LoadMember(c.File.Resolve(entry.Text)); err != nil {
			errs = append(errs, &zmqauth.FileError{File: c.File.File, Line: entry.Line,
				Err: fmt.Errorf("fleet: %w", err)})
		}
	}
	return errors.Join(append(errs, links.Check(c.links))...)
}

func resolve(f policyfile.Frontend) (spec frontendSpec, err error) {
	spec.Frontend = f
	spec.access.Mode = f.Mode
	if f.Certificate != "" {
		if spec.certificate, err = LoadSecret(f.Certificate); err != nil {
			return spec, fmt.Errorf("certificate: %s: %s", f.Certificate, bareMessage(err))
		}
	}
	if f.Group != "" {
		if spec.access.Group, err = privatedir.LookupGroup(f.Group); err != nil {
			return spec, fmt.Errorf("group: %w", err)
		}
	}
	if at, err := endpoint.ParseBind(f.Bind); err == nil && at.HasFile() {
		info, err := os.Lstat(at.Path)
		if err == nil && info.Mode().Type() != fs.ModeSocket {
			return spec, fmt.Errorf("bind: %w", occupied(at.Path))
		}
		if err := files.CheckParent(at.Path); err != nil {
			return spec, fmt.Errorf("bind: %w", err)
		}
	}
	return spec, nil
}

// LoadMember reads the file of a server in a fleet.
func LoadMember(path string) (*fleetfile.Member, error) {
	member, err := fleetfile.ReadMember(path)
	if err == nil && member.Role != natsstore.RoleServer {
		err = fmt.Errorf("%s: this is the file of an administrator: keep it off servers", path)
	}
	return member, err
}

// LoadSecret reads a certificate. It is an error if the file has no secret key.
func LoadSecret(file string) (*zmqauth.Certificate, error) {
	cert, err := zmqauth.LoadCertificate(file)
	if err == nil && cert.Secret == nil {
		err = &zmqauth.FileError{File: file,
			Err: errors.New("a public certificate, without a secret key")}
	}
	if err != nil {
		return nil, err
	}
	return cert, nil
}

// bareMessage is the text of an error without the prefix "zmqauth: " and without the file's name:
// the caller adds both.
func bareMessage(err error) string {
	fault, ok := errors.AsType[*zmqauth.FileError](err)
	switch {
	case !ok:
		return strings.TrimPrefix(err.Error(), "zmqauth: ")
	case fault.Line > 0:
		return fmt.Sprintf("line %d: %v", fault.Line, fault.Err)
	}
	return fault.Err.Error()
}

// locate adds the file and the line of a frontend to an error.
func locate(f policyfile.Frontend, err error) error {
	return &zmqauth.FileError{File: f.File, Line: f.Line, Err: err}
}
