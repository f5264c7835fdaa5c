// Package certfile reads and writes the text of CURVE certificates, as czmq and pyzmq do, and says
// what is valid in one. It knows no files.
package certfile

import (
	"crypto/ecdh"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/zmqauth/zmqauth/internal/z85"
	"github.com/zmqauth/zmqauth/internal/zap"
	"github.com/zmqauth/zmqauth/internal/zpl"
)

// Certificate is what a certificate's text says. Keys are 32 raw bytes. It must not be formatted:
// it shows its secret.
type Certificate struct {
	Public   [32]byte
	Secret   *[32]byte // nil in a public certificate
	Metadata map[string]string
}

const (
	metadataNotBefore = "not-before"
	metadataNotAfter  = "not-after"

	curveSection    = "curve"
	metadataSection = "metadata"
	publicKeyEntry  = "public-key"
	secretKeyEntry  = "secret-key"

	// SecretSuffix ends the names of secret certificates, those of czmq and pyzmq, too.
	SecretSuffix = "_secret"

	// MaxSize is the size of the largest certificate in bytes: tools write some 400; the rest is room
	// for metadata.
	MaxSize = 64 << 10
)

// Public is the public key that belongs to a secret one (RFC 26): 32 raw bytes each.
func Public(secret [32]byte) [32]byte {
	key, err := ecdh.X25519().NewPrivateKey(secret[:])
	if err != nil { // it takes any 32 bytes
		return [32]byte{}
	}
	return [32]byte(key.PublicKey().Bytes())
}

// check tells whether the certificate can be written, read back and used.
func (c *Certificate) check() error {
	if err := CheckKeys(c.Public, c.Secret); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(c.Metadata)) {
		if err := checkMetadata(name, c.Metadata[name]); err != nil {
			return err
		}
	}
	_, _, err := Validity(c.Metadata)
	return err
}

// CheckKeys tells whether keys can be used, and belong together. secret may be nil.
func CheckKeys(public [32]byte, secret *[32]byte) error {
	switch {
	case public == [32]byte{}:
		return errors.New("the public key is all zero: no key at all")
	case secret == nil:
		return nil
	case *secret == [32]byte{}:
		return errors.New("the secret key is all zero: no key at all")
	case Public(*secret) != public:
		return errors.New("the public key does not belong to the secret key")
	}
	return nil
}

// checkMetadata tells whether ZAP can carry a property, and whether all readers of
// certificates read it.
func checkMetadata(name, value string) error {
	if err := zap.CheckProperty(name, value); err != nil {
		return err
	}
	// Python's zmq.auth takes every line that begins like this for a key, wherever it stands.
	if strings.HasPrefix(name, publicKeyEntry) || strings.HasPrefix(name, secretKeyEntry) {
		return fmt.Errorf("metadata name %q: it begins like an entry of the keys", name)
	}
	if err := zpl.CheckValue(value); err != nil {
		return fmt.Errorf("metadata %q: %w", name, err)
	}
	for _, bound := range []string{metadataNotBefore, metadataNotAfter} {
		if name != bound && strings.EqualFold(name, bound) { // that would bound nothing
			return fmt.Errorf("metadata name %q: write it %q", name, bound)
		}
	}
	if name == metadataNotBefore || name == metadataNotAfter {
		_, err := parseBound(name, value)
		return err
	}
	return nil
}

// Validity is the time in which a key is accepted, according to its metadata: from notBefore on and
// before notAfter. The zero time is no bound.
func Validity(metadata map[string]string) (notBefore, notAfter time.Time, err error) {
	if value, ok := metadata[metadataNotBefore]; ok {
		if notBefore, err = parseBound(metadataNotBefore, value); err != nil {
			return time.Time{}, time.Time{}, err
		}
	}
	if value, ok := metadata[metadataNotAfter]; ok {
		if notAfter, err = parseBound(metadataNotAfter, value); err != nil {
			return time.Time{}, time.Time{}, err
		}
		if !notAfter.After(notBefore) {
			err := fmt.Errorf("metadata %q: not later than %s", metadataNotAfter, metadataNotBefore)
			return time.Time{}, time.Time{}, err
		}
	}
	return notBefore, notAfter, nil
}

func parseBound(name, value string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, value)
	if err != nil || t.IsZero() { // the zero time stands for no bound
		return time.Time{}, fmt.Errorf(
			"metadata %q: not a time in RFC 3339, such as 2026-01-31T15:04:05Z", name)
	}
	return t, nil
}

