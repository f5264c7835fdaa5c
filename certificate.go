package zmqauth

import (
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

// Certificate is a CURVE key with what is known about its holder. The zero value is no valid
// certificate: make one with [NewCertificate] or [LoadCertificate]. However it is formatted or
// logged, its secret key does not show.
type Certificate struct {
	Public PublicKey
	Secret *SecretKey // nil in a public certificate

	// Metadata becomes the metadata of the messages of a client that is accepted with the key. Names
	// are 1 to 255 of ASCII's letters, digits and -_.+, and neither libzmq's own ones (User-Id, say)
	// nor ones that begin with public-key or secret-key; values are one line of text. "not-before" and
	// "not-after", in RFC 3339 (2026-01-31T15:04:05Z), bound the time in which the key is accepted.
	// Nil is the same as empty.
	Metadata map[string]string
}

const (
	metadataNotBefore = "not-before"
	metadataNotAfter  = "not-after"

	curveSection    = "curve"
	metadataSection = "metadata"
	publicKeyEntry  = "public-key"
	secretKeyEntry  = "secret-key"

	maxCertificateSize = 64 << 10 // bytes: tools write some 400; room for metadata
)

// NewCertificate makes a certificate with a new key pair and empty metadata, in memory alone.
func NewCertificate() (*Certificate, error) {
	public, secret, err := GenerateKeyPair()
	if err != nil {
		return nil, err
	}
	return &Certificate{Public: public, Secret: &secret, Metadata: map[string]string{}}, nil
}

// check tells whether the certificate can be written, read back and used.
func (c *Certificate) check() error {
	if err := checkKeys(c.Public, c.Secret); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(c.Metadata)) {
		if err := checkCertificateMetadata(name, c.Metadata[name]); err != nil {
			return err
		}
	}
	_, _, err := validity(c.Metadata)
	return err
}

func checkKeys(public PublicKey, secret *SecretKey) error {
	switch {
	case public == PublicKey{}:
		return errors.New("the public key is all zero: no key at all")
	case secret == nil:
		return nil
	case *secret == SecretKey{}:
		return errors.New("the secret key is all zero: no key at all")
	case secret.Public() != public:
		return errors.New("the public key does not belong to the secret key")
	}
	return nil
}

// checkCertificateMetadata tells whether ZAP can carry a property, and whether all readers of
// certificates read it.
func checkCertificateMetadata(name, value string) error {
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

// validity is the time in which a key is accepted, according to its metadata: from notBefore on and
// before notAfter. The zero time is no bound.
func validity(metadata map[string]string) (notBefore, notAfter time.Time, err error) {
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

// parseCertificate reads a certificate from the text of a file. The *FileError carries the file's
// name. parseCertificate takes what czmq and pyzmq write. As they do, it passes over sections and
// entries that are not a certificate's.
func parseCertificate(parser *zpl.Parser, file string, data []byte) (*Certificate, error) {
	var cert Certificate
	if err := cert.parse(parser, data); err != nil {
		err.File = file
		return nil, err
	}
	return cert.forCaller(), nil
}

// forCaller is a copy as the exported functions return it: with a map that metadata can be put
// into.
func (c Certificate) forCaller() *Certificate {
	if c.Metadata == nil {
		c.Metadata = map[string]string{}
	}
	return &c
}

// parse is parseCertificate without the file's name. Metadata is nil if there is none. Nothing of
// data is kept.
func (c *Certificate) parse(parser *zpl.Parser, data []byte) *FileError {
	root, err := parser.Parse(data)
	if err != nil {
		return zplError("", err)
	}
	var reader certificateReader
	curve := reader.only(root, curveSection)
	metadata := reader.only(root, metadataSection)
	*c = Certificate{Metadata: reader.metadata(metadata)}
	if curve != nil {
		reader.keys(curve, c)
	} else {
		reader.fail(nil, errors.New("no certificate: it has no curve section"))
	}
	return reader.err
}

// certificateReader keeps the first error, without the file's name.
type certificateReader struct{ err *FileError }

func (r *certificateReader) fail(n *zpl.Node, err error) {
	if r.err != nil || err == nil {
		return
	}
	line := 0
	if n != nil {
		line = n.Line
	}
	r.err = &FileError{Line: line, Err: err}
}

// only is the entry of that name below n; nil: there is none. A second one is an error, because
// czmq would read the first and Python the last.
func (r *certificateReader) only(n *zpl.Node, name string) *zpl.Node {
	first, second := n.Find(name)
	if second != nil {
		r.fail(second, fmt.Errorf("a second %s", name))
	}
	return first
}

func (r *certificateReader) keys(curve *zpl.Node, cert *Certificate) {
	public := r.only(curve, publicKeyEntry)
	if public == nil {
		r.fail(curve, errors.New("no public-key below curve"))
		return
	}
	cert.Public = r.key(public)
	secret := r.only(curve, secretKeyEntry)
	if secret == nil {
		r.fail(public, checkKeys(cert.Public, nil))
		return
	}
	key := SecretKey(r.key(secret))
	cert.Secret = &key
	r.fail(secret, checkKeys(cert.Public, &key))
}

// key decodes a key; its errors say which characters are wrong and not what they are.
func (r *certificateReader) key(n *zpl.Node) [32]byte {
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
func (r *certificateReader) metadata(section *zpl.Node) map[string]string {
	if section == nil || len(section.Children) == 0 {
		return nil
	}
	metadata := make(map[string]string, len(section.Children))
	last := section
	for _, n := range section.Children {
		if _, ok := metadata[n.Name]; ok {
			r.fail(n, fmt.Errorf("a second metadata %q", n.Name))
		}
		r.fail(n, checkCertificateMetadata(n.Name, n.Value))
		metadata[strings.Clone(n.Name)] = strings.Clone(n.Value) // not the whole text with them
		if n.Name == metadataNotBefore || n.Name == metadataNotAfter {
			last = n
		}
	}
	_, _, err := validity(metadata)
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

// encode is the text of the certificate's file: the public one or the secret one.
func (c *Certificate) encode(secret bool) ([]byte, error) {
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
	curve.Add(publicKeyEntry, c.Public.String())
	banner := publicBanner
	if secret {
		banner = secretBanner
		curve.Add(secretKeyEntry, c.Secret.Z85())
	}
	text, err := zpl.Append([]byte(banner), &root)
	if err != nil {
		return nil, fmt.Errorf("metadata %w", err)
	}
	if len(text) > maxCertificateSize {
		return nil, errCertificateTooLarge
	}
	return text, nil
}

var errCertificateTooLarge = fmt.Errorf("a certificate of more than %d bytes", maxCertificateSize)
