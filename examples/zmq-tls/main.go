// Zmq-tls: ZeroMQ over mutual TLS, with a REQ and a REP socket that know nothing of TLS. The server
// end of TLS accepts clients with the right certificate and forwards them to the REP socket, which
// is bound to a private endpoint. The client end of TLS gives the REQ socket a private endpoint to
// connect to.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/stream"
)

const patience = 10 * time.Second // how long any step may take

func main() {
	log.SetPrefix("zmq-tls: ")
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	home, err := os.MkdirTemp("", "zmq-tls") // no other user may enter it
	if err != nil {
		return err
	}
	defer os.RemoveAll(home)
	if err := makeCertificates(home, "server", "ann"); err != nil {
		return err
	}

	// The server is a socket at an endpoint that only this user can reach. A TLS port in front of it
	// serves the clients that have a certificate.
	rep, err := zmq4.NewSocket(zmq4.REP)
	if err != nil {
		return err
	}
	defer rep.Close()
	backend := "ipc://" + filepath.Join(home, "backend")
	if err := errors.Join(rep.SetLinger(0), rep.SetRcvtimeo(patience), rep.Bind(backend)); err != nil {
		return err
	}
	port := &stream.Server{
		Authenticator: &stream.TLSAuthenticator{
			CertFile: filepath.Join(home, "server.crt"),
			KeyFile:  filepath.Join(home, "server.key"),
			CAFile:   filepath.Join(home, "ca.crt"), // requires a certificate of every client
		},
		Handler: func(ctx context.Context, conn net.Conn, credentials any) {
			name := credentials.([]*x509.Certificate)[0].Subject.CommonName
			fmt.Printf("a TLS client is let in: %q\n", name)
			if err := stream.Forward(ctx, conn, "", backend); err != nil && ctx.Err() == nil {
				log.Print(err)
			}
		},
		Logger: slog.New(slog.DiscardHandler), // the output shows every outcome
	}
	defer port.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- port.Serve(l) }()

	// The client is normally on another machine. Its socket connects to the tunnel's endpoint, and the
	// tunnel connects to the server's TLS port.
	tunnel, err := stream.ForwardTLS(context.Background(), "", l.Addr().String(), stream.TLSClient{
		CAFile:   filepath.Join(home, "ca.crt"),
		CertFile: filepath.Join(home, "ann.crt"),
		KeyFile:  filepath.Join(home, "ann.key"),
	})
	if err != nil {
		return err
	}
	defer tunnel.Close()
	req, err := zmq4.NewSocket(zmq4.REQ)
	if err != nil {
		return err
	}
	defer req.Close()
	err = errors.Join(
		req.SetLinger(0),
		req.SetRcvtimeo(patience),
		req.Connect(tunnel.Endpoint()),
	)
	if err != nil {
		return err
	}
	for _, text := range []string{"hello", "still there?"} {
		if err := exchange(req, rep, text); err != nil {
			return err
		}
	}

	if err := errors.Join(tunnel.Close(), port.Close()); err != nil {
		return err
	}
	if err := <-served; err != stream.ErrServerClosed {
		return err
	}
	return nil
}

// exchange sends a request and the reply to it. A real server runs on a goroutine of its own.
func exchange(req, rep *zmq4.Socket, text string) error {
	if _, err := req.Send(text, 0); err != nil {
		return err
	}
	request, err := rep.Recv(0)
	if err != nil {
		return err
	}
	if _, err := rep.Send("you said "+request, 0); err != nil {
		return err
	}
	reply, err := req.Recv(0)
	if err != nil {
		return err
	}
	fmt.Printf("%q: %q\n", text, reply)
	return nil
}

// makeCertificates makes a CA and, for each name, a key and a certificate that the CA has signed.
// A real CA is made once, with tools that keep its key secret.
func makeCertificates(dir string, names ...string) error {
	ca, caKey, err := certify(dir, "ca", nil, nil)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, _, err := certify(dir, name, ca, caKey); err != nil {
			return err
		}
	}
	return nil
}

// certify writes a certificate to name.crt and its key to name.key. The CA signs the certificate;
// where ca is nil, the certificate is a CA that signs itself.
func certify(
	dir, name string, ca *x509.Certificate, caKey *ecdsa.PrivateKey,
) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	serial, err2 := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err := errors.Join(err1, err2); err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Minute),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ca == nil {
		template.IsCA, template.BasicConstraintsValid = true, true
		template.KeyUsage = x509.KeyUsageCertSign
		ca, caKey = template, key
	}
	der, err1 := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), caKey)
	secret, err2 := x509.MarshalPKCS8PrivateKey(key)
	if err := errors.Join(err1, err2); err != nil {
		return nil, nil, err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	err := errors.Join(
		os.WriteFile(filepath.Join(dir, name+".crt"), certPEM, 0o644),
		os.WriteFile(filepath.Join(dir, name+".key"), keyPEM, 0o600),
	)
	return template, key, err
}
