package stream

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// openSSL runs openssl and returns what it prints.
func openSSL(t testing.TB, arguments ...string) []byte {
	t.Helper()
	out, err := exec.CommandContext(patient(t), testpeer.Program(t, "openssl", "openssl"),
		arguments...).Output()
	must.OK(t, err)
	return out
}

// TestAuthoritiesAsOpenSSL: a CA file lets in the client's certificates that openssl verify accepts
// with it, for clients and for servers.
func TestAuthoritiesAsOpenSSL(t *testing.T) {
	openssl := testpeer.Program(t, "openssl", "openssl")
	ca, other := newAuthority(t, "CA"), newAuthority(t, "another CA")
	leaf := ca.issue("ann").cert
	plain, foreign := content(t, ca.file), content(t, other.file)
	trusted := func(options ...string) []byte {
		return openSSL(t, append([]string{"x509", "-in", ca.file, "-trustout"}, options...)...)
	}
	const anyUse = "anyExtendedKeyUsage"
	commented := commentOut(plain)
	swap := func(text []byte, from, to string) []byte {
		return bytes.ReplaceAll(text, []byte(from), []byte(to))
	}
	der, err := parseAuthorities(plain, clientUse)
	must.OK(t, err)
	raw := der.certificates[0].Raw
	for name, file := range map[string][]byte{
		"plain":                      plain,
		"another":                    foreign,
		"both":                       cat(foreign, plain),
		"empty":                      nil,
		"text":                       []byte("no certificate\n"),
		"commented out":              commented,
		"another, commented out":     cat(foreign, commented),
		"a comment before it":        cat([]byte("# -----BEGIN CERTIFICATE-----\n"), plain),
		"ENCRYPTED above it":         cat([]byte("ENCRYPTED\n"), plain),
		"BEGIN in a line of text":    cat([]byte("see -----BEGIN CERTIFICATE-----\n"), plain),
		"indented":                   swap(cat([]byte(" "), plain), "\n", "\n "),
		"the first line indented":    cat([]byte(" "), plain),
		"CRLF":                       swap(plain, "\n", "\r\n"),
		"a mark":                     cat([]byte("\ufeff"), plain),
		"a mark between":             cat(foreign, []byte("\ufeff"), plain),
		"half":                       plain[:len(plain)/2],
		"whole and half":             cat(plain, foreign[:100]),
		"half and whole":             cat(foreign[:100], plain),
		"X509 CERTIFICATE":           swap(plain, "CERTIFICATE", "X509 CERTIFICATE"),
		"a request's name":           swap(plain, "CERTIFICATE", "CERTIFICATE REQUEST"),
		"a key beside":               append(content(t, ca.issue("server").key), plain...),
		"trusted":                    trusted(),
		"trusted, no uses":           swap(plain, "CERTIFICATE", "TRUSTED CERTIFICATE"),
		"trusted for clients":        trusted("-addtrust", "clientAuth"),
		"trusted for servers":        trusted("-addtrust", "serverAuth"),
		"trusted for both":           trusted("-addtrust", "clientAuth", "-addtrust", "serverAuth"),
		"trusted for mail":           trusted("-addtrust", "emailProtection"),
		"trusted for any":            trusted("-addtrust", "anyExtendedKeyUsage"),
		"rejected for clients":       trusted("-addreject", "clientAuth"),
		"rejected for servers":       trusted("-addreject", "serverAuth"),
		"rejected for any":           trusted("-addreject", "anyExtendedKeyUsage"),
		"trusted and rejected":       trusted("-addtrust", "clientAuth", "-addreject", "clientAuth"),
		"trusted but for clients":    trusted("-addtrust", anyUse, "-addreject", "clientAuth"),
		"trusted, with a name":       trusted("-setalias", "ours", "-addtrust", "clientAuth"),
		"rejected, then plain":       append(trusted("-addreject", "clientAuth"), plain...),
		"an own kind of use":         trusted("-addtrust", "1.2.3.4"),
		"trusted for none":           pemOf(typeTrusted, raw, []byte{0x30, 2, 0x30, 0}),
		"trusted, uses cut off":      pemOf(typeTrusted, raw, []byte{0x30, 9, 0x30, 0}),
		"trusted, uses are a number": pemOf(typeTrusted, raw, []byte{2, 1, 0}),
	} {
		path := filepath.Join(t.TempDir(), "file.pem")
		must.OK(t, os.WriteFile(path, file, 0o600))
		for _, u := range []use{clientUse, serverUse} {
			purpose := map[string]string{"clients": "sslclient", "servers": "sslserver"}[u.name]
			said, err := exec.Command(openssl, "verify", "-no-CApath", "-no-CAstore", "-partial_chain",
				"-purpose", purpose, "-CAfile", path, leaf).CombinedOutput()
			if accepted := acceptedBy(path, u, leaf, t); accepted != (err == nil) {
				t.Errorf("%s, for %s: accepted %v, openssl says %v\n%s", name, u.name, accepted, err, said)
			}
		}
	}
}

