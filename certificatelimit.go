package zmqauth

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// What one directory of certificates may hold: all of it stays in memory. A directory with more is
// mistaken for another, or its keys are better looked up by a callback.
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

// listCertificates hands the entries of a directory whose names are those of certificates to visit,
// in no order, until that returns false.
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
