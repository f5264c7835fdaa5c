package fleet

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// scan reads the value of an entry whose key is known, in the form that Encode writes, many times
// faster than package json. What it takes is canonical by construction: each field stands in its
// place, once and not empty, and there is one way to write it. It leaves to package json what has
// an escape or a report, and whatever is wrong: ok is false then. Texts are parts of the value.
// The metadata is in a map that is given, whatever it had; nil: in one of its own.
func (e Entry) scan(text string, metadata map[string]string) (_ Entry, ok bool) {
	s := scanner{rest: text, before: '{', good: true}
	if s.has(`"state":`) {
		e.State = State(s.fullText())
	}
	if s.has(`"user":`) {
		e.UserID = s.fullText()
	}
	if s.has(`"metadata":`) {
		e.Metadata = s.properties(metadata)
	}
	if s.has(`"hash":`) {
		e.Hash = Hash(s.fullText())
	}
	if s.has(`"not-before":`) {
		e.NotBefore = s.time()
	}
	if s.has(`"not-after":`) {
		e.NotAfter = s.time()
	}
	if s.has(`"list":`) {
		e.List = List(s.fullText())
	}
	if s.has(`"addresses":`) {
		e.Addresses = s.texts()
	}
	if s.has(`"epoch":`) {
		e.Epoch = s.fullText()
	}
	if s.has(`"sums":`) {
		e.Sums = s.bytes()
	}
	if s.has(`"by":`) {
		e.By = s.fullText()
	}
	if s.has(`"why":`) {
		e.Why = s.fullText()
	}
	if s.has(`"at":`) {
		e.At = s.time()
	}
	if s.has(`"revision":`) {
		e.Revision = s.number()
	}
	if s.has(`"signature":`) {
		e.Signature = s.bytes()
	}
	e.text = text
	return e, s.good && s.before == ',' && s.rest == "}"
}

// scanner is a place in a value.
type scanner struct {
	rest   string
	before byte // what stands before the next field
	good   bool // everything until here was canonical
}

// has takes the name of a field, if it is the next one.
func (s *scanner) has(name string) bool {
	if len(s.rest) <= len(name) || s.rest[0] != s.before || s.rest[1:1+len(name)] != name {
		return false
	}
	s.rest, s.before = s.rest[1+len(name):], ','
	return true
}

// take takes a text that must be there.
func (s *scanner) take(text string) {
	after, found := strings.CutPrefix(s.rest, text)
	s.rest, s.good = after, s.good && found
}

// text takes a string that package json writes without an escape.
func (s *scanner) text() string {
	s.take(`"`)
	text, _, found := strings.Cut(s.rest, `"`)
	isASCII := true
	for i := range len(text) {
		switch c := text[i]; {
		case c < ' ', c == '\\', c == '<', c == '>', c == '&':
			s.good = false
		case c >= utf8.RuneSelf:
			isASCII = false
		}
	}
	if !found || !isASCII && (!utf8.ValidString(text) || strings.ContainsAny(text, "\u2028\u2029")) {
		s.good = false
		return ""
	}
	s.rest = s.rest[len(text)+1:]
	return text
}

// fullText takes a string that is not empty.
func (s *scanner) fullText() string {
	text := s.text()
	s.good = s.good && text != ""
	return text
}

// texts takes a list of strings that is not empty.
func (s *scanner) texts() (list []string) {
	s.take(`[`)
	for s.good {
		list = append(list, s.text())
		if strings.HasPrefix(s.rest, `]`) {
			break
		}
		s.take(`,`)
	}
	s.take(`]`)
	return list
}

// properties takes an object of strings that is not empty, whose names ascend, into a map; nil:
// into a new one.
func (s *scanner) properties(found map[string]string) map[string]string {
	if found == nil {
		found = make(map[string]string)
	}
	clear(found)
	s.take(`{`)
	for last := ""; s.good; {
		name := s.text()
		s.take(`:`)
		s.good = s.good && (len(found) == 0 || name > last)
		found[name], last = s.text(), name
		if strings.HasPrefix(s.rest, `}`) {
			break
		}
		s.take(`,`)
	}
	s.take(`}`)
	return found
}

// time takes a time as formatTime writes it.
func (s *scanner) time() time.Time {
	text := s.fullText()
	t, err := parseTime(text)
	var space [len(time.RFC3339Nano)]byte
	isSame := string(t.AppendFormat(space[:0], time.RFC3339Nano)) == text
	s.good = s.good && err == nil && !t.IsZero() && isSame
	return t
}

// number takes a number that is not zero.
func (s *scanner) number() uint64 {
	end := strings.IndexFunc(s.rest, func(c rune) bool { return c < '0' || c > '9' })
	if end < 1 || s.rest[0] == '0' {
		s.good = false
		return 0
	}
	n, err := strconv.ParseUint(s.rest[:end], 10, 64)
	s.rest, s.good = s.rest[end:], s.good && err == nil
	return n
}

// strictly reads base64 without loose bits.
var strictly = base64.StdEncoding.Strict()

// bytes takes bytes that are not empty.
func (s *scanner) bytes() []byte {
	text := s.fullText() // without line ends, which the decoder would leave out
	raw, err := strictly.DecodeString(text)
	s.good = s.good && err == nil
	return raw
}
