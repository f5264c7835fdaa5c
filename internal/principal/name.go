package principal

import (
	"errors"
	"strings"
)

// splitName splits a principal in the form that Kerberos displays: components with slashes between
// them, an @, the realm (RFC 1964, section 2.1.1). A backslash takes the special meaning from the
// next character. splitName keeps the backslashes.
func splitName(name string) (components []string, realm string, err error) {
	if strings.IndexByte(name, 0) >= 0 {
		return nil, "", errors.New("a NUL byte")
	}
	start := 0
	for i := 0; i < len(name); i++ {
		switch name[i] {
		case '\\':
			i++
		case '/', '@':
			if i == start {
				return nil, "", errors.New("an empty component")
			}
			components = append(components, name[start:i])
			start = i + 1
			if name[i] == '@' {
				return components, name[start:], checkRealm(name[start:])
			}
		}
	}
	return nil, "", errors.New("no realm, as in alice@REALM")
}

func checkRealm(realm string) error {
	if realm == "" {
		return errors.New("the realm is empty")
	}
	for i := 0; i < len(realm); i++ {
		switch realm[i] {
		case '@':
			return errors.New("more than one @")
		case '\\':
			if i++; i == len(realm) {
				return errors.New("a backslash at the end")
			}
		}
	}
	return nil
}
