package stream

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
)

// parsePair makes a certificate with its key of the content of their files. Every error names a
// file, and none repeats its content.
func parsePair(certFile, keyFile string, content map[string][]byte) (*tls.Certificate, error) {
	both := certFile + ", " + keyFile
	if keyFile == "" {
		keyFile, both = certFile, certFile
	}
	chain, err := chainOf(content[certFile])
	if err != nil {
		return nil, fileError(certFile, err)
	}
	key, err := keyOf(content[keyFile])
	if err != nil {
		return nil, fileError(keyFile, err)
	}
	certificate, err := tls.X509KeyPair(chain, key)
	clear(key)
	if err != nil {
		return nil, fileError(both, err)
	}
	return &certificate, nil
}

// chainOf returns the certificates of a file in the one form that crypto/tls reads.
func chainOf(text []byte) (chain []byte, err error) {
	blocks, err := pemBlocks(text)
	if err != nil {
		return nil, err
	}
	for _, block := range blocks {
		if !isCertificate(block) {
			continue
		}
		certificate, _, err := parseCertificate(block)
		if err != nil {
			return nil, fmt.Errorf("a certificate in it: %w", err)
		}
		plain := &pem.Block{Type: typeCertificate, Bytes: certificate.Raw}
		chain = append(chain, pem.EncodeToMemory(plain)...)
	}
	if chain == nil {
		return nil, errors.New("no PEM certificate in it")
	}
	return chain, nil
}

// keyOf returns the first private key of a file.
func keyOf(text []byte) ([]byte, error) {
	blocks, err := pemBlocks(text)
	if err != nil {
		return nil, err
	}
	for _, block := range blocks {
		if !isKey(block) {
			continue
		}
		if isEncrypted(block) {
			return nil, errors.New("the private key is encrypted, " +
				"which is not supported: openssl pkey -in … -out … decrypts it")
		}
		return pem.EncodeToMemory(block), nil
	}
	return nil, errors.New("no PEM private key in it")
}
