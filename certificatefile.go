package zmqauth

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/zmqauth/zmqauth/internal/certfile"
	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/zpl"
)

const (
	publicSuffix = ".key" // pyzmq's; czmq takes any name

	publicMode fs.FileMode = 0o644
	secretMode fs.FileMode = 0o600
)

// CreateCertificates makes a key pair and writes it to two new files of the directory: name.key,
// the public certificate (mode 0644), and name.key_secret, the secret one with both keys (mode
// 0600). Both carry the metadata, which may be nil. It returns their paths. Nothing is overwritten:
// where either file exists it changes nothing, and the error is fs.ErrExist. Other errors: a name
// that is empty, begins with a dot or holds a path separator or NUL; metadata that a certificate
// cannot carry, which is named.
func CreateCertificates(
	dir, name string, metadata map[string]string,
) (publicFile, secretFile string, err error) {
	if name == "" || name[0] == '.' || strings.ContainsAny(name, "/\\\x00") {
		return "", "", fmt.Errorf("zmqauth: certificate name %q: empty, beginning with a dot, "+
			"or holding a path separator or NUL", name)
	}
	cert, err := NewCertificate()
	if err != nil {
		return "", "", err
	}
	cert.Metadata = metadata
	publicFile = filepath.Join(dir, name+publicSuffix)
	secretFile = publicFile + certfile.SecretSuffix
	// The public file comes last: once it is seen, the pair is whole.
	if err := cert.SaveSecret(secretFile); err != nil {
		return "", "", err
	}
	if err := cert.SavePublic(publicFile); err != nil {
		return "", "", errors.Join(err, os.Remove(secretFile))
	}
	return publicFile, secretFile, nil
}

// SavePublic writes the public key and the metadata to a new file of mode 0644, whatever the umask.
// The file appears at once and complete. Nothing that exists at path is ever replaced, not even a
// dangling symbolic link: the *FileError is fs.ErrExist then.
func (c *Certificate) SavePublic(path string) error { return c.save(path, false, publicMode) }

// SaveSecret writes both keys and the metadata to a new file, as [Certificate.SavePublic] does. The
// file has mode 0600 before it has its first byte. A certificate without a secret key is an error.
func (c *Certificate) SaveSecret(path string) error { return c.save(path, true, secretMode) }

func (c *Certificate) save(path string, secret bool, mode fs.FileMode) error {
	text, err := c.encode(secret)
	if err != nil {
		return &FileError{File: path, Err: err}
	}
	if err := files.WriteNew(path, text, mode); err != nil {
		return fileError(path, err)
	}
	return nil
}

// LoadCertificate reads the certificate at path, a public or a secret one, as this package, pyzmq
// and czmq write them. Errors are *FileError, with the line where one is to blame: a file that is
// missing, no regular file, larger than 64 KiB or no certificate; a key that is all zero; a public
// key that does not belong to the secret key beside it; metadata that messages cannot carry; and a
// file that cannot be trusted.
//
// One rule of trust holds for all files that this package reads. The owner is root or the user who
// reads. Nobody else can write, but for root's group and the group of the user who reads. Others
// have no permission (mode & 007) for a file that holds a secret; its group may read it. The error
// says which command mends the file. On Windows the access control list takes the place of that
// rule.
func LoadCertificate(path string) (*Certificate, error) {
	data, stamp, err := files.Read(path, certfile.MaxSize, nil)
	if err != nil {
		return nil, fileError(path, err)
	}
	cert, err := parseCertificate(new(zpl.Parser), path, data)
	if err != nil {
		return nil, err
	}
	if cert.Secret == nil {
		err = stamp.Check(path)
	} else {
		err = stamp.CheckSecret(path)
	}
	if err != nil {
		return nil, &FileError{File: path, Err: err}
	}
	return cert, nil
}

// LoadCertificates reads the public certificates of a directory, without its subdirectories. It
// reads every file but those whose name ends in _secret, dot files and editors' backups, and
// follows symbolic links. Of two files with the same key, the first by name counts. The
// certificates have no secret key. Bad files hide no good ones: the map holds the good
// certificates, and the error joins (see errors.Join) one *FileError for each bad file, in the
// order of their names. The error is nil if there is no bad file. The map is nil if the directory
// cannot be read, cannot be trusted, or holds more than 1,048,576 certificates or 1 GiB of them.
// The rule of trust (see [LoadCertificate]) holds for the directory as for each file.
func LoadCertificates(dir string) (map[PublicKey]*Certificate, error) {
	var certs map[PublicKey]*Certificate
	var errs []error
	expect := func(count int) { certs = make(map[PublicKey]*Certificate, count) }
	for result, err := range certfile.ReadAll(dir, certfile.Bounds, expect) {
		switch {
		case err != nil:
			return nil, fileError(dir, err)
		case result.Err != nil:
			errs = append(errs, zplError(files.Below(dir, result.Name), result.Err))
		case certs[result.Public] == nil:
			certs[result.Public] = certificateOf(&result.Certificate)
		}
	}
	return certs, errors.Join(errs...)
}
