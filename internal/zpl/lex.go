package zpl

import "errors"

// hasControl reports whether text has an ASCII control character other than the tab. Such
// characters are invisible, and a reader written in C stops at a NUL byte.
func hasControl(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' && c != '\t' || c == 0x7f {
			return true
		}
	}
	return false
}

func trimLeft(text string) string {
	for text != "" && (text[0] == ' ' || text[0] == '\t') {
		text = text[1:]
	}
	return text
}

func trimRight(text string) string {
	for text != "" && (text[len(text)-1] == ' ' || text[len(text)-1] == '\t') {
		text = text[:len(text)-1]
	}
	return text
}

// cutName returns the name at the beginning of text, perhaps empty, and what follows it.
func cutName(text string) (name, rest string) {
	for i := range len(text) {
		if !nameBytes[text[i]] {
			return text[:i], text[i:]
		}
	}
	return text, ""
}

func checkName(name string) error {
	if start, _ := cutName(name); name == "" || start != name {
		return errors.New("a ZPL name is made of letters, digits and $-_@.&+/")
	}
	if name[0] == '/' || name[len(name)-1] == '/' {
		return errors.New("the name begins or ends with a /")
	}
	return nil
}

// nameBytes are the bytes that names may have (RFC 4, "name"; the + is czmq's addition).
var nameBytes = func() (is [256]bool) {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for _, c := range []byte(letters + "0123456789$-_@.&+/") {
		is[c] = true
	}
	return is
}()
