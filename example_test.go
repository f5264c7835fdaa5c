package zmqauth_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
)

// A CURVE server that lets in one client, and a client that learns the outcome.
func Example() {
	clientCert, _ := zmqauth.NewCertificate()
	serverCert, _ := zmqauth.NewCertificate()

	auth, err := zmqauth.New(nil, nil) // for the sockets of zmq4's default context
	if err != nil {
		fmt.Println(err)
		return
	}
	defer auth.Close()
	err = errors.Join(auth.ConfigureCurveKeys("global", clientCert.Public), auth.Start())
	if err != nil {
		fmt.Println(err)
		return
	}

	server, _ := zmq4.NewSocket(zmq4.REP)
	defer server.Close()
	// Never bind a socket whose role has failed.
	if err := zmqauth.CurveServer(server, "global", serverCert); err != nil {
		fmt.Println(err)
		return
	}
	if err := server.Bind("tcp://127.0.0.1:*"); err != nil {
		fmt.Println(err)
		return
	}
	endpoint, _ := server.GetLastEndpoint()

	client, _ := zmq4.NewSocket(zmq4.REQ)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := zmqauth.CurveClient(client, serverCert.Public, clientCert); err != nil {
		fmt.Println(err)
		return
	}
	if err := zmqauth.Connect(ctx, client, endpoint); err != nil {
		fmt.Println(err)
		return
	}
	client.Send("hello", 0)
	text, metadata, _ := server.RecvWithMetadata(0, "User-Id")
	fmt.Println(text, metadata["User-Id"] == clientCert.Public.String())
	// Output: hello true
}

