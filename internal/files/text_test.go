package files

import (
	"strings"
	"testing"
)

func TestCheckText(t *testing.T) {
	tests := map[string]struct {
		text string
		line int
		want string
	}{
		"nothing":           {"", 0, ""},
		"text":              {"Host é\nUser ann\n", 0, ""},
		"a byte order mark": {"\ufeffHost a\n", 1, "byte order mark"},
		"a mark later":      {"Host a\n\ufeffHost b\n", 0, ""},
		"UTF-16":            {"\xff\xfeH\x00", 1, "UTF-16"},
		"UTF-16, the other": {"\xfe\xff\x00H", 1, "UTF-16"},
		"UTF-16, unmarked":  {"H\x00o\x00", 1, "a NUL byte"},
		"a NUL byte":        {"a\nb\nc\x00\n", 3, "a NUL byte"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			line, err := CheckText([]byte(test.text))
			if line != test.line || (err != nil) != (test.want != "") ||
				err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("line %d: %v", line, err)
			}
		})
	}
}
