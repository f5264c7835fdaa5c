package stream

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// keyMaterial is what one end of TLS reads from its files.
type keyMaterial struct {
	certificate *tls.Certificate // nil: none
	ca          *x509.CertPool   // nil: none
}

// parse makes key material of the content of the files. Every error names a file, and none repeats
// its content.
func (f materialFiles) parse(content map[string][]byte) (keyMaterial, error) {
	var m keyMaterial
	if f.cert != "" {
		certificate, err := parsePair(f.cert, f.key, content)
		if err != nil {
			return keyMaterial{}, err
		}
		m.certificate = certificate
	}
	if f.ca != "" {
		pool, err := parseCA(content[f.ca])
		if err != nil {
			return keyMaterial{}, fileError(f.ca, err)
		}
		m.ca = pool
	}
	return m, nil
}

func parsePair(certFile, keyFile string, content map[string][]byte) (*tls.Certificate, error) {
	files := certFile + ", " + keyFile
	if keyFile == "" {
		keyFile, files = certFile, certFile
	}
	for _, file := range []string{certFile, keyFile} {
		if err := checkBlocks(content[file]); err != nil {
			return nil, fileError(file, err)
		}
	}
	isCertificate := func(kind string) bool { return kind == "CERTIFICATE" }
	isKey := func(kind string) bool { return strings.HasSuffix(kind, "PRIVATE KEY") }
	if !hasBlock(content[certFile], isCertificate) {
		return nil, fileError(certFile, errors.New("no PEM certificate in it"))
	}
	if !hasBlock(content[keyFile], isKey) {
		return nil, fileError(keyFile, errors.New("no PEM private key in it"))
	}
	if bytes.Contains(content[keyFile], []byte("ENCRYPTED")) {
		return nil, fileError(keyFile, errors.New("the private key is encrypted, "+
			"which is not supported: openssl pkey -in … -out … decrypts it"))
	}
	certificate, err := tls.X509KeyPair(content[certFile], content[keyFile])
	if err != nil {
		return nil, fileError(files, err)
	}
	return &certificate, nil
}

func hasBlock(text []byte, is func(kind string) bool) bool {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return false
		}
		if is(block.Type) {
			return true
		}
	}
}

// checkBlocks returns an error if a PEM block is broken, as the last one of a half-written file is.
// Package encoding/pem skips broken blocks, and would take the rest for the whole.
func checkBlocks(text []byte) error {
	begun, whole := 0, 0
	for line := range bytes.Lines(text) {
		// A byte order mark may come before it, where encoding/pem would not find the block.
		if bytes.Contains(line, []byte("-----BEGIN ")) {
			begun++
		}
	}
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		whole++
	}
	if whole < begun {
		return fmt.Errorf("of %d PEM blocks only %d can be read", begun, whole)
	}
	return nil
}

// parseCA reads every certificate. Unlike [x509.CertPool.AppendCertsFromPEM], it does not skip
// broken ones.
func parseCA(text []byte) (*x509.CertPool, error) {
	if err := checkBlocks(text); err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	count := 0
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		count++
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", count, err)
		}
		pool.AddCert(certificate)
	}
	if count == 0 {
		return nil, errors.New("no PEM certificate in it")
	}
	return pool, nil
}
