package stream

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
)

// allowed are the certificates that are let in, of those that a CA has signed.
type allowed struct {
	names        []pattern                  // nil: any name
	fingerprints map[[sha256.Size]byte]bool // nil: any certificate
}

// pattern is an entry of AllowedNames.
type pattern struct {
	kind *nameKind
	text *regexp.Regexp
}

// nameKind is a kind of name that a certificate may have.
type nameKind struct {
	name string
	// part is the regular expression for what * stands for.
	part string
	// names returns the certificate's names of the kind.
	names func(*x509.Certificate) []string
	// fold makes names that mean the same the same text; nil: they differ if their texts do.
	fold func(string) string
}

var nameKinds = []*nameKind{
	{"CN", ".+", commonName, nil},
	{"OU", ".+", func(c *x509.Certificate) []string { return c.Subject.OrganizationalUnit }, nil},
	{"DNS", "[^.]+", func(c *x509.Certificate) []string { return c.DNSNames }, strings.ToLower},
	{"EMAIL", "[^@]+", func(c *x509.Certificate) []string { return c.EmailAddresses }, foldHost},
	{"URI", "[^/?#]+", uris, nil},
}

var commonNameID = asn1.ObjectIdentifier{2, 5, 4, 3}

// commonName returns the common name. A certificate with several has none: which of them its owner
// was to be known by is anybody's guess.
func commonName(c *x509.Certificate) (names []string) {
	for _, name := range c.Subject.Names {
		if text, ok := name.Value.(string); ok && name.Type.Equal(commonNameID) {
			names = append(names, text)
		}
	}
	if len(names) != 1 {
		return nil
	}
	return names
}

func uris(c *x509.Certificate) (all []string) {
	for _, uri := range c.URIs {
		all = append(all, uri.String())
	}
	return all
}

// foldHost makes the part of an address behind the last @ lower-case.
func foldHost(address string) string {
	at := strings.LastIndexByte(address, '@') + 1
	return address[:at] + strings.ToLower(address[at:])
}

// newAllowed reads AllowedNames and AllowedFingerprints. A nil list allows any certificate, an
// empty one none.
func newAllowed(names, fingerprints []string) (*allowed, error) {
	a := &allowed{}
	if names != nil {
		a.names = make([]pattern, 0, len(names))
	}
	for _, text := range names {
		p, err := newPattern(text)
		if err != nil {
			return nil, fmt.Errorf("stream: AllowedNames: %q: %w", text, err)
		}
		a.names = append(a.names, p)
	}
	if fingerprints != nil {
		a.fingerprints = make(map[[sha256.Size]byte]bool)
	}
	for _, text := range fingerprints {
		sum, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
		if err != nil || len(sum) != sha256.Size {
			return nil, fmt.Errorf("stream: AllowedFingerprints: %q: want SHA-256 in hexadecimal, "+
				"64 digits: openssl x509 -noout -fingerprint -sha256", text)
		}
		a.fingerprints[[sha256.Size]byte(sum)] = true
	}
	return a, nil
}

func newPattern(entry string) (pattern, error) {
	kind, text, found := strings.Cut(entry, "=")
	if !found || text == "" {
		return pattern{}, fmt.Errorf("want KIND=NAME")
	}
	for _, k := range nameKinds {
		if strings.EqualFold(kind, k.name) {
			expression, err := k.expression(text)
			return pattern{k, expression}, err
		}
	}
	return pattern{}, fmt.Errorf("unknown kind: want CN, OU, DNS, EMAIL or URI")
}

// expression returns what a pattern of the kind matches.
func (k *nameKind) expression(text string) (*regexp.Regexp, error) {
	if k.fold != nil {
		text = k.fold(text)
	}
	var all []string
	for i, piece := range strings.Split(text, "**") {
		if i > 0 && k.name != "URI" {
			return nil, fmt.Errorf("** is for URI alone")
		}
		var parts []string
		for _, part := range strings.Split(piece, "*") {
			parts = append(parts, regexp.QuoteMeta(part))
		}
		all = append(all, strings.Join(parts, k.part))
	}
	return regexp.Compile(`(?s)\A` + strings.Join(all, ".+") + `\z`)
}

// matches reports whether a certificate has a name that the pattern matches.
func (p pattern) matches(c *x509.Certificate) bool {
	for _, name := range p.kind.names(c) {
		if p.kind.fold != nil {
			name = p.kind.fold(name)
		}
		if p.text.MatchString(name) {
			return true
		}
	}
	return false
}

// check returns an error if a certificate is not allowed. Each list that is not nil must allow it.
func (a *allowed) check(c *x509.Certificate) error {
	if a == nil {
		return nil
	}
	if a.names != nil {
		found := false
		for _, p := range a.names {
			found = found || p.matches(c)
		}
		if !found {
			return fmt.Errorf("no name of the certificate of %q is allowed", c.Subject)
		}
	}
	if a.fingerprints != nil {
		if sum := sha256.Sum256(c.Raw); !a.fingerprints[sum] {
			return fmt.Errorf("the fingerprint of the certificate of %q is not allowed: %x",
				c.Subject, sum)
		}
	}
	return nil
}
