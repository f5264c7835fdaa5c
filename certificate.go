package zmqauth

import (
	"github.com/zmqauth/zmqauth/internal/certfile"
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

// NewCertificate makes a certificate with a new key pair and empty metadata, in memory alone.
func NewCertificate() (*Certificate, error) {
	public, secret, err := GenerateKeyPair()
	if err != nil {
		return nil, err
	}
	return &Certificate{Public: public, Secret: &secret, Metadata: map[string]string{}}, nil
}

// parseCertificate reads a certificate from the text of a file. The *FileError carries the file's
// name.
func parseCertificate(parser *zpl.Parser, file string, data []byte) (*Certificate, error) {
	read, err := certfile.Parse(parser, data)
	if err != nil {
		return nil, zplError(file, err)
	}
	return certificateOf(&read), nil
}

// certificateOf is a certificate as the exported functions return it: with a map that metadata can
// be put into.
func certificateOf(read *certfile.Certificate) *Certificate {
	c := &Certificate{Public: read.Public, Secret: (*SecretKey)(read.Secret), Metadata: read.Metadata}
	if c.Metadata == nil {
		c.Metadata = map[string]string{}
	}
	return c
}

// encode is the text of the certificate's file: the public one or the secret one.
func (c *Certificate) encode(secret bool) ([]byte, error) {
	text := certfile.Certificate{Public: c.Public, Secret: (*[32]byte)(c.Secret), Metadata: c.Metadata}
	return text.Encode(secret)
}

// checkKeys tells whether keys can be used, and belong together. secret may be nil.
func checkKeys(public PublicKey, secret *SecretKey) error {
	return certfile.CheckKeys(public, (*[32]byte)(secret))
}
