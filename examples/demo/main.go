// Demo: one Authenticator guards a CURVE server and a PLAIN server on loopback TCP. Real clients
// connect to both, and the program prints which of them got in. It exits with 1 if any outcome is
// not the expected one.
package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
)

func main() {
	expected, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
	if !expected {
		fmt.Fprintln(os.Stderr, "demo: not every outcome is the expected one")
		os.Exit(1)
	}
	fmt.Println("\nEvery outcome is the expected one.")
}

// patience is how long any step may take.
const patience = 15 * time.Second

const domain = "global"

// attempt is the attempt of one client to get in.
type attempt struct {
	client string // describes the client in the output
	to     *server
	// try connects and sends a message. Its error matches ErrDenied if the client is refused.
	try    func(endpoint string) error
	want   string       // the expected outcome
	before func() error // changes the setup before the attempt; nil: nothing changes
}

func run() (expected bool, err error) {
	zctx, err := zmq4.NewContext()
	if err != nil {
		return false, err
	}
	decisions := make(chan zmqauth.Decision, 1)
	auth, err := zmqauth.New(zctx, &zmqauth.Config{
		Logger:     slog.New(slog.DiscardHandler), // the table shows every decision
		OnDecision: func(d zmqauth.Decision) { decisions <- d },
	})
	if err != nil {
		return false, err
	}
	if err := auth.Start(); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, auth.Close(), zctx.Term()) }()

	keys, err := makeKeys()
	if err != nil {
		return false, err
	}
	curve, err := listen(zctx, func(s *zmq4.Socket) error {
		return zmqauth.CurveServer(s, domain, keys.server)
	})
	if err != nil {
		return false, err
	}
	defer curve.close()
	plain, err := listen(zctx, func(s *zmq4.Socket) error {
		return zmqauth.PlainServer(s, domain)
	})
	if err != nil {
		return false, err
	}
	defer plain.close()
	if err := errors.Join(
		auth.Deny("127.0.0.2"),
		auth.ConfigureCurveKeys(domain, keys.known.Public, keys.removed.Public),
		auth.ConfigurePlain(domain, map[string]string{"ann": "correct horse"}),
	); err != nil {
		return false, err
	}
	return show(attempts(auth, keys, curve, plain), decisions), nil
}

// keyring has the key pairs of the server and of the clients.
type keyring struct{ server, known, removed, stranger *zmqauth.Certificate }

func makeKeys() (keys keyring, err error) {
	all := []**zmqauth.Certificate{&keys.server, &keys.known, &keys.removed, &keys.stranger}
	for _, certificate := range all {
		if *certificate, err = zmqauth.NewCertificate(); err != nil {
			return keyring{}, err
		}
	}
	return keys, nil
}

func attempts(auth *zmqauth.Authenticator, keys keyring, curve, plain *server) []attempt {
	withKeys := func(c *zmqauth.Certificate) func(*zmq4.Socket) error {
		return func(s *zmq4.Socket) error { return zmqauth.CurveClient(s, keys.server.Public, c) }
	}
	withPassword := func(password string) func(*zmq4.Socket) error {
		return func(s *zmq4.Socket) error { return zmqauth.PlainClient(s, "ann", password) }
	}
	const here, denied = "127.0.0.1", "127.0.0.2"
	list := []attempt{
		{
			client: "CURVE, a known key",
			to:     curve,
			try:    from(here, withKeys(keys.known)),
			want:   "in",
		},
		{
			client: "CURVE, a stranger's key",
			to:     curve,
			try:    from(here, withKeys(keys.stranger)),
			want:   "refused: unknown-key",
		},
		{
			client: "CURVE, another known key",
			to:     curve,
			try:    from(here, withKeys(keys.removed)),
			want:   "in",
		},
		{
			client: "CURVE, that key, just removed",
			to:     curve,
			try:    from(here, withKeys(keys.removed)),
			want:   "refused: unknown-key",
			before: func() error { return auth.ConfigureCurveKeys(domain, keys.known.Public) },
		},
		{
			client: "CURVE, a known key from a denied address",
			to:     curve,
			try:    from(denied, withKeys(keys.known)),
			want:   "refused: address-denied",
		},
		{
			client: "PLAIN, the right password",
			to:     plain,
			try:    from(here, withPassword("correct horse")),
			want:   "in",
		},
		{
			client: "PLAIN, a wrong password",
			to:     plain,
			try:    from(here, withPassword("battery staple")),
			want:   "refused: wrong-password",
		},
	}
	if python := findPython(); python != "" {
		list = append(list, pythonAttempts(python, keys, curve)...)
	}
	return list
}

func pythonAttempts(python string, keys keyring, curve *server) []attempt {
	return []attempt{
		{
			client: "CURVE in Python, a known key",
			to:     curve,
			try:    fromPython(python, keys.server.Public, keys.known),
			want:   "in",
		},
		{
			client: "CURVE in Python, a stranger's key",
			to:     curve,
			try:    fromPython(python, keys.server.Public, keys.stranger),
			want:   "refused: unknown-key",
		},
	}
}

// show makes the attempts and prints a line for each. It reports whether all ended as expected.
func show(attempts []attempt, decisions <-chan zmqauth.Decision) (expected bool) {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer func() { _ = table.Flush() }()
	fmt.Fprintln(table, "CLIENT\tOUTCOME\tUSER ID AT THE SERVER\t")
	expected = true
	for _, a := range attempts {
		outcome, user := a.make(decisions)
		mark := ""
		if outcome != a.want {
			expected, mark = false, "EXPECTED: "+a.want
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", a.client, outcome, user, mark)
	}
	return expected
}

// make makes the attempt. It compares what the client, the Authenticator and the server have seen,
// and returns an error as the outcome if they disagree.
func (a attempt) make(decisions <-chan zmqauth.Decision) (outcome, user string) {
	if a.before != nil {
		if err := a.before(); err != nil {
			return "error: " + err.Error(), ""
		}
	}
	err := a.try(a.to.endpoint)
	var decision zmqauth.Decision
	select {
	case decision = <-decisions:
	case <-time.After(patience):
		return "error: nobody asked the authenticator", ""
	}
	switch {
	case err == nil && decision.Status == 200:
		if user, err = a.to.receive(); err != nil {
			return "error: its message did not arrive: " + err.Error(), ""
		}
		return "in", user
	case errors.Is(err, zmqauth.ErrDenied) && decision.Status == 400:
		return "refused: " + decision.Reason, ""
	}
	return fmt.Sprintf("error: decided %d %s, the client says %v",
		decision.Status, decision.Reason, err), ""
}

// server receives the messages of the clients that got in.
type server struct {
	socket   *zmq4.Socket
	endpoint string
}

func listen(zctx *zmq4.Context, role func(*zmq4.Socket) error) (*server, error) {
	socket, err := zctx.NewSocket(zmq4.PULL)
	if err != nil {
		return nil, err
	}
	// Set the role before binding: a socket without a role lets everybody in.
	if err := errors.Join(role(socket), socket.SetRcvtimeo(patience)); err != nil {
		return nil, errors.Join(err, socket.Close())
	}
	if err := socket.Bind("tcp://127.0.0.1:*"); err != nil {
		return nil, errors.Join(err, socket.Close())
	}
	endpoint, err := socket.GetLastEndpoint()
	return &server{socket, endpoint}, err
}

func (s *server) receive() (user string, err error) {
	_, metadata, err := s.socket.RecvWithMetadata(0, "User-Id")
	return metadata["User-Id"], err
}

func (s *server) close() { _ = s.socket.Close() }
