package stream_test

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

// makeCertificates makes a directory with ca.crt and, for each name, name.crt and name.key.
func makeCertificates(names ...string) (dir string, err error) {
	dir, err = os.MkdirTemp("", "stream-example-")
	if err != nil {
		return "", err
	}
	var ca *x509.Certificate
	var caKey *ecdsa.PrivateKey
	for i, name := range append([]string{"ca"}, names...) {
		key, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		secret, err2 := x509.MarshalPKCS8PrivateKey(key)
		template := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}
		if ca == nil {
			template.IsCA, template.BasicConstraintsValid = true, true
			template.KeyUsage = x509.KeyUsageCertSign
			ca, caKey = template, key
		}
		der, err3 := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), caKey)
		certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		err := errors.Join(err1, err2, err3,
			os.WriteFile(filepath.Join(dir, name+".crt"), certificate, 0o644),
			os.WriteFile(filepath.Join(dir, name+".key"),
				pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
		if err != nil {
			return "", errors.Join(err, os.RemoveAll(dir))
		}
	}
	return dir, nil
}
