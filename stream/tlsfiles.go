package stream

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/zmqauth/zmqauth/internal/files"
)

// maxFileSize bounds a certificate, key or CA file. A system's whole bundle of CAs has some 250 KB.
const maxFileSize = 16 << 20

// keyMaterial is what the files of one end of TLS hold.
type keyMaterial struct {
	certificate *tls.Certificate // nil: none
	ca          *x509.CertPool   // nil: no CA file
}

// materialFiles are the names of the files.
type materialFiles struct {
	cert, key, ca string // "": none; a key "" is in the certificate's file
}

// names are the files' names, each once.
func (f materialFiles) names() []string {
	var names []string
	for _, name := range []string{f.cert, f.key, f.ca} {
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}

// parse makes key material of what the files hold. Every error names the file, and none repeats
// what is in it.
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
	if !hasBlock(content[certFile], func(kind string) bool { return kind == "CERTIFICATE" }) {
		return nil, fileError(certFile, errors.New("no PEM certificate in it"))
	}
	if !hasBlock(content[keyFile], func(kind string) bool { return strings.HasSuffix(kind, "PRIVATE KEY") }) {
		return nil, fileError(keyFile, errors.New("no PEM private key in it"))
	}
	if bytes.Contains(content[keyFile], []byte("ENCRYPTED")) {
		return nil, fileError(keyFile, errors.New("the private key is encrypted, which is not supported: openssl pkey -in … -out … decrypts it"))
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

// checkBlocks is an error where a PEM block is broken, as the last one of a file that is half
// written: package encoding/pem passes over it, and what is left would be taken for the whole.
func checkBlocks(text []byte) error {
	begun, whole := 0, 0
	for line := range bytes.Lines(text) {
		if bytes.Contains(line, []byte("-----BEGIN ")) { // also behind a byte order mark, where it would not be found
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

// parseCA reads every certificate, unlike [x509.CertPool.AppendCertsFromPEM], which passes over
// those that are broken.
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

// fileError says which file an error is about.
func fileError(file string, err error) error {
	if errors.Is(err, syscall.EISDIR) {
		err = files.ErrNotRegular
	}
	return fmt.Errorf("stream: %s: %w", file, err)
}

// read reads all files, and says by their stamps which ones it has read. A file that others than
// root and this user can write is refused, and so is a private key that others can read.
func (f materialFiles) read() (map[string][]byte, map[string]fileStamp, error) {
	content, stamps := make(map[string][]byte), make(map[string]fileStamp)
	key := cmp.Or(f.key, f.cert)
	for _, name := range f.names() {
		if _, ok := content[name]; ok {
			continue
		}
		text, stamp, err := files.Read(name, maxFileSize, nil)
		stamps[name] = newFileStamp(stamp)
		switch {
		case files.IsTransient(err):
			stamps[name] = fileStamp{} // to look again
		case err == nil && name == key:
			err = stamp.CheckSecret(name)
		case err == nil:
			err = stamp.Check(name)
		}
		if err != nil {
			return nil, stamps, fileError(name, err)
		}
		content[name] = text
	}
	return content, stamps, nil
}

// fileStamp tells whether a file is the one that was read, and unchanged. The zero value is a file
// that could not be read.
type fileStamp struct {
	files.Stamp
	// fresh tells that the file had just been written when it was read: another write within the
	// same tick of the file system's clock would leave the same times.
	fresh bool
}

// tick is more than one tick of a file system's clock.
const tick = 50 * time.Millisecond

func newFileStamp(stamp files.Stamp) fileStamp {
	return fileStamp{stamp, time.Since(stamp.Changed()).Abs() < tick}
}

// isCurrent tells whether the name still leads to the file as it was read.
func (s fileStamp) isCurrent(name string) bool {
	if s.fresh || s.Stamp == (files.Stamp{}) {
		return false
	}
	now, err := files.StampOf(name)
	return err == nil && now == s.Stamp
}
