package principal

import (
	"iter"
	"math/bits"
	"strings"
)

// maxComponents is how many components a pattern with a "*" has at most: principals mostly have one
// or two, and each doubles the patterns that may name a principal.
const maxComponents = 6

// Patterns are all patterns that name a principal, the principal's own name first, then those with
// one "*", with two, and so on. What is no principal has its own name alone. They are for looking
// them up in a table, however large that is.
func Patterns(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if !yield(name) {
			return
		}
		components, realm, err := splitName(name)
		if err != nil || len(components) > maxComponents {
			return
		}
		all := uint(1)<<len(components) - 1
		for stars := 1; stars <= len(components); stars++ {
			for mask := uint(1); mask <= all; mask++ {
				if bits.OnesCount(mask) == stars && !yield(withStars(components, mask)+"@"+realm) {
					return
				}
			}
		}
	}
}

// withStars are the components with a "*" where mask has a bit.
func withStars(components []string, mask uint) string {
	parts := make([]string, len(components))
	for i, component := range components {
		parts[i] = component
		if mask>>i&1 == 1 {
			parts[i] = anyComponent
		}
	}
	return strings.Join(parts, "/")
}
