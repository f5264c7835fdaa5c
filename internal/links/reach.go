package links

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/zmqauth/zmqauth/internal/backoff"
	"github.com/zmqauth/zmqauth/internal/policyfile"
)

// quietTime is how long a connection must stay open until it counts as carried. It is longer than a
// link delays a connection after others have failed.
const quietTime = backoff.Max + 500*time.Millisecond

// Reach tells from outside, on the same host, whether a link serves at one of its addresses. ctx
// limits that, and has a deadline.
//
// A tls-serve must begin the handshake and show a certificate that is valid now. Reach hangs up
// then, which is not logged as a refusal. The other links must accept a connection, and not close
// it for a second and a half: they close it if they cannot carry it on. To what is behind them, it
// is a client that sends nothing.
func Reach(ctx context.Context, spec Spec, at policyfile.Address) error {
	if at.IsChosen() {
		return errors.New("the system has chosen its port, which nobody but the link knows")
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, at.Network(), at.String())
	if errors.Is(err, syscall.ECONNRESET) { // a link may be faster than the system
		return notCarried(err)
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(dialTime)
	}
	if spec.section().Kind == policyfile.EntryTLSServe {
		_ = conn.SetDeadline(deadline) // an error means that the connection has ended
		return showsCertificate(ctx, conn)
	}
	if quiet := time.Now().Add(quietTime); quiet.Before(deadline) {
		deadline = quiet
	}
	_ = conn.SetDeadline(deadline)
	_, err = conn.Read(make([]byte, 1))
	if timeout, ok := errors.AsType[net.Error](err); err == nil || ok && timeout.Timeout() {
		return nil
	}
	return notCarried(err)
}

func notCarried(err error) error { return fmt.Errorf("a connection is not carried on: %w", err) }

// errSeen ends a handshake in which the server has shown its certificate.
var errSeen = errors.New("seen")

// showsCertificate begins a handshake, and hangs up when the certificate has come.
func showsCertificate(ctx context.Context, conn net.Conn) error {
	silent := &hangUp{Conn: conn}
	var shown []*x509.Certificate
	client := tls.Client(silent, &tls.Config{
		InsecureSkipVerify: true, // nothing is sent, and nothing is believed
		VerifyConnection: func(state tls.ConnectionState) error {
			silent.over.Store(true)
			shown = state.PeerCertificates
			return errSeen
		},
	})
	if err := client.HandshakeContext(ctx); !errors.Is(err, errSeen) {
		return fmt.Errorf("no TLS handshake: %w", err)
	}
	now := time.Now()
	if c := shown[0]; now.Before(c.NotBefore) || now.After(c.NotAfter) {
		return fmt.Errorf("its certificate is valid from %s to %s only",
			c.NotBefore.Format(time.RFC3339), c.NotAfter.Format(time.RFC3339))
	}
	return nil
}

// hangUp is a connection to which nothing is written any more once it is over.
type hangUp struct {
	net.Conn
	over atomic.Bool
}

func (h *hangUp) Write(p []byte) (int, error) {
	if h.over.Load() {
		return 0, io.ErrClosedPipe
	}
	return h.Conn.Write(p)
}
