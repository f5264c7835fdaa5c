package sshtunnel

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

var (
	// ErrClosed is returned by the methods of a Tunnel after Close.
	ErrClosed = errors.New("sshtunnel: the tunnel is closed")
	// ErrUnknownHost is in the HostKeyError of a host whose key is in no known_hosts file.
	ErrUnknownHost = errors.New("the host key is unknown")
	// ErrHostKeyChanged is in the HostKeyError of a host for which the known_hosts files have only
	// other keys.
	ErrHostKeyChanged = errors.New("the host key has changed")
	// ErrHostKeyRevoked is in the HostKeyError of a key that was revoked, or of a certificate whose
	// authority was.
	ErrHostKeyRevoked = errors.New("the host key is revoked")
	// ErrHostCertificate is in the HostKeyError of a certificate that is not valid for this host or at
	// this time.
	ErrHostCertificate = errors.New("the host certificate is not valid")
)

// inner is an error of this package inside another one. It leaves out the package's prefix, which
// the outer error has already.
type inner struct{ error }

func (e inner) Error() string { return strings.TrimPrefix(e.error.Error(), "sshtunnel: ") }
func (e inner) Unwrap() error { return e.error }

// FileError says what is wrong with a file: an ssh_config, a known_hosts file or a key.
type FileError struct {
	File string
	Line int   // from 1; 0: the file as a whole
	Err  error // what is wrong; never nil
}

// Error returns "sshtunnel: FILE:LINE: what", without ":LINE" if Line is 0.
func (e *FileError) Error() string {
	return fmt.Sprintf("sshtunnel: %s: %v", place(e.File, e.Line), e.Err)
}

// Unwrap returns Err, so that errors.Is finds fs.ErrNotExist, fs.ErrPermission and the like.
func (e *FileError) Unwrap() error { return e.Err }

// fileError makes a FileError of an error of package os, so that the file is named only once.
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

// AuthError says that a server did not let the user in.
type AuthError struct {
	Host string // user@host:port
	// Tried are the methods that the server has refused, in order, with the keys: "publickey
	// (/home/ann/.ssh/id_ed25519)".
	Tried   []string
	Allowed []string // the methods that the server accepts
	Causes  []error  // why more was not tried: keys that cannot be used, questions that nobody answers
}

// Error names the host and user, what was tried, and what could not be tried.
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

// Unwrap returns Causes.
func (e *AuthError) Unwrap() []error { return e.Causes }

// KnownKey is a line of a known_hosts file.
type KnownKey struct {
	File        string
	Line        int
	Type        string // "ssh-ed25519"
	Fingerprint string // "SHA256:…", as ssh-keygen -l prints it
}

// HostKeyError says that a server's key is not trusted. errors.Is finds ErrUnknownHost,
// ErrHostKeyChanged, ErrHostKeyRevoked and ErrHostCertificate in it.
type HostKeyError struct {
	Host        string // as known_hosts has it: "gateway", "[gateway]:2222"
	Type        string // of the server's key
	Fingerprint string // of the server's key: "SHA256:…"
	// File is the file that decided. For an unknown key it is the file in which the key would be
	// recorded. "": none.
	File string
	Line int        // the line there; 0 for an unknown key
	Want []KnownKey // the keys that the files have for this host
	// Entry is the line for known_hosts, for a program that asks its user about an unknown key. It is
	// "" for other errors, and for a name that known_hosts would take for more than one host.
	Entry string
	Err   error // what is wrong
}

// Error names host, key, file and line.
func (e *HostKeyError) Error() string {
	key := fmt.Sprintf("%s %s", e.Type, e.Fingerprint)
	switch {
	case errors.Is(e.Err, ErrUnknownHost):
		if e.File == "" {
			return fmt.Sprintf("sshtunnel: %s: %v: %s is in no file, as none is configured",
				e.Host, e.Err, key)
		}
		if e.Entry == "" {
			return fmt.Sprintf("sshtunnel: %s: %v: %s is not in %s, and no line can be for this name alone",
				e.Host, e.Err, key, e.File)
		}
		return fmt.Sprintf("sshtunnel: %s: %v: %s is not in %s; set Config.AcceptNewHostKeys to accept "+
			"the key of a new host unseen, or compare the fingerprint with the host's and add this line: %s",
			e.Host, e.Err, key, e.File, e.Entry)
	case errors.Is(e.Err, ErrHostKeyChanged):
		var want []string
		for _, known := range e.Want {
			at := place(known.File, known.Line)
			want = append(want, fmt.Sprintf("%s: %s %s", at, known.Type, known.Fingerprint))
		}
		return fmt.Sprintf("sshtunnel: %s: %v, or somebody else answers in its place: "+
			"%s is not what is known (%s)",
			e.Host, e.Err, key, strings.Join(want, ", "))
	default:
		return fmt.Sprintf("sshtunnel: %s: %v: %s (%s)", e.Host, e.Err, key, place(e.File, e.Line))
	}
}

// Unwrap returns Err.
func (e *HostKeyError) Unwrap() error { return e.Err }
