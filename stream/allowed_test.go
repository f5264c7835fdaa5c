package stream

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"net/url"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
)

// named gives a certificate names of all kinds.
func named(c *x509.Certificate) {
	c.Subject.OrganizationalUnit = []string{"staff", "night shift"}
	c.DNSNames = []string{"Ann.Example.org", "a.b.example.org"}
	c.EmailAddresses = []string{"Ann@Example.org"}
	id, _ := url.Parse("spiffe://example.org/ns/prod/sa/ann")
	c.URIs = []*url.URL{id}
}

// TestAllowedNames: which names each pattern allows.
func TestAllowedNames(t *testing.T) {
	ca := newAuthority(t, "CA")
	ann := certificateOf(t, ca.issue("ann", named).cert)
	twice := certificateOf(t, ca.issue("twice", func(c *x509.Certificate) {
		c.Subject.CommonName = ""
		c.Subject.ExtraNames = append(c.Subject.ExtraNames, commonNames("mallory", "ann")...)
	}).cert)
	for entry, want := range map[string]bool{
		"CN=ann": true, "cn=ann": true, "CN=Ann": false, "CN=an": false, "CN=anna": false, "CN=a*": true,
		"CN=*": true, "CN=ann*": false, "CN=a.n": false, "CN=a*|x": false,
		"OU=staff": true, "OU=night shift": true, "OU=night *": true, "OU=day": false, "OU=ann": false,
		"DNS=ann.example.org": true, "DNS=ANN.EXAMPLE.ORG": true, "DNS=*.example.org": true,
		"DNS=*.org": false, "DNS=a.*.example.org": true, "DNS=*.*.*.org": true, "DNS=ann": false,
		"EMAIL=Ann@example.ORG": true, "EMAIL=ann@example.org": false, "EMAIL=*@example.org": true,
		"EMAIL=Ann@*": true, "EMAIL=*": false,
		"URI=spiffe://example.org/ns/prod/sa/ann": true, "URI=spiffe://example.org/ns/*/sa/*": true,
		"URI=spiffe://example.org/*": false, "URI=spiffe://example.org/**": true,
		"URI=spiffe://example.org/ns/prod/sa/ann/**": false, "URI=spiffe://*/ns/prod/sa/ann": true,
		"URI=spiffe://other.org/**": false, "URI=SPIFFE://example.org/**": false, "URI=**": true,
	} {
		a, err := newAllowed([]string{"CN=nobody", entry}, nil)
		must.OK(t, err)
		if err := a.check(ann); (err == nil) != want {
			t.Errorf("%s: %v", entry, err)
		}
		if err := a.check(twice); err == nil && strings.HasPrefix(entry, "CN") {
			t.Errorf("%s: a certificate with two common names is allowed", entry)
		}
	}
	for _, entry := range []string{"", "ann", "CN", "CN=", "=ann", "X=ann", "CN=a**", "DNS=**"} {
		if _, err := newAllowed([]string{entry}, nil); err == nil ||
			!strings.HasPrefix(err.Error(), "stream: AllowedNames: ") {
			t.Errorf("%q: %v", entry, err)
		}
	}
	any, err := newAllowed(nil, nil)
	must.OK(t, err)
	must.OK(t, any.check(ann))
	for what, lists := range map[string][2][]string{
		"no name": {{}, nil}, "no fingerprint": {nil, {}}, "neither": {{}, {}},
	} {
		none, err := newAllowed(lists[0], lists[1])
		must.OK(t, err)
		if none.check(ann) == nil {
			t.Errorf("%s is allowed, and ann gets in", what)
		}
	}
}

