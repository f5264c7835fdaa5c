package stream

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestRevocationAsOpenSSL: a CRL file refuses the certificates that openssl verify refuses with it.
func TestRevocationAsOpenSSL(t *testing.T) {
	openssl := testpeer.Program(t, "openssl", "openssl")
	root, other := newAuthority(t, "root"), newAuthority(t, "other")
	namesake := newAuthority(t, "root")
	middle := root.subordinate("middle")
	ann, bob, eve := root.issue("ann").cert, middle.issue("bob").cert, middle.issue("eve").cert
	expired := func(l *x509.RevocationList) {
		l.ThisUpdate, l.NextUpdate = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	}
	future := func(l *x509.RevocationList) { l.ThisUpdate = time.Now().Add(time.Minute) }
	older := func(l *x509.RevocationList) { l.ThisUpdate = time.Now().Add(-time.Hour) }
	hold := func(l *x509.RevocationList) { l.RevokedCertificateEntries[0].ReasonCode = 6 }
	critical := func(l *x509.RevocationList) {
		l.ExtraExtensions = []pkix.Extension{{Id: oid{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
	}
	rootList, middleList := root.revoke(nil), middle.revoke(nil)
	block, _ := pem.Decode(root.revoke(nil, ann))
	for name, lists := range map[string][]byte{
		"nothing":                     cat(rootList, middleList),
		"the other way round":         cat(middleList, rootList),
		"ann":                         cat(root.revoke(nil, ann), middleList),
		"ann, on hold":                cat(root.revoke(hold, ann), middleList),
		"bob":                         cat(rootList, middle.revoke(nil, bob)),
		"bob and eve":                 cat(rootList, middle.revoke(nil, bob, eve)),
		"the middle":                  cat(root.revoke(nil, middle.file), middleList),
		"no list of the middle":       rootList,
		"no list of the root":         middleList,
		"another's list":              other.revoke(nil, ann),
		"another's list besides":      cat(other.revoke(nil, ann), rootList, middleList),
		"expired":                     cat(root.revoke(expired), middleList),
		"expired, of the middle":      cat(rootList, middle.revoke(expired)),
		"of tomorrow":                 cat(root.revoke(future), middleList),
		"an older one has ann":        cat(root.revoke(older, ann), rootList, middleList),
		"the newer one has ann":       cat(root.revoke(older), root.revoke(nil, ann), middleList),
		"an expired one besides":      cat(root.revoke(expired, ann), rootList, middleList),
		"of a namesake":               cat(namesake.revoke(nil), middleList),
		"with a critical extension":   cat(root.revoke(critical), middleList),
		"of a namesake of the middle": cat(rootList, root.subordinate("middle").revoke(nil)),
		"commented out":               commentOut(rootList),
	} {
		file := write(t, lists)
		for _, leaf := range []string{ann, bob, eve} {
			said, err := exec.Command(openssl, "verify", "-no-CApath", "-no-CAstore", "-crl_check_all",
				"-purpose", "sslclient", "-CAfile", root.file, "-untrusted", middle.file, "-CRLfile", file,
				leaf).CombinedOutput()
			if mine := revokedBy(t, root.file, file, leaf, middle.file); (mine == nil) != (err == nil) {
				t.Errorf("%s, %s: %v, openssl says %v\n%s", name, filepath.Base(leaf), mine, err, said)
			}
		}
	}
	for want, c := range map[string]struct{ lists, leaf string }{
		"is revoked":                        {write(t, block.Bytes), ann},
		`no revocation list of "CN=middle"`: {write(t, block.Bytes, block.Bytes), bob},
	} {
		err := revokedBy(t, root.file, c.lists, c.leaf, middle.file)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("DER: %v, want %q", err, want)
		}
	}
}

// revokedBy returns why a client of a CA file and a CRL file is refused; nil: it is not.
func revokedBy(t *testing.T, ca, lists, leaf, middle string) error {
	t.Helper()
	cas, err := readNow(authoritySource(ca, clientUse))
	must.OK(t, err)
	revoked, err := readNow(revocationSource(lists, func() *authorities { return cas }))
	if err != nil {
		if !strings.HasPrefix(err.Error(), "stream: "+lists+": ") {
			t.Errorf("%v does not name the file", err)
		}
		return err
	}
	r := &rules{use: clientUse, ca: cas, revoked: revoked}
	chains, err := r.verify([]*x509.Certificate{certificateOf(t, leaf), certificateOf(t, middle)},
		time.Now())
	must.OK(t, err)
	_, err = r.choose(chains, time.Now())
	return err
}

// TestBrokenRevocationFile: what is wrong with a CRL file is said, with its name.
func TestBrokenRevocationFile(t *testing.T) {
	ca, namesake := newAuthority(t, "CA"), newAuthority(t, "CA")
	server := ca.issue("server")
	good := ca.revoke(nil)
	part := func(l *x509.RevocationList) {
		l.ExtraExtensions = []pkix.Extension{ // a delta list, RFC 5280, section 5.2.4
			{Id: oid{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}}
	}
	indirect := func(l *x509.RevocationList) {
		l.RevokedCertificateEntries = []x509.RevocationListEntry{{
			SerialNumber: big.NewInt(1), RevocationTime: time.Now(), ExtraExtensions: []pkix.Extension{
				{Id: oid{2, 5, 29, 29}, Critical: true, Value: []byte{0x30, 0}}},
		}}
	}
	for name, c := range map[string]struct {
		text []byte
		want string
	}{
		"empty":         {nil, "no certificate revocation list in it"},
		"text":          {[]byte("no list"), ""},
		"a certificate": {content(t, ca.file), "no certificate revocation list in it"},
		"half":          {good[:len(good)/2], "of 1 PEM blocks only 0"},
		"and a half":    {cat(good, good[:100]), "of 2 PEM blocks only 1"},
		"delta":         {ca.revoke(part), "revocation list 1: it is only a part"},
		"indirect":      {ca.revoke(indirect), "revocation list 1: it is only a part"},
		"a namesake's": {cat(good, namesake.revoke(nil)),
			`revocation list 2: the CA "CN=CA" has not signed it`},
		"broken": {pemOf("X509 CRL", []byte{0x30, 0}), "revocation list 1: "},
	} {
		file := write(t, c.text)
		err := (&TLSAuthenticator{CertFile: server.cert, KeyFile: server.key, CAFile: ca.file,
			CRLFile: file}).Check()
		if err == nil || !strings.HasPrefix(err.Error(), "stream: "+file+": "+c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRevocationReload: a certificate that is revoked is refused from the next handshake on. A
// broken list is logged, and leaves the one of before in force until StaleLimit.
func TestRevocationReload(t *testing.T) {
	ca := newAuthority(t, "CA")
	server, ann, bob := ca.issue("server"), ca.issue("ann"), ca.issue("bob")
	file := write(t, ca.revoke(nil, bob.cert))
	g := newAging(t, &TLSAuthenticator{CertFile: server.cert, KeyFile: server.key, CAFile: ca.file,
		CRLFile: file, StaleLimit: 10 * time.Minute})
	address := start(t, &Server{Authenticator: g.TLSAuthenticator, Handler: echo})
	expect := func(annIn, bobIn bool) {
		t.Helper()
		for client, in := range map[identity]bool{ann: annIn, bob: bobIn} {
			if err := sayHello(t, address, config(client, ca)); (err == nil) != in {
				t.Errorf("%s: %v", client.cert, err)
			}
		}
	}
	expect(true, false)
	replace(t, file, ca.revoke(nil, ann.cert))
	expect(false, true)
	replace(t, file, ca.revoke(nil, ann.cert)[:100])
	expect(false, true)
	if n := g.lines(file); n != 2 || g.lines("level=ERROR") != 1 { // the change, and the error
		t.Errorf("%d lines\n%s", n, g.log)
	}
	g.pass(11 * time.Minute)
	expect(false, false)
	replace(t, file, ca.revoke(nil))
	expect(true, true)
	g.pass(51 * time.Minute) // behind the end of the list
	expect(false, false)
	if g.lines("a revocation list has expired") != 1 {
		t.Errorf("nothing is said of the end:\n%s", g.log)
	}
}

// TestClientRevocation: a client refuses a server whose certificate is revoked.
func TestClientRevocation(t *testing.T) {
	ca := newAuthority(t, "CA")
	server := ca.issue("server")
	address := start(t, &Server{Handler: echo,
		Authenticator: &TLSAuthenticator{CertFile: server.cert, KeyFile: server.key}})
	client := TLSClient{CAFile: ca.file, CRLFile: write(t, ca.revoke(nil))}
	must.OK(t, sayHello(t, address, client))
	client.CRLFile = write(t, ca.revoke(nil, server.cert))
	err := sayHello(t, address, client)
	if err == nil || !strings.Contains(err.Error(), "is revoked") {
		t.Errorf("%v", err)
	}
	client.CRLFile = write(t, newAuthority(t, "another CA").revoke(nil))
	if err := sayHello(t, address, client); err == nil ||
		!strings.Contains(err.Error(), "no revocation list of") {
		t.Errorf("%v", err)
	}
	client.InsecureSkipVerify = true
	if err := sayHello(t, address, client); err == nil {
		t.Error("a list that nobody looks at")
	}
}

// FuzzRevocations: a CRL file is used whole, or refused with an error that names it.
func FuzzRevocations(f *testing.F) {
	ca := newAuthority(f, "CA")
	cas, err := parseAuthorities(content(f, ca.file), clientUse)
	must.OK(f, err)
	list := ca.revoke(nil, ca.issue("ann").cert)
	block, _ := pem.Decode(list)
	f.Add(list)
	f.Add(block.Bytes)
	f.Add(cat(list, list[:100]))
	f.Fuzz(func(t *testing.T, text []byte) {
		source := revocationSource("the-list", func() *authorities { return cas })
		r, err := source.parse(map[string][]byte{"the-list": text})
		if (err == nil) != (r != nil && len(r.lists) > 0) {
			t.Errorf("%v, %v", r, err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "stream: the-list: ") {
			t.Errorf("%q does not name the file", err)
		}
	})
}
