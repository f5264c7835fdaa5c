package zmqauth

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/certfile"
	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/zpl"
)

const (
	publicSuffix = ".key"    // pyzmq's; czmq takes any name
	secretSuffix = "_secret" // czmq's and pyzmq's

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
	secretFile = publicFile + secretSuffix
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
	var loader certificateLoader
	return loader.load(path)
}

// certificateLoader reads certificates, one after another, and keeps the memory that this takes.
// The zero value is ready; it serves one goroutine.
type certificateLoader struct {
	buffer []byte
	parser zpl.Parser
	stamp  files.Stamp // of the file that was read last
}

// load is LoadCertificate.
func (l *certificateLoader) load(path string) (*Certificate, error) {
	data, stamp, err := files.Read(path, certfile.MaxSize, l.buffer)
	l.stamp = stamp
	if err != nil {
		return nil, fileError(path, err)
	}
	l.buffer = data
	cert, err := parseCertificate(&l.parser, path, data)
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

// loadPublic is load for a file of a directory of public certificates. If the file has a secret key
// after all, the certificate comes without it. Two of the errors do not mean that a certificate is
// bad: fs.ErrNotExist (the file is gone) and syscall.EISDIR (the name is a directory's, or that of
// a link to one).
func (l *certificateLoader) loadPublic(path string) (*Certificate, error) {
	cert, err := l.load(path)
	if err != nil {
		return nil, err
	}
	cert.Secret = nil
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
	results, err := readCertificates(dir, certificateLimit)
	if err != nil {
		return nil, err
	}
	certs := make(map[PublicKey]*Certificate, len(results))
	var errs []error
	for _, result := range results {
		if result.err != nil {
			errs = append(errs, result.err)
		} else if certs[result.cert.Public] == nil {
			certs[result.cert.Public] = result.cert
		}
	}
	return certs, errors.Join(errs...)
}

// maxLoaders is how many goroutines read one directory. More of them would only wait for the file
// system.
const maxLoaders = 8

// readCertificates reads all the certificates of a directory, in the order of their names.
func readCertificates(dir string, limit directoryLimit) ([]loadResult, error) {
	entries, err := limit.sortedCertificates(dir)
	if err != nil {
		return nil, err
	}
	if err := checkDirectory(dir); err != nil {
		return nil, fileError(dir, err)
	}
	results := make([]loadResult, len(entries))
	var next, size atomic.Int64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), maxLoaders, len(entries)) {
		workers.Go(func() {
			var loader certificateLoader
			for size.Load() <= limit.bytes {
				i := int(next.Add(1)) - 1
				if i >= len(entries) {
					return
				}
				results[i] = loader.loadEntry(dir, entries[i])
				size.Add(results[i].size())
			}
		})
	}
	workers.Wait()
	if size.Load() > limit.bytes {
		return nil, fileError(dir, limit.tooLarge())
	}
	return slices.DeleteFunc(results, loadResult.empty), nil
}

// isCertificateName tells whether a file of that name in a directory of certificates is one to
// read: no secret one, no dot file, no editor's backup or lock.
func isCertificateName(name string) bool {
	return name != "" && name[0] != '.' &&
		!strings.HasSuffix(name, secretSuffix) &&
		!strings.HasSuffix(name, "~") &&
		(name[0] != '#' || !strings.HasSuffix(name, "#"))
}

// What one directory of certificates may hold. All of it stays in memory. A directory with more is
// the wrong one, or its keys are better looked up by a callback.
const (
	maxCertificates     = 1 << 20 // files, at some 1 KB of memory each; broken ones count, too
	maxCertificatesSize = 1 << 30 // bytes of the files together, which metadata may take up
)

// directoryLimit is such a bound.
type directoryLimit struct {
	files int
	bytes int64
}

var certificateLimit = directoryLimit{files: maxCertificates, bytes: maxCertificatesSize}

const lookUpInstead = "a callback can look keys up wherever they are (ConfigureCurveCallback)"

func (l directoryLimit) tooMany() error {
	return fmt.Errorf("more than %d certificates in one directory; %s", l.files, lookUpInstead)
}

func (l directoryLimit) tooLarge() error {
	return fmt.Errorf("certificates of more than %d bytes in one directory; %s",
		l.bytes, lookUpInstead)
}

// entriesAtOnce bounds the memory that listing a directory takes, however many entries it has.
const entriesAtOnce = 4096

// listCertificates calls visit for the entries of a directory whose names are those of
// certificates, in no order, until visit returns false.
func listCertificates(dir string, visit func(fs.DirEntry) bool) error {
	d, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0) // so that opening a FIFO does not wait
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		entries, err := d.ReadDir(entriesAtOnce)
		for _, entry := range entries {
			if !entry.IsDir() && isCertificateName(entry.Name()) && !visit(entry) {
				return nil
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// sortedCertificates is the entries of a directory that may be certificates, in the order of their
// names.
func (l directoryLimit) sortedCertificates(dir string) ([]fs.DirEntry, error) {
	var found []fs.DirEntry
	err := listCertificates(dir, func(entry fs.DirEntry) bool {
		found = append(found, entry)
		return len(found) <= l.files
	})
	if err == nil && len(found) > l.files {
		err = l.tooMany()
	}
	if err != nil {
		return nil, fileError(dir, err)
	}
	slices.SortFunc(found, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return found, nil
}

// checkDirectory tells whether a directory of certificates can be trusted. Whoever can write it
// decides who gets in.
func checkDirectory(dir string) error {
	stamp, err := files.StampOf(dir)
	if err != nil {
		return err
	}
	return stamp.Check(dir)
}

// loadResult is one entry of a directory: a certificate, an error, or neither where there is
// nothing to read.
type loadResult struct {
	name  string
	cert  *Certificate
	err   error
	stamp files.Stamp
	link  bool // the name is that of a symbolic link
}

func (r loadResult) empty() bool { return r.cert == nil && r.err == nil }

// size is what the file of a certificate counts against the limit of its directory.
func (r loadResult) size() int64 {
	if r.cert == nil {
		return 0
	}
	return r.stamp.Size()
}

func (l *certificateLoader) loadEntry(dir string, entry fs.DirEntry) loadResult {
	result := loadResult{name: entry.Name()}
	if entry.IsDir() || !isCertificateName(entry.Name()) {
		return result
	}
	path := files.Below(dir, entry.Name())
	switch entry.Type() {
	case 0:
	case fs.ModeSymlink:
		result.link = true
	default: // opening some devices does something
		result.err = &FileError{File: path, Err: files.ErrNotRegular}
		return result
	}
	cert, err := l.loadPublic(path)
	removed := entry.Type() == 0 && errors.Is(err, fs.ErrNotExist) // meanwhile
	if removed || errors.Is(err, syscall.EISDIR) {
		return result
	}
	result.cert, result.err, result.stamp = cert, err, l.stamp
	return result
}

// loadNamed is loadEntry for a name that need not exist.
func (l *certificateLoader) loadNamed(dir, name string) loadResult {
	path := files.Below(dir, name)
	info, err := os.Lstat(path)
	switch {
	case files.IsGone(err):
		return loadResult{name: name}
	case err != nil:
		return loadResult{name: name, err: fileError(path, err)}
	}
	return l.loadEntry(dir, fs.FileInfoToDirEntry(info))
}
