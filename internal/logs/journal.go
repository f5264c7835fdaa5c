package logs

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"unicode"
)

// JournalSocket is where systemd's journal listens.
const JournalSocket = "/run/systemd/journal/socket"

// Journal is a slog.Handler that makes entries in the journal's native protocol
// (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/). Each Write of its writer gets one entry. An
// attribute "address" becomes the field ZMQAUTH_ADDRESS. MESSAGE has the message and the
// attributes, as a text handler has them, because journalctl shows nothing else.
type Journal struct {
	w     io.Writer
	level slog.Leveler
	text  string // of the attributes of With
	// fields are those attributes, encoded. prefix is that of attributes to come, by WithGroup.
	fields []byte
	prefix string
}

// identifier is what journalctl -t finds.
const identifier = "zmqauth"

// NewJournal makes a Journal for a writer, JournalWriter for example.
func NewJournal(w io.Writer, level slog.Leveler) *Journal { return &Journal{w: w, level: level} }

// Enabled implements slog.Handler.
func (j *Journal) Enabled(_ context.Context, level slog.Level) bool {
	return level >= j.level.Level()
}

// WithAttrs implements slog.Handler.
func (j *Journal) WithAttrs(attrs []slog.Attr) slog.Handler {
	copied := *j
	var text strings.Builder
	fields := bytes.NewBuffer(bytes.Clone(j.fields))
	text.WriteString(j.text)
	for _, a := range attrs {
		add(fields, &text, j.prefix, a)
	}
	copied.text, copied.fields = text.String(), fields.Bytes()
	return &copied
}

// WithGroup implements slog.Handler.
func (j *Journal) WithGroup(name string) slog.Handler {
	copied := *j
	if name != "" {
		copied.prefix += name + "."
	}
	return &copied
}

// Handle implements slog.Handler.
func (j *Journal) Handle(_ context.Context, record slog.Record) error {
	var entry, fields bytes.Buffer
	var text strings.Builder
	text.WriteString(record.Message)
	text.WriteString(j.text)
	record.Attrs(func(a slog.Attr) bool {
		add(&fields, &text, j.prefix, a)
		return true
	})
	field(&entry, "MESSAGE", text.String())
	field(&entry, "PRIORITY", priority(record.Level))
	field(&entry, "SYSLOG_IDENTIFIER", identifier)
	entry.Write(j.fields)
	entry.Write(fields.Bytes())
	_, err := j.w.Write(entry.Bytes())
	return err
}

// priority is a level of syslog(3).
func priority(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return "3"
	case level >= slog.LevelWarn:
		return "4"
	case level >= slog.LevelInfo:
		return "6"
	}
	return "7"
}

// add writes an attribute as a field, and as text.
func add(fields *bytes.Buffer, text *strings.Builder, prefix string, a slog.Attr) {
	value := a.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, inner := range value.Group() {
			add(fields, text, prefix, inner)
		}
		return
	}
	if a.Key == "" {
		return
	}
	name, shown := prefix+a.Key, value.String()
	text.WriteString(" " + quoted(name) + "=" + quoted(shown))
	field(fields, fieldName(name), shown)
}

// quoted is a text as log/slog's text handler has it.
func quoted(text string) string {
	plain := func(c rune) bool {
		return c > ' ' && c != '=' && c != '"' && unicode.IsPrint(c) && c != unicode.ReplacementChar
	}
	if text != "" && strings.IndexFunc(text, func(c rune) bool { return !plain(c) }) < 0 {
		return text
	}
	return strconv.Quote(text)
}

// maxName is the longest name of a field in characters.
const maxName = 64

// fieldName makes a field's name of an attribute's: capitals, digits and underscores. The prefix
// keeps it from the names that mean something to the journal.
func fieldName(key string) string {
	name := "ZMQAUTH_" + strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z':
			return c - 'a' + 'A'
		case c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
			return c
		}
		return '_'
	}, key)
	return name[:min(len(name), maxName)]
}

// field writes a field. A value with line breaks has its length before it.
func field(to *bytes.Buffer, name, value string) {
	to.WriteString(name)
	if !strings.Contains(value, "\n") {
		to.WriteString("=" + value + "\n")
		return
	}
	to.WriteByte('\n')
	to.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(value))))
	to.WriteString(value + "\n")
}
