package sshtunnel

import (
	"fmt"
	"strings"
)

// directive is one line of an ssh_config that applies to the host.
type directive struct {
	file  string
	line  int
	words []string // what follows the keyword; never empty
}

func (d directive) errorf(format string, args ...any) error {
	return &FileError{File: d.file, Line: d.line, Err: fmt.Errorf(format, args...)}
}

// settings are the directives that apply, by keyword in lower case. Only repeatable keywords have
// more than one.
type settings map[string][]directive

// The number of values that a directive takes: one, or any number.
const (
	oneWord = iota
	manyWords
)

// keywords are the keywords that this package uses, with the number of values that they take.
var keywords = map[string]int{
	"addressfamily":                oneWord,
	"certificatefile":              oneWord,
	"ciphers":                      oneWord,
	"connecttimeout":               oneWord,
	"globalknownhostsfile":         manyWords,
	"hashknownhosts":               oneWord,
	"hostkeyalgorithms":            oneWord,
	"hostkeyalias":                 oneWord,
	"hostname":                     oneWord,
	"identitiesonly":               oneWord,
	"identityagent":                oneWord,
	"identityfile":                 oneWord,
	"kbdinteractiveauthentication": oneWord,
	"kexalgorithms":                oneWord,
	"macs":                         oneWord,
	"passwordauthentication":       oneWord,
	"port":                         oneWord,
	"preferredauthentications":     oneWord,
	"proxycommand":                 manyWords,
	"proxyjump":                    oneWord,
	"pubkeyauthentication":         oneWord,
	"revokedhostkeys":              oneWord,
	"serveralivecountmax":          oneWord,
	"serveraliveinterval":          oneWord,
	"stricthostkeychecking":        oneWord,
	"user":                         oneWord,
	"userknownhostsfile":           manyWords,
}

// oldNames maps the names of older versions of ssh to the present ones.
var oldNames = map[string]string{
	"challengeresponseauthentication": "kbdinteractiveauthentication",
	"skeyauthentication":              "kbdinteractiveauthentication",
	"dsaauthentication":               "pubkeyauthentication",
}

// repeatable are the keywords of which all directives count, and not only the first.
var repeatable = []string{"identityfile", "certificatefile"}

// first returns the first directive of a keyword.
func (s settings) first(keyword string) (directive, bool) {
	if found := s[keyword]; len(found) > 0 {
		return found[0], true
	}
	return directive{}, false
}

// yes parses a directive whose value is yes or no. otherwise is the result if there is none.
func (s settings) yes(keyword string, otherwise bool) (bool, error) {
	d, ok := s.first(keyword)
	if !ok {
		return otherwise, nil
	}
	switch strings.ToLower(d.words[0]) {
	case "yes", "true":
		return true, nil
	case "no", "false":
		return false, nil
	}
	return false, d.errorf("%s: %q is neither yes nor no", keyword, d.words[0])
}
