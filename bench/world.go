package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/bench/loadgen"
)

// world is whom a handler has to let in, and where that is written down for those that read files: passwords in czmq's
// format, and clients, a directory with a public certificate for each key.
type world struct {
	domain, address string
	user, password  string
	keys            []zmqauth.PublicKey
	directory       string
}

const keysInWorld = 1000

func newWorld() (world, error) {
	w := world{
		domain: "global", address: "192.0.2.1", user: "alice", password: "correct horse battery",
		keys: randomKeys(keysInWorld),
	}
	directory, err := os.MkdirTemp("", "zmqauth-bench")
	if err != nil {
		return world{}, err
	}
	w.directory = directory
	if err := w.write(); err != nil {
		return world{}, errors.Join(err, w.remove())
	}
	return w, nil
}

func (w *world) write() error {
	errs := []error{
		os.WriteFile(filepath.Join(w.directory, passwordsName), []byte(w.user+"="+w.password+"\n"), 0o600),
		os.Mkdir(filepath.Join(w.directory, clientsName), 0o700),
	}
	for i, key := range w.keys {
		certificate := fmt.Sprintf("metadata\ncurve\n    public-key = %q\n", key)
		errs = append(errs, os.WriteFile(filepath.Join(w.directory, clientsName, fmt.Sprintf("%04d.key", i)), []byte(certificate), 0o600))
	}
	return errors.Join(errs...)
}

const passwordsName, clientsName = "passwords", "clients"

func (w *world) remove() error { return os.RemoveAll(w.directory) }

func randomKeys(count int) []zmqauth.PublicKey {
	keys := make([]zmqauth.PublicKey, count)
	for i := range keys {
		_, _ = rand.Read(keys[i][:]) // never fails
	}
	return keys
}

// load is a client of the world's that must be let in.
func (w *world) load(mechanism string) loadgen.Load {
	load := loadgen.Load{Mechanism: mechanism, Domain: w.domain, Address: w.address}
	switch mechanism {
	case "PLAIN":
		load.Credentials = [][]byte{[]byte(w.user), []byte(w.password)}
	case "CURVE":
		load.Credentials = [][]byte{w.keys[len(w.keys)/2][:]}
	}
	return load
}
