// Curve-callback: a database holds the keys of the clients that may get in (SQLite, through
// database/sql). The callback that queries it runs on a goroutine of its own, so a slow database
// delays only the client in question.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"time"

	_ "github.com/mattn/go-sqlite3" // the driver "sqlite3"
	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
)

const patience = 10 * time.Second // how long any step may take

func main() {
	log.SetPrefix("curve-callback: ")
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	db, err := openDatabase()
	if err != nil {
		return err
	}
	defer db.Close()
	serverCert, err1 := zmqauth.NewCertificate()
	clientCert, err2 := zmqauth.NewCertificate()
	auth, err3 := zmqauth.New(nil, nil) // for the sockets of zmq4's default context
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	defer auth.Close()
	server, err := zmq4.NewSocket(zmq4.PULL)
	if err != nil {
		return err
	}
	defer server.Close()
	err = errors.Join(
		auth.ConfigureCurveCallback("global", lookUp(db)),
		auth.Start(),
		zmqauth.CurveServer(server, "global", serverCert),
		server.SetRcvtimeo(patience),
	)
	if err != nil {
		return err
	}
	// Set the role before binding: a socket without a role lets everybody in. The kernel chooses a
	// free port.
	if err := server.Bind("tcp://127.0.0.1:*"); err != nil {
		return err
	}
	endpoint, err := server.GetLastEndpoint()
	if err != nil {
		return err
	}

	if err := sayHello(endpoint, serverCert.Public, clientCert); !errors.Is(err, zmqauth.ErrDenied) {
		return fmt.Errorf("a key that is not in the database was not refused: %v", err)
	}
	fmt.Println("a key that is not in the database: refused")

	const insert = "INSERT INTO clients (key, name) VALUES (?, ?)"
	if _, err := db.Exec(insert, clientCert.Public.String(), "ann"); err != nil {
		return err
	}
	if err := sayHello(endpoint, serverCert.Public, clientCert); err != nil {
		return fmt.Errorf("a key in the database was kept out: %w", err)
	}
	text, metadata, err := server.RecvWithMetadata(0, "User-Id")
	if err != nil {
		return err
	}
	fmt.Printf("the same key, now in the database: in, %s says %q\n", metadata["User-Id"], text)
	return nil
}

func openDatabase() (*sql.DB, error) {
	db, err := sql.Open("sqlite3", ":memory:")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // each connection to :memory: opens a database of its own
	const create = "CREATE TABLE clients (key TEXT PRIMARY KEY, name TEXT NOT NULL)"
	if _, err := db.Exec(create); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// lookUp returns a callback that accepts the keys in the database. Many calls of it may run at the
// same time.
func lookUp(db *sql.DB) zmqauth.CurveCallback {
	return func(ctx context.Context, _ string, key zmqauth.PublicKey) (*zmqauth.Identity, error) {
		var name string
		err := db.QueryRowContext(ctx, "SELECT name FROM clients WHERE key = ?", key.String()).Scan(&name)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return nil, zmqauth.ErrDenied
		case err != nil:
			return nil, err // the Authenticator logs it and refuses the client
		}
		return &zmqauth.Identity{UserID: name}, nil
	}
}

// sayHello is a client that sends a message once the server has let it in. It proves that it has
// the secret key of its certificate, and it talks only to the server that has serverKey's.
func sayHello(endpoint string, serverKey zmqauth.PublicKey, own *zmqauth.Certificate) error {
	client, err := zmq4.NewSocket(zmq4.PUSH)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := zmqauth.CurveClient(client, serverKey, own); err != nil {
		return err
	}
	if err := zmqauth.Connect(ctx, client, endpoint); err != nil {
		return err
	}
	_, err = client.Send("hello", 0)
	return err
}
