package stream_test

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/zmqauth/zmqauth/stream"
)

// A server that tells each client the name in its certificate.
func Example() {
	dir, err := makeCertificates("server", "ann")
	check(err)
	defer os.RemoveAll(dir)

	server := &stream.Server{
		Authenticator: &stream.TLSAuthenticator{
			CertFile: filepath.Join(dir, "server.crt"),
			KeyFile:  filepath.Join(dir, "server.key"),
			CAFile:   filepath.Join(dir, "ca.crt"), // with it, clients must show a certificate
		},
		Handler: func(ctx context.Context, conn net.Conn, credentials any) {
			client := credentials.([]*x509.Certificate)[0]
			fmt.Fprintln(conn, "you are", client.Subject.CommonName)
		},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go server.Serve(l)
	defer server.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := stream.DialTLS(ctx, l.Addr().String(), stream.TLSClient{
		CAFile:   filepath.Join(dir, "ca.crt"),
		CertFile: filepath.Join(dir, "ann.crt"),
		KeyFile:  filepath.Join(dir, "ann.key"),
	})
	check(err)
	defer conn.Close()
	line, err := bufio.NewReader(conn).ReadString('\n')
	check(err)
	fmt.Print(line)
	// Output: you are ann
}

// Both halves of a custom handshake.
func ExampleAuthenticatorFunc() {
	expect := stream.AuthenticatorFunc(func(_ context.Context, conn net.Conn) (net.Conn, any, error) {
		word := make([]byte, 5)
		if _, err := io.ReadFull(conn, word); err != nil {
			return nil, nil, err
		}
		if string(word) != "Ma6ik" {
			return nil, nil, errors.New("wrong word")
		}
		_, err := conn.Write([]byte("+"))
		return conn, "a friend", err
	})
	say := func(word string) stream.AuthenticatorFunc {
		return func(_ context.Context, conn net.Conn) (net.Conn, any, error) {
			if _, err := io.WriteString(conn, word); err != nil {
				return nil, nil, err
			}
			_, err := io.ReadFull(conn, make([]byte, 1))
			return conn, nil, err
		}
	}

	server := &stream.Server{
		Authenticator: expect,
		Handler: func(_ context.Context, conn net.Conn, credentials any) {
			fmt.Fprintln(conn, "welcome,", credentials)
		},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go server.Serve(l)
	defer server.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := stream.Dial(ctx, "tcp", l.Addr().String(), say("Ma6ik"))
	check(err)
	defer conn.Close()
	line, err := bufio.NewReader(conn).ReadString('\n')
	check(err)
	fmt.Print(line)

	_, err = stream.Dial(ctx, "tcp", l.Addr().String(), say("guess"))
	fmt.Println(err)
	// Output:
	// welcome, a friend
	// stream: not authenticated: EOF
}

// TLS, then a user name that must match the client's certificate.
func ExampleChain() {
	dir, err := makeCertificates("server", "ann")
	check(err)
	defer os.RemoveAll(dir)

	name := stream.AuthenticatorFunc(func(ctx context.Context, conn net.Conn) (net.Conn, any, error) {
		certificate := stream.Credentials(ctx).([]*x509.Certificate)[0] // what TLS has proved
		said := make([]byte, 3)
		if _, err := io.ReadFull(conn, said); err != nil {
			return nil, nil, err
		}
		if string(said) != certificate.Subject.CommonName {
			return nil, nil, errors.New("a certificate for another name")
		}
		return conn, string(said), nil
	})
	server := &stream.Server{
		Authenticator: stream.Chain(&stream.TLSAuthenticator{
			CertFile: filepath.Join(dir, "server.crt"), KeyFile: filepath.Join(dir, "server.key"),
			CAFile: filepath.Join(dir, "ca.crt"),
		}, name),
		Handler: func(_ context.Context, conn net.Conn, credentials any) {
			fmt.Fprintln(conn, "welcome,", credentials)
		},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go server.Serve(l)
	defer server.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := stream.DialTLS(ctx, l.Addr().String(), stream.TLSClient{
		CAFile: filepath.Join(dir, "ca.crt"), CertFile: filepath.Join(dir, "ann.crt"),
		KeyFile: filepath.Join(dir, "ann.key"),
		Handshake: stream.AuthenticatorFunc(
			func(_ context.Context, conn net.Conn) (net.Conn, any, error) {
				_, err := io.WriteString(conn, "ann")
				return conn, nil, err
			}),
	})
	check(err)
	defer conn.Close()
	line, err := bufio.NewReader(conn).ReadString('\n')
	check(err)
	fmt.Print(line)
	// Output: welcome, ann
}

// A server for one client. It ends when the first authenticated client has been served.
func ExampleServer_ServeOne() {
	server := &stream.Server{Authenticator: stream.AllowAny,
		Handler: func(_ context.Context, conn net.Conn, _ any) {
			fmt.Fprintln(conn, "only you")
		}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	served := make(chan error)
	go func() { served <- server.ServeOne(l) }()

	conn, err := net.Dial("tcp", l.Addr().String())
	check(err)
	defer conn.Close()
	line, err := bufio.NewReader(conn).ReadString('\n')
	check(err)
	fmt.Print(line)
	fmt.Println("ServeOne:", <-served)
	// Output:
	// only you
	// ServeOne: <nil>
}

// Both ends of TLS between two programs that know nothing of it; a ZeroMQ socket would connect to
// tunnel.Endpoint().
func ExampleForwardTLS() {
	dir, err := makeCertificates("server", "ann")
	check(err)
	defer os.RemoveAll(dir)
	// A ZeroMQ socket would be bound to it.
	backend, err := net.Listen("unix", filepath.Join(dir, "backend"))
	check(err)
	defer backend.Close()
	go func() {
		conn, err := backend.Accept()
		check(err)
		defer conn.Close()
		fmt.Fprintln(conn, "hello from behind")
	}()

	server := &stream.Server{
		Authenticator: &stream.TLSAuthenticator{
			CertFile: filepath.Join(dir, "server.crt"), KeyFile: filepath.Join(dir, "server.key"),
			CAFile: filepath.Join(dir, "ca.crt"),
		},
		Handler: func(ctx context.Context, conn net.Conn, _ any) {
			check(stream.Forward(ctx, conn, "", "ipc://"+filepath.Join(dir, "backend")))
		},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go server.Serve(l)

	tunnel, err := stream.ForwardTLS(context.Background(), "tcp://127.0.0.1:0", l.Addr().String(),
		stream.TLSClient{
			CAFile: filepath.Join(dir, "ca.crt"), CertFile: filepath.Join(dir, "ann.crt"),
			KeyFile: filepath.Join(dir, "ann.key"),
		})
	check(err)
	conn, err := net.Dial("tcp", tunnel.Endpoint()[len("tcp://"):])
	check(err)
	text, err := io.ReadAll(conn)
	check(err)
	fmt.Print(string(text))

	check(conn.Close())
	check(server.Shutdown(context.Background()))
	check(tunnel.Close())
	// Output: hello from behind
}

func check(err error) {
	if err != nil {
		log.Panic(err)
	}
}
