// Package principal judges the names of Kerberos principals by patterns: "alice@REALM",
// "host/a.example@REALM", or with "*" for one whole component "*@REALM" and "host/*@REALM".
package principal

// Set is the principals that a list of patterns names. It never changes, and may be read by any
// number of goroutines. The zero value and nil name nobody.
type Set struct {
	exact    map[string]struct{}
	patterns []pattern // those with a "*"
}

// NewSet reads patterns: principals as Kerberos displays them (RFC 1964, section 2.1.1), in which
// "*" stands for one whole component. Components are compared byte by byte, and so is the realm,
// which has no "*". The error is about the first text that is no pattern, and names it. No patterns
// name nobody.
func NewSet(patterns []string) (*Set, error) {
	s := &Set{exact: make(map[string]struct{})}
	for _, text := range patterns {
		p, err := parsePattern(text)
		switch {
		case err != nil:
			return nil, err
		case p.wild:
			s.patterns = append(s.patterns, p)
		default:
			s.exact[text] = struct{}{}
		}
	}
	return s, nil
}

// Has tells whether a pattern names a principal. What is no principal is named by none.
func (s *Set) Has(principal string) bool {
	if s == nil {
		return false
	}
	if _, ok := s.exact[principal]; ok {
		return true
	}
	if len(s.patterns) == 0 {
		return false
	}
	components, realm, err := splitName(principal)
	if err != nil {
		return false
	}
	for _, p := range s.patterns {
		if p.matches(components, realm) {
			return true
		}
	}
	return false
}
