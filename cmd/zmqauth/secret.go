package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/zmqauth/zmqauth/internal/files"
)

// maxSecret is the length of the longest input in bytes. Passwords and keys are shorter.
const maxSecret = 4096

// readSecret reads a secret from stdin. On a terminal it shows the prompt and reads without echo.
// Otherwise the secret is the only line of stdin. There is no flag for secrets, because every user
// of the machine can read command lines.
func readSecret(ctx context.Context, prompt string) (string, error) {
	if term.IsTerminal(int(os.Stdin.Fd())) {
		return readHidden(ctx, os.Stdin, prompt)
	}
	return readLine(os.Stdin)
}

// readNewSecret is readSecret for a new secret. On a terminal it asks twice, because a typing
// error would not be visible.
func readNewSecret(ctx context.Context, prompt, again string) (string, error) {
	first, err := readSecret(ctx, prompt)
	if err != nil || !term.IsTerminal(int(os.Stdin.Fd())) {
		return first, err
	}
	second, err := readHidden(ctx, os.Stdin, again)
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("the two are not the same; nothing is changed")
	}
	return first, nil
}

// readHidden reads a line from a terminal without echo. It restores the terminal in every case.
func readHidden(ctx context.Context, terminal *os.File, prompt string) (string, error) {
	fd := int(terminal.Fd())
	state, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("the terminal: %w", err)
	}
	fmt.Fprint(os.Stderr, prompt)
	type answer struct {
		text []byte
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		text, err := term.ReadPassword(fd)
		answers <- answer{text, err}
	}()
	select {
	case <-ctx.Done():
		_ = term.Restore(fd, state)
		fmt.Fprintln(os.Stderr)
		return "", errors.New("interrupted")
	case got := <-answers:
		fmt.Fprintln(os.Stderr)
		if got.err != nil {
			return "", fmt.Errorf("the terminal: %w", got.err)
		}
		return string(got.text), nil
	}
}

// readLine reads the only line of an input. A second line is an error, because it is unclear which
// of them is meant.
func readLine(input io.Reader) (string, error) {
	data, err := io.ReadAll(io.LimitReader(input, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("stdin: %w", cause(err))
	}
	if _, err := files.CheckText(data); err != nil {
		return "", fmt.Errorf("stdin: %w", err)
	}
	line, rest, _ := strings.Cut(string(data), "\n")
	line = strings.TrimSuffix(line, "\r")
	switch {
	case len(data) > maxSecret:
		return "", fmt.Errorf("stdin: more than %d bytes", maxSecret)
	case rest != "":
		return "", errors.New("stdin: more than one line")
	case line == "":
		return "", errors.New("stdin: nothing there")
	}
	return line, nil
}
