package sshtunnel

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// expand replaces each %X with the value of token X, and %% with %.
func expand(text string, tokens map[byte]string) (string, error) {
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
			value, ok := tokens[text[i]]
			if !ok {
				return "", fmt.Errorf("%q: %%%c is not known here", text, text[i])
			}
			b.WriteString(value)
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
