package stream

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// An Authenticator proves who the peer of a connection is. It returns the connection to use from
// then on (conn, or one that wraps it) and the credentials. The credentials are any value that the
// application wants to have with the connection.
//
// A client is authenticated only if the error is nil and the returned connection is not. If the
// error is not nil, the caller of Authenticate closes conn, and also the returned connection if
// there is one. So an Authenticator that fails after it has wrapped conn returns the wrapper with
// the error.
//
// ctx ends when the handshake has taken too long or when the server is closed. A [Server] closes
// conn at that moment, so an Authenticator that only reads and writes conn need not look at ctx.
// One that waits for anything else must obey ctx. Authenticate may be called by many goroutines at
// once.
//
// If an Authenticator has a method Check() error, [Server.Serve] calls it before it accepts the
// first client. An error means that the Authenticator could let nobody in.
type Authenticator interface {
	Authenticate(ctx context.Context, conn net.Conn) (net.Conn, any, error)
}

// AllowAny lets everybody in at once, with nil credentials.
var AllowAny Authenticator = allowAny{}

type allowAny struct{}

func (allowAny) Authenticate(_ context.Context, conn net.Conn) (net.Conn, any, error) {
	return conn, nil, nil
}

// AuthenticatorFunc makes an [Authenticator] of a function. A nil function refuses everybody.
type AuthenticatorFunc func(ctx context.Context, conn net.Conn) (net.Conn, any, error)

// Authenticate calls f.
func (f AuthenticatorFunc) Authenticate(ctx context.Context, conn net.Conn) (net.Conn, any, error) {
	if f == nil {
		return nil, nil, errNilAuthenticator
	}
	return f(ctx, conn)
}

// Check returns an error if f is nil.
func (f AuthenticatorFunc) Check() error {
	if f == nil {
		return errNilAuthenticator
	}
	return nil
}

// AuthenticationError says that a connection was not authenticated. A [Server] logs it; [Dial] and
// [DialTLS] return it.
type AuthenticationError struct {
	Err error // what the Authenticator said; never nil
}

// Error returns "stream: not authenticated: " and the reason.
func (e *AuthenticationError) Error() string {
	return fmt.Sprintf("stream: not authenticated: %v", e.Err)
}

// Unwrap returns e.Err.
func (e *AuthenticationError) Unwrap() error { return e.Err }

var (
	errNilAuthenticator = errors.New("stream: the Authenticator is nil")
	errEmptyChain       = errors.New("stream: Chain of no Authenticator, which would let everybody in")
	errNoConn           = errors.New("the Authenticator returned neither a connection nor an error")
)

// checker is implemented by Authenticators that can tell in advance that they could let nobody in.
type checker interface{ Check() error }

// check returns an error if a could let nobody in.
func check(a Authenticator) error {
	if a == nil {
		return errNilAuthenticator
	}
	if c, ok := a.(checker); ok {
		return c.Check()
	}
	return nil
}

// Chain runs several Authenticators in a row, as in Chain(tls, magicWord). Each one gets the
// connection that the one before it returned. The first error ends the chain. The credentials are
// the last ones that are not nil. An Authenticator that wants to combine its own credentials with
// earlier ones reads those with [Credentials]. An empty Chain refuses everybody.
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
				next = conn // the wrapper of an earlier Authenticator, which must be closed, too
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

// Credentials returns what the earlier Authenticators of a [Chain] have proved: the last
// credentials that are not nil. ctx is the context that Authenticate was called with.
func Credentials(ctx context.Context) any { return ctx.Value(credentialsKey{}) }

// authenticate calls a. Everything but a connection without an error is a refusal.
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
	if r, ok := a.(Rejudger); ok {
		// A TLSAuthenticator does so itself, so that it does in an AuthenticatorFunc, too.
		if _, records := a.(*TLSAuthenticator); !records {
			record(ctx, r, next, credentials)
		}
	}
	return next, credentials, nil
}

// refusal returns err as an AuthenticationError, wrapped if it is not one yet.
func refusal(err error) *AuthenticationError {
	if refused, ok := err.(*AuthenticationError); ok {
		return refused
	}
	return &AuthenticationError{err}
}
