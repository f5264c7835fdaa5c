package zmqauth

import (
	"errors"
	"fmt"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/libzmq"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// This file gives sockets their security role. Bind a socket only when its role has returned nil.
// libzmq applies the role to the endpoints that are bound or connected afterwards. So a server role
// is an error on a socket that has ever had an endpoint. A client that was refused may be given
// another role.

// The handshake interval of server sockets: shorter than libzmq's default, because a client that
// has been told to try again (300) waits for it, and a silent peer holds a connection for as long.
const (
	handshakeInterval       = 10 * time.Second
	libzmqHandshakeInterval = 30 * time.Second
)

const maxDomainLength = 255 // bytes, libzmq's limit

var (
	errSocketInUse = errors.New("the socket is bound or connected already: " +
		"its role would not hold for that endpoint")
	errNoGSSAPI    = errors.New("libzmq has been built without GSSAPI")
	errNoSecretKey = errors.New("the certificate has no secret key")
)

// NullServer makes s a server whose clients show no credentials (RFC 27, "The NULL Mechanism"). The
// authenticator decides by their address alone. Without a ZAP handler in its context the server
// refuses everyone. The domain must not be empty.
func NullServer(s *zmq4.Socket, domain string) error {
	return serverRole(s, "NullServer", domain, func() error { return s.SetPlainServer(0) })
}

// PlainServer makes s a server whose clients send a user name and a password, in clear (RFC 24).
// Without a ZAP handler in its context the server refuses everyone. The domain must not be empty.
func PlainServer(s *zmq4.Socket, domain string) error {
	return serverRole(s, "PlainServer", domain, func() error { return s.SetPlainServer(1) })
}

// CurveServer makes s a server whose clients prove a CURVE key, and whose traffic is encrypted (RFC
// 26). Without a ZAP handler in its context the server refuses everyone. The domain must not be
// empty, and the certificate must have the secret key.
func CurveServer(s *zmq4.Socket, domain string, cert *Certificate) error {
	const role = "CurveServer"
	if err := checkSecretKey(cert); err != nil {
		return fmt.Errorf("zmqauth: %s: %w", role, err)
	}
	return serverRole(s, role, domain, func() error {
		return errors.Join(s.SetCurveServer(1), s.SetCurveSecretkey(cert.Secret.Z85()))
	})
}

// GSSAPIServer makes s a server whose clients prove a Kerberos principal, and whose traffic is
// encrypted (RFC 38). The domain must not be empty. Unlike the other roles, this one depends on the
// authenticator: libzmq accepts GSSAPI clients where there is no ZAP handler.
//
// Leave the principal empty. The server then accepts for every service in its keytab (KRB5_KTNAME),
// and needs no KDC. With a principal (host-based: service@host) libzmq asks the KDC for a ticket at
// each client's greeting, before the client has proved anything. It does so on the thread that
// serves all sockets of the context: a KDC that does not answer stalls them all.
//
// A server with the wrong keytab says nothing to its clients: their handshakes run out of time. A
// libzmq without GSSAPI is an error that says so.
func GSSAPIServer(s *zmq4.Socket, domain, principal string) error {
	const role = "GSSAPIServer"
	if !zmq4.HasGssapi() {
		return fmt.Errorf("zmqauth: %s: %w", role, errNoGSSAPI)
	}
	return serverRole(s, role, domain, func() error {
		if principal == "" {
			return s.SetGssapiServer(true)
		}
		return errors.Join(s.SetGssapiServer(true), s.SetGssapiPrincipal(principal))
	})
}

// serverRole sets the domain, the mechanism, and last the option that makes libzmq refuse where no
// handler is bound. With that option and without a domain, a PLAIN socket would abort the process.
func serverRole(s *zmq4.Socket, role, domain string, mechanism func() error) error {
	switch {
	case domain == "":
		return fmt.Errorf("zmqauth: %s: the domain is empty: libzmq would ask nobody", role)
	case len(domain) > maxDomainLength:
		return fmt.Errorf("zmqauth: %s: a domain has at most %d bytes", role, maxDomainLength)
	}
	return setRole(s, role, func() error {
		endpoint, err := s.GetLastEndpoint()
		if err != nil {
			return err
		}
		if endpoint != "" {
			return errSocketInUse
		}
		if err := s.SetZapDomain(domain); err != nil {
			return err
		}
		if err := mechanism(); err != nil {
			return err
		}
		if err := libzmq.EnforceDomain(s); err != nil {
			return err
		}
		interval, err := s.GetHandshakeIvl()
		if err != nil || interval != libzmqHandshakeInterval {
			return err
		}
		return s.SetHandshakeIvl(handshakeInterval)
	})
}

// PlainClient makes s a client with a user name and a password of 1 to 255 bytes each. They cross
// the network in clear.
func PlainClient(s *zmq4.Socket, username, password string) error {
	return setRole(s, "PlainClient", func() error {
		switch {
		case username == "" || password == "": // zmq4 would make the socket a NULL client
			return errors.New("the user name or the password is empty")
		case len(username) > zap.MaxCredential || len(password) > zap.MaxCredential:
			return fmt.Errorf("a user name or a password has at most %d bytes", zap.MaxCredential)
		}
		return errors.Join(s.SetPlainUsername(username), s.SetPlainPassword(password))
	})
}

// CurveClient makes s a client that proves the certificate's key to a server. It accepts no other
// server than the one that has the secret key to the public key server.
func CurveClient(s *zmq4.Socket, server PublicKey, cert *Certificate) error {
	return setRole(s, "CurveClient", func() error {
		if err := checkSecretKey(cert); err != nil {
			return err
		}
		if server == (PublicKey{}) {
			return errors.New("the server's key is zero")
		}
		return errors.Join(s.SetCurveServerkey(server.String()),
			s.SetCurvePublickey(cert.Secret.Public().String()),
			s.SetCurveSecretkey(cert.Secret.Z85()))
	})
}

// GSSAPIClient makes s a client that proves a Kerberos principal to the service servicePrincipal.
// Both are host-based (service@host). An empty principal means the default one of the credential
// cache (KRB5CCNAME) or of the client keytab (KRB5_CLIENT_KTNAME). The key of a principal that is
// given has to be in the keytab of servers (KRB5_KTNAME), too, because libzmq asks for credentials
// of both kinds. A client that cannot get a ticket says nothing: its handshake runs out of time. A
// libzmq without GSSAPI is an error that says so.
func GSSAPIClient(s *zmq4.Socket, principal, servicePrincipal string) error {
	return setRole(s, "GSSAPIClient", func() error {
		switch {
		case !zmq4.HasGssapi():
			return errNoGSSAPI
		case servicePrincipal == "":
			return errors.New("the service's principal is empty")
		}
		if principal != "" {
			if err := s.SetGssapiPrincipal(principal); err != nil {
				return err
			}
		}
		return s.SetGssapiServicePrincipal(servicePrincipal)
	})
}

// checkSecretKey tells whether a certificate has a good secret key. If there is a public key, the
// secret one has to belong to it.
func checkSecretKey(cert *Certificate) error {
	switch {
	case cert == nil || cert.Secret == nil:
		return errNoSecretKey
	case cert.Public == PublicKey{}:
		return checkKeys(cert.Secret.Public(), cert.Secret)
	}
	return checkKeys(cert.Public, cert.Secret)
}

// setRole sets options on a socket.
func setRole(s *zmq4.Socket, role string, set func() error) error {
	if s == nil {
		return fmt.Errorf("zmqauth: %s: the socket is nil", role)
	}
	if err := set(); err != nil {
		return fmt.Errorf("zmqauth: %s: %w", role, err)
	}
	return nil
}
