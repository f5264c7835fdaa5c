package stream

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// An Authenticator proves who is at the other end of a connection. It returns the connection to use
// from then on (the same, or one that wraps it) and the credentials: any value the application
// wants to have beside it.
//
// A nil error is the only yes, and it takes a connection that is not nil. With an error, whoever
// called Authenticate closes conn, and what was returned beside the error if that is not nil; so an
// Authenticator that has begun to wrap conn returns what it has made.
//
// ctx ends when the time for the handshake is over or the server is closed; a [Server] closes conn
// then, so that an Authenticator that only reads and writes conn need not look at ctx. One that
// waits for anything else must heed ctx. Authenticate may be called by many goroutines at once.
//
// An Authenticator that also has a method Check() error is asked by [Server.Serve] before the first
// client comes: an error tells that it could let nobody in.
type Authenticator interface {
	Authenticate(ctx context.Context, conn net.Conn) (net.Conn, any, error)
}

// AuthenticatorFunc makes an [Authenticator] of a function. A nil one refuses.
type AuthenticatorFunc func(ctx context.Context, conn net.Conn) (net.Conn, any, error)

// Authenticate calls f.
func (f AuthenticatorFunc) Authenticate(ctx context.Context, conn net.Conn) (net.Conn, any, error) {
	if f == nil {
		return nil, nil, errNilAuthenticator
	}
	return f(ctx, conn)
}

// Check is an error where f is nil.
func (f AuthenticatorFunc) Check() error {
	if f == nil {
		return errNilAuthenticator
	}
	return nil
}

// AuthenticationError tells that a connection was not authenticated. A [Server] logs it, [Dial] and
// [DialTLS] return it.
type AuthenticationError struct {
	Err error // what the Authenticator said; never nil
}

// Error is "stream: not authenticated: " with the reason.
func (e *AuthenticationError) Error() string {
	return fmt.Sprintf("stream: not authenticated: %v", e.Err)
}

// Unwrap is Err.
func (e *AuthenticationError) Unwrap() error { return e.Err }

var (
	errNilAuthenticator = errors.New("stream: the Authenticator is nil")
	errEmptyChain       = errors.New("stream: Chain of no Authenticator, which would let everybody in")
	errNoConn           = errors.New("the Authenticator returned neither a connection nor an error")
)

// checker is what an Authenticator may offer to find out in advance that it can let nobody in.
type checker interface{ Check() error }

// check asks a for what it lacks.
func check(a Authenticator) error {
	if a == nil {
		return errNilAuthenticator
	}
	if c, ok := a.(checker); ok {
		return c.Check()
	}
	return nil
}

// Chain runs several Authenticators in a row, each on the connection that the one before it
// returned, as in Chain(tls, magicWord). The first error ends it. The credentials are the last that
// are not nil; an Authenticator that wants to combine its own with those from before it reads them
// with [Credentials]. A Chain of none refuses everybody.
func Chain(authenticators ...Authenticator) Authenticator {
	return chain(append([]Authenticator(nil), authenticators...))
}

type chain []Authenticator

func (c chain) Check() error {
	if len(c) == 0 {
		return errEmptyChain
	}
	for _, a := range c {
		if err := check(a); err != nil {
			return err
		}
	}
	return nil
}

func (c chain) Authenticate(ctx context.Context, conn net.Conn) (net.Conn, any, error) {
	if len(c) == 0 {
		return nil, nil, errEmptyChain
	}
	var credentials any
	for _, a := range c {
		next, proved, err := authenticate(ctx, a, conn)
		if err != nil {
			if next == nil {
				next = conn // what an earlier one has wrapped is to be closed, too
			}
			return next, nil, err
		}
		conn = next
		if proved != nil {
			credentials = proved
			ctx = context.WithValue(ctx, credentialsKey{}, credentials)
		}
	}
	return conn, credentials, nil
}

type credentialsKey struct{}

// Credentials are what the Authenticators before the present one in a [Chain] have proved: the last
// that were not nil. ctx is that of Authenticate.
func Credentials(ctx context.Context) any { return ctx.Value(credentialsKey{}) }

// authenticate calls a, and makes a refusal of everything that is not a clear yes.
func authenticate(ctx context.Context, a Authenticator, conn net.Conn) (net.Conn, any, error) {
	if a == nil {
		return nil, nil, errNilAuthenticator
	}
	next, credentials, err := a.Authenticate(ctx, conn)
	if err == nil && next == nil {
		err = errNoConn
	}
	if err != nil {
		return next, nil, err
	}
	return next, credentials, nil
}

// refusal makes an AuthenticationError of err, unless it is one.
func refusal(err error) *AuthenticationError {
	if refused, ok := err.(*AuthenticationError); ok {
		return refused
	}
	return &AuthenticationError{err}
}
