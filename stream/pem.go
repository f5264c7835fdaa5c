package stream

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"strings"
)

// byteOrderMark may begin a text file that was written on Windows.
var byteOrderMark = []byte("\ufeff")

// pemBlocks returns the PEM blocks of a file. As for openssl, "-----BEGIN " begins a block only at
// the start of a line: a block that is commented out with "# " is text, and text means nothing. A
// block that is begun and cannot be read, as the last one of a half-written file, is an error.
// Package encoding/pem would skip it, and the rest would be taken for the whole.
func pemBlocks(text []byte) (blocks []*pem.Block, err error) {
	begun := countBegun(text)
	for {
		var block *pem.Block
		if block, text = pem.Decode(bytes.TrimPrefix(text, byteOrderMark)); block == nil {
			break
		}
		blocks = append(blocks, block)
	}
	if len(blocks) < begun {
		return nil, fmt.Errorf("of %d PEM blocks only %d can be read", begun, len(blocks))
	}
	return blocks, nil
}

// countBegun returns the number of PEM blocks that are begun. As for openssl, a byte order mark may
// come first, and first after a block: several files may have been joined.
func countBegun(text []byte) (begun int) {
	first := true
	for line := range bytes.Lines(text) {
		if first {
			line = bytes.TrimPrefix(line, byteOrderMark)
		}
		if bytes.HasPrefix(line, []byte("-----BEGIN ")) {
			begun++
		}
		first = bytes.HasPrefix(line, []byte("-----END "))
	}
	return begun
}

// The types of PEM blocks that hold a certificate: PEM_STRING_X509, …_X509_OLD and
// …_X509_TRUSTED of openssl.
const (
	typeCertificate = "CERTIFICATE"
	typeOld         = "X509 CERTIFICATE"
	typeTrusted     = "TRUSTED CERTIFICATE"
)

func isCertificate(block *pem.Block) bool {
	return block.Type == typeCertificate || block.Type == typeOld || block.Type == typeTrusted
}

func isKey(block *pem.Block) bool { return strings.HasSuffix(block.Type, "PRIVATE KEY") }

// isEncrypted reports whether a private key is encrypted: as PKCS #8 says it (RFC 5958), or with
// the headers of RFC 1421.
func isEncrypted(key *pem.Block) bool {
	return key.Type == "ENCRYPTED PRIVATE KEY" ||
		strings.Contains(key.Headers["Proc-Type"], "ENCRYPTED") || key.Headers["DEK-Info"] != ""
}
