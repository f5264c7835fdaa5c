package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/zmqauth/zmqauth/admin"
)

const (
	// topInterval is the time between two looks.
	topInterval = time.Second
	// lookTime is how long an answer may take before the screen says that what it shows is old.
	lookTime = 3 * time.Second
)

func newTop() *cobra.Command {
	var o controlOptions
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch a proxy on the terminal: decisions a second, sessions, queues, ages",
		Long: "top shows once a second what a proxy decides, by reason, how many are connected and\n" +
			"wait, and how old its files are. q or Ctrl-C ends it.\n\n" + whichSocket,
		Example: "  zmqauth top --control /run/zmqauth/control.sock",
		Args:    cobra.ExactArgs(0),
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			if !term.IsTerminal(int(os.Stdin.Fd())) || !term.IsTerminal(int(os.Stdout.Fd())) {
				return errors.New("top needs a terminal; zmqauth status prints the same once")
			}
			client := o.client()
			first, err := client.Status(cmd.Context())
			if err != nil {
				return err
			}
			return showTop(cmd.Context(), client, first)
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.addPath(cmd)
	return cmd
}

const (
	// enterScreen takes the terminal's other screen and hides the cursor; leaveScreen undoes that.
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	endOfLine   = "\x1b[K\r\n" // clears the rest of the line
	endOfScreen = "\x1b[J"
)

// showTop shows a proxy until q is typed or ctx ends. It leaves the terminal as it was.
func showTop(ctx context.Context, client *admin.Client, first admin.Status) error {
	in, out := int(os.Stdin.Fd()), int(os.Stdout.Fd())
	before, err := term.MakeRaw(in)
	if err != nil {
		return fmt.Errorf("the terminal: %w", err)
	}
	defer func() { _ = term.Restore(in, before) }()
	if _, err := io.WriteString(os.Stdout, enterScreen); err != nil {
		return err
	}
	defer func() { _, _ = io.WriteString(os.Stdout, leaveScreen) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go readKeys(os.Stdin, cancel)
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	defer signal.Stop(resized)
	ticker := time.NewTicker(topInterval)
	defer ticker.Stop()
	v := topView{last: first}
	for {
		width, height, err := term.GetSize(out)
		if err != nil {
			return fmt.Errorf("the terminal: %w", err)
		}
		if _, err := io.WriteString(os.Stdout, v.screen(width, height)); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-resized:
		case <-ticker.C:
			look, end := context.WithTimeout(ctx, lookTime)
			s, err := client.Status(look)
			end()
			if ctx.Err() != nil {
				return nil
			}
			v.take(s, err)
		}
	}
}

// readKeys ends the view when q, Ctrl-C, Ctrl-D or Escape is typed. Escape sequences of arrow keys
// begin with Escape, and end nothing.
func readKeys(in io.Reader, end func()) {
	var keys [16]byte
	for {
		n, err := in.Read(keys[:])
		if err != nil || n > 0 && (strings.ContainsRune("qQ\x03\x04", rune(keys[0])) ||
			n == 1 && keys[0] == 0x1b) {
			end()
			return
		}
	}
}

// topView is what top knows.
type topView struct {
	last  admin.Status
	rates []reasonRate
	err   error // of the last look
}

// reasonRate is how many decisions there were for a reason.
type reasonRate struct {
	reason string
	status int
	second float64 // of late
	count  uint64  // since the start
}

// take takes another Status, or the error in its place.
func (v *topView) take(s admin.Status, err error) {
	if v.err = err; err != nil {
		return
	}
	v.rates = ratesOf(v.last, s)
	v.last = s
}

