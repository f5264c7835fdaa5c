package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/bench/loadgen"
)

// setup has the credentials that a handler must accept. Its directory has them as files: passwords
// in czmq's format, and the directory clients with a public certificate for each key.
type setup struct {
	domain, address string
	user, password  string
	public, secret  string // keys of the client that gets in, Z85
	directory       string

	// lookup is how long a callback takes that accepts every key. If it is not zero, the callback
	// replaces the directory clients.
	lookup time.Duration

	// ioThreads is how many I/O threads libzmq has (ZMQ_IO_THREADS). 0 is libzmq's default, 1.
	ioThreads int
}

const passwordsName, clientsName = "passwords", "clients"

// newSetup makes a setup with that many keys.
func newSetup(keys int) (w setup, err error) {
	w = setup{domain: "global", address: "192.0.2.1", user: "alice", password: "correct horse battery"}
	if w.public, w.secret, err = zmq4.NewCurveKeypair(); err != nil {
		return setup{}, err
	}
	if w.directory, err = os.MkdirTemp("", "zmqauth-bench"); err != nil {
		return setup{}, err
	}
	if err := w.write(keys); err != nil {
		return setup{}, errors.Join(err, w.remove())
	}
	return w, nil
}

// write writes the files. The client's own key is in the middle of the others.
func (w *setup) write(keys int) error {
	passwords := []byte(w.user + "=" + w.password + "\n")
	errs := []error{
		os.WriteFile(filepath.Join(w.directory, passwordsName), passwords, 0o600),
		os.Mkdir(filepath.Join(w.directory, clientsName), 0o700),
	}
	for i, key := range randomKeys(keys) {
		text := key.String()
		if i == keys/2 {
			text = w.public
		}
		errs = append(errs, w.add(fmt.Sprintf("%06d", i), text))
	}
	return errors.Join(errs...)
}

// add adds a certificate to the directory.
func (w *setup) add(name, key string) error {
	certificate := fmt.Sprintf("metadata\ncurve\n    public-key = %q\n", key)
	return os.WriteFile(w.clientFile(name), []byte(certificate), 0o600)
}

// clientFile returns the path of a certificate.
func (w *setup) clientFile(name string) string {
	return filepath.Join(w.directory, clientsName, name+".key")
}

func (w *setup) remove() error { return os.RemoveAll(w.directory) }

// readPasswords reads the passwords for handlers that take them as a map.
func (w *setup) readPasswords() (map[string]string, error) {
	text, err := os.ReadFile(filepath.Join(w.directory, passwordsName))
	if err != nil {
		return nil, err
	}
	passwords := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		user, password, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		passwords[user] = password
	}
	return passwords, nil
}

func randomKeys(count int) []zmqauth.PublicKey {
	keys := make([]zmqauth.PublicKey, count)
	for i := range keys {
		_, _ = rand.Read(keys[i][:]) // never fails
	}
	return keys
}

// load returns the ZAP requests that libzmq sends for the client. A handler must accept them.
func (w *setup) load(mechanism string) loadgen.Load {
	load := loadgen.Load{Mechanism: mechanism, Domain: w.domain, Address: w.address}
	switch mechanism {
	case "PLAIN":
		load.Credentials = [][]byte{[]byte(w.user), []byte(w.password)}
	case "CURVE":
		load.Credentials = [][]byte{[]byte(zmq4.Z85decode(w.public))}
	}
	return load
}

// client returns the same client for handshakes over TCP with a contestant.
func (w *setup) client(mechanism string, to *contestant) loadgen.Client {
	client := loadgen.Client{Endpoint: to.Endpoint(mechanism)}
	switch mechanism {
	case "PLAIN":
		client.Username, client.Password = w.user, w.password
	case "CURVE":
		client.ServerKey, client.PublicKey, client.SecretKey = to.ServerKey(), w.public, w.secret
	}
	return client
}
