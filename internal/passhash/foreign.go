package passhash

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// ForeignError is about a text that looks like a hash of another kind than bcrypt and argon2id.
type ForeignError struct {
	Prefix string // of the kind; "": it is unknown, and what stands there may be a password
	Clear  bool   // the text has a password in clear, or perhaps has
}

// Error repeats nothing but the prefix of a kind that is known.
func (e *ForeignError) Error() string {
	const good = "bcrypt ($2y$) and argon2id are"
	if e.Prefix == "" {
		return "what looks like a hash of an unknown kind: " + good
	}
	return fmt.Sprintf("a hash of a kind that is not understood (%s): %s", e.Prefix, good)
}

// foreignHash is how other hashes begin: in the modular crypt format ($6$, $apr1$), the PHC string
// format ($scrypt$), and with a scheme in braces as directories and mail servers have it ({SSHA}).
// Something follows.
var foreignHash = regexp.MustCompile(
	`^(\$[0-9A-Za-z][0-9A-Za-z-]*\$|\{[A-Za-z][0-9A-Za-z._-]*\}).`)

// checkForeign returns a *ForeignError if a text looks like another kind of hash.
func checkForeign(text string) error {
	found := foreignHash.FindStringSubmatch(text)
	if found == nil {
		return nil
	}
	prefix := found[1]
	if name, ok := strings.CutPrefix(prefix, "$"); ok {
		if !slices.Contains(cryptSchemes, strings.TrimSuffix(name, "$")) {
			return &ForeignError{Clear: true}
		}
		return &ForeignError{Prefix: prefix}
	}
	// Schemes in braces are the same in capitals. An error has them as the lists below have them.
	isScheme := func(name string) bool { return strings.EqualFold(name, prefix[1:len(prefix)-1]) }
	if at := slices.IndexFunc(clearSchemes, isScheme); at >= 0 {
		return &ForeignError{Prefix: "{" + clearSchemes[at] + "}", Clear: true}
	}
	if at := slices.IndexFunc(braceSchemes, isScheme); at >= 0 {
		return &ForeignError{Prefix: "{" + braceSchemes[at] + "}"}
	}
	return &ForeignError{Clear: true}
}

// cryptSchemes are kinds of hashes between dollar signs: those of crypt(5), of passlib, of the PHC
// and of Apache.
var cryptSchemes = []string{
	"1", "2", "2a", "2b", "2x", "2y", "3", "4", "5", "6", "7", "8", "9", "14",
	"apr1", "argon2", "argon2d", "argon2i", "argon2id", "bcrypt", "bcrypt-sha256", "gy",
	"md5", "pbkdf2", "pbkdf2-sha1", "pbkdf2-sha256", "pbkdf2-sha512", "scram", "scrypt",
	"sha1", "sm3", "y", "B", "H", "P", "S",
}

// braceSchemes are kinds of hashes in braces: those of OpenLDAP and Dovecot.
var braceSchemes = []string{
	"ARGON2", "ARGON2D", "ARGON2I", "ARGON2ID", "BCRYPT", "BLF-CRYPT", "CRAM-MD5", "CRYPT",
	"DES-CRYPT", "DIGEST-MD5", "HMAC-MD5", "KERBEROS", "LANMAN", "LDAP-MD5", "LM", "MD4", "MD5",
	"MD5-CRYPT", "NS-MTA-MD5", "NT", "NTLM", "PBKDF2", "PBKDF2-SHA1", "PBKDF2-SHA256",
	"PBKDF2-SHA512", "PLAIN-MD4", "PLAIN-MD5", "RPA", "SASL", "SCRAM-SHA-1", "SCRAM-SHA-256",
	"SHA", "SHA1", "SHA224", "SHA256", "SHA256-CRYPT", "SHA384", "SHA512", "SHA512-CRYPT", "SKEY",
	"SMD5", "SSHA", "SSHA1", "SSHA224", "SSHA256", "SSHA384", "SSHA512", "UNIX", "X-PBKDF2",
}

// clearSchemes say that a password in clear follows.
var clearSchemes = []string{"CLEAR", "CLEARTEXT", "PLAIN", "PLAIN-TRUNC"}
