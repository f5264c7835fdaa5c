// Package stream authenticates the clients of servers that speak a protocol of their own over
// net.Conn, and carries ZeroMQ connections over TLS.
//
// A [Server] accepts connections, has an [Authenticator] prove who each client is, and calls its
// Handler with the connection and the credentials:
//
//	server := &stream.Server{
//		Authenticator: &stream.TLSAuthenticator{
//			CertFile: "server.crt", KeyFile: "server.key", CAFile: "ca.crt",
//		},
//		Handler: func(ctx context.Context, conn net.Conn, credentials any) {
//			client := credentials.([]*x509.Certificate)[0].Subject.CommonName
//			…
//		},
//	}
//	err := server.ListenAndServe("tcp", ":7000")
//
// The client verifies the server, and shows its certificate:
//
//	conn, err := stream.DialTLS(ctx, "server.example:7000", stream.TLSClient{
//		CAFile: "ca.crt", CertFile: "ann.crt", KeyFile: "ann.key",
//	})
//
// An [AuthenticatorFunc] is any other proof, [Chain] runs several in a row, and TLSClient.Handshake
// and [Dial] do the client's half of them.
//
// # ZeroMQ over TLS
//
// A Handler that calls [Forward] hands the connection on to a ZeroMQ socket that is bound to a
// private endpoint, and [ForwardTLS] makes an endpoint for the socket that connects. Neither socket
// knows of TLS:
//
//	REQ ─ ipc:// ─ ForwardTLS ═ TLS ═ Server, Forward ─ ipc:// ─ REP
//
// # Robustness
//
// A silent or slow client delays nobody else: see [Server]. A panic of an Authenticator or a
// Handler is logged and ends one connection. A configuration that makes no sense, such as a
// TLSAuthenticator without a certificate, is an error before the first client is accepted.
// Certificate files are read again when they change. Secrets and credentials are never logged.
//
// The package is pure Go and does not use libzmq.
package stream
