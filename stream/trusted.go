package stream

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
)

// use is what the owner of a certificate proves with it: an extended key usage of RFC 5280.
type use struct {
	name  string
	usage x509.ExtKeyUsage
	id    asn1.ObjectIdentifier
}

var (
	clientUse = use{"clients", x509.ExtKeyUsageClientAuth, oid{1, 3, 6, 1, 5, 5, 7, 3, 2}}
	serverUse = use{"servers", x509.ExtKeyUsageServerAuth, oid{1, 3, 6, 1, 5, 5, 7, 3, 1}}
	anyUse    = oid{2, 5, 29, 37, 0}
)

// oid is an object identifier.
type oid = asn1.ObjectIdentifier

// auxiliary is what follows the certificate in a TRUSTED CERTIFICATE: X509_CERT_AUX of openssl, as
// openssl x509 -addtrust and -addreject write it.
type auxiliary struct {
	Trust  []asn1.ObjectIdentifier `asn1:"optional"`
	Reject []asn1.ObjectIdentifier `asn1:"optional,tag:0"`
	Alias  string                  `asn1:"optional,utf8"`
	KeyID  []byte                  `asn1:"optional"`
	Other  asn1.RawValue           `asn1:"optional,tag:1"`
}

// rejects reports whether the certificate is not to be trusted for a use, as obj_trust of openssl
// decides it: the use is rejected, or others are trusted and this one is not.
func (a auxiliary) rejects(u use) bool {
	has := func(list []asn1.ObjectIdentifier) bool {
		return slices.ContainsFunc(list, func(id asn1.ObjectIdentifier) bool {
			return id.Equal(u.id) || id.Equal(anyUse)
		})
	}
	return has(a.Reject) || a.Trust != nil && !has(a.Trust)
}

// parseCertificate reads the certificate of a PEM block, and what a TRUSTED CERTIFICATE says
// besides.
func parseCertificate(block *pem.Block) (*x509.Certificate, auxiliary, error) {
	if block.Type != typeTrusted {
		certificate, err := x509.ParseCertificate(block.Bytes)
		return certificate, auxiliary{}, err
	}
	var whole asn1.RawValue
	rest, err := asn1.Unmarshal(block.Bytes, &whole)
	if err != nil {
		return nil, auxiliary{}, err
	}
	certificate, err := x509.ParseCertificate(whole.FullBytes)
	if err != nil || len(rest) == 0 {
		return certificate, auxiliary{}, err
	}
	var extra auxiliary
	if rest, err = asn1.Unmarshal(rest, &extra); err != nil {
		return nil, auxiliary{}, fmt.Errorf("its uses: %w", err)
	}
	if len(rest) > 0 {
		return nil, auxiliary{}, errors.New("more follows its uses")
	}
	return certificate, extra, nil
}

// authorities are the CAs of a file.
type authorities struct {
	certificates []*x509.Certificate
	pool         *x509.CertPool
	trusted      map[string]bool // the certificates, by DER
	// rejected are certificates that the file says are not to be trusted for the use, by DER. A chain
	// with one of them is refused even if it leads to another CA of the file.
	rejected map[string]bool
}

// parseAuthorities reads every certificate of a CA file. Unlike [x509.CertPool.AppendCertsFromPEM],
// it does not skip broken ones. It is not an error if every certificate is rejected for the use.
func parseAuthorities(text []byte, u use) (*authorities, error) {
	blocks, err := pemBlocks(text)
	if err != nil {
		return nil, err
	}
	a := &authorities{
		pool: x509.NewCertPool(), trusted: make(map[string]bool), rejected: make(map[string]bool),
	}
	var read []*x509.Certificate
	for _, block := range blocks {
		if !isCertificate(block) {
			continue
		}
		certificate, extra, err := parseCertificate(block)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(read)+1, err)
		}
		read = append(read, certificate)
		if extra.rejects(u) {
			a.rejected[string(certificate.Raw)] = true
		}
	}
	if len(read) == 0 {
		return nil, errors.New("no PEM certificate in it")
	}
	for _, certificate := range read {
		raw := string(certificate.Raw)
		if !a.rejected[raw] && !a.trusted[raw] {
			a.trusted[raw] = true
			a.pool.AddCert(certificate)
			a.certificates = append(a.certificates, certificate)
		}
	}
	return a, nil
}

// accepts reports whether a chain leads to one of the CAs and has no certificate that is rejected.
// A nil a stands for the CAs of the system.
func (a *authorities) accepts(chain []*x509.Certificate) bool {
	if a == nil {
		return true
	}
	rejected := func(c *x509.Certificate) bool { return a.rejected[string(c.Raw)] }
	return a.trusted[string(chain[len(chain)-1].Raw)] && !slices.ContainsFunc(chain, rejected)
}
