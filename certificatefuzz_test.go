package zmqauth

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/certfile"
	"github.com/zmqauth/zmqauth/internal/zpl"
)

func FuzzCertificate(f *testing.F) {
	files, err := filepath.Glob("internal/zpl/testdata/corpus/*.zpl")
	if err != nil || len(files) < 60 {
		f.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, text := range []string{
		"metadata\n    a = it's \"x\"\n    not-after = 2026-01-01T00:00:00Z\n" +
			"curve\n    public-key = \"PUBLIC\"\n    secret-key = \"SECRET\"\n",
		"curve\n    public-key = 'PUBLIC' # x\nmetadata\n    a\n        b = 1\nother = 1\n",
		"curve\r    public-key = OTHER\r",
	} {
		f.Add(withKeys(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cert, err := parseCertificate(new(zpl.Parser), "f", data)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "zmqauth: f") {
				t.Fatalf("error %v", err)
			}
			return
		}
		text, err := cert.encode(cert.Secret != nil)
		// The quotes and blanks that are added may be too much for a line or a file.
		if errors.Is(err, zpl.ErrLineTooLong) || errors.Is(err, certfile.ErrTooLarge) {
			return
		}
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := parseCertificate(new(zpl.Parser), "f", text)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, text)
		}
		if !again.equal(cert) {
			t.Fatalf("read %+v, written and read again %+v", cert, again)
		}
	})
}
