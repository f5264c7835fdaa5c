package stream

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
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

// parse makes key material of what the files hold. Every error names the file, and none repeats what is in it.
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

// checkBlocks is an error where a PEM block is broken, as the last one of a file that is half written: package encoding/pem
// passes over it, and what is left would be taken for the whole.
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

// parseCA reads every certificate, unlike [x509.CertPool.AppendCertsFromPEM], which passes over those that are broken.
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

// fileError names file once: an error of package os names it, too.
func fileError(file string, err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathErr.Err
	}
	return fmt.Errorf("stream: %s: %w", file, err)
}

// read reads all files, and says by their stamps which ones it has read.
func (f materialFiles) read() (map[string][]byte, map[string]fileStamp, error) {
	content, stamps := make(map[string][]byte), make(map[string]fileStamp)
	for _, name := range f.names() {
		if _, ok := content[name]; ok {
			continue
		}
		text, stamp, err := readFile(name)
		stamps[name] = stamp
		if err != nil {
			return nil, stamps, fileError(name, err)
		}
		content[name] = text
	}
	key := f.key
	if key == "" {
		key = f.cert
	}
	if key != "" {
		if err := checkPrivate(key); err != nil {
			stamps[key] = fileStamp{} // to look again: it may be a directory above that changes
			return nil, stamps, fileError(key, err)
		}
	}
	return content, stamps, nil
}

// readFile reads a regular file. Anything else, such as a FIFO, it refuses without waiting for it.
func readFile(name string) ([]byte, fileStamp, error) {
	file, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fileStamp{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fileStamp{}, err
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, fileStamp{}, errors.New("not a regular file")
	case info.Size() > maxFileSize:
		return nil, newFileStamp(info), fmt.Errorf("larger than %d bytes", maxFileSize)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxFileSize)) // it may grow; what is cut off then is read the next time
	if err != nil {
		return nil, fileStamp{}, err
	}
	return text, newFileStamp(info), nil
}

// checkPrivate is an error where any user of the machine can read or replace the key. A group may read it, as Debian's
// ssl-cert may, and a directory above that keeps others out is protection enough.
func checkPrivate(name string) error {
	path, err := filepath.EvalSymlinks(name)
	if err != nil {
		return err
	}
	if path, err = filepath.Abs(path); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	mode := info.Mode().Perm()
	if mode&0o006 == 0 {
		return nil
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		above, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if above.Mode().Perm()&0o001 == 0 {
			return nil
		}
		if dir == filepath.Dir(dir) {
			return fmt.Errorf("a private key that every user of the machine can reach (mode %04o): chmod o-rwx %s", mode, path)
		}
	}
}

// fileStamp tells whether a file is the one that was read, and unchanged. The zero value is a file that was not read.
type fileStamp struct {
	info fs.FileInfo
	// fresh tells that the file had just been written when it was read: another write within the same tick of the file
	// system's clock would leave the same times.
	fresh bool
}

// tick is more than one tick of a file system's clock.
const tick = 50 * time.Millisecond

func newFileStamp(info fs.FileInfo) fileStamp {
	return fileStamp{info, time.Since(changed(info)).Abs() < tick}
}

// changed is when a file's inode was changed, which also tells of a rename and of a time that was set back.
func changed(info fs.FileInfo) time.Time {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(stat.Ctim.Unix())
	}
	return info.ModTime()
}

// isCurrent tells whether the name still leads to the file as it was read.
func (s fileStamp) isCurrent(name string) bool {
	if s.info == nil || s.fresh {
		return false
	}
	now, err := os.Stat(name)
	return err == nil && os.SameFile(s.info, now) && s.info.Size() == now.Size() &&
		s.info.ModTime().Equal(now.ModTime()) && changed(s.info).Equal(changed(now)) && s.info.Mode() == now.Mode()
}
