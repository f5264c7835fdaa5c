package main

import (
	"strings"
	"testing"
)

// TestReadLine: what is no single line of text is an error, and none repeats what was read.
func TestReadLine(t *testing.T) {
	for text, want := range map[string]string{
		"hunter2": "", "hunter2\n": "", "hunter2\r\n": "",
		"":                                   "nothing there",
		"hunter2\nhunter2\n":                 "more than one line",
		"\ufeffhunter2\n":                    "byte order mark",
		"\xff\xfeh\x00":                      "UTF-16",
		"h\x00unter2":                        "NUL byte",
		strings.Repeat("hunter2", maxSecret): "more than 4096 bytes",
	} {
		line, err := readLine(strings.NewReader(text))
		if want == "" && (err != nil || line != "hunter2") {
			t.Errorf("%q: %q, %v", text, line, err)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want) ||
			strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%.20q: %v, want %q", text, err, want)
		}
	}
}
