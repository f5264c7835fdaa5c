package proxy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/endpoint"
	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/policyfile"
)

// Config is a policy and the certificates of its frontends.
type Config struct {
	Policy *zmqauth.Policy    // the rules, ready for Authenticator.Apply
	File   *policyfile.Policy // the same policy as the file states it

	frontends []frontendSpec // set by Resolve
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

// loadFrontends reads a policy and the certificates of its frontends. It is an error if there is no
// frontend.
func loadFrontends(path string) (*Config, error) {
	config, err := Load(path)
	if err == nil {
		err = config.Resolve()
	}
	if err == nil && len(config.frontends) == 0 {
		err = fmt.Errorf("%s: no frontend", path)
	}
	if err != nil {
		return nil, err
	}
	return config, nil
}

// Resolve reads the certificates of the frontends, looks up their groups, and checks that no other
// file is where a Unix socket is to be. The error joins one error for each fault, with the
// frontend's line.
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
	return errors.Join(errs...)
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
		if spec.access.Group, err = groupID(f.Group); err != nil {
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

// groupID looks up a group by its name or number.
func groupID(name string) (*int, error) {
	group, err := user.LookupGroup(name)
	if err == nil {
		name = group.Gid
	}
	id, numberErr := strconv.ParseUint(name, 10, 31)
	if numberErr != nil {
		return nil, err
	}
	gid := int(id)
	return &gid, nil
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
