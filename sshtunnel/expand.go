package sshtunnel

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unicode"
)

// tokens are the values of %X, by X (ssh_config(5), TOKENS).
type tokens map[byte]string

// tokenValues are what tokens stand for that depends on the host.
type tokenValues struct {
	given string // the host as it was given
	host  string // to dial
	port  int
	user  string
	alias string // HostKeyAlias
}

// allTokens returns the tokens that file names and commands may have.
func allTokens(home, localUser string, v tokenValues) tokens {
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "localhost"
	}
	short, _, _ := strings.Cut(hostname, ".")
	port := strconv.Itoa(v.port)
	hash := sha1.Sum([]byte(hostname + v.host + port + v.user))
	return tokens{
		'C': hex.EncodeToString(hash[:]),
		'd': home, 'h': v.host, 'i': strconv.Itoa(os.Getuid()),
		'k': v.alias, 'L': short, 'l': hostname, 'n': v.given,
		'p': port, 'r': v.user, 'u': localUser,
	}
}

// expand replaces each %X with the value of token X, and %% with %.
func expand(text string, known tokens) (string, error) {
	return expandWith(text, func(token byte) (string, error) {
		value, ok := known[token]
		if !ok {
			return "", fmt.Errorf("%q: %%%c is not known here", text, token)
		}
		return value, nil
	})
}

// constantTokens are the tokens whose values no other machine or user chooses: a hash, the home
// directory, a user's number and a port.
const constantTokens = "Cdip"

// expandCommand is expand for a command that a shell runs. The names of the host and the user may
// come from elsewhere than the file. They must not have characters that mean something to a shell.
func expandCommand(text string, known tokens) (string, error) {
	return expandWith(text, func(token byte) (string, error) {
		value, ok := known[token]
		switch {
		case !ok:
			return "", fmt.Errorf("%q: %%%c is not known here", text, token)
		case strings.IndexByte(constantTokens, token) >= 0:
		case strings.HasPrefix(value, "-") || strings.ContainsFunc(value, inShellSyntax):
			return "", fmt.Errorf("%%%c is %q, which a shell could take for something else than a name",
				token, value)
		}
		return value, nil
	})
}

func inShellSyntax(c rune) bool {
	return strings.ContainsRune("'\"`$\\;&<>|(){}*?[]!~#", c) || unicode.IsSpace(c) ||
		unicode.IsControl(c)
}

func expandWith(text string, value func(byte) (string, error)) (string, error) {
	if !strings.Contains(text, "%") {
		return text, nil
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			b.WriteByte(text[i])
			continue
		}
		i++
		switch {
		case i == len(text):
			return "", fmt.Errorf("%q ends with a %%", text)
		case text[i] == '%':
			b.WriteByte('%')
		default:
			replacement, err := value(text[i])
			if err != nil {
				return "", err
			}
			b.WriteString(replacement)
		}
	}
	return b.String(), nil
}

// expandVariables replaces ${NAME} with the value of the environment variable.
func expandVariables(text string) (string, error) {
	var b strings.Builder
	for {
		before, after, ok := strings.Cut(text, "${")
		b.WriteString(before)
		if !ok {
			return b.String(), nil
		}
		name, rest, ok := strings.Cut(after, "}")
		if !ok {
			return "", errors.New("a ${ without its end")
		}
		value, ok := os.LookupEnv(name)
		if !ok {
			return "", fmt.Errorf("the environment has no %s", name)
		}
		b.WriteString(value)
		text = rest
	}
}
