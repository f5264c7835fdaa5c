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
// client's certificate: a []*x509.Certificate that begins with the client's own, or nil if no
// certificate was verified.
//
// The files are read at the first use or by Check. Each handshake checks whether they have changed,
// and if so they are read again. A change applies to every handshake that begins after it; open
// connections stay open. Files may be replaced in any way: written in place, renamed, or through a
// symbolic link that leads to another file. If changed files cannot be used (for example, a
// certificate whose key has not been replaced yet), that is logged and the previous ones stay in
// force. After a change, earlier sessions cannot be resumed, so that a client whose CA was removed
// cannot return with a session ticket.
//
// The fields must not be changed after the first use. The struct must not be copied.
type TLSAuthenticator struct {
	// CertFile is the server's certificate, its own first, then the chain. KeyFile is its private key.
	// Both are PEM. If KeyFile is "", the key is in CertFile.
	//
	// Every file must belong to root or to the user of this process. No other user may be able to
	// write it; root's group and the group of this process may. A file with a private key must not be
	// readable by every user; a group may read it. A violation is an error that names the command that
	// mends it. (In a container's secret the mode is 0644 or 0444 by default, so its definition must
	// set another one. On Windows, owners and modes are not checked.)
	CertFile, KeyFile string
	// CAFile has the PEM certificates of the CAs whose clients are let in. With a CAFile, a client
	// must show a certificate and it is verified, unless ClientAuth says otherwise. Without one,
	// clients are not asked for a certificate.
	CAFile string
	// ClientAuth replaces these defaults; nil: the defaults. A type that verifies certificates needs a
	// CAFile. With a type that does not verify, the credentials are nil, because an unverified
	// certificate proves nothing.
	ClientAuth *tls.ClientAuthType
	// CipherSuites are the suites for TLS 1.0 to 1.2; nil: Go's defaults. Those of TLS 1.3 cannot be
	// chosen.
	CipherSuites []uint16
	// MinVersion is the oldest TLS version, such as tls.VersionTLS13; 0: TLS 1.2.
	MinVersion uint16
	// MaxVersion is the newest TLS version; 0: the newest that Go knows.
	MaxVersion uint16
	// Logger receives a line when changed files were read or cannot be used; nil: slog.Default().
	Logger *slog.Logger

	mu       sync.Mutex
	config   *tls.Config // nil before the first use
	content  map[string][]byte
	stamps   map[string]fileStamp
	reported string // the error that was logged last; "": the files can be used
}

// Check reads the files. It returns an error, which names the file if it is about one, if the files
// or the other fields cannot be used.
func (a *TLSAuthenticator) Check() error {
	_, err := a.current()
	return err
}

// Authenticate does the server's half of the handshake on conn. A refused client receives the alert
// that says why. The returned connection is a *[tls.Conn]. The error is an *[AuthenticationError],
// or it says what is wrong with the files.
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
		return secured, nil, nil // not chains[0] or a nil slice, which would not be a nil any
	}
	return secured, chains[0], nil
}

// handshakeError returns why a handshake failed. If ctx has ended, that is the reason, and not the
// closed connection.
func handshakeError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return fmt.Errorf("TLS handshake: %w", err)
}

// current returns the configuration for the files as they are now. If those cannot be used, it
// returns the last one that could.
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
		a.logger().Warn("stream: changed TLS files cannot be used, those of before stay in force",
			"error", err)
	}
	return a.config, nil
}

// isCurrent reports whether the files are unchanged since reload. The caller holds the mutex.
func (a *TLSAuthenticator) isCurrent() bool {
	for name, stamp := range a.stamps {
		if !stamp.isCurrent(name) {
			return false
		}
	}
	return true
}

// reload reads the files, and makes a new configuration if their content has changed. The caller
// holds the mutex.
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
	// Each tls.Config makes its own keys for session tickets. So a new one ends the old sessions.
	a.config = &tls.Config{
		Certificates: []tls.Certificate{*material.certificate},
		ClientAuth:   policy,
		ClientCAs:    material.ca,
		CipherSuites: slices.Clone(a.CipherSuites),
		MinVersion:   oldestVersion(a.MinVersion),
		MaxVersion:   a.MaxVersion,
		// Dynamic sizes begin with small records. That helps browsers, but slows down bulk messages.
		DynamicRecordSizingDisabled: true,
	}
	a.content, a.reported = content, ""
	if again {
		a.logger().Info("stream: changed TLS files are in force", "files", files.names())
	}
	return nil
}

// policy returns what clients are asked for. It returns an error if the fields contradict each
// other.
func (a *TLSAuthenticator) policy() (tls.ClientAuthType, error) {
	if a.CertFile == "" {
		return 0, errors.New("stream: TLSAuthenticator without a CertFile")
	}
	err := errors.Join(checkVersions(a.MinVersion, a.MaxVersion), checkSuites(a.CipherSuites))
	if err != nil {
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
		if a.CAFile == "" { // Go would accept clients of all of the system's CAs
			return 0, fmt.Errorf("stream: TLSAuthenticator: ClientAuth %v without a CAFile", *a.ClientAuth)
		}
		return *a.ClientAuth, nil
	}
	return 0, fmt.Errorf("stream: TLSAuthenticator: unknown ClientAuth %d", int(*a.ClientAuth))
}

func (a *TLSAuthenticator) logger() *slog.Logger { return loggerOr(a.Logger) }

// loggerOr returns log, or the default logger if log is nil.
func loggerOr(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.Default()
	}
	return log
}
