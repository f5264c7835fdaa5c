package stream

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testca"
)

// authority is a throwaway CA. Its files are in a directory of the test.
type authority struct {
	*testca.Authority
	t    testing.TB
	dir  string
	file string // its certificate
}

func newAuthority(t testing.TB, name string, change ...func(*x509.Certificate)) *authority {
	t.Helper()
	dir := t.TempDir()
	ca, err := testca.New(dir, name, change...)
	must.OK(t, err)
	return &authority{ca, t, dir, ca.File}
}

// subordinate makes a CA that this one has certified.
func (a *authority) subordinate(name string) *authority {
	a.t.Helper()
	dir := a.t.TempDir()
	ca, err := a.Subordinate(dir, name)
	must.OK(a.t, err)
	return &authority{ca, a.t, dir, ca.File}
}

// identity is a certificate file and its key file.
type identity struct{ cert, key string }

// issue makes a certificate for client and server alike, good for loopback, from an hour ago.
func (a *authority) issue(name string, change ...func(*x509.Certificate)) identity {
	a.t.Helper()
	id, err := a.Issue(name, change...)
	must.OK(a.t, err)
	return identity{id.CertFile, id.KeyFile}
}

func expired(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }

// replace replaces a file in one step.
func replace(t testing.TB, file string, content []byte) {
	t.Helper()
	must.OK(t, os.WriteFile(file+".new", content, 0o600))
	must.OK(t, os.Rename(file+".new", file))
}

func content(t testing.TB, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	must.OK(t, err)
	return text
}

// revoke returns a CRL with certificates, by their files.
func (a *authority) revoke(change func(*x509.RevocationList), files ...string) []byte {
	a.t.Helper()
	var revoked []*x509.Certificate
	for _, file := range files {
		revoked = append(revoked, certificateOf(a.t, file))
	}
	list, err := a.RevocationList(change, revoked...)
	must.OK(a.t, err)
	return list
}

// write makes a file of parts in a new directory.
func write(t testing.TB, parts ...[]byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	must.OK(t, os.WriteFile(file, cat(parts...), 0o600))
	return file
}

// commonNames returns attributes of a subject.
func commonNames(names ...string) (all []pkix.AttributeTypeAndValue) {
	for _, name := range names {
		all = append(all, pkix.AttributeTypeAndValue{Type: commonNameID, Value: name})
	}
	return all
}

// cat joins texts.
func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// commentOut returns a text each line of which begins with "# ".
func commentOut(text []byte) []byte {
	text = bytes.TrimSuffix(text, []byte("\n"))
	return cat([]byte("# "), bytes.ReplaceAll(text, []byte("\n"), []byte("\n# ")), []byte("\n"))
}
