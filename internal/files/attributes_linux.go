package files

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// accessList is the attribute with the POSIX access control list of a file (acl(5)).
const accessList = "system.posix_acl_access"

// ofContent are the attributes that belong to the old content. The kernel makes them itself, or
// removes them with every write.
var ofContent = []string{"security.ima", "security.evm", "security.capability"}

// keepAttributes gives a new file the extended attributes of another. A new file may have an access
// control list from its directory, which would let in others: it loses that.
func keepAttributes(file, old *os.File) error {
	want, err := attributes(old)
	if err != nil {
		return err
	}
	have, err := attributes(file)
	if err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(want))
	// The access control list brings its mode with it, so that it comes last.
	if at, found := slices.BinarySearch(names, accessList); found {
		names = append(slices.Delete(names, at, at+1), accessList)
	} else if _, inherited := have[accessList]; inherited {
		if err := unix.Fremovexattr(int(file.Fd()), accessList); err != nil {
			return notKept("lack of an access control list", err)
		}
	}
	for _, name := range names {
		value, has := have[name]
		if has && bytes.Equal(value, want[name]) {
			continue
		}
		if err := unix.Fsetxattr(int(file.Fd()), name, want[name], 0); err != nil {
			return notKept(attributeText(name), err)
		}
	}
	return nil
}

func attributeText(name string) string {
	if name == accessList {
		return "access control list"
	}
	return fmt.Sprintf("attribute %q", name)
}

// attributes returns the extended attributes of a file by name, without those of its content.
func attributes(file *os.File) (map[string][]byte, error) {
	fd := int(file.Fd())
	list, err := sized(func(buffer []byte) (int, error) { return unix.Flistxattr(fd, buffer) })
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("its attributes: %w", err)
	}
	found := make(map[string][]byte)
	for name := range strings.SplitSeq(string(list), "\x00") {
		if name == "" || slices.Contains(ofContent, name) {
			continue
		}
		value, err := sized(func(buffer []byte) (int, error) {
			return unix.Fgetxattr(fd, name, buffer)
		})
		if errors.Is(err, unix.ENODATA) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, notKept(attributeText(name), err)
		}
		found[name] = value
	}
	return found, nil
}

// sized calls a function that fills a buffer, with one that is large enough. An empty buffer makes
// the function return the size.
func sized(fill func(buffer []byte) (int, error)) ([]byte, error) {
	for {
		size, err := fill(nil)
		if err != nil || size == 0 {
			return nil, err
		}
		buffer := make([]byte, size)
		n, err := fill(buffer)
		if err == nil {
			return buffer[:n], nil
		}
		if !errors.Is(err, unix.ERANGE) { // it has grown meanwhile
			return nil, err
		}
	}
}
