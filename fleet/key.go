package fleet

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/zmqauth/zmqauth"
)

// The first parts of keys.
const (
	prefixKey       = "c"
	prefixUser      = "u"
	prefixPrincipal = "g"
	prefixAddresses = "a"
	prefixServer    = "server"
	prefixSums      = "sums"
	keyMeta         = "meta"
)

// Key is where a store keeps an entry:
//
//	c.<domain>.<the public key in hex>
//	u.<domain>.<the user's name in base64url>
//	g.<domain>.<the principal in base64url>
//	a.<domain>
//	server.<id>
//	sums.<id>
//	meta
//
// A domain of letters, digits, - and _ stands there as it is, every other one as = and its
// base64url. So keys are legal subjects of NATS. Key is empty where there is no such kind.
func (e Entry) Key() string {
	switch e.Kind {
	case KindKey:
		return prefixKey + "." + domainPart(e.Domain) + "." + hex.EncodeToString(e.PublicKey[:])
	case KindUser:
		return prefixUser + "." + domainPart(e.Domain) + "." + encodeName(e.Name)
	case KindPrincipal:
		return prefixPrincipal + "." + domainPart(e.Domain) + "." + encodeName(e.Name)
	case KindAddresses:
		return prefixAddresses + "." + domainPart(e.Domain)
	case KindServer:
		return prefixServer + "." + e.Name
	case KindSums:
		return prefixSums + "." + e.Name
	case KindMeta:
		return keyMeta
	}
	return e.key
}

func domainPart(domain string) string {
	if isToken(domain) {
		return domain
	}
	return "=" + encodeName(domain)
}

func encodeName(name string) string { return base64.RawURLEncoding.EncodeToString([]byte(name)) }

// decodeName reads base64url. A text that encodeName does not write is found by comparing keys.
func decodeName(text string) (string, error) {
	name, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return "", fmt.Errorf("%.40q is not base64url", text)
	}
	return string(name), nil
}

// parseKey is an entry of which only the key is known.
func parseKey(key string) (e Entry, err error) {
	parts := strings.Split(key, ".")
	kind := map[string]Kind{prefixKey: KindKey, prefixUser: KindUser, prefixPrincipal: KindPrincipal,
		prefixAddresses: KindAddresses, prefixServer: KindServer, prefixSums: KindSums,
		keyMeta: KindMeta}[parts[0]]
	want := map[Kind]int{KindKey: 3, KindUser: 3, KindPrincipal: 3, KindAddresses: 2, KindServer: 2,
		KindSums: 2, KindMeta: 1}[kind]
	if want != len(parts) {
		return e, fmt.Errorf("it is none of c.<domain>.<hex>, u.<domain>.<base64url>, " +
			"g.<domain>.<base64url>, a.<domain>, server.<id>, sums.<id>, meta")
	}
	e.Kind = kind
	switch kind {
	case KindServer, KindSums:
		e.Name = parts[1]
	case KindKey, KindUser, KindPrincipal, KindAddresses:
		e.Domain = parts[1]
		if text, encoded := strings.CutPrefix(parts[1], "="); encoded {
			e.Domain, err = decodeName(text)
		}
	}
	switch {
	case err != nil:
	case kind == KindKey:
		e.PublicKey, err = decodeKey(parts[2])
	case kind == KindUser, kind == KindPrincipal:
		e.Name, err = decodeName(parts[2])
	}
	if err == nil && e.Key() != key {
		err = fmt.Errorf("it would be written as %.80q", e.Key())
	}
	return e, err
}

func decodeKey(text string) (key zmqauth.PublicKey, err error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(key) {
		return key, fmt.Errorf("a public key has %d digits in hex", 2*len(key))
	}
	return zmqauth.PublicKey(raw), nil
}