// Parse reads a certificate from its text. Its errors are *zpl.Error, with the line. Parse takes
// what czmq and pyzmq write. As they do, it passes over sections and entries that are not a
// certificate's. Metadata is nil if there is none. Nothing of text is kept.
func Parse(parser *zpl.Parser, text []byte) (Certificate, error) {
	root, err := parser.Parse(text)
	if err != nil {
		return Certificate{}, err
	}
	var r reader
	curve := r.only(root, curveSection)
	metadata := r.only(root, metadataSection)
	cert := Certificate{Metadata: r.metadata(metadata)}
	if curve != nil {
		r.keys(curve, &cert)
	} else {
		r.fail(nil, errors.New("no certificate: it has no curve section"))
	}
	if r.err != nil {
		return Certificate{}, r.err
	}
	return cert, nil
}

// reader keeps the first error.
type reader struct{ err error }

func (r *reader) fail(n *zpl.Node, err error) {
	if r.err != nil || err == nil {
		return
	}
	line := 0
	if n != nil {
		line = n.Line
	}
	r.err = &zpl.Error{Line: line, Err: err}
}

// only is the entry of that name below n; nil: there is none. A second one is an error, because
// czmq would read the first and Python the last.
func (r *reader) only(n *zpl.Node, name string) *zpl.Node {
	first, second := n.Find(name)
	if second != nil {
		r.fail(second, fmt.Errorf("a second %s", name))
	}
	return first
}

func (r *reader) keys(curve *zpl.Node, cert *Certificate) {
	public := r.only(curve, publicKeyEntry)
	if public == nil {
		r.fail(curve, errors.New("no public-key below curve"))
		return
	}
	cert.Public = r.key(public)
	secret := r.only(curve, secretKeyEntry)
	if secret == nil {
		r.fail(public, CheckKeys(cert.Public, nil))
		return
	}
	key := r.key(secret)
	cert.Secret = &key
	r.fail(secret, CheckKeys(cert.Public, &key))
}

// key decodes a key; its errors say which characters are wrong and not what they are.
func (r *reader) key(n *zpl.Node) [32]byte {
	key, err := z85.Decode(n.Value)
	if errors.Is(err, z85.ErrLength) {
		err = fmt.Errorf("%w; a key is written in quotes, as it may hold a #", err)
	}
	if err != nil {
		r.fail(n, fmt.Errorf("%s: %w", n.Name, err))
	}
	return key
}

// metadata reads the entries of the section. It passes over what is indented below one of them.
func (r *reader) metadata(section *zpl.Node) map[string]string {
	if section == nil || len(section.Children) == 0 {
		return nil
	}
	metadata := make(map[string]string, len(section.Children))
	last := section
	for _, n := range section.Children {
		if _, ok := metadata[n.Name]; ok {
			r.fail(n, fmt.Errorf("a second metadata %q", n.Name))
		}
		r.fail(n, checkMetadata(n.Name, n.Value))
		metadata[strings.Clone(n.Name)] = strings.Clone(n.Value) // not the whole text with them
		if n.Name == metadataNotBefore || n.Name == metadataNotAfter {
			last = n
		}
	}
	_, _, err := Validity(metadata)
	r.fail(last, err)
	return metadata
}

// The comments are the ones that czmq and pyzmq write, for people who know those.
const (
	publicBanner = "#   ZeroMQ CURVE Public Certificate\n" +
		"#   Exchange securely, or use a secure mechanism to verify the contents\n" +
		"#   of this file after exchange.\n\n"
	secretBanner = "#   ZeroMQ CURVE **Secret** Certificate\n" +
		"#   DO NOT PROVIDE THIS FILE TO OTHER USERS nor change its permissions.\n\n"
)

// Encode is the text of a certificate: of the public one, or of the secret one with both keys.
func (c *Certificate) Encode(secret bool) ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if secret && c.Secret == nil {
		return nil, errors.New("the certificate has no secret key to save")
	}
	var root zpl.Node
	metadata := root.Add(metadataSection, "")
	for _, name := range slices.Sorted(maps.Keys(c.Metadata)) {
		metadata.Add(name, c.Metadata[name])
	}
	curve := root.Add(curveSection, "")
	curve.Add(publicKeyEntry, z85.Encode(c.Public))
	banner := publicBanner
	if secret {
		banner = secretBanner
		curve.Add(secretKeyEntry, z85.Encode(*c.Secret))
	}
	text, err := zpl.Append([]byte(banner), &root)
	if err != nil {
		return nil, fmt.Errorf("metadata %w", err)
	}
	if len(text) > MaxSize {
		return nil, ErrTooLarge
	}
	return text, nil
}

// ErrTooLarge says that a certificate's metadata makes it too large to be read back.
var ErrTooLarge = fmt.Errorf("a certificate of more than %d bytes", MaxSize)
