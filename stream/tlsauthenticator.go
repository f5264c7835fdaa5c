package stream

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
)

// A TLSAuthenticator is the server's end of TLS. The credentials are the verified chain of the
// client's certificate, a []*x509.Certificate that begins with the client's own, or nil where there
// is no verified one.
//
// The files are read at the first use, or by Check, and read again when they have changed: each
// handshake looks at them, so a change holds for every handshake that begins after it, and
// connections that are open stay open. It does not matter how files are replaced: written, renamed,
// or by a symbolic link that leads elsewhere. What cannot be used, as a certificate whose key has
// not been replaced yet, is logged and leaves in force what was there before. Sessions of before a
// change cannot be resumed, so that a client whose CA has been removed does not come back with a
// ticket.
//
// The fields must not be changed after the first use, nor the struct copied.
type TLSAuthenticator struct {
	// CertFile holds the server's certificate, its own first, then the chain; KeyFile holds its
	// private key; both in PEM. Without KeyFile the key is in CertFile.
	//
	// Every file belongs to root or to the user of this process, and nobody else can write it, but
	// for root's group and the group of this process. A key cannot be read by every user of the
	// machine; a group may read it. What is not so is an error that names the command that mends
	// it. (In a container's secret the mode is 0644 or 0444 unless its definition says otherwise,
	// as it should. On Windows, modes and owners are not looked at.)
	CertFile, KeyFile string
	// CAFile holds the certificates in PEM of those whose clients are let in. With it, a client's
	// certificate is required and verified unless ClientAuth says otherwise; without it, clients are
	// not asked for one.
	CAFile string
	// ClientAuth is what is asked of clients in place of that. A kind that verifies certificates needs
	// a CAFile. With a kind that does not, the credentials are nil: a certificate that was not
	// verified says nothing.
	ClientAuth *tls.ClientAuthType
	// CipherSuites are those for TLS 1.0 to 1.2; nil: Go's defaults. Those of TLS 1.3 cannot be
	// chosen.
	CipherSuites []uint16
	// MinVersion is the oldest version, as tls.VersionTLS13; 0: TLS 1.2.
	MinVersion uint16
	// MaxVersion is the newest version; 0: the newest that Go knows.
	MaxVersion uint16
	// Logger is told of files that were read again and of those that could not be; nil:
	// slog.Default().
	Logger *slog.Logger

	mu       sync.Mutex
	config   *tls.Config // nil before the first use
	content  map[string][]byte
	stamps   map[string]fileStamp
	reported string // the fault of the files as they are now
}

// Check reads the files, and is an error that names the file where they or the other fields cannot
// be used.
func (a *TLSAuthenticator) Check() error {
	_, err := a.current()
	return err
}

// Authenticate does the server's part of the handshake on conn. A refused client is sent the alert
// that says why. The connection returned is a *[tls.Conn]. The error is an *[AuthenticationError],
// or what is wrong with the files.
func (a *TLSAuthenticator) Authenticate(ctx context.Context, conn net.Conn) (net.Conn, any, error) {
	config, err := a.current()
	if err != nil {
		return nil, nil, err
	}
	secured := tls.Server(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, nil, &AuthenticationError{handshakeError(ctx, err)}
	}
	chains := secured.ConnectionState().VerifiedChains
	if len(chains) == 0 || len(chains[0]) == 0 {
		return secured, nil, nil // an any that is nil, not a nil slice in one
	}
	return secured, chains[0], nil
}

// handshakeError is why a handshake failed. Where ctx has ended it, that is the reason, not the
// closed connection.
func handshakeError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return fmt.Errorf("TLS handshake: %w", err)
}

// current is the configuration for the files as they are now, or as they were when they could last
// be used.
func (a *TLSAuthenticator) current() (*tls.Config, error) {
	if a == nil {
		return nil, errNilAuthenticator
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.config != nil && a.isCurrent() {
		return a.config, nil
	}
	err := a.reload()
	if a.config == nil {
		return nil, err
	}
	if err != nil && err.Error() != a.reported {
		a.reported = err.Error()
		a.logger().Warn("stream: changed TLS files cannot be used, those of before stay in force", "error", err)
	}
	return a.config, nil
}

// isCurrent tells whether the files are those that reload has seen last. The caller holds the
// mutex, as that of reload.
func (a *TLSAuthenticator) isCurrent() bool {
	for name, stamp := range a.stamps {
		if !stamp.isCurrent(name) {
			return false
		}
	}
	return true
}

// reload reads the files, and makes a new configuration if they hold anything new.
func (a *TLSAuthenticator) reload() error {
	policy, err := a.policy()
	if err != nil {
		return err
	}
	files := materialFiles{a.CertFile, a.KeyFile, a.CAFile}
	content, stamps, err := files.read()
	a.stamps = stamps
	if err != nil {
		return err
	}
	if a.config != nil && maps.EqualFunc(content, a.content, bytes.Equal) {
		a.reported = ""
		return nil
	}
	material, err := files.parse(content)
	if err != nil {
		return err
	}
	again := a.config != nil
	// A configuration of its own has keys of its own for session tickets.
	a.config = &tls.Config{
		Certificates: []tls.Certificate{*material.certificate},
		ClientAuth:   policy,
		ClientCAs:    material.ca,
		CipherSuites: slices.Clone(a.CipherSuites),
		MinVersion:   oldestVersion(a.MinVersion),
		MaxVersion:   a.MaxVersion,
		// Small first records would save a browser some time. Messages in bulk only get slower by them.
		DynamicRecordSizingDisabled: true,
	}
	a.content, a.reported = content, ""
	if again {
		a.logger().Info("stream: changed TLS files are in force", "files", files.names())
	}
	return nil
}

// policy is what clients are asked for. An error tells that the fields contradict each other.
func (a *TLSAuthenticator) policy() (tls.ClientAuthType, error) {
	if a.CertFile == "" {
		return 0, errors.New("stream: TLSAuthenticator without a CertFile")
	}
	if err := errors.Join(checkVersions(a.MinVersion, a.MaxVersion), checkSuites(a.CipherSuites)); err != nil {
		return 0, err
	}
	if a.ClientAuth == nil {
		if a.CAFile == "" {
			return tls.NoClientCert, nil
		}
		return tls.RequireAndVerifyClientCert, nil
	}
	switch *a.ClientAuth {
	case tls.NoClientCert, tls.RequestClientCert, tls.RequireAnyClientCert:
		return *a.ClientAuth, nil
	case tls.VerifyClientCertIfGiven, tls.RequireAndVerifyClientCert:
		if a.CAFile == "" { // Go would let in whom any of the system's CAs has certified
			return 0, fmt.Errorf("stream: TLSAuthenticator: ClientAuth %v without a CAFile", *a.ClientAuth)
		}
		return *a.ClientAuth, nil
	}
	return 0, fmt.Errorf("stream: TLSAuthenticator: unknown ClientAuth %d", int(*a.ClientAuth))
}

func (a *TLSAuthenticator) logger() *slog.Logger { return loggerOr(a.Logger) }

// loggerOr is log, or the default one.
func loggerOr(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.Default()
	}
	return log
}
