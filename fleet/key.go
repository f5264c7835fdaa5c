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
	var space [spaceOfKey]byte
	return string(e.appendKey(space[:0]))
}

// spaceOfKey is enough for the key of an entry of KindKey.
const spaceOfKey = len(prefixKey) + 1 + maxName*4/3 + 3 + 2*len(zmqauth.PublicKey{})

func (e Entry) appendKey(to []byte) []byte {
	switch e.Kind {
	case KindKey:
		return hex.AppendEncode(append(appendDomain(to, prefixKey, e.Domain), '.'), e.PublicKey[:])
	case KindUser:
		return appendName(append(appendDomain(to, prefixUser, e.Domain), '.'), e.Name)
	case KindPrincipal:
		return appendName(append(appendDomain(to, prefixPrincipal, e.Domain), '.'), e.Name)
	case KindAddresses:
		return appendDomain(to, prefixAddresses, e.Domain)
	case KindServer:
		return append(append(to, prefixServer+"."...), e.Name...)
	case KindSums:
		return append(append(to, prefixSums+"."...), e.Name...)
	case KindMeta:
		return append(to, keyMeta...)
	}
	return append(to, e.key...)
}

func appendDomain(to []byte, prefix, domain string) []byte {
	to = append(append(to, prefix...), '.')
	if isToken(domain) {
		return append(to, domain...)
	}
	return appendName(append(to, '='), domain)
}

func appendName(to []byte, name string) []byte {
	return base64.RawURLEncoding.AppendEncode(to, []byte(name))
}

// decodeName reads base64url. A text that appendName does not write is found by comparing keys.
func decodeName(text string) (string, error) {
	name, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return "", fmt.Errorf("%.40q is not base64url", text)
	}
	return string(name), nil
}

// parseKey is an entry of which only the key is known.
func parseKey(key string) (e Entry, err error) {
	prefix, rest, _ := strings.Cut(key, ".")
	first, second, _ := strings.Cut(rest, ".")
	kind, parts := kindOf(prefix)
	if parts != 1+strings.Count(key, ".") {
		return e, fmt.Errorf("it is none of c.<domain>.<hex>, u.<domain>.<base64url>, " +
			"g.<domain>.<base64url>, a.<domain>, server.<id>, sums.<id>, meta")
	}
	e.Kind = kind
	switch kind {
	case KindServer, KindSums:
		e.Name = first
	case KindKey, KindUser, KindPrincipal, KindAddresses:
		e.Domain = first
		if text, encoded := strings.CutPrefix(first, "="); encoded {
			e.Domain, err = decodeName(text)
		}
	}
	switch {
	case err != nil:
	case kind == KindKey:
		e.PublicKey, err = decodeKey(second)
	case kind == KindUser, kind == KindPrincipal:
		e.Name, err = decodeName(second)
	}
	if err != nil {
		return e, err
	}
	var space [spaceOfKey]byte
	if string(e.appendKey(space[:0])) != key {
		err = fmt.Errorf("it would be written as %.80q", e.Key())
	}
	return e, err
}

// kindOf is the kind of an entry by the first part of its key, and how many parts there are. Zero:
// there is no such kind.
func kindOf(prefix string) (kind Kind, parts int) {
	switch prefix {
	case prefixKey:
		return KindKey, 3
	case prefixUser:
		return KindUser, 3
	case prefixPrincipal:
		return KindPrincipal, 3
	case prefixAddresses:
		return KindAddresses, 2
	case prefixServer:
		return KindServer, 2
	case prefixSums:
		return KindSums, 2
	case keyMeta:
		return KindMeta, 1
	}
	return 0, 0
}

func decodeKey(text string) (key zmqauth.PublicKey, err error) {
	if len(text) == 2*len(key) {
		_, err = hex.Decode(key[:], []byte(text))
	}
	if err != nil || len(text) != 2*len(key) {
		return zmqauth.PublicKey{}, fmt.Errorf("a public key has %d digits in hex", 2*len(key))
	}
	return key, nil
}
