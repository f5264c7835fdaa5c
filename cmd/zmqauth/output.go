package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// output prints what a command has found: for people, or with --json for programs.
type output struct {
	w      io.Writer
	json   bool
	colour bool // on a terminal only, and where NO_COLOR (no-color.org) is not set
}

// addJSON gives a command the flag --json.
func addJSON(cmd *cobra.Command) { cmd.Flags().Bool("json", false, "print JSON") }

func newOutput(cmd *cobra.Command) output {
	asJSON, _ := cmd.Flags().GetBool("json")
	return output{
		w:      os.Stdout,
		json:   asJSON,
		colour: os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(os.Stdout.Fd())),
	}
}

// printJSON prints a value.
func (o output) printJSON(value any) error {
	encoder := json.NewEncoder(jsonWriter{o.w})
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// jsonWriter escapes what encoding/json leaves in strings though it would do something to a
// terminal: C1 control characters, and what turns the direction of a text. Each write is of whole
// characters.
type jsonWriter struct{ w io.Writer }

func (j jsonWriter) Write(text []byte) (int, error) {
	var out []byte
	for _, c := range string(text) {
		switch {
		case c == '\n' || unicode.IsPrint(c):
			out = utf8.AppendRune(out, c)
		case c > 0xffff:
			first, second := utf16.EncodeRune(c)
			out = fmt.Appendf(out, `\u%04x\u%04x`, first, second)
		default:
			out = fmt.Appendf(out, `\u%04x`, c)
		}
	}
	if _, err := j.w.Write(out); err != nil {
		return 0, err
	}
	return len(text), nil
}

// table prints a header and rows in columns. In rows that are bad the last column is red, and no
// other: colours have a width.
func (o output) table(header []string, rows [][]string, bad func(row int) bool) error {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(header, "\t"))
	for i, row := range rows {
		cells := make([]string, len(row))
		for j, cell := range row {
			cells[j] = printable(cell)
		}
		if last := len(cells) - 1; bad(i) {
			cells[last] = o.red(cells[last])
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(text.String()) {
		if _, err := fmt.Fprintln(o.w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// pairs prints names and values, one a line, and leaves out what has no value.
func (o output) pairs(pairs ...[2]string) error {
	w := tabwriter.NewWriter(o.w, 0, 8, 2, ' ', 0)
	for _, pair := range pairs {
		if pair[1] != "" {
			fmt.Fprintf(w, "%s\t%s\n", pair[0], printable(pair[1]))
		}
	}
	return w.Flush()
}

func (o output) red(text string) string {
	if !o.colour {
		return text
	}
	return "\x1b[31m" + text + "\x1b[0m"
}

// printable takes from a text what would do something to a terminal or to a table: file names and
// metadata are others'.
func printable(text string) string {
	return strings.Map(func(c rune) rune {
		if c == '\t' {
			return ' '
		}
		if !unicode.IsPrint(c) {
			return unicode.ReplacementChar
		}
		return c
	}, text)
}
