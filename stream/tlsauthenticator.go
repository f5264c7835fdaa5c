package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"
)

// A TLSAuthenticator is the server's end of TLS. The credentials are the verified chain of the
// client's certificate: a []*x509.Certificate that begins with the client's own, or nil if no
// certificate was verified.
//
// The files are read at the first use or by Check. Each handshake checks whether they have
// changed, and if so they are read again. A change applies to every handshake that begins after
// it. Files may be replaced in any way: written in place, renamed, or through a symbolic link that
// leads to another file. The certificate with its key and the CA file are read each for itself: a
// change of the one takes effect even if the other cannot be used. If a changed file cannot be
// used (for example, a certificate whose key has not been replaced yet), that is logged at once
// and again at growing intervals, and what was in it before stays in force; see StaleLimit. After
// a change, earlier sessions cannot be resumed, so that a client whose CA was removed cannot
// return with a session ticket.
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
	// Certificates are further certificates of the server, each with a key. A client gets the first
	// one whose names (SNI) and algorithms suit it: that of CertFile is the first of all, and is shown
	// where none suits. nil: there are none.
	Certificates []CertificateFiles
	// CAFile has the PEM certificates of the CAs whose clients are let in. With a CAFile, a client
	// must show a certificate and it is verified, unless ClientAuth says otherwise. Without one,
	// clients are not asked for a certificate.
	//
	// Blocks of the types CERTIFICATE, X509 CERTIFICATE and TRUSTED CERTIFICATE are read, as openssl
	// reads them. A TRUSTED CERTIFICATE that is rejected for clients, or trusted for other uses only,
	// is no CA, and refuses every chain that it is in. A block begins at the start of a line, so that
	// one behind "# " is out of force.
	CAFile string
	// CRLFile has certificate revocation lists (RFC 5280), in PEM or DER. It needs a CAFile, and a
	// ClientAuth that verifies. "": no certificate is looked up.
	//
	// With it, every certificate of a client's chain, but the CA in the CAFile that ends it, is looked
	// up in the newest list that its issuer has signed. If there is no list of that issuer, or if it
	// has expired, the client is refused: a CRLFile must have a list for each CA that issues
	// certificates, also for the intermediate ones. A list with a critical extension is an error,
	// because it is only a part (a delta list, or one of some kinds of certificates or reasons). So is
	// a list that has the name of a CA in the CAFile, and not its signature.
	CRLFile string
	// AllowedNames are the certificates that are let in, of those that are verified, as KIND=NAME.
	// nil: any; empty but not nil: none. The kinds are
	//   - CN: the common name of the subject. A certificate with several has none.
	//   - OU: an organizational unit of the subject.
	//   - DNS, EMAIL, URI: a subject alternative name. A SPIFFE ID is a URI.
	//
	// In the name, * stands for one or more characters: for DNS within a label, for EMAIL on one side
	// of the @, for URI within a segment of the path. ** stands for any characters of a URI. A list
	// that is not nil needs a ClientAuth that requires certificates and verifies them. SetAllowed
	// replaces it.
	AllowedNames []string
	// AllowedFingerprints are the certificates that are let in, of those that are verified, by their
	// SHA-256: 64 hexadecimal digits, with or without colons. nil: any; empty but not nil: none. If
	// AllowedNames is not nil either, both must allow a certificate.
	AllowedFingerprints []string
	// StaleLimit is how long a CAFile or a CRLFile that cannot be used any more (because it is
	// empty, broken or gone) stays in force as it was. After that nobody is let in until it is
	// mended. The time is from the last look at the files that found them good: a [Server] looks a
	// few times a second, an Authenticator alone at each handshake. 0: there is no limit.
	StaleLimit time.Duration
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
	// NextProtos are the protocols that may be agreed on (ALPN), the preferred one first. A client
	// that offers others only is refused, one that offers none is not. nil: none is agreed on.
	NextProtos []string
	// Configure may change the configuration of crypto/tls, after all else has been set; nil: nothing
	// is changed. It is called again whenever a file has changed, and must set all it wants each time.
	// It can weaken everything: with versions, suites, keys for tickets or a GetConfigForClient of its
	// own. What is said here of the client's certificate holds whatever it does. A VerifyConnection
	// that it sets is called after that.
	Configure func(*tls.Config)
	// Logger receives a line when changed files were read (Info) or cannot be used (Error), and when a
	// certificate of the server or of a CA, or a revocation list, will soon expire (Warn) or has
	// (Error). What lasts is said again at growing intervals, up to a day. nil: slog.Default().
	Logger *slog.Logger

	followed followed
}

