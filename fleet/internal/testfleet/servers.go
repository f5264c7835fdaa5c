package testfleet

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/fleet"
	"github.com/zmqauth/zmqauth/fleet/natsstore"
	"github.com/zmqauth/zmqauth/internal/must"
)

// Name is the fleet's, and Domain the one that its servers decide about.
const (
	Name   = "test"
	Domain = "d"
)

// ServersConfig says what the servers of one process do.
type ServersConfig struct {
	URL       string
	Seeds     map[string]string // by the servers' names
	Signer    ed25519.PublicKey
	Snapshots string // directory; empty: none
	MaxStale  time.Duration
	Report    time.Duration
	Jitter    time.Duration

	// Client is the secret key, in Z85, of a client that connects to each server, and whose session
	// is told of. Empty: there is none.
	Client string
	// Poll are keys that each server is asked about again and again.
	Poll []zmqauth.PublicKey
	// Clocks are the seconds that the servers' clocks are ahead.
	Clocks map[string]int
}

// What is told of.
const (
	Ready    = "ready"    // it has joined; with a client the session is open
	Cut      = "cut"      // the client's session has ended; Status is what a new one would get
	Noticed  = "noticed"  // a notice has been taken
	Revoked  = "revoked"  // a revocation of the log has been taken
	Granting = "granting" // a grant of the log is going to be taken
	Proving  = "proving"  // a proof is going to be taken; Of is its time
	Accepted = "accepted" // the key would be let in; Of is when the question was asked
	Loaded   = "loaded"   // everything has been loaded; Status has how many entries
	Failed   = "failed"
)

// Event is what a server tells of.
type Event struct {
	Server   string
	What     string
	At       int64 // nanoseconds since 1970, of the true clock
	Of       int64 // the same
	Key      string
	Revision uint64
	Status   string
	Ahead    int // seconds that the server's clock is
}

// Servers are some servers in one process.
type Servers struct {
	*process
	Events chan Event // closed when the process has ended
	ended  chan struct{}
}

// NewServers starts servers.
func NewServers(t testing.TB, config ServersConfig) *Servers {
	t.Helper()
	text, err := json.Marshal(config)
	must.OK(t, err)
	s := &Servers{process: start(t, "servers", string(text)), Events: make(chan Event, 100_000),
		ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		defer close(s.Events)
		for s.output.Scan() {
			var e Event
			if err := json.Unmarshal(s.output.Bytes(), &e); err == nil {
				s.Events <- e
			}
		}
	}()
	return s
}

// Kill kills the process: SIGKILL. All that it has told is in Events then.
func (s *Servers) Kill() {
	_ = s.command.Process.Kill() // it may have ended
	<-s.ended
	s.kill()
}

// Freeze stops the process: SIGSTOP.
func (s *Servers) Freeze() error { return s.freeze() }

// Thaw has it go on.
func (s *Servers) Thaw() error { return s.thaw() }

// SetClock sets the clock of a server ahead, or back.
func (s *Servers) SetClock(server string, seconds int) error {
	_, err := fmt.Fprintln(s.input, server, seconds)
	return err
}

// one is a server in this process.
type one struct {
	name  string
	tell  func(Event)
	auth  *zmqauth.Authenticator
	clock atomic.Int64 // seconds ahead
	open  chan struct{}
	cut   chan struct{}
}

func runServers(text string) int {
	var config ServersConfig
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var mu sync.Mutex
	encoder := json.NewEncoder(os.Stdout)
	tell := func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		e.At = time.Now().UnixNano()
		_ = encoder.Encode(e) // the parent is gone: so is this process
	}
	all := make(map[string]*one)
	for name := range config.Seeds {
		s := &one{name: name, open: make(chan struct{}, 1), cut: make(chan struct{}, 1)}
		s.clock.Store(int64(config.Clocks[name]))
		s.tell = func(e Event) {
			e.Server, e.Ahead = name, int(s.clock.Load())
			tell(e)
		}
		all[name] = s
		go func() {
			if err := s.run(config); err != nil {
				s.tell(Event{What: Failed, Status: err.Error()})
			}
		}()
	}
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		var name string
		var seconds int64
		if _, err := fmt.Sscan(commands.Text(), &name, &seconds); err == nil && all[name] != nil {
			all[name].clock.Store(seconds)
		}
	}
	return 0
}

// run is a server until the process ends.
func (s *one) run(config ServersConfig) error {
	conn, err := Connect(config.URL, s.name, config.Seeds[s.name], false)
	for try := 0; err != nil && try < 600; try++ { // no engine may be up now
		time.Sleep(50 * time.Millisecond)
		conn, err = Connect(config.URL, s.name, config.Seeds[s.name], false)
	}
	if err != nil {
		return err
	}
	jitter := config.Jitter
	if jitter == 0 {
		jitter = -1
	}
	store, err := natsstore.New(conn, &natsstore.Config{Jitter: jitter})
	if err != nil {
		return err
	}
	zctx, err := zmq4.NewContext()
	if err != nil {
		return err
	}
	var client zmqauth.PublicKey
	var secret zmqauth.SecretKey
	if config.Client != "" {
		if secret, err = zmqauth.ParseSecretKey(config.Client); err != nil {
			return err
		}
		client = secret.Public()
	}
	quiet := slog.New(slog.DiscardHandler)
	s.auth, err = zmqauth.New(zctx, &zmqauth.Config{Logger: quiet,
		OnSession: func(_ zmqauth.Session, open bool) {
			if open {
				s.open <- struct{}{}
				return
			}
			s.tell(Event{What: Cut, Status: s.ask(client)})
			s.cut <- struct{}{}
		}})
	if err != nil {
		return err
	}
	options := fleet.Options{Fleet: Name, Server: s.name, Signers: []ed25519.PublicKey{config.Signer},
		Domains: []string{Domain}, MaxStale: config.MaxStale, ReportInterval: config.Report,
		Logger: quiet, Clock: func() time.Time { return s.jumped(time.Now()) }}
	if config.Snapshots != "" {
		options.Snapshot = filepath.Join(config.Snapshots, s.name)
	}
	if len(config.Poll) > 0 {
		go s.poll(config.Poll)
	}
	if _, err := fleet.Join(context.Background(), s.auth, tap{store, s}, options); err != nil {
		return err
	}
	if config.Client == "" {
		s.tell(Event{What: Ready})
		return nil
	}
	peer, endpoint, err := s.connect(zctx, &secret)
	for err == nil {
		<-s.open
		s.tell(Event{What: Ready})
		<-s.cut
		for s.ask(client) != "200" {
			time.Sleep(10 * time.Millisecond)
		}
		select {
		case <-s.open: // it was told to try again, and has come back by itself
			s.open <- struct{}{}
		case <-time.After(time.Second):
			err = errors.Join(peer.Disconnect(endpoint), peer.Connect(endpoint))
		}
	}
	return err
}

