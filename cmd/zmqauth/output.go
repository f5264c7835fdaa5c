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

// output prints the results of a command: for people, or with --json for programs.
type output struct {
	w      io.Writer
	json   bool
	colour bool // only on a terminal, and only if NO_COLOR (no-color.org) is not set
}

// addJSON gives a command the flag --json.
func addJSON(cmd *cobra.Command) { cmd.Flags().Bool("json", false, "print JSON") }

func newOutput(cmd *cobra.Command) output {
	asJSON, _ := cmd.Flags().GetBool("json")
	wanted := os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return output{
		w:      os.Stdout,
		json:   asJSON,
		colour: wanted && term.IsTerminal(int(os.Stdout.Fd())),
	}
}

// printJSON prints a value as JSON.
func (o output) printJSON(value any) error {
	encoder := json.NewEncoder(jsonWriter{o.w})
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// jsonWriter escapes the characters that encoding/json does not escape although they can control a
// terminal. These are C1 control characters and characters that change the direction of text. Each
// write must have whole characters.
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

// table prints a header and rows in columns. The last cell of a bad row is red. Other cells have no
// colour, because tabwriter would count its escape sequences as width.
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

// pairs prints names and values, one pair a line. It omits pairs without a value.
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

// printable replaces the characters of a text that could control a terminal or break a table. File
// names and metadata may come from strangers.
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