// CertificateFiles are the files of a certificate with its chain and of its private key, as
// CertFile and KeyFile of [TLSAuthenticator]. If KeyFile is "", the key is in CertFile.
type CertificateFiles struct{ CertFile, KeyFile string }

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
	now, err := a.current()
	if err != nil {
		return nil, nil, err
	}
	secured := tls.Server(conn, now.config)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, nil, &AuthenticationError{handshakeError(ctx, err)}
	}
	verdict, err := a.judge(secured.ConnectionState())
	if err != nil {
		return secured, nil, &AuthenticationError{err}
	}
	if verdict.chain == nil {
		return secured, nil, nil // not the nil slice, which would not be a nil any
	}
	credentials := any(verdict.chain)
	record(ctx, a, secured, credentials)
	return secured, credentials, nil
}

// handshakeError returns why a handshake failed. If ctx has ended, that is the reason, and not the
// closed connection.
func handshakeError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return fmt.Errorf("TLS handshake: %w", err)
}

// policy returns what clients are asked for. It returns an error if the fields contradict each
// other.
func (a *TLSAuthenticator) policy() (tls.ClientAuthType, error) {
	if a.CertFile == "" {
		return 0, errors.New("stream: TLSAuthenticator without a CertFile")
	}
	err := errors.Join(checkVersions(a.MinVersion, a.MaxVersion), checkSuites(a.CipherSuites))
	if err == nil && a.StaleLimit < 0 {
		err = fmt.Errorf("stream: TLSAuthenticator with a negative StaleLimit: %v", a.StaleLimit)
	}
	if err != nil {
		return 0, err
	}
	policy := tls.NoClientCert
	switch {
	case a.ClientAuth != nil:
		policy = *a.ClientAuth
	case a.CAFile != "":
		policy = tls.RequireAndVerifyClientCert
	}
	switch {
	case a.CRLFile != "" && (a.CAFile == "" || policy < tls.VerifyClientCertIfGiven):
		return 0, errors.New("stream: TLSAuthenticator: a CRLFile needs a CAFile, " +
			"and a ClientAuth that verifies")
	case a.listsNames() && (a.CAFile == "" || policy != tls.RequireAndVerifyClientCert):
		return 0, errNeedsCertificates
	}
	switch policy {
	case tls.NoClientCert, tls.RequestClientCert, tls.RequireAnyClientCert:
		return policy, nil
	case tls.VerifyClientCertIfGiven, tls.RequireAndVerifyClientCert:
		if a.CAFile == "" { // Go would accept clients of all of the system's CAs
			return 0, fmt.Errorf("stream: TLSAuthenticator: ClientAuth %v without a CAFile", policy)
		}
		return policy, nil
	}
	return 0, fmt.Errorf("stream: TLSAuthenticator: unknown ClientAuth %d", int(policy))
}

var errNeedsCertificates = errors.New("stream: TLSAuthenticator: AllowedNames and " +
	"AllowedFingerprints need a CAFile, and a ClientAuth that requires certificates and verifies them")

// listsNames reports whether only some of the verified certificates are let in.
func (a *TLSAuthenticator) listsNames() bool {
	return a.AllowedNames != nil || a.AllowedFingerprints != nil
}

func (a *TLSAuthenticator) logger() *slog.Logger { return loggerOr(a.Logger) }

// loggerOr returns log, or the default logger if log is nil.
func loggerOr(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.Default()
	}
	return log
}
