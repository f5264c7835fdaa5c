package sshtunnel

// matchPattern tells whether text is what pattern describes: * stands for anything, ? for one
// character (ssh_config(5), PATTERNS). Its time is at most the product of the lengths.
func matchPattern(text, pattern string) bool {
	var t, p int
	star, resume := -1, 0 // the last * and where in text it is to go on
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

// matchList tells whether one of the patterns matches, and none of those with a ! before them.
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
