package sshtunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// login is one attempt to log in to one server.
type login struct {
	ctx     context.Context
	target  *target
	secrets *secrets
	broken  func() error // returns why the connection has ended; nil: it has not

	agent   net.Conn
	keys    []*offer // what is offered to the server, in order
	offered []string // the names of the keys
	causes  []error  // why some methods or keys could not be tried
	fatal   error    // what ends the attempt
	begun   bool     // the server has asked for authentication
}

func (l *login) close() {
	if l.agent != nil {
		_ = l.agent.Close()
	}
}

// next chooses what to try next. It is the AuthCallback of ssh.ClientConfig.
func (l *login) next(state *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	l.begun = true
	if err := l.broken(); err != nil {
		return nil, err // or else a lost connection would look like a refusal of the other methods
	}
	again := l.dropFailed() && slices.Contains(state.AllowedMethods, methodKey)
	if again && l.fatal == nil {
		return ssh.PublicKeysCallback(l.remaining), nil
	}
	if l.fatal != nil {
		return nil, l.fatal
	}
	for _, method := range l.target.methods {
		// A server may ask for two keys in a row, but a refusal of a method is final.
		accepted := 0
		for _, m := range state.PartialSuccessMethods {
			if m == method {
				accepted++
			}
		}
		if !slices.Contains(state.AllowedMethods, method) ||
			slices.Contains(state.TriedMethods, method) || accepted > 1 {
			continue
		}
		if auth := l.method(method, state); auth != nil {
			return auth, nil
		}
	}
	return nil, l.refused(state)
}

// failed returns why the server did not let the user in, or nil if err has another cause.
func (l *login) failed(err error) error {
	if l.fatal != nil {
		return l.fatal
	}
	var refused *AuthError
	var unusable *FileError
	switch {
	case errors.As(err, &refused):
		return refused
	case errors.As(err, &unusable):
		return unusable
	case l.begun && !isNetwork(err):
		if strings.Contains(strings.ToLower(err.Error()), "too many authentication failures") {
			err = fmt.Errorf("%w: the server takes each key that is offered for a failure; name the right "+
				"one in Config.KeyFile, or with IdentityFile and \"IdentitiesOnly yes\" in ssh_config", err)
		}
		refused = &AuthError{Host: l.target.String(), Causes: append(l.causes, err)}
		if len(l.offered) > 0 {
			refused.Tried = []string{methodKey + " (" + strings.Join(l.offered, ", ") + ")"}
		}
		return refused
	}
	return nil
}

// isNetwork reports whether the connection was lost. If the server ended it with a reason, it was
// not.
func isNetwork(err error) bool {
	var network net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.As(err, &network)
}

// method returns how to log in with the named method, or nil if the means are missing.
func (l *login) method(name string, state *ssh.ClientAuthContext) ssh.AuthMethod {
	switch name {
	case methodKey:
		return ssh.PublicKeysCallback(l.signers)
	case methodPassword:
		if l.target.password != nil {
			return ssh.PasswordCallback(l.password)
		}
	case methodInteractive:
		if l.target.prompt != nil {
			return ssh.KeyboardInteractive(l.prompt())
		}
		// The server has refused the password if it was tried already.
		if l.target.password != nil && !slices.Contains(state.TriedMethods, methodPassword) {
			return ssh.KeyboardInteractive(l.answerWithPassword())
		}
	}
	return nil
}

// refused returns the error for a server that accepts none of the available methods.
func (l *login) refused(state *ssh.ClientAuthContext) error {
	err := &AuthError{Host: l.target.String(), Allowed: state.AllowedMethods, Causes: l.causes}
	for _, method := range slices.Compact(slices.Clone(state.TriedMethods)) {
		switch {
		case method == "none" || method == methodKey && len(l.offered) == 0:
			continue
		case method == methodKey:
			method += " (" + strings.Join(l.offered, ", ") + ")"
		}
		err.Tried = append(err.Tried, method)
	}
	for _, method := range state.AllowedMethods {
		switch {
		case method == methodPassword && l.target.password == nil:
			err.Causes = append(err.Causes, errors.New("there is no Config.Password"))
		case method == methodInteractive && l.target.password == nil && l.target.prompt == nil:
			err.Causes = append(err.Causes, errors.New("there is no Config.Prompt"))
		}
	}
	return err
}

func (l *login) password() (string, error) {
	said, err := l.secrets.ask(l.ctx, loginPurpose(l.target)+methodPassword, func() ([]string, error) {
		password, err := l.target.password()
		return []string{password}, err
	})
	if err != nil {
		l.fatal = fmt.Errorf("sshtunnel: %s: no password: %w", l.target, err)
		return "", l.fatal
	}
	return said[0], nil
}

// answerWithPassword answers keyboard-interactive with the password. The server may ask one
// question only, and only once.
func (l *login) answerWithPassword() ssh.KeyboardInteractiveChallenge {
	answered := false
	return func(_, _ string, questions []string, echos []bool) ([]string, error) {
		if len(questions) == 0 {
			return nil, nil
		}
		if len(questions) > 1 || echos[0] {
			err := fmt.Errorf("sshtunnel: %s asks %q, which no password answers; there is no Config.Prompt",
				l.target, questions)
			l.causes = append(l.causes, err)
			return nil, err
		}
		if answered {
			return nil, fmt.Errorf("sshtunnel: %s asks for the password again", l.target)
		}
		answered = true
		password, err := l.password()
		return []string{password}, err
	}
}

// prompt answers keyboard-interactive with Config.Prompt, or with what it answered before to the
// same questions in the same order.
func (l *login) prompt() ssh.KeyboardInteractiveChallenge {
	asked := 0
	return func(name, instruction string, questions []string, echos []bool) ([]string, error) {
		asked++
		purpose := loginPurpose(l.target) + fmt.Sprintf("%s\x00%d\x00%q\x00%q\x00%q",
			methodInteractive, asked, name, instruction, questions)
		said, err := l.secrets.ask(l.ctx, purpose, func() ([]string, error) {
			return l.target.prompt(name, instruction, questions, echos)
		})
		if err != nil {
			l.fatal = fmt.Errorf("sshtunnel: %s: no answer: %w", l.target, err)
			return nil, l.fatal
		}
		if len(said) != len(questions) {
			l.secrets.forget(purpose)
			l.fatal = fmt.Errorf("sshtunnel: %s: Config.Prompt has %d answers to %d questions",
				l.target, len(said), len(questions))
			return nil, l.fatal
		}
		return said, nil
	}
}
