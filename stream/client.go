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

// TLSClient is what [DialTLS] and [ForwardTLS] need to know. The zero value verifies the server's
// certificate by the system's CAs, for the host that is dialled, and shows no certificate. Files
// are read by each call of DialTLS, so that those that have been replaced hold for the next
// connection.
type TLSClient struct {
	// CertFile and KeyFile hold the client's certificate with its chain, and its private key, in
	// PEM; "": none. Without KeyFile the key is in CertFile. Who may own, write and read the files
	// is as with a [TLSAuthenticator].
	CertFile, KeyFile string
	// CAFile holds the certificates in PEM of those who may have certified the server; "": the
	// system's CAs.
	CAFile string
	// ServerName is the name that the server's certificate must be for; "": the host that is dialled.
	ServerName string
	// CipherSuites are those for TLS 1.0 to 1.2; nil: Go's defaults.
	CipherSuites []uint16
	// MinVersion is the oldest version, as tls.VersionTLS13; 0: TLS 1.2.
	MinVersion uint16
	// InsecureSkipVerify accepts any server, and with it anyone who gets in between.
	InsecureSkipVerify bool
	// Handshake is the client's half of what follows TLS, as the other half of a [Chain]; nil:
	// nothing. The connection that it returns is what DialTLS returns; what it returns as credentials
	// is dropped.
	Handshake Authenticator
	// Logger is told by ForwardTLS of connections that failed; nil: slog.Default().
	Logger *slog.Logger
}

// Dial connects ("tcp" with host:port, or "unix" with a path) and does the client's half of a
// handshake that is not TLS. When ctx ends before that is done, so does Dial; afterwards ctx means
// nothing to the connection. The error of a is in an *[AuthenticationError].
func Dial(ctx context.Context, network, address string, a Authenticator) (net.Conn, error) {
	if err := check(a); err != nil {
		return nil, err
	}
	return dial(ctx, network, address, a)
}

// DialTLS connects to address, host:port, and returns once TLS and cfg.Handshake are done. Unless
// cfg says otherwise, the server must prove to be the host that is dialled. A server that is not
// that, or that refuses, is an *[AuthenticationError]. When ctx ends before, so does DialTLS;
// afterwards it means nothing to the connection. Without a cfg.Handshake the connection is a
// *[tls.Conn].
//
// With TLS 1.3 the client's part is over before the server has looked at its certificate: one that
// is refused learns it from the first Read, whose error begins with "remote error: tls:", unless
// there is a cfg.Handshake that reads.
func DialTLS(ctx context.Context, address string, cfg TLSClient) (net.Conn, error) {
	network, address, err := endpoint("tcp", address)
	if err != nil {
		return nil, err
	}
	config, err := cfg.config(address)
	if err != nil {
		return nil, err
	}
	handshake := Authenticator(AuthenticatorFunc(func(ctx context.Context, conn net.Conn) (net.Conn, any, error) {
		secured := tls.Client(conn, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, nil, &AuthenticationError{handshakeError(ctx, err)}
		}
		return secured, nil, nil
	}))
	if cfg.Handshake != nil {
		handshake = Chain(handshake, cfg.Handshake)
	}
	return dial(ctx, network, address, handshake)
}

// dial connects and authenticates. Neither outlives ctx, whatever a does.
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
	_ = conn.SetDeadline(time.Time{}) // an error: it never has one
	_ = raw.SetDeadline(time.Time{})
	return conn, nil
}

// config is what crypto/tls needs, for the server at address.
func (c *TLSClient) config(address string) (*tls.Config, error) {
	if c.CertFile == "" && c.KeyFile != "" {
		return nil, errors.New("stream: TLSClient with a KeyFile, but without a CertFile")
	}
	err := errors.Join(checkVersions(c.MinVersion, 0), checkSuites(c.CipherSuites))
	if c.Handshake != nil {
		err = errors.Join(err, check(c.Handshake))
	}
	if err != nil {
		return nil, err
	}
	files := materialFiles{c.CertFile, c.KeyFile, c.CAFile}
	content, _, err := files.read()
	if err != nil {
		return nil, err
	}
	material, err := files.parse(content)
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
		return nil, fmt.Errorf("stream: address %q has no host, and there is no ServerName: nothing to verify the server by", address)
	}
	config := &tls.Config{
		RootCAs:                     material.ca,
		ServerName:                  name,
		CipherSuites:                slices.Clone(c.CipherSuites),
		MinVersion:                  oldestVersion(c.MinVersion),
		InsecureSkipVerify:          c.InsecureSkipVerify,
		DynamicRecordSizingDisabled: true,
	}
	if certificate := material.certificate; certificate != nil {
		// Whoever the server says it trusts: it can refuse a certificate and say why, where without one
		// it could only say that there was none.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	}
	return config, nil
}
