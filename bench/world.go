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

// world is whom a handler has to let in, and where that is written down: passwords in czmq's
// format, and clients, a directory with a public certificate for each key.
type world struct {
	domain, address string
	user, password  string
	public, secret  string // of the client that gets in, Z85
	directory       string

	// lookup, if not zero, is how long a callback takes that lets every key in; the directory does not
	// count then.
	lookup time.Duration
}

const passwordsName, clientsName = "passwords", "clients"

// newWorld has that many keys.
func newWorld(keys int) (w world, err error) {
	w = world{domain: "global", address: "192.0.2.1", user: "alice", password: "correct horse battery"}
	if w.public, w.secret, err = zmq4.NewCurveKeypair(); err != nil {
		return world{}, err
	}
	if w.directory, err = os.MkdirTemp("", "zmqauth-bench"); err != nil {
		return world{}, err
	}
	if err := w.write(keys); err != nil {
		return world{}, errors.Join(err, w.remove())
	}
	return w, nil
}

// write has the client's own key in the middle of the others.
func (w *world) write(keys int) error {
	errs := []error{
		os.WriteFile(filepath.Join(w.directory, passwordsName), []byte(w.user+"="+w.password+"\n"), 0o600),
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

// add lets a key in, for those that read the directory.
func (w *world) add(name, key string) error {
	certificate := fmt.Sprintf("metadata\ncurve\n    public-key = %q\n", key)
	return os.WriteFile(filepath.Join(w.directory, clientsName, name+".key"), []byte(certificate), 0o600)
}

func (w *world) remove() error { return os.RemoveAll(w.directory) }

// readPasswords is for the handlers that take them as a map.
func (w *world) readPasswords() (map[string]string, error) {
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

// load is what libzmq asks for a client of the world's, who must be let in.
func (w *world) load(mechanism string) loadgen.Load {
	load := loadgen.Load{Mechanism: mechanism, Domain: w.domain, Address: w.address}
	switch mechanism {
	case "PLAIN":
		load.Credentials = [][]byte{[]byte(w.user), []byte(w.password)}
	case "CURVE":
		load.Credentials = [][]byte{[]byte(zmq4.Z85decode(w.public))}
	}
	return load
}

// client is the same client, who comes over TCP to a contestant.
func (w *world) client(mechanism string, to *contestant) loadgen.Client {
	client := loadgen.Client{Endpoint: to.Endpoint(mechanism)}
	switch mechanism {
	case "PLAIN":
		client.Username, client.Password = w.user, w.password
	case "CURVE":
		client.ServerKey, client.PublicKey, client.SecretKey = to.ServerKey(), w.public, w.secret
	}
	return client
}
