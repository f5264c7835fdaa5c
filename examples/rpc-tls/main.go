// Rpc-tls: a net/rpc server over mutual TLS that knows who calls. Both sides show a certificate
// that the same CA has signed. The methods use the name in the client's certificate.
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
	"net/rpc"
	"os"
	"path/filepath"
	"time"

	"github.com/zmqauth/zmqauth/stream"
)

const patience = 10 * time.Second // how long any step may take

func main() {
	log.SetPrefix("rpc-tls: ")
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

// Orders has the methods that clients may call. Each connection has its own Orders, with the name
// of its client.
type Orders struct{ caller string }

// Place takes an order.
func (o *Orders) Place(what string, reply *string) error {
	*reply = fmt.Sprintf("%s for %s", what, o.caller)
	return nil
}

// serve is the server's handler. The credentials are the verified chain of the client: its own
// certificate is the first.
func serve(_ context.Context, conn net.Conn, credentials any) {
	caller := credentials.([]*x509.Certificate)[0].Subject.CommonName
	server := rpc.NewServer()
	if err := server.Register(&Orders{caller}); err != nil {
		log.Print(err)
		return
	}
	server.ServeConn(conn)
}

func run() error {
	home, err := os.MkdirTemp("", "rpc-tls")
	if err != nil {
		return err
	}
	defer os.RemoveAll(home)
	if err := makeCertificates(home, "server", "ann", "bob"); err != nil {
		return err
	}

	server := &stream.Server{
		Authenticator: &stream.TLSAuthenticator{
			CertFile: filepath.Join(home, "server.crt"),
			KeyFile:  filepath.Join(home, "server.key"),
			CAFile:   filepath.Join(home, "ca.crt"), // requires a certificate of every client
		},
		Handler: serve,
		Logger:  slog.New(slog.DiscardHandler), // the output shows every outcome
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()

	for _, name := range []string{"ann", "bob"} {
		reply, err := order(l.Addr().String(), stream.TLSClient{
			CAFile:   filepath.Join(home, "ca.crt"),
			CertFile: filepath.Join(home, name+".crt"),
			KeyFile:  filepath.Join(home, name+".key"),
		})
		if err != nil {
			return err
		}
		fmt.Printf("%s calls: %s\n", name, reply)
	}
	stranger := stream.TLSClient{CAFile: filepath.Join(home, "ca.crt")}
	if reply, err := order(l.Addr().String(), stranger); err == nil {
		return fmt.Errorf("a stranger was served: %s", reply)
	}
	fmt.Println("a client without a certificate: refused")

	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil { // waits for calls to end
		return err
	}
	if err := <-served; err != stream.ErrServerClosed {
		return err
	}
	return nil
}

// order is a client that makes one call.
func order(address string, cfg stream.TLSClient) (reply string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := stream.DialTLS(ctx, address, cfg)
	if err != nil {
		return "", err
	}
	client := rpc.NewClient(conn)
	defer client.Close()
	err = client.Call("Orders.Place", "tea", &reply)
	return reply, err
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
