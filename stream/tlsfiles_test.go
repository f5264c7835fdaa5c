package stream

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
)

// FuzzKeyMaterial: files are used whole, or refused with an error that names one of them and
// repeats nothing of the key.
func FuzzKeyMaterial(f *testing.F) {
	ca := newAuthority(f, "CA")
	id := ca.issue("server")
	var seeds [][]byte
	for _, file := range []string{id.cert, id.key, ca.file} {
		content, err := os.ReadFile(file)
		must.OK(f, err)
		seeds = append(seeds, content)
	}
	f.Add(seeds[0], seeds[1], seeds[2])
	f.Add(seeds[2], seeds[1], seeds[0])
	f.Add(seeds[0], seeds[1][:len(seeds[1])/2], seeds[2])
	f.Add(append(seeds[1], seeds[0]...), seeds[1], append(seeds[2], seeds[0]...))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"),
		[]byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"), []byte{})
	f.Fuzz(func(t *testing.T, cert, key, ca []byte) {
		files := materialFiles{"the-cert", "the-key", "the-ca"}
		m, err := files.parse(map[string][]byte{"the-cert": cert, "the-key": key, "the-ca": ca})
		if err == nil {
			if m.certificate == nil || m.certificate.Leaf == nil || m.certificate.PrivateKey == nil ||
				m.ca == nil {
				t.Errorf("used by half: %+v", m)
			}
			return
		}
		text := err.Error()
		if m.certificate != nil || m.ca != nil {
			t.Errorf("used in spite of %v", err)
		}
		if !strings.HasPrefix(text, "stream: the-") {
			t.Errorf("%q names no file", text)
		}
		for line := range bytes.Lines(key) {
			if line = bytes.TrimSpace(line); len(line) >= 20 && strings.Contains(text, string(line)) {
				t.Errorf("%q repeats the key", text)
			}
		}
	})
}
