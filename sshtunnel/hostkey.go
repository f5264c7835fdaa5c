package sshtunnel

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// hostKeyCheck verifies the key of one server, once for each connection. Package ssh asks again at
// each key exchange. From the second time on, only the same key is accepted.
type hostKeyCheck struct {
	target   *target
	known    *knownHosts
	accepted []byte // the key as it goes over the wire; nil: none yet
	onAccept func() // called when the key was accepted

	mu    sync.Mutex
	fault error // why the key was refused
}

func newHostKeyCheck(t *target, onAccept func()) (*hostKeyCheck, error) {
	known, err := loadKnownHosts(t.knownHosts, t.knownName, t.plainName, t.logger)
	if err != nil {
		return nil, err
	}
	if t.revokedKeys != "" {
		if err := known.loadRevoked(t.revokedKeys); err != nil {
			return nil, err
		}
	}
	return &hostKeyCheck{target: t, known: known, onAccept: onAccept}, nil
}

// algorithms returns the host key algorithms to ask the server for. First come certificates, if
// known_hosts has an authority for this host, and then the types of the known keys. A server has
// several keys: if it were asked for another one, its key would seem to have changed.
func (c *hostKeyCheck) algorithms() []string {
	var first, others []string
	for _, algorithm := range c.target.algorithms.HostKeys {
		certified := isCertificate(algorithm)
		known := slices.ContainsFunc(c.known.keys, func(l knownLine) bool {
			return slices.Contains(signatures(l.key.Type()), algorithm)
		})
		switch {
		case certified && len(c.known.authorities) == 0: // a certificate could not be verified
		case certified || known:
			first = append(first, algorithm)
		default:
			others = append(others, algorithm)
		}
	}
	slices.SortStableFunc(first, func(a, b string) int { return rank(a) - rank(b) })
	return append(first, others...)
}

// rank sorts certificates before plain keys.
func rank(algorithm string) int {
	if isCertificate(algorithm) {
		return 0
	}
	return 1
}

func isCertificate(algorithm string) bool { return strings.Contains(algorithm, "-cert-v0") }

// signatures returns the algorithms that a key of the type can sign with.
func signatures(keyType string) []string {
	if keyType == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSA}
	}
	return []string{keyType}
}

// callback is the HostKeyCallback of ssh.ClientConfig. It is called after the server has proved
// that it has the key.
func (c *hostKeyCheck) callback(_ string, _ net.Addr, key ssh.PublicKey) error {
	wire := key.Marshal()
	if c.accepted != nil && bytes.Equal(wire, c.accepted) {
		return nil
	}
	var err error
	if c.accepted != nil {
		err = c.describe(key, fmt.Errorf("%w while connected", ErrHostKeyChanged))
	} else {
		err = c.judge(key)
	}
	if err != nil {
		c.mu.Lock()
		c.fault = err
		c.mu.Unlock()
		return err
	}
	c.accepted = wire
	c.onAccept()
	return nil
}

// failed returns why the key was refused; nil: it was not.
func (c *hostKeyCheck) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fault
}

func (c *hostKeyCheck) judge(key ssh.PublicKey) error {
	if at, ok := c.known.revokes(key); ok {
		fault := c.describe(key, ErrHostKeyRevoked)
		fault.File, fault.Line = at.file, at.line
		return fault
	}
	plain := key
	if certificate, ok := key.(*ssh.Certificate); ok {
		plain = certificate.Key
	}
	if bits := rsaBits(plain); bits > 0 && bits < c.target.minRSA {
		return fmt.Errorf("sshtunnel: %s: the host key has %d bits; RequiredRSASize asks for %d",
			c.target.knownName, bits, c.target.minRSA)
	}
	var refused error // what is wrong with the certificate
	if certificate, ok := key.(*ssh.Certificate); ok {
		if refused = c.judgeCertificate(certificate); refused == nil {
			return nil
		}
		key = certificate.Key // the server has proved that it has it
	}
	if _, ok := c.known.find(c.known.keys, key); ok {
		return nil
	}
	if refused != nil {
		return refused
	}
	if len(c.known.keys) > 0 && !c.known.portless {
		return c.describe(key, ErrHostKeyChanged)
	}
	if !c.target.acceptNew {
		return c.describe(key, ErrUnknownHost)
	}
	return c.record(key)
}

