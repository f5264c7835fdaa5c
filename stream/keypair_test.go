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
		content := map[string][]byte{"the-cert": cert, "the-key": key, "the-ca": ca}
		pair, err := pairSource("the-cert", "the-key").parse(content)
		if err == nil && (pair.Leaf == nil || pair.PrivateKey == nil) {
			t.Errorf("used by half: %+v", pair)
		}
		authorities, fault := authoritySource("the-ca", clientUse).parse(content)
		if fault == nil && len(authorities.certificates)+len(authorities.rejected) == 0 {
			t.Error("a CA file without a certificate is used")
		}
		if pair != nil && err != nil || authorities != nil && fault != nil {
			t.Errorf("used in spite of %v, %v", err, fault)
		}
		for _, err := range []error{err, fault} {
			if err != nil && !strings.HasPrefix(err.Error(), "stream: the-") {
				t.Errorf("%q names no file", err)
			}
		}
		if err == nil {
			return
		}
		text := err.Error()
		for line := range bytes.Lines(key) {
			if line = bytes.TrimSpace(line); len(line) >= 20 && strings.Contains(text, string(line)) {
				t.Errorf("%q repeats the key", text)
			}
		}
	})
}
