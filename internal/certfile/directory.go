package certfile

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

	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/pause"
	"github.com/zmqauth/zmqauth/internal/zpl"
)

// IsName tells whether a file of that name in a directory of certificates is one to
// read: no secret one, no dot file, no editor's backup or lock.
func IsName(name string) bool {
	return name != "" && name[0] != '.' &&
		!strings.HasSuffix(name, SecretSuffix) &&
		!strings.HasSuffix(name, "~") &&
		(name[0] != '#' || !strings.HasSuffix(name, "#"))
}

// What one directory of certificates may hold. All of it stays in memory. A directory with more is
// the wrong one, or its keys are better looked up by a callback.
const (
	maxCertificates     = 1 << 20 // files, at some 200 bytes of memory each; broken ones count, too
	maxCertificatesSize = 1 << 30 // bytes of the files together, which metadata may take up
)

// Limit is such a bound.
type Limit struct {
	Files int
	Bytes int64
}

// Bounds is the limit of each directory.
var Bounds = Limit{Files: maxCertificates, Bytes: maxCertificatesSize}

const lookUpInstead = "a callback can look keys up wherever they are (ConfigureCurveCallback)"

// TooMany is the error of a directory with more files.
func (l Limit) TooMany() error {
	return fmt.Errorf("more than %d certificates in one directory; %s", l.Files, lookUpInstead)
}

// TooLarge is the error of a directory with more bytes.
func (l Limit) TooLarge() error {
	return fmt.Errorf("certificates of more than %d bytes in one directory; %s",
		l.Bytes, lookUpInstead)
}

// List calls visit for the entries of a directory whose names are those of
// certificates, in no order, until visit returns false.
func List(dir *files.Dir, visit func(files.Entry) bool) error {
	return dir.Entries(func(entry files.Entry) bool {
		return entry.Type.IsDir() || !IsName(entry.Name) || visit(entry)
	})
}

// sortedCertificates is the entries of a directory that may be certificates, in the order of their
// names.
func (l Limit) sortedCertificates(dir *files.Dir) ([]files.Entry, error) {
	var found []files.Entry
	err := List(dir, func(entry files.Entry) bool {
		found = append(found, entry)
		return len(found) <= l.Files
	})
	if err == nil && len(found) > l.Files {
		err = l.TooMany()
	}
	slices.SortFunc(found, func(a, b files.Entry) int { return strings.Compare(a.Name, b.Name) })
	return found, err
}

// ReadAll reads all the certificates of a directory, in the order of their names. expect
// hears how many there may be, before the first. A result is valid until the next one. An error is
// the last that comes: the directory cannot be read, cannot be trusted or holds too much.
func ReadAll(
	path string, limit Limit, expect func(count int),
) iter.Seq2[*Result, error] {
	return func(yield func(*Result, error) bool) {
		dir, err := files.OpenDir(path)
		if err != nil {
			yield(nil, err)
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
				if size += result.Size(); size > limit.Bytes {
					err = limit.TooLarge()
					break
				}
				if !result.IsEmpty() && !yield(result, nil) {
					return
				}
			}
		}
		if err != nil {
			yield(nil, err)
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
func loadAll(dir *files.Dir, entries []files.Entry) iter.Seq[*Result] {
	return func(yield func(*Result) bool) {
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

// pauseFiles is how many files are read without a pause.
const pauseFiles = 8

// loadBlock is some files that one goroutine reads, one after the other.
type loadBlock struct {
	loader  Loader
	entries []files.Entry
	results []Result
	loaded  sync.WaitGroup
}

func (b *loadBlock) load(dir *files.Dir) {
	defer b.loaded.Done()
	b.results = b.results[:0]
	for i, entry := range b.entries {
		if i%pauseFiles == 0 {
			pause.Now()
		}
		b.results = append(b.results, b.loader.load(dir, entry))
	}
}

// Result is one entry of a directory: a certificate, an error, or neither where there is
// nothing to read.
type Result struct {
	Name        string
	Certificate             // the zero value: none. Without a secret key
	Err         error       // without the path; a *zpl.Error where a line is to blame
	Stamp       files.Stamp // of the file
	IsLink      bool        // the name is that of a symbolic link
}

// IsEmpty tells whether there is nothing to read.
func (r *Result) IsEmpty() bool { return r.Public == [32]byte{} && r.Err == nil }

// Size is what the file of a certificate counts against the limit of its directory.
func (r *Result) Size() int64 {
	if r.Public == [32]byte{} {
		return 0
	}
	return r.Stamp.Size()
}

// Loader reads certificates of directories, one after another, and keeps the memory that
// this takes. The zero value is ready; it serves one goroutine.
type Loader struct {
	buffer []byte
	parser zpl.Parser
}

// load reads an entry of a directory. If the file has a secret key after all, the certificate comes
// without it.
func (l *Loader) load(dir *files.Dir, entry files.Entry) Result {
	result := Result{Name: entry.Name}
	if entry.Type.IsDir() || !IsName(entry.Name) {
		return result
	}
	switch entry.Type {
	case 0:
	case fs.ModeSymlink:
		result.IsLink = true
	default: // opening some devices does something
		result.Err = files.ErrNotRegular
		return result
	}
	data, stamp, err := dir.Read(entry.Name, MaxSize, l.buffer)
	removed := entry.Type == 0 && errors.Is(err, fs.ErrNotExist) // meanwhile
	if removed || errors.Is(err, syscall.EISDIR) {
		return result
	}
	result.Stamp = stamp
	if err != nil {
		result.Err = files.Bare(err)
		return result
	}
	l.buffer = data
	if err := l.judge(dir, &result); err != nil {
		result.Certificate, result.Err = Certificate{}, err
	}
	return result
}

// judge reads the certificate that is in the buffer, and checks whether its file can be trusted.
func (l *Loader) judge(dir *files.Dir, result *Result) (err error) {
	if result.Certificate, err = Parse(&l.parser, l.buffer); err != nil {
		return err
	}
	if result.Secret != nil {
		result.Secret = nil
		return dir.CheckSecret(result.Name, result.Stamp)
	}
	return dir.Check(result.Name, result.Stamp)
}

// LoadNamed is load for a name that need not exist.
func (l *Loader) LoadNamed(dir *files.Dir, name string) Result {
	info, err := os.Lstat(dir.Below(name))
	switch {
	case files.IsGone(err):
		return Result{Name: name}
	case err != nil:
		return Result{Name: name, Err: files.Bare(err)}
	}
	return l.load(dir, files.Entry{Name: name, Type: info.Mode().Type()})
}