// TestAllowedFingerprints: fingerprints as tools write them, and a name besides.
func TestAllowedFingerprints(t *testing.T) {
	ca := newAuthority(t, "CA")
	ann, bob := ca.issue("ann"), ca.issue("bob")
	line := openSSL(t, "x509", "-in", ann.cert, "-noout", "-fingerprint", "-sha256")
	_, colons, _ := strings.Cut(strings.TrimSpace(string(line)), "=")
	sum := sha256.Sum256(certificateOf(t, ann.cert).Raw)
	for _, entry := range []string{colons, hex.EncodeToString(sum[:])} {
		a, err := newAllowed(nil, []string{entry})
		must.OK(t, err)
		must.OK(t, a.check(certificateOf(t, ann.cert)))
		if a.check(certificateOf(t, bob.cert)) == nil {
			t.Error("bob is allowed")
		}
		if a, err = newAllowed([]string{"CN=bob"}, []string{entry}); err != nil {
			t.Fatal(err)
		}
		if a.check(certificateOf(t, ann.cert)) == nil || a.check(certificateOf(t, bob.cert)) == nil {
			t.Error("one of two lists is enough")
		}
	}
	for _, entry := range []string{"", "zz", colons[3:], colons + ":00", "CN=ann"} {
		if _, err := newAllowed(nil, []string{entry}); err == nil {
			t.Errorf("%q is a fingerprint", entry)
		}
	}
}

// TestAllowedAtServer: a name that is not allowed is refused with an alert, and the log has it.
// SetAllowed changes the lists; wrong ones change nothing.
func TestAllowedAtServer(t *testing.T) {
	ca := newAuthority(t, "CA")
	ann, bob := config(ca.issue("ann", named), ca), config(ca.issue("bob"), ca)
	server := ca.issue("server")
	a := &TLSAuthenticator{CertFile: server.cert, KeyFile: server.key, CAFile: ca.file,
		AllowedNames: []string{"URI=spiffe://example.org/ns/*/sa/ann"}}
	address := start(t, &Server{Authenticator: a, Handler: echo})
	expect := func(allowed, refused TLSClient) {
		t.Helper()
		must.OK(t, sayHello(t, address, allowed))
		if err := sayHello(t, address, refused); err == nil ||
			!strings.Contains(err.Error(), "remote error: tls: ") {
			t.Errorf("%v", err)
		}
	}
	expect(ann, bob)
	if a.SetAllowed([]string{"bob"}, nil) == nil || a.SetAllowed(nil, []string{"bob"}) == nil {
		t.Error("no kind is a kind")
	}
	expect(ann, bob)
	must.OK(t, a.SetAllowed([]string{"CN=b*"}, nil))
	expect(bob, ann)
}

// TestListsNeedCertificates: lists where clients may come without a certificate are an error.
func TestListsNeedCertificates(t *testing.T) {
	ca := newAuthority(t, "CA")
	server := ca.issue("server")
	list := write(t, ca.revoke(nil))
	given, request := tls.VerifyClientCertIfGiven, tls.RequestClientCert
	for name, a := range map[string]*TLSAuthenticator{
		"names, no CA":              {AllowedNames: []string{"CN=ann"}},
		"no name, no CA":            {AllowedNames: []string{}},
		"fingerprints, no CA":       {AllowedFingerprints: []string{}},
		"names, if given":           {AllowedNames: []string{}, CAFile: ca.file, ClientAuth: &given},
		"names, not verified":       {AllowedNames: []string{}, CAFile: ca.file, ClientAuth: &request},
		"a CRL, no CA":              {CRLFile: list},
		"a CRL, not verified":       {CRLFile: list, CAFile: ca.file, ClientAuth: &request},
		"a wrong name":              {AllowedNames: []string{"ann"}, CAFile: ca.file},
		"a further pair, no file":   {Certificates: []CertificateFiles{{}}},
		"a further pair, not there": {Certificates: []CertificateFiles{{CertFile: "/nowhere"}}},
	} {
		a.CertFile, a.KeyFile = server.cert, server.key
		if err := a.Check(); err == nil || !strings.HasPrefix(err.Error(), "stream: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	must.OK(t, (&TLSAuthenticator{CertFile: server.cert, KeyFile: server.key, CAFile: ca.file,
		CRLFile: list, ClientAuth: &given}).Check())
	if (&TLSAuthenticator{}).SetAllowed([]string{}, nil) == nil {
		t.Error("lists of an Authenticator without a CA")
	}
}
