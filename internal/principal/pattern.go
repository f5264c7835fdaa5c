package principal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// anyComponent is the component of a pattern that stands for any component.
const anyComponent = "*"

// pattern is the parts of a principal. Components may be anyComponent.
type pattern struct {
	components []string
	realm      string
	wild       bool // a component is anyComponent
}

// Check returns an error if a text is not a pattern for [NewSet]. The error names the text.
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

// checkStars returns an error if a "*" is not a whole component.
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
