package zmqauth

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestLoadCertificatesOpensNoSecret has the kernel report which files are opened.
func TestLoadCertificatesOpensNoSecret(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		if _, _, err := CreateCertificates(dir, name, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{".hidden", "a.key~", "#a.key#"} {
		writeFile(t, filepath.Join(dir, name), "", 0o644)
	}
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC | syscall.IN_NONBLOCK)
	if err != nil {
		t.Fatalf("no inotify: %v", err) // without it nothing would be shown
	}
	watch := os.NewFile(uintptr(fd), "inotify")
	t.Cleanup(func() { watch.Close() })
	if _, err := syscall.InotifyAddWatch(fd, dir, syscall.IN_OPEN); err != nil {
		t.Fatal(err)
	}
	if certs, err := LoadCertificates(dir); err != nil || len(certs) != 2 {
		t.Fatalf("%v, %v", certs, err)
	}
	buffer := make([]byte, 64<<10)
	n, err := watch.Read(buffer)
	if err != nil {
		t.Fatal(err)
	}
	var opened []string
	for at := 0; at < n; {
		length := int(binary.NativeEndian.Uint32(buffer[at+12:]))
		start := at + syscall.SizeofInotifyEvent
		at = start + length
		name := strings.TrimRight(string(buffer[start:at]), "\x00")
		if name != "" { // an event of the directory itself has no name
			opened = append(opened, name)
		}
	}
	slices.Sort(opened)
	if !slices.Equal(opened, []string{"a.key", "b.key"}) {
		t.Errorf("opened %q", opened)
	}
}
