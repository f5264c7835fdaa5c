package stream

import (
	"cmp"
	"errors"
	"fmt"
	"syscall"

	"github.com/zmqauth/zmqauth/internal/files"
)

// maxFileSize is the largest certificate, key or CA file in bytes. A system's whole bundle of CAs
// has some 250 KB.
const maxFileSize = 16 << 20

// materialFiles are the names of the files that key material is read from.
type materialFiles struct {
	cert, key, ca string // "": none; a key "" is in the certificate's file
}

// names returns the names of the files that are set.
func (f materialFiles) names() []string {
	var names []string
	for _, name := range []string{f.cert, f.key, f.ca} {
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}

// fileError adds the file's name to an error.
func fileError(file string, err error) error {
	if errors.Is(err, syscall.EISDIR) {
		err = files.ErrNotRegular
	}
	return fmt.Errorf("stream: %s: %w", file, err)
}

// read returns the content of the files by name, and the stamps of the files that it has read. A
// file that users other than root and this one can write is refused, and so is a private key that
// others can read.
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
