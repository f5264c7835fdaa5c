package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"
)

// TLSClient configures [DialTLS] and [ForwardTLS]. With the zero value, the server's certificate is
// verified with the system's CAs and the host that is dialled, and the client shows no certificate.
// Each call of DialTLS reads the files again, so that the next connection uses files that have been
// replaced.
type TLSClient struct {
	// CertFile is the client's certificate with its chain, KeyFile is its private key. Both are PEM;
	// "" means none. If only KeyFile is empty, the key is in CertFile. The rules for owners and modes
	// of the files are those of [TLSAuthenticator].
	CertFile, KeyFile string
	// CAFile has the PEM certificates of the CAs that may certify the server; "": the system's CAs.
	CAFile string
	// CRLFile has revocation lists, as that of [TLSAuthenticator] has them: a server is refused whose
	// certificate is revoked, or the issuer of which has no list in the file that is in force. "": no
	// certificate is looked up.
	CRLFile string
	// ServerName is the name that the server's certificate must have; "": the host that is dialled.
	ServerName string
	// CipherSuites are the suites for TLS 1.0 to 1.2; nil: Go's defaults.
	CipherSuites []uint16
	// MinVersion is the oldest TLS version, such as tls.VersionTLS13; 0: TLS 1.2.
	MinVersion uint16
	// InsecureSkipVerify accepts any server, and so any attacker between client and server.
	InsecureSkipVerify bool
	// Handshake is the client's half of a handshake that follows TLS, the counterpart of a [Chain] on
	// the server; nil: none. DialTLS returns the connection that Handshake returns. The credentials
	// are ignored.
	Handshake Authenticator
	// Logger receives the failed connections of ForwardTLS; nil: slog.Default().
	Logger *slog.Logger
}

// Dial connects to a server ("tcp" with host:port, or "unix" with a path) and does the client's
// half of a handshake that is not TLS. ctx limits both, and does not matter to the connection
// afterwards. If a refuses, the error is an *[AuthenticationError].
func Dial(ctx context.Context, network, address string, a Authenticator) (net.Conn, error) {
	if err := check(a); err != nil {
		return nil, err
	}
	return dial(ctx, network, address, a)
}

// DialTLS connects to address, host:port. It returns when TLS and cfg.Handshake are done. By
// default the server must prove that it is the host that was dialled. If it cannot, or if it
// refuses the client, the error is an *[AuthenticationError]. ctx limits all of that, and does not
// matter to the connection afterwards. Without cfg.Handshake the connection is a *[tls.Conn].
//
// With TLS 1.3 the client finishes its part before the server has verified the client's
// certificate. A refused client therefore learns of it from the first Read, whose error begins with
// "remote error: tls:", unless cfg.Handshake reads before.
func DialTLS(ctx context.Context, address string, cfg TLSClient) (net.Conn, error) {
	network, address, err := endpoint("tcp", address)
	if err != nil {
		return nil, err
	}
	config, err := cfg.config(address)
	if err != nil {
		return nil, err
	}
	var handshake Authenticator = AuthenticatorFunc(
		func(ctx context.Context, conn net.Conn) (net.Conn, any, error) {
			secured := tls.Client(conn, config)
			if err := secured.HandshakeContext(ctx); err != nil {
				return nil, nil, &AuthenticationError{handshakeError(ctx, err)}
			}
			return secured, nil, nil
		})
	if cfg.Handshake != nil {
		handshake = Chain(handshake, cfg.Handshake)
	}
	return dial(ctx, network, address, handshake)
}

// dial connects and authenticates. It returns when ctx ends, whatever a does.
func dial(ctx context.Context, network, address string, a Authenticator) (_ net.Conn, err error) {
	network, address, err = endpoint(network, address)
	if err != nil {
		return nil, err
	}
	var dialer net.Dialer
	raw, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	conn, _, err := authenticate(ctx, a, raw)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		_ = raw.Close() // first, so that nothing waits for the peer
		if conn != nil {
			_ = conn.Close()
		}
		return nil, refusal(err)
	}
	// A connection that returns an error here has no deadline to clear.
	_ = conn.SetDeadline(time.Time{})
	_ = raw.SetDeadline(time.Time{})
	return conn, nil
}

// config returns the crypto/tls configuration for the server at address.
func (c *TLSClient) config(address string) (*tls.Config, error) {
	if c.CertFile == "" && c.KeyFile != "" {
		return nil, errors.New("stream: TLSClient with a KeyFile, but without a CertFile")
	}
	err := errors.Join(checkVersions(c.MinVersion, 0), checkSuites(c.CipherSuites))
	if c.CRLFile != "" && c.InsecureSkipVerify {
		err = errors.Join(err, errors.New("stream: TLSClient with a CRLFile and InsecureSkipVerify"))
	}
	if c.Handshake != nil {
		err = errors.Join(err, check(c.Handshake))
	}
	if err != nil {
		return nil, err
	}
	material, err := c.material()
	if err != nil {
		return nil, err
	}
	name := c.ServerName
	if name == "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("stream: address %q: %w", address, err)
		}
		name, _, _ = strings.Cut(host, "%") // an IPv6 zone is no part of a name
	}
	if name == "" && !c.InsecureSkipVerify {
		return nil, fmt.Errorf("stream: address %q has no host, and there is no ServerName: "+
			"nothing to verify the server by", address)
	}
	config := &tls.Config{
		ServerName:                  name,
		CipherSuites:                slices.Clone(c.CipherSuites),
		MinVersion:                  oldestVersion(c.MinVersion),
		InsecureSkipVerify:          c.InsecureSkipVerify,
		DynamicRecordSizingDisabled: true,
	}
	if material.ca != nil {
		config.RootCAs = material.ca.pool
	}
	if !c.InsecureSkipVerify {
		by := &rules{use: serverUse, name: name, ca: material.ca, revoked: material.revoked}
		config.VerifyConnection = func(state tls.ConnectionState) error {
			_, err := by.judge(state, time.Now())
			return err
		}
	}
	if certificate := material.certificate; certificate != nil {
		// The certificate is sent even if the server's list of CAs does not match it. The server can
		// then say why it refuses the certificate; without one it could only say that none came.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return certificate, nil
		}
	}
	return config, nil
}

// material is what a TLSClient reads from its files.
type material struct {
	certificate *tls.Certificate // nil: none
	ca          *authorities     // nil: those of the system
	revoked     *revocations     // nil: no lists
}

// material reads the files.
func (c *TLSClient) material() (m material, err error) {
	if c.CertFile != "" {
		if m.certificate, err = readNow(pairSource(c.CertFile, c.KeyFile)); err != nil {
			return material{}, err
		}
	}
	if c.CAFile != "" {
		if m.ca, err = readNow(authoritySource(c.CAFile, serverUse)); err != nil {
			return material{}, err
		}
		if len(m.ca.certificates) == 0 {
			err := errors.New("no certificate in it is trusted for servers")
			return material{}, fileError(c.CAFile, err)
		}
	}
	if c.CRLFile != "" {
		lists := revocationSource(c.CRLFile, func() *authorities { return m.ca })
		if m.revoked, err = readNow(lists); err != nil {
			return material{}, err
		}
	}
	return m, nil
}