// connect has the client connect.
func (s *one) connect(zctx *zmq4.Context, secret *zmqauth.SecretKey) (
	peer *zmq4.Socket, endpoint string, err error) {
	own, err := zmqauth.NewCertificate()
	if err != nil {
		return nil, "", err
	}
	socket, err := zctx.NewSocket(zmq4.ROUTER)
	if err != nil {
		return nil, "", err
	}
	if err := errors.Join(zmqauth.CurveServer(socket, Domain, own), s.auth.Guard(socket, nil),
		s.auth.Start(), socket.Bind("tcp://127.0.0.1:*")); err != nil {
		return nil, "", err
	}
	apart, err := zmq4.NewContext()
	if err != nil {
		return nil, "", err
	}
	if peer, err = apart.NewSocket(zmq4.DEALER); err != nil {
		return nil, "", err
	}
	if endpoint, err = socket.GetLastEndpoint(); err != nil {
		return nil, "", err
	}
	return peer, endpoint, errors.Join(zmqauth.CurveClient(peer, own.Public, &zmqauth.Certificate{
		Public: secret.Public(), Secret: secret}), peer.Connect(endpoint))
}

// ask is the status of the reply to a key.
func (s *one) ask(key zmqauth.PublicKey) string {
	reply := s.auth.HandleZAPMessage(context.Background(), [][]byte{[]byte("1.0"), []byte("1"),
		[]byte(Domain), []byte("127.0.0.1"), nil, []byte("CURVE"), key[:]})
	return string(reply[2])
}

// poll tells which keys would be let in, again and again.
func (s *one) poll(keys []zmqauth.PublicKey) {
	for {
		for _, key := range keys {
			asked := time.Now().UnixNano()
			if s.ask(key) == "200" {
				s.tell(Event{What: Accepted, Key: key.String(), Of: asked})
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// jumped is a time after the clock was set: its wall clock moves and its monotonic reading does
// not.
func (s *one) jumped(t time.Time) time.Time {
	const hasMonotonic, secondsShift = uint64(1) << 63, 30 // see package time
	words := (*[3]uint64)(unsafe.Pointer(&t))
	if ahead := s.clock.Load(); words[0]&hasMonotonic != 0 {
		words[0] += uint64(ahead) << secondsShift
	} else {
		t = t.Add(time.Duration(ahead) * time.Second)
	}
	return t
}

// tap is a store that tells what its sink is told.
type tap struct {
	*natsstore.Store
	s *one
}

func (t tap) Follow(ctx context.Context, from fleet.Position, sink fleet.Sink) error {
	return t.Store.Follow(ctx, from, tappedSink{sink, t.s})
}

type tappedSink struct {
	fleet.Sink
	s *one
}

func (t tappedSink) event(what string, e fleet.Entry) {
	if e.Kind == fleet.KindKey && e.Err() == nil {
		t.s.tell(Event{What: what, Key: e.PublicKey.String(), Revision: e.Revision})
	}
}

func (t tappedSink) Reset(entries []fleet.Entry, p fleet.Position) {
	var log fleet.Log
	log.Add(entries...)
	t.ResetLog(&log, p)
}

// ResetLog tells of the last entry of each key: that is the one that holds, if nobody forges.
func (t tappedSink) ResetLog(log *fleet.Log, p fleet.Position) {
	entries, last := slices.Collect(log.Entries()), make(map[string]int)
	for i, e := range entries {
		last[e.Key()] = i
	}
	for i, e := range entries {
		if e.State == fleet.Granted && last[e.Key()] == i {
			t.event(Granting, e)
		}
	}
	log.Reset(t.Sink, p)
	for i, e := range entries {
		if e.State == fleet.Revoked && last[e.Key()] == i {
			t.event(Revoked, e)
		}
	}
	t.s.tell(Event{What: Loaded, Status: fmt.Sprint(len(entries)), Revision: p.Revision})
}

func (t tappedSink) Apply(e fleet.Entry, p fleet.Position) {
	if e.State == fleet.Granted {
		t.event(Granting, e)
	}
	t.Sink.Apply(e, p)
	if e.State == fleet.Revoked {
		t.event(Revoked, e)
	}
}

func (t tappedSink) Notice(e fleet.Entry) {
	t.Sink.Notice(e)
	t.event(Noticed, e)
}

func (t tappedSink) Fresh(at time.Time) {
	t.s.tell(Event{What: Proving, Of: at.UnixNano()})
	t.Sink.Fresh(t.s.jumped(at))
}
