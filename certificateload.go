package zmqauth

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/zmqauth/zmqauth/internal/certfile"
	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/zpl"
)

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
	maxCertificates     = 1 << 20 // files, at some 200 bytes of memory each; broken ones count, too
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

// listCertificates calls visit for the entries of a directory whose names are those of
// certificates, in no order, until visit returns false.
func listCertificates(dir *files.Dir, visit func(files.Entry) bool) error {
	return dir.Entries(func(entry files.Entry) bool {
		return entry.Type.IsDir() || !isCertificateName(entry.Name) || visit(entry)
	})
}

// sortedCertificates is the entries of a directory that may be certificates, in the order of their
// names.
func (l directoryLimit) sortedCertificates(dir *files.Dir) ([]files.Entry, error) {
	var found []files.Entry
	err := listCertificates(dir, func(entry files.Entry) bool {
		found = append(found, entry)
		return len(found) <= l.files
	})
	if err == nil && len(found) > l.files {
		err = l.tooMany()
	}
	slices.SortFunc(found, func(a, b files.Entry) int { return strings.Compare(a.Name, b.Name) })
	return found, err
}

// readCertificates reads all the certificates of a directory, in the order of their names. expect
// hears how many there may be, before the first. A result is valid until the next one. An error is
// the last that comes: the directory cannot be read, cannot be trusted or holds too much.
func readCertificates(
	path string, limit directoryLimit, expect func(count int),
) iter.Seq2[*loadResult, error] {
	return func(yield func(*loadResult, error) bool) {
		dir, err := files.OpenDir(path)
		if err != nil {
			yield(nil, fileError(path, err))
			return
		}
		defer dir.Close()
		entries, err := limit.sortedCertificates(dir)
		if err == nil {
			err = checkDirectory(dir, path)
		}
		if err == nil {
			expect(len(entries))
			size := int64(0)
			for result := range loadAll(dir, entries) {
				if size += result.size(); size > limit.bytes {
					err = limit.tooLarge()
					break
				}
				if !result.empty() && !yield(result, nil) {
					return
				}
			}
		}
		if err != nil {
			yield(nil, fileError(path, err))
		}
	}
}

// checkDirectory tells whether a directory of certificates can be trusted. Whoever can write it
// decides who gets in.
func checkDirectory(dir *files.Dir, path string) error {
	stamp, err := dir.Stamp()
	if err != nil {
		return err
	}
	return stamp.Check(path)
}

const (
	// maxLoaders is how many goroutines read one directory. More of them would only wait for the file
	// system.
	maxLoaders = 8
	// blockFiles is how many files one of them reads in a turn.
	blockFiles = 256
)

// loadAll reads files of a directory, several at once, and has their results in the order of
// entries. A result is valid until the next one. However many files there are, few results are in
// memory.
func loadAll(dir *files.Dir, entries []files.Entry) iter.Seq[*loadResult] {
	return func(yield func(*loadResult) bool) {
		var running sync.WaitGroup
		defer running.Wait()
		blocks := make([]loadBlock, min(runtime.GOMAXPROCS(0), maxLoaders)+1)
		rest := entries
		begin := func(b *loadBlock) {
			n := min(len(rest), blockFiles)
			b.entries, rest = rest[:n], rest[n:]
			b.loaded.Add(1)
			running.Go(func() { b.load(dir) })
		}
		for i := range blocks {
			begin(&blocks[i])
		}
		for i := 0; ; i = (i + 1) % len(blocks) {
			b := &blocks[i]
			b.loaded.Wait()
			for j := range b.results {
				if !yield(&b.results[j]) {
					return
				}
			}
			if len(b.entries) == 0 {
				return
			}
			begin(b)
		}
	}
}

// loadBlock is some files that one goroutine reads, one after the other.
type loadBlock struct {
	loader  certificateLoader
	entries []files.Entry
	results []loadResult
	loaded  sync.WaitGroup
}

func (b *loadBlock) load(dir *files.Dir) {
	defer b.loaded.Done()
	b.results = b.results[:0]
	for _, entry := range b.entries {
		b.results = append(b.results, b.loader.load(dir, entry))
	}
}

// loadResult is one entry of a directory: a certificate, an error, or neither where there is
// nothing to read.
type loadResult struct {
	name  string
	cert  Certificate // the zero value: none. Without a secret key, and nil for no metadata
	err   error
	stamp files.Stamp
	link  bool // the name is that of a symbolic link
}

func (r *loadResult) empty() bool { return r.cert.Public == PublicKey{} && r.err == nil }

// size is what the file of a certificate counts against the limit of its directory.
func (r *loadResult) size() int64 {
	if r.cert.Public == (PublicKey{}) {
		return 0
	}
	return r.stamp.Size()
}

// certificateLoader reads certificates of directories, one after another, and keeps the memory that
// this takes. The zero value is ready; it serves one goroutine.
type certificateLoader struct {
	buffer []byte
	parser zpl.Parser
}

// load reads an entry of a directory. If the file has a secret key after all, the certificate comes
// without it.
func (l *certificateLoader) load(dir *files.Dir, entry files.Entry) loadResult {
	result := loadResult{name: entry.Name}
	if entry.Type.IsDir() || !isCertificateName(entry.Name) {
		return result
	}
	switch entry.Type {
	case 0:
	case fs.ModeSymlink:
		result.link = true
	default: // opening some devices does something
		result.err = &FileError{File: dir.Below(entry.Name), Err: files.ErrNotRegular}
		return result
	}
	data, stamp, err := dir.Read(entry.Name, certfile.MaxSize, l.buffer)
	removed := entry.Type == 0 && errors.Is(err, fs.ErrNotExist) // meanwhile
	if removed || errors.Is(err, syscall.EISDIR) {
		return result
	}
	result.stamp = stamp
	if err != nil {
		result.err = fileError(dir.Below(entry.Name), err)
		return result
	}
	l.buffer = data
	if err := l.judge(dir, &result); err != nil {
		err.File = dir.Below(entry.Name)
		result.cert, result.err = Certificate{}, err
	}
	return result
}

// judge reads the certificate that is in the buffer, and checks whether its file can be trusted.
// The error lacks the file's name.
func (l *certificateLoader) judge(dir *files.Dir, result *loadResult) *FileError {
	if err := result.cert.parse(&l.parser, l.buffer); err != nil {
		return err
	}
	check := dir.Check
	if result.cert.Secret != nil {
		check = dir.CheckSecret
		result.cert.Secret = nil
	}
	if err := check(result.name, result.stamp); err != nil {
		return &FileError{Err: err}
	}
	return nil
}

// loadNamed is load for a name that need not exist.
func (l *certificateLoader) loadNamed(dir *files.Dir, name string) loadResult {
	path := dir.Below(name)
	info, err := os.Lstat(path)
	switch {
	case files.IsGone(err):
		return loadResult{name: name}
	case err != nil:
		return loadResult{name: name, err: fileError(path, err)}
	}
	return l.load(dir, files.Entry{Name: name, Type: info.Mode().Type()})
}
