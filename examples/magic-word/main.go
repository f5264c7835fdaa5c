// Magic-word: a custom handshake behind TLS. The server shows a certificate, then the client sends
// a secret word. Package stream runs both halves of the handshake.
package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/subtle"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/zmqauth/zmqauth/stream"
)

const patience = 10 * time.Second // how long any step may take

// In the handshake the client sends a word of wordSize bytes. The server answers with one byte.
const (
	wordSize = 5
	yes, no  = '+', '-'
)

func main() {
	log.SetPrefix("magic-word: ")
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

// expect is the server's half. It reads only the bytes it needs. The stream.Server sets a deadline
// on conn, so a silent client cannot block it.
func expect(word string) stream.AuthenticatorFunc {
	return func(_ context.Context, conn net.Conn) (net.Conn, any, error) {
		said := make([]byte, wordSize)
		if _, err := io.ReadFull(conn, said); err != nil {
			return nil, nil, err
		}
		if subtle.ConstantTimeCompare(said, []byte(word)) != 1 {
			_, err := conn.Write([]byte{no})
			// The error does not repeat the word, because others may read the log.
			return nil, nil, errors.Join(errors.New("wrong word"), err)
		}
		_, err := conn.Write([]byte{yes})
		return conn, "one who knows the word", err
	}
}

// say is the client's half.
func say(word string) stream.AuthenticatorFunc {
	return func(_ context.Context, conn net.Conn) (net.Conn, any, error) {
		if _, err := io.WriteString(conn, word); err != nil {
			return nil, nil, err
		}
		answer := make([]byte, 1)
		if _, err := io.ReadFull(conn, answer); err != nil {
			return nil, nil, err
		}
		if answer[0] != yes {
			return nil, nil, errors.New("the server does not like the word")
		}
		return conn, nil, nil
	}
}

func run() error {
	home, err := os.MkdirTemp("", "magic-word")
	if err != nil {
		return err
	}
	defer os.RemoveAll(home)
	if err := makeCertificates(home, "server"); err != nil {
		return err
	}

	server := &stream.Server{
		Authenticator: stream.Chain(
			&stream.TLSAuthenticator{
				CertFile: filepath.Join(home, "server.crt"),
				KeyFile:  filepath.Join(home, "server.key"),
			},
			expect("Ma6ik"),
		),
		Handler: func(_ context.Context, conn net.Conn, credentials any) {
			fmt.Fprintf(conn, "welcome, %s\n", credentials)
		},
		Logger: slog.New(slog.DiscardHandler), // the output shows every outcome
	}
	defer server.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()

	for _, word := range []string{"Ma6ik", "magic"} {
		welcome, err := visit(l.Addr().String(), stream.TLSClient{
			CAFile:    filepath.Join(home, "ca.crt"),
			Handshake: say(word),
		})
		if (err == nil) != (word == "Ma6ik") {
			return fmt.Errorf("%s: %q, %v", word, welcome, err)
		}
		if refused := new(stream.AuthenticationError); errors.As(err, &refused) {
			welcome = refused.Err.Error()
		}
		fmt.Printf("%s: %s\n", word, welcome)
	}

	if err := server.Close(); err != nil {
		return err
	}
	if err := <-served; err != stream.ErrServerClosed {
		return err
	}
	return nil
}

// visit is a client that returns the line that the server welcomes it with.
func visit(address string, cfg stream.TLSClient) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := stream.DialTLS(ctx, address, cfg) // returns after TLS and cfg.Handshake
	if err != nil {
		return "", err
	}
	defer conn.Close()
	line, _, err := bufio.NewReader(conn).ReadLine()
	return string(line), err
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
