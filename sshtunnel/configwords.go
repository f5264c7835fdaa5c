package sshtunnel

import (
	"errors"
	"strings"
)

// errQuote says that a quote is not closed.
var errQuote = errors.New("a quote without its end")

const blanks = " \t"

// splitKeyword splits a line of an ssh_config into the keyword and the text after it and an
// optional "=". The keyword is "" if the line has none.
func splitKeyword(line string) (keyword, rest string) {
	line = strings.Trim(line, blanks+"\r\f")
	if line == "" || line[0] == '#' {
		return "", ""
	}
	end := strings.IndexAny(line, blanks+"=")
	if end < 0 {
		return line, ""
	}
	keyword = line[:end]
	rest = strings.TrimLeft(line[end:], blanks)
	if after, ok := strings.CutPrefix(rest, "="); ok {
		rest = strings.TrimLeft(after, blanks)
	}
	return keyword, rest
}

// splitWords splits the text after a keyword as ssh does. Words are separated by blanks, unless
// they are in single or double quotes. A word that begins with # ends the line. A backslash escapes
// a quote, a backslash or a space.
func splitWords(text string) ([]string, error) {
	var words []string
	for i := 0; i < len(text); i++ {
		switch {
		case strings.IndexByte(blanks, text[i]) >= 0:
			continue
		case text[i] == '#':
			return words, nil
		}
		word, length, err := firstWord(text[i:])
		if err != nil {
			return nil, err
		}
		words = append(words, word)
		i += length
	}
	return words, nil
}

// firstWord returns the word that text begins with, and its length in text.
func firstWord(text string) (word string, length int, err error) {
	var b strings.Builder
	quote := byte(0)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text) &&
			(strings.IndexByte(`'"\`, text[i+1]) >= 0 || quote == 0 && text[i+1] == ' '):
			i++
			b.WriteByte(text[i])
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote == 0 && strings.IndexByte(blanks, c) >= 0:
			return b.String(), i, nil
		default:
			b.WriteByte(c)
		}
	}
	if quote != 0 {
		return "", 0, errQuote
	}
	return b.String(), len(text), nil
}

// cutWord returns the next word of a Match line, and the text after it. There it is not splitWords
// that counts: an "=" separates words, too, and only double quotes are quotes.
func cutWord(text string) (word, rest string, ok bool) {
	if text == "" {
		return "", "", false
	}
	end := strings.IndexAny(text, blanks+`"=`)
	switch {
	case end < 0:
		return text, "", true
	case text[end] == '"':
		inside, after, closed := strings.Cut(text[end+1:], `"`)
		return text[:end] + inside, strings.TrimLeft(after, blanks), closed
	}
	rest = strings.TrimLeft(text[end+1:], blanks)
	if after, equals := strings.CutPrefix(rest, "="); equals && text[end] != '=' {
		rest = strings.TrimLeft(after, blanks)
	}
	return text[:end], rest, true
}
