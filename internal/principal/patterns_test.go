package principal

import (
	"slices"
	"strings"
	"testing"
)

func TestPatterns(t *testing.T) {
	many := strings.Repeat("a/", maxComponents) + "a@R"
	for name, want := range map[string][]string{
		"ann@R":        {"ann@R", "*@R"},
		"host/a@R":     {"host/a@R", "*/a@R", "host/*@R", "*/*@R"},
		`a\/b/c@R`:     {`a\/b/c@R`, "*/c@R", `a\/b/*@R`, "*/*@R"},
		"no principal": {"no principal"},
		"":             {""},
		many:           {many},
	} {
		if got := slices.Collect(Patterns(name)); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	if err := Check("*/" + many); err == nil {
		t.Error("a pattern of too many components is taken")
	}
	if err := Check(many); err != nil {
		t.Errorf("a principal of many components: %v", err)
	}
}

// FuzzPatterns: those patterns name the principal, as a Set has it, and so does every pattern that
// a Set takes to name it.
func FuzzPatterns(f *testing.F) {
	f.Add("ann@R", "*@R")
	f.Add("host/a@R", "host/*@R")
	f.Add(`a\/b@R`, "*/*@R")
	f.Fuzz(func(t *testing.T, name, pattern string) {
		patterns := slices.Collect(Patterns(name))
		for _, p := range patterns[1:] {
			if set, err := NewSet([]string{p}); err == nil && !set.Has(name) {
				t.Fatalf("%q does not name %q", p, name)
			}
		}
		set, err := NewSet([]string{pattern})
		if err == nil && set.Has(name) != slices.Contains(patterns, pattern) {
			t.Fatalf("%q names %q: %v, among %q", pattern, name, set.Has(name), patterns)
		}
	})
}
