// Package principal matches the names of Kerberos principals with patterns. Patterns are
// "alice@REALM", "host/a.example@REALM", or "*@REALM" and "host/*@REALM", where "*" stands for one
// whole component.
package principal

// Set is a set of principals that a list of patterns describes. It is immutable, so that any number
// of goroutines may read it. The zero value and nil are the empty set.
type Set struct {
	exact    map[string]struct{}
	patterns []pattern // those with a "*"
}

// NewSet reads patterns. A pattern is a principal as Kerberos displays it (RFC 1964, section
// 2.1.1), except that a component may be "*", which stands for any one component. The other
// components and the realm are compared byte by byte. The realm has no "*". The error is about the
// first bad pattern, and names it. Without patterns the set is empty.
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

// Has tells whether a principal is in the set. A text that is not a principal is in no set.
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
