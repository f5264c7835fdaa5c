package sshtunnel

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

var (
	// ErrClosed is what the methods of a Tunnel return after Close.
	ErrClosed = errors.New("sshtunnel: the tunnel is closed")
	// ErrUnknownHost is in the HostKeyError of a host whose key no known_hosts file has.
	ErrUnknownHost = errors.New("the host key is unknown")
	// ErrHostKeyChanged is in the HostKeyError of a host for which the known_hosts files have other
	// keys only.
	ErrHostKeyChanged = errors.New("the host key has changed")
	// ErrHostKeyRevoked is in the HostKeyError of a key, or of a certificate by an authority, that has
	// been revoked.
	ErrHostKeyRevoked = errors.New("the host key is revoked")
	// ErrHostCertificate is in the HostKeyError of a certificate that is not valid for this host, or
	// not now.
	ErrHostCertificate = errors.New("the host certificate is not valid")
)

// inner is an error of this package as a part of another one, which says whose it is already.
type inner struct{ error }

func (e inner) Error() string { return strings.TrimPrefix(e.error.Error(), "sshtunnel: ") }
func (e inner) Unwrap() error { return e.error }

// FileError is what is wrong with a file: an ssh_config, a known_hosts file, a key.
type FileError struct {
	File string
	Line int   // from 1; 0: the file as a whole
	Err  error // what is wrong; never nil
}

// Error is "sshtunnel: FILE:LINE: what", without ":LINE" where the fault is no line's.
func (e *FileError) Error() string {
	return fmt.Sprintf("sshtunnel: %s: %v", place(e.File, e.Line), e.Err)
}

// Unwrap is Err, so that errors.Is finds fs.ErrNotExist, fs.ErrPermission and the like.
func (e *FileError) Unwrap() error { return e.Err }

// fileError names the file of an error of package os once.
func fileError(file string, err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return &FileError{File: file, Err: err}
}

func place(file string, line int) string {
	if line == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d", file, line)
}

// AuthError says that a server has not let the user in.
type AuthError struct {
	Host string // user@host:port
	// Tried are the methods that the server has refused, in order, with the keys: "publickey
	// (/home/ann/.ssh/id_ed25519)".
	Tried   []string
	Allowed []string // the methods that the server would take
	Causes  []error  // what kept this side from trying more: keys that cannot be used, questions that nobody answers
}

// Error names the host and user, what was tried, and what could not be.
func (e *AuthError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "sshtunnel: %s: the server does not let this user in: ", e.Host)
	if len(e.Tried) == 0 {
		b.WriteString("there was nothing to try")
	} else {
		fmt.Fprintf(&b, "tried %s", strings.Join(e.Tried, ", "))
	}
	if len(e.Allowed) > 0 {
		fmt.Fprintf(&b, "; it accepts %s", strings.Join(e.Allowed, ", "))
	}
	for _, cause := range e.Causes {
		fmt.Fprintf(&b, "; %s", inner{cause}.Error())
	}
	return b.String()
}

// Unwrap is Causes.
func (e *AuthError) Unwrap() []error { return e.Causes }

// KnownKey is a line of a known_hosts file.
type KnownKey struct {
	File        string
	Line        int
	Type        string // "ssh-ed25519"
	Fingerprint string // "SHA256:…", as ssh-keygen -l prints it
}

// HostKeyError says that a server's key is not one to be trusted. errors.Is finds ErrUnknownHost,
// ErrHostKeyChanged, ErrHostKeyRevoked and ErrHostCertificate in it.
type HostKeyError struct {
	Host        string     // as known_hosts has it: "gateway", "[gateway]:2222"
	Type        string     // of the key that the server has
	Fingerprint string     // of the key that the server has: "SHA256:…"
	File        string     // the file that decided; for an unknown key the one that it would be recorded in; "": there is none
	Line        int        // the line there; 0 for an unknown key
	Want        []KnownKey // the keys that the files have for this host
	Entry       string     // the line for known_hosts, for a program that asks somebody about an unknown key; "" else
	Err         error      // what is wrong
}

// Error names host, key, file and line.
func (e *HostKeyError) Error() string {
	key := fmt.Sprintf("%s %s", e.Type, e.Fingerprint)
	switch {
	case errors.Is(e.Err, ErrUnknownHost):
		where := e.File
		if where == "" {
			where = "any file: none is configured"
		}
		return fmt.Sprintf("sshtunnel: %s: %v: %s is not in %s", e.Host, e.Err, key, where)
	case errors.Is(e.Err, ErrHostKeyChanged):
		var want []string
		for _, known := range e.Want {
			want = append(want, fmt.Sprintf("%s: %s %s", place(known.File, known.Line), known.Type, known.Fingerprint))
		}
		return fmt.Sprintf("sshtunnel: %s: %v, or somebody else answers in its place: %s is not what is known (%s)",
			e.Host, e.Err, key, strings.Join(want, ", "))
	default:
		return fmt.Sprintf("sshtunnel: %s: %v: %s (%s)", e.Host, e.Err, key, place(e.File, e.Line))
	}
}

// Unwrap is Err.
func (e *HostKeyError) Unwrap() error { return e.Err }
