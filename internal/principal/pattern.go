package principal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// anyComponent is the component of a pattern that stands for any one.
const anyComponent = "*"

// pattern is a principal, taken apart, whose components may be anyComponent.
type pattern struct {
	components []string
	realm      string
	wild       bool // a component is anyComponent
}

// Check tells whether a text is a pattern, as [NewSet] takes it. The error names the text.
func Check(text string) error {
	_, err := parsePattern(text)
	return err
}

// parsePattern reads a pattern. The error names the text.
func parsePattern(text string) (pattern, error) {
	components, realm, err := splitName(text)
	if err != nil {
		return pattern{}, fmt.Errorf("principal %q: %w", text, err)
	}
	p := pattern{components: components, realm: realm}
	if err := p.checkStars(); err != nil {
		return pattern{}, fmt.Errorf("principal %q: %w", text, err)
	}
	p.wild = slices.Contains(components, anyComponent)
	if p.wild && len(components) > maxComponents {
		return pattern{}, fmt.Errorf("principal %q: a pattern has at most %d components", text,
			maxComponents)
	}
	return p, nil
}

// checkStars refuses each "*" that is not a whole component.
func (p pattern) checkStars() error {
	if strings.Contains(p.realm, anyComponent) {
		return errors.New("the realm is compared exactly")
	}
	for _, component := range p.components {
		if component != anyComponent && strings.Contains(component, anyComponent) {
			return errors.New("* stands for a whole component")
		}
	}
	return nil
}

func (p pattern) matches(components []string, realm string) bool {
	if realm != p.realm || len(components) != len(p.components) {
		return false
	}
	for i, want := range p.components {
		if want != anyComponent && want != components[i] {
			return false
		}
	}
	return true
}
