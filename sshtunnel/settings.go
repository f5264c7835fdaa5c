package sshtunnel

import (
	"fmt"
	"slices"
	"strings"
)

// directive is one line of an ssh_config that applies to the host.
type directive struct {
	file    string
	line    int
	keyword string   // as it is written there
	words   []string // what follows the keyword; never empty
	text    string   // the same before it was split into words
	system  bool     // it is in the system's file, or in one that this includes
}

func (d directive) errorf(format string, args ...any) error {
	return &FileError{File: d.file, Line: d.line, Err: fmt.Errorf(format, args...)}
}

// where returns KEYWORD (FILE:LINE).
func (d directive) where() string {
	return fmt.Sprintf("%s (%s)", d.keyword, place(d.file, d.line))
}

// settings are the directives that apply, by keyword in lower case. Only repeatable keywords have
// more than one.
type settings map[string][]directive

// repeatable are the keywords of which all directives count, and not only the first.
var repeatable = []string{"identityfile", "certificatefile"}

// timeKeywords are the keywords whose value is a time.
var timeKeywords = []string{"connecttimeout", "forwardx11timeout", "serveraliveinterval"}

// add records a directive. The first one of a keyword counts.
func (s settings) add(keyword string, d directive) {
	old := s[keyword]
	repeated := func(o directive) bool { return o.words[0] == d.words[0] && o.system == d.system }
	switch {
	case slices.Contains(timeKeywords, keyword) && d.words[0] == "none": // as if it was not set
	case keyword == "proxycommand" && s["proxyjump"] != nil:
	case keyword == "proxyjump" && s["proxycommand"] != nil:
	case len(old) > 0 && !slices.Contains(repeatable, keyword):
	case !slices.ContainsFunc(old, repeated):
		s[keyword] = append(old, d)
	}
}

// first returns the first directive of a keyword.
func (s settings) first(keyword string) (directive, bool) {
	if found := s[keyword]; len(found) > 0 {
		return found[0], true
	}
	return directive{}, false
}

// word returns the first value of a keyword; "": the keyword is not set.
func (s settings) word(keyword string) string {
	if d, ok := s.first(keyword); ok {
		return d.words[0]
	}
	return ""
}

// yes reads a keyword whose value is yes or no. otherwise is the result if there is none.
func (s settings) yes(keyword string, otherwise bool) bool {
	switch strings.ToLower(s.word(keyword)) {
	case "":
		return otherwise
	case "no", "false":
		return false
	}
	return true
}

// proxied reports whether the connection goes through a program or jump hosts.
func (s settings) proxied() bool {
	command, jump := s.word("proxycommand"), s.word("proxyjump")
	return command != "" && !strings.EqualFold(command, "none") ||
		jump != "" && !strings.EqualFold(jump, "none")
}

// unserved returns the settings that apply and that this package does not follow: those of a fate,
// sorted, without those that ask for nothing.
func (s settings) unserved(of fate) []directive {
	var all []directive
	for name, found := range s {
		known, _ := keywordNamed(name)
		value := strings.ToLower(strings.Join(found[0].words, " "))
		if known.fate == of && !slices.Contains(known.empty, value) {
			all = append(all, found[0])
		}
	}
	slices.SortFunc(all, func(a, b directive) int { return strings.Compare(a.where(), b.where()) })
	return all
}