// judgeCertificate accepts a certificate that one of the host's authorities has signed for this
// host and the present time.
func (c *hostKeyCheck) judgeCertificate(certificate *ssh.Certificate) error {
	at, ok := c.known.find(c.known.authorities, certificate.SignatureKey)
	if !ok {
		return c.describe(certificate,
			fmt.Errorf("%w: no authority for this host has signed it", ErrHostCertificate))
	}
	err := checkCertificate(certificate, certificateName(c.target.knownName), c.target.authoritySigns)
	if err == nil {
		return nil
	}
	fault := c.describe(certificate,
		fmt.Errorf("%w: %s", ErrHostCertificate, strings.TrimPrefix(err.Error(), "ssh: ")))
	fault.File, fault.Line = at.file, at.line
	return fault
}

// checkCertificate checks a certificate for a host. Its principals are names, not patterns, and are
// compared with regard to case, as in ssh.
func checkCertificate(certificate *ssh.Certificate, host string, signs []string) error {
	if certificate.CertType != ssh.HostCert {
		return errors.New("it is not a host's")
	}
	if format := certificate.Signature.Format; !slices.Contains(signs, format) {
		return fmt.Errorf("it is signed with %s", format)
	}
	return (&ssh.CertChecker{}).CheckCert(host, certificate)
}

// certificateName returns the name that a certificate must have: the host without the port.
func certificateName(knownName string) string {
	if inside, ok := strings.CutPrefix(knownName, "["); ok {
		if end := strings.LastIndex(inside, "]:"); end >= 0 {
			return inside[:end]
		}
	}
	return knownName
}

// describe returns a HostKeyError with everything that is known about the host.
func (c *hostKeyCheck) describe(key ssh.PublicKey, err error) *HostKeyError {
	plain := key
	if certificate, ok := key.(*ssh.Certificate); ok {
		plain = certificate.Key
	}
	fault := &HostKeyError{
		Host: c.target.knownName, Type: key.Type(), Fingerprint: ssh.FingerprintSHA256(plain), Err: err,
	}
	if len(c.known.files) > 0 {
		fault.File = c.known.files[0]
	}
	for _, line := range c.known.keys {
		fault.Want = append(fault.Want, line.describe())
	}
	switch {
	case errors.Is(err, ErrHostKeyChanged):
		if len(fault.Want) > 0 {
			fault.File, fault.Line = fault.Want[0].File, fault.Want[0].Line
		}
		for _, want := range fault.Want { // a line for the same type of key is better
			if want.Type == fault.Type {
				fault.File, fault.Line = want.File, want.Line
				break
			}
		}
	case errors.Is(err, ErrUnknownHost):
		fault.Want = nil
		if unread := c.known.unread; len(unread) > 0 {
			places := strings.Join(unread[:min(3, len(unread))], ", ")
			fault.Err = fmt.Errorf("%w (%s cannot be read)", err, places)
		}
		if isPlainName(c.target.knownName) {
			entry := c.target.knownName + " " + string(ssh.MarshalAuthorizedKey(key))
			fault.Entry = strings.TrimSpace(entry)
		}
	}
	return fault
}

// record accepts the key of an unknown host and appends it to known_hosts.
func (c *hostKeyCheck) record(key ssh.PublicKey) error {
	if len(c.known.files) == 0 || !isPlainName(c.target.knownName) {
		return c.describe(key, ErrUnknownHost)
	}
	name := c.target.knownName
	if c.target.hashNew {
		name = knownhosts.HashHostname(name)
	}
	file := c.known.files[0]
	if err := appendLine(file, name+" "+string(ssh.MarshalAuthorizedKey(key))); err != nil {
		return fmt.Errorf("sshtunnel: the key of %s is not accepted, because it cannot be recorded: %w",
			c.target.knownName, inner{err})
	}
	c.target.logger.Info("sshtunnel: a new host is accepted",
		"host", c.target.knownName, "type", key.Type(),
		"fingerprint", ssh.FingerprintSHA256(key), "file", file)
	return nil
}
