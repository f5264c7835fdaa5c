package sshtunnel

// matchPattern reports whether text matches pattern: * matches any text, ? matches one character
// (ssh_config(5), PATTERNS). The time is at most proportional to the product of the lengths.
func matchPattern(text, pattern string) bool {
	var t, p int
	star, resume := -1, 0 // the last * and the position in text from which to continue after it
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			t++
			p++
		case star >= 0:
			resume++
			t, p = resume, star+1
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// matchList reports whether text matches one of the patterns and none of the negated ones, which
// begin with !.
func matchList(text string, patterns []string) bool {
	found := false
	for _, pattern := range patterns {
		negated := len(pattern) > 0 && pattern[0] == '!'
		if negated {
			pattern = pattern[1:]
		}
		if !matchPattern(text, pattern) {
			continue
		}
		if negated {
			return false
		}
		found = true
	}
	return found
}
