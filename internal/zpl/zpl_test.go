package zpl

import (
	"strings"
	"testing"
)

func TestLines(t *testing.T) {
	root, err := Parse([]byte("# x\na = 1\r\n\r\nb\n    c\n\n        d = 2"))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := root.Find("b")
	c, _ := b.Find("c")
	d, second := c.Find("d")
	if root.Children[0].Line != 2 || b.Line != 4 || c.Line != 5 || d.Line != 7 || second != nil {
		t.Errorf("lines %d %d %d %d, second %v",
			root.Children[0].Line, b.Line, c.Line, d.Line, second)
	}
}

func TestFind(t *testing.T) {
	var root Node
	root.Add("other", "")
	first, second := root.Add("a", "1"), root.Add("a", "2")
	root.Add("a", "3")
	if got1, got2 := root.Find("a"); got1 != first || got2 != second {
		t.Error("not the first and the second")
	}
	if got1, got2 := root.Find("b"); got1 != nil || got2 != nil {
		t.Error("found what is not there")
	}
}

func TestLimits(t *testing.T) {
	tests := map[string]struct {
		text, want string
	}{
		"size":    {strings.Repeat("\n", MaxSize+1), "larger than 4194304 bytes"},
		"entries": {strings.Repeat("a\n", maxEntries+1), "line 100001: more than 100000 entries"},
		"line":    {"\n" + strings.Repeat(" ", MaxLine+1), "line 2: a line of more than 4096 bytes"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			root, err := Parse([]byte(test.text))
			if root != nil || err == nil || err.Error() != test.want {
				t.Errorf("error %v", err)
			}
		})
	}
	for name, text := range map[string]string{
		"size":    strings.Repeat("\r", MaxSize),
		"entries": strings.Repeat("a\n", maxEntries),
	} {
		t.Run(name+" just within", func(t *testing.T) {
			if _, err := Parse([]byte(text)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestErrorsHideContent puts a secret into every part of a line, for every error there is.
func TestErrorsHideContent(t *testing.T) {
	const secret = "hunter2"
	for _, text := range []string{
		secret + " " + secret, secret + "\x00", " " + secret, "a\n        " + secret,
		"\t" + secret, "*" + secret, "/" + secret, "a = \"" + secret, "a = 'x' " + secret,
		"a = # " + secret, "\ufeff" + secret, "a " + secret, strings.Repeat(secret, MaxLine),
	} {
		_, err := Parse([]byte(text))
		if err == nil {
			t.Errorf("%.40q: no error", text)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("%.40q: the error shows it: %v", text, err)
		}
	}
}

func TestAppend(t *testing.T) {
	tests := map[string]struct {
		name, value string
		want        string
		wantErr     string
	}{
		"plain":                    {"a", "x y", "a = \"x y\"\n", ""},
		"empty":                    {"a", "", "a\n", ""},
		"comment":                  {"a", "#x", "a = \"#x\"\n", ""},
		"blanks":                   {"a", " \tx ", "a = \" \tx \"\n", ""},
		"double quotes":            {"a", `say "x"`, "a = 'say \"x\"'\n", ""},
		"single quotes":            {"a", "it's", "a = \"it's\"\n", ""},
		"both quotes":              {"a", `it's "x"`, "a = it's \"x\"\n", ""},
		"both quotes, quote first": {"a", `"it's"`, "", `"a": ZPL cannot carry both kinds`},
		"both quotes and comment":  {"a", `it's "x" # y`, "", `"a": ZPL cannot carry both kinds`},
		"both quotes, blank last":  {"a", `it's "x" `, "", `"a": ZPL cannot carry both kinds`},
		"both quotes, tab first":   {"a", "\tit's \"x\"", "", `"a": ZPL cannot carry both kinds`},
		"line feed":                {"a", "x\ny", "", `"a": ZPL cannot carry a line ending`},
		"carriage return":          {"a", "x\ry", "", `"a": ZPL cannot carry a line ending`},
		"NUL":                      {"a", "x\x00y", "", `"a": ZPL cannot carry a line ending`},
		"name with a blank":        {"a b", "x", "", `name "a b": a ZPL name is made of`},
		"name empty":               {"", "x", "", `name "": a ZPL name is made of`},
		"name with a slash first":  {"/a", "x", "", `name "/a": the name begins or ends with a /`},
		"line too long": {
			"a", strings.Repeat("x", MaxLine), "", `"a": a line of more than 4096 bytes`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var root Node
			root.Add(test.name, test.value)
			text, err := Append([]byte("# kept\n"), &root)
			if test.wantErr != "" {
				if err == nil || !strings.HasPrefix(err.Error(), test.wantErr) {
					t.Fatalf("error %v, want %s", err, test.wantErr)
				}
				if _, value := strings.CutPrefix(test.wantErr, `"a": ZPL`); value {
					wantCheck(t, test.value, err)
				}
				return
			}
			wantCheck(t, test.value, nil)
			if err != nil || string(text) != "# kept\n"+test.want {
				t.Fatalf("%q, %v", text, err)
			}
		})
	}
}

// wantCheck checks that CheckValue and Append agree about a value.
func wantCheck(t *testing.T, value string, want error) {
	t.Helper()
	err := CheckValue(value)
	if (err == nil) != (want == nil) || err != nil && want.Error() != `"a": `+err.Error() {
		t.Errorf("CheckValue: %v, Append: %v", err, want)
	}
}
