// Package testca is a throwaway CA for tests and measurements.
package testca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Authority is a CA. It writes all files to one directory.
type Authority struct {
	Certificate *x509.Certificate
	File        string // has the CA's certificate
	directory   string
	key         *ecdsa.PrivateKey
}

// New makes a CA that is valid from an hour ago to an hour from now. Each change may modify the
// template before it is signed.
func New(directory, name string, change ...func(*x509.Certificate)) (*Authority, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign |
			x509.KeyUsageDigitalSignature,
	}
	for _, f := range change {
		f(template)
	}
	a := &Authority{directory: directory, File: filepath.Join(directory, "ca.crt")}
	der, key, err := a.certify(template, template)
	if err != nil {
		return nil, err
	}
	if a.Certificate, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	a.key = key
	return a, writePEM(a.File, "CERTIFICATE", der)
}

// Subordinate makes a CA whose certificate this one has signed. Its files are in a directory of
// their own.
func (a *Authority) Subordinate(directory, name string) (*Authority, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, key, err := a.certify(template, a.Certificate)
	if err != nil {
		return nil, err
	}
	sub := &Authority{directory: directory, File: filepath.Join(directory, "ca.crt"), key: key}
	if sub.Certificate, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	return sub, writePEM(sub.File, "CERTIFICATE", der)
}

// Identity has the paths of a certificate and its key.
type Identity struct{ CertFile, KeyFile string }

// Issue makes a certificate for clients and servers on loopback. The certificate is valid from an
// hour ago to an hour from now. Each change may modify the template before it is signed.
func (a *Authority) Issue(name string, change ...func(*x509.Certificate)) (Identity, error) {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		NotBefore:   time.Now().Add(-time.Hour),
		NotAfter:    time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	for _, f := range change {
		f(template)
	}
	der, key, err := a.certify(template, a.Certificate)
	if err != nil {
		return Identity{}, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Identity{}, err
	}
	id := Identity{
		CertFile: filepath.Join(a.directory, name+".crt"),
		KeyFile:  filepath.Join(a.directory, name+".key"),
	}
	return id, errors.Join(
		writePEM(id.CertFile, "CERTIFICATE", der),
		writePEM(id.KeyFile, "PRIVATE KEY", secret),
	)
}

// certify makes a key and a certificate for it. A CA that has no key yet signs its own certificate.
func (a *Authority) certify(
	template, parent *x509.Certificate,
) (der []byte, key *ecdsa.PrivateKey, err error) {
	if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, nil, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		return nil, nil, err
	}
	signer := a.key
	if signer == nil {
		signer = key
	}
	der, err = x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	return der, key, err
}

// writePEM replaces a file in one step.
func writePEM(file, kind string, der []byte) error {
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(file+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// RevocationList makes a CRL of this CA, in PEM, that is valid from a minute ago for an hour. A
// change may modify the template before it is signed; nil: none.
func (a *Authority) RevocationList(
	change func(*x509.RevocationList), revoked ...*x509.Certificate,
) ([]byte, error) {
	template := &x509.RevocationList{
		Number:     big.NewInt(1),
		ThisUpdate: time.Now().Add(-time.Minute),
		NextUpdate: time.Now().Add(time.Hour),
	}
	for _, c := range revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: time.Now()})
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, a.Certificate, a.key)
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}), err
}