// A test that no stranger gets in at a port: none of the results may be Accepted.
func ExampleProbe() {
	auth, err := zmqauth.New(nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer auth.Close()
	passwords := map[string]string{"ann": "correct horse"}
	err = errors.Join(auth.ConfigurePlain("global", passwords), auth.Start())
	if err != nil {
		fmt.Println(err)
		return
	}
	server, _ := zmq4.NewSocket(zmq4.ROUTER)
	defer server.Close()
	err = errors.Join(zmqauth.PlainServer(server, "global"), server.Bind("tcp://127.0.0.1:*"))
	if err != nil {
		fmt.Println(err)
		return
	}
	endpoint, _ := server.GetLastEndpoint()

	results, err := zmqauth.Probe(context.Background(), endpoint)
	if err != nil {
		fmt.Println(err) // it could not tell
		return
	}
	for _, result := range results {
		fmt.Println(result)
	}
	// Output:
	// NULL: cut off
	// PLAIN: refused (status 400)
	// CURVE: cut off
}

// A request as libzmq makes it, judged without a socket.
func ExampleAuthenticator_HandleZAPMessage() {
	auth, err := zmqauth.New(nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer auth.Close()
	auth.ConfigurePlain("global", map[string]string{"ann": "correct horse"})
	for _, password := range []string{"correct horse", "battery staple"} {
		var request [][]byte
		for _, frame := range []string{"1.0", "1", "global", "127.0.0.1", "", "PLAIN", "ann", password} {
			request = append(request, []byte(frame))
		}
		reply := auth.HandleZAPMessage(context.Background(), request)
		fmt.Printf("%s %q\n", reply[2], reply[4])
	}
	// Output:
	// 200 "ann"
	// 400 ""
}

// Passwords in a database. A lookup delays no other client.
func ExampleAuthenticator_ConfigurePlainCallback() {
	auth, err := zmqauth.New(nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer auth.Close()
	err = auth.ConfigurePlainCallback("global",
		func(ctx context.Context, domain, username, password string) (*zmqauth.Identity, error) {
			ok, err := checkInDatabase(ctx, username, password)
			switch {
			case err != nil:
				return nil, zmqauth.ErrTemporary // libzmq's client tries again
			case !ok:
				return nil, zmqauth.ErrDenied
			}
			role := map[string]string{"Role": "operator"}
			return &zmqauth.Identity{UserID: username, Metadata: role}, nil
		})
	fmt.Println(err)
	// Output: <nil>
}

func checkInDatabase(context.Context, string, string) (bool, error) { return true, nil }

// Address rules are compared as addresses, and a bad entry changes nothing.
func ExampleAuthenticator_Allow() {
	auth, err := zmqauth.New(nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer auth.Close()
	fmt.Println(auth.Allow("10.0.0.0/8", "2001:db8::/32", "uid:1000"))
	fmt.Println(auth.Allow("10.0.0.1", "uid:ann"))
	// Output:
	// <nil>
	// zmqauth: address "uid:ann": uid:N wants a whole number
}

// A key pair on disk, as pyzmq and czmq read and write it, and a server that accepts the public
// key. The directory is followed: a file that is added or removed later takes effect by itself.
func ExampleCreateCertificates() {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	public, secret, err := zmqauth.CreateCertificates(dir, "ann",
		map[string]string{"Role": "operator"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(filepath.Base(public), filepath.Base(secret))

	certificate, err := zmqauth.LoadCertificate(secret)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(certificate.Metadata["Role"], certificate.Secret)

	auth, err := zmqauth.New(nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer auth.Close()
	fmt.Println(auth.ConfigureCurve("global", dir))
	// Output:
	// ann.key ann.key_secret
	// operator [redacted]
	// <nil>
}

// An entry for a password file, as in ann:$argon2id$….
func ExampleHashPassword() {
	hash, err := zmqauth.HashPassword("correct horse")
	fmt.Println(hash[:28], err)
	// Output: $argon2id$v=19$m=19456,t=2,p <nil>
}

// A whole configuration in one file, put in force in one step. A file with errors changes nothing,
// and each error names its line.
func ExampleLoadPolicy() {
	dir, err := os.MkdirTemp("", "policy")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "policy.zpl")
	write := func(text string) { os.WriteFile(file, []byte(text), 0o600) }
	auth, err := zmqauth.New(nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer auth.Close()

	for _, text := range []string{
		"domain = \"*\"\n    allow = 10.0.0.0/8, 127.0.0.1\ndomain = admin\n    allow = 10.1.0.0/16\n",
		"domain = \"*\"\n    allow = 10.0.0.0/8, uid:ann\n    plain =\n",
	} {
		write(text)
		policy, err := zmqauth.LoadPolicy(file)
		if err == nil {
			err = auth.Apply(policy)
		}
		if err != nil {
			fmt.Println(strings.ReplaceAll(err.Error(), dir, "…"))
		}
	}
	for _, domain := range []string{"orders", "admin"} {
		var request [][]byte
		for _, frame := range []string{"1.0", "1", domain, "10.2.0.1", "", "NULL"} {
			request = append(request, []byte(frame))
		}
		fmt.Printf("%s %s\n", domain, auth.HandleZAPMessage(context.Background(), request)[2])
	}
	// Output:
	// zmqauth: …/policy.zpl:2: allow: address "uid:ann": uid:N wants a whole number
	// zmqauth: …/policy.zpl:3: plain has no value: leave the line out, or write one
	// orders 200
	// admin 400
}

// ask judges a request of a client that shows credentials in domain "global".
func ask(auth *zmqauth.Authenticator, address, mechanism string, credentials ...string) string {
	var request [][]byte
	for _, frame := range append([]string{"1.0", "1", "global", address, "", mechanism},
		credentials...) {
		request = append(request, []byte(frame))
	}
	return string(auth.HandleZAPMessage(context.Background(), request)[2])
}

// Keys, users and principals that come and go while they are in force. Many changes may come into
// force together.
func ExampleCredentials() {
	auth, err := zmqauth.New(nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer auth.Close()
	var people zmqauth.Credentials // empty: nobody
	if err := auth.ConfigureCredentials("global", &people); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("at first:", ask(auth, "192.0.2.1", "PLAIN", "ann", "correct horse"))

	err = people.SetUser("ann", "correct horse", zmqauth.Entry{
		Identity: zmqauth.Identity{Metadata: map[string]string{"Role": "operator"}},
		NotAfter: time.Now().Add(90 * 24 * time.Hour),
	})
	fmt.Println("ann:", ask(auth, "192.0.2.1", "PLAIN", "ann", "correct horse"), err)

	err = people.Update(func(draft *zmqauth.Credentials) error { // both changes or none
		draft.DeleteUser("ann")
		return draft.SetPrincipal("*@EXAMPLE.ORG", zmqauth.Entry{})
	})
	fmt.Println("ann without a user:", ask(auth, "192.0.2.1", "PLAIN", "ann", "correct horse"), err)
	fmt.Println("ann by Kerberos:", ask(auth, "192.0.2.1", "GSSAPI", "ann@EXAMPLE.ORG"))
	fmt.Println(&people)
	// Output:
	// at first: 400
	// ann: 200 <nil>
	// ann without a user: 400 <nil>
	// ann by Kerberos: 200
	// 0 keys, 0 users, 1 principals
}

// A list is replaced in one step: no request is judged without rules meanwhile. An empty one means
// nobody.
func ExampleAuthenticator_SetAllowed() {
	auth, err := zmqauth.New(nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer auth.Close()
	show := func(what string, err error) {
		fmt.Printf("%s: 10.1.2.3 gets %s, 192.0.2.1 gets %s\n", what,
			ask(auth, "10.1.2.3", "NULL"), ask(auth, "192.0.2.1", "NULL"))
		if err != nil {
			fmt.Println(err)
		}
	}
	show("no list", nil)
	show("a list", auth.SetAllowed(zmqauth.AnyDomain, "10.0.0.0/8"))
	show("another", auth.SetAllowed(zmqauth.AnyDomain, "192.0.2.0/24", "2001:db8::/32"))
	show("a bad entry", auth.SetAllowed(zmqauth.AnyDomain, "10.0.0.0/8", "uid:ann"))
	show("empty", auth.SetAllowed(zmqauth.AnyDomain))
	// Output:
	// no list: 10.1.2.3 gets 200, 192.0.2.1 gets 200
	// a list: 10.1.2.3 gets 200, 192.0.2.1 gets 400
	// another: 10.1.2.3 gets 400, 192.0.2.1 gets 200
	// a bad entry: 10.1.2.3 gets 400, 192.0.2.1 gets 200
	// zmqauth: address "uid:ann": uid:N wants a whole number
	// empty: 10.1.2.3 gets 400, 192.0.2.1 gets 400
}
