package passhash

import "testing"

func TestSplitLine(t *testing.T) {
	for name, test := range map[string]struct {
		line           string
		name, password string
		separator      byte // 0: the line has no user
		blank          bool
	}{
		"in clear":               {"ann=secret", "ann", "secret", '=', false},
		"a hash":                 {"ann:$2y$05$abc", "ann", "$2y$05$abc", ':', false},
		"LF":                     {"ann=secret\n", "ann", "secret", '=', false},
		"CRLF":                   {"ann=secret\r\n", "ann", "secret", '=', false},
		"CR at the end":          {"ann=secret\r", "ann", "secret", '=', false},
		"two CR":                 {"ann=secret\r\r\n", "ann", "secret\r", '=', false},
		"= and then :":           {"ann=a:b=c", "ann", "a:b=c", '=', false},
		": and then =":           {"ann:a=b:c", "ann", "a=b:c", ':', false},
		"blanks":                 {" ann = secret ", " ann ", " secret ", '=', false},
		"no name":                {"=secret", "", "secret", '=', false},
		"no password":            {"ann=", "ann", "", '=', false},
		"a # inside":             {"ann#=#", "ann#", "#", '=', false},
		"bytes that are no text": {"\xff\xfe=\x00", "\xff\xfe", "\x00", '=', false},
		"no separator":           {"secret", "", "", 0, false},
		"a CR and CRLF":          {"\r\r\n", "", "", 0, false},
		"nothing":                {"", "", "", 0, true},
		"LF alone":               {"\n", "", "", 0, true},
		"CRLF alone":             {"\r\n", "", "", 0, true},
		"a comment":              {"# ann=secret\n", "", "", 0, true},
		"a comment of nothing":   {"#", "", "", 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			name, password, separator, ok := SplitLine(test.line)
			if name != test.name || password != test.password || separator != test.separator ||
				ok != (test.separator != 0) {
				t.Errorf("%q %q %q, %v", name, separator, password, ok)
			}
			if IsBlank(test.line) != test.blank || IsBlank([]byte(test.line)) != test.blank {
				t.Errorf("blank: %v", !test.blank)
			}
		})
	}
}