// pemOf returns a PEM block with all of the parts.
func pemOf(kind string, parts ...[]byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: cat(parts...)})
}

// acceptedBy reports whether a CA file accepts a certificate for a use.
func acceptedBy(file string, u use, leaf string, t *testing.T) bool {
	t.Helper()
	a, err := readNow(authoritySource(file, u))
	if err != nil {
		return false
	}
	r := &rules{use: u, ca: a}
	chains, err := r.verify([]*x509.Certificate{certificateOf(t, leaf)}, time.Now())
	if err != nil {
		return false
	}
	_, err = r.choose(chains, time.Now())
	return err == nil
}

// certificateOf returns the first certificate of a file.
func certificateOf(t testing.TB, file string) *x509.Certificate {
	t.Helper()
	blocks, err := pemBlocks(content(t, file))
	must.OK(t, err)
	certificate, _, err := parseCertificate(blocks[0])
	must.OK(t, err)
	return certificate
}

// TestRejectedIntermediate: a certificate that the CA file rejects is in no chain, although its
// issuer is a CA of the file.
func TestRejectedIntermediate(t *testing.T) {
	openssl := testpeer.Program(t, "openssl", "openssl")
	root := newAuthority(t, "root")
	middle := root.subordinate("middle")
	leaf := middle.issue("ann").cert
	rejected := openSSL(t, "x509", "-in", middle.file, "-trustout", "-addreject", "clientAuth")
	for name, text := range map[string][]byte{"root": nil, "root, rejected": rejected} {
		path := filepath.Join(t.TempDir(), "file.pem")
		must.OK(t, os.WriteFile(path, append(content(t, root.file), text...), 0o600))
		a, err := readNow(authoritySource(path, clientUse))
		must.OK(t, err)
		r := &rules{use: clientUse, ca: a}
		peer := []*x509.Certificate{certificateOf(t, leaf), certificateOf(t, middle.file)}
		chains, err := r.verify(peer, time.Now())
		must.OK(t, err)
		_, err = r.choose(chains, time.Now())
		said, fault := exec.Command(openssl, "verify", "-no-CApath", "-no-CAstore", "-purpose",
			"sslclient", "-CAfile", path, "-untrusted", middle.file, leaf).CombinedOutput()
		if (err == nil) != (fault == nil) || (err == nil) != (text == nil) {
			t.Errorf("%s: %v, openssl says %v\n%s", name, err, fault, said)
		}
	}
}

// TestTextAboveKey: text says nothing of whether a key is encrypted. Keys that openssl has
// encrypted are refused.
func TestTextAboveKey(t *testing.T) {
	ca := newAuthority(t, "CA")
	server := ca.issue("server")
	key := content(t, server.key)
	dir := t.TempDir()
	pass := []string{"-aes128", "-passout", "pass:secret"}
	encrypted := openSSL(t, append([]string{"pkey", "-in", server.key}, pass...)...)
	old := openSSL(t, append([]string{"ec", "-in", server.key}, pass...)...)
	for name, c := range map[string]struct {
		text []byte
		good bool
	}{
		"text above":          {cat([]byte("Not ENCRYPTED\nProc-Type: 4,ENCRYPTED\n"), key), true},
		"encrypted":           {encrypted, false},
		"encrypted, RFC 1421": {old, false},
		"commented out":       {cat(commentOut(encrypted), key), true},
	} {
		file := filepath.Join(dir, "key.pem")
		replace(t, file, c.text)
		err := (&TLSAuthenticator{CertFile: server.cert, KeyFile: file}).Check()
		if (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && !strings.Contains(err.Error(), file+": the private key is encrypted") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