// ratesOf are the rates between two looks, the highest first.
func ratesOf(before, now admin.Status) []reasonRate {
	seconds := now.Now.Sub(before.Now).Seconds()
	all := make(map[string]*reasonRate)
	of := func(d admin.Decisions) *reasonRate {
		r := all[d.Reason]
		if r == nil {
			r = &reasonRate{reason: d.Reason, status: d.Status}
			all[d.Reason] = r
		}
		return r
	}
	for _, d := range now.Decisions {
		of(d).count += d.Count
	}
	for _, r := range all {
		r.second = float64(r.count)
	}
	for _, d := range before.Decisions {
		of(d).second -= float64(d.Count)
	}
	rates := make([]reasonRate, 0, len(all))
	for _, r := range all {
		if r.second = max(0, r.second/seconds); seconds <= 0 || !before.Started.Equal(now.Started) {
			r.second = 0 // it is another process
		}
		rates = append(rates, *r)
	}
	slices.SortFunc(rates, func(a, b reasonRate) int {
		switch {
		case a.second != b.second && a.second > b.second, a.second == b.second && a.count > b.count:
			return -1
		case a.second == b.second && a.count == b.count:
			return strings.Compare(a.reason, b.reason)
		}
		return 1
	})
	return rates
}

// screen is a whole screen of so many columns and lines.
func (v *topView) screen(width, height int) string {
	lines := v.lines()
	if len(lines) > height-1 {
		lines = append(lines[:max(0, height-2)], fmt.Sprintf(
			"… %d lines more: make the terminal higher", len(lines)-max(0, height-2)))
	}
	lines = append(lines, "q ends")
	var text strings.Builder
	text.WriteString(home)
	for i, line := range lines {
		text.WriteString(clip(printable(line), width))
		if i < len(lines)-1 {
			text.WriteString(endOfLine)
		}
	}
	text.WriteString("\x1b[K" + endOfScreen)
	return text.String()
}

// clip cuts a line at so many characters.
func clip(line string, width int) string {
	runes := []rune(line)
	if len(runes) <= width {
		return line
	}
	if width < 1 {
		return ""
	}
	return string(runes[:width-1]) + "…"
}

func (v *topView) lines() (lines []string) {
	s := v.last
	state := "ready"
	if !s.Ready {
		state = "NOT READY: " + s.Why
	}
	lines = append(lines, fmt.Sprintf("%s %s  %s  runs for %s", s.Program, s.Version, state,
		span(s.Now.Sub(s.Started))))
	if v.err != nil {
		lines = append(lines, "NO ANSWER, what follows is old: "+v.err.Error())
	}
	lines = append(lines, fmt.Sprintf("sessions %d  unanswered %d  turned away %d  log %s",
		s.Sessions, s.Pending, s.TurnedAway, strings.ToLower(s.Level)))
	if text := reloadText(s); text != "" {
		lines = append(lines, "reload: "+text)
	}
	lines = append(lines, "", fmt.Sprintf("%-24s %6s %10s %12s", "REASON", "STATUS", "A SECOND",
		"ALL"))
	for _, r := range v.rates {
		lines = append(lines, fmt.Sprintf("%-24s %6d %10.1f %12d", r.reason, r.status, r.second,
			r.count))
	}
	lines = append(lines, "", fmt.Sprintf("%-24s %6s %10s", "QUEUE", "RUN", "WAIT"))
	for _, q := range s.Queues {
		lines = append(lines, fmt.Sprintf("%-24s %6d %10d", q.Queue, q.Running, q.Waiting))
	}
	if len(s.SessionOf) > 0 {
		lines = append(lines, "", fmt.Sprintf("%-24s %6s", "SESSIONS OF", ""))
		for _, d := range s.SessionOf {
			lines = append(lines, fmt.Sprintf("%-24s %6d", d.Domain, d.Count))
		}
	}
	if len(s.Followed) > 0 {
		lines = append(lines, "", "FOLLOWED")
	}
	for _, row := range followedRows(s) {
		usable := "changed " + row[3]
		if row[4] != "yes" {
			usable = "NOT USABLE " + strings.TrimPrefix(row[4], "not ")
		}
		lines = append(lines, fmt.Sprintf("%-16s %s: %s", row[0], row[2], usable))
	}
	return lines
}
