package zmqauth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// These tests run in a process that has no descriptors left: it can open no file, and make or
// accept no connection.

// fewDescriptors is how many such a process may have. It needs some to begin with.
const fewDescriptors = 512

// reconnectInterval is libzmq's default: after that time it tries again to connect.
const reconnectInterval = 100 * time.Millisecond

// exhaust takes all descriptors that this process may have, but for spare ones, until release is
// called.
func exhaust(t *testing.T, spare int) (release func()) {
	t.Helper()
	var before syscall.Rlimit
	must.OK(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before))
	few := syscall.Rlimit{Cur: fewDescriptors, Max: before.Max}
	must.OK(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few))
	var taken []int
	for {
		fd, err := syscall.Dup(0)
		if errors.Is(err, syscall.EMFILE) {
			break
		}
		must.OK(t, err)
		taken = append(taken, fd)
	}
	for range spare {
		must.OK(t, syscall.Close(taken[len(taken)-1]))
		taken = taken[:len(taken)-1]
	}
	return func() {
		for _, fd := range taken {
			must.OK(t, syscall.Close(fd))
		}
		must.OK(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before))
	}
}

// saysTooManyFiles tells whether the error says that there are no descriptors, with the system's
// number or libzmq's.
func saysTooManyFiles(err error) bool {
	return err != nil && strings.HasPrefix(err.Error(), "zmqauth: ") &&
		strings.Contains(err.Error(), "too many open files") &&
		(errors.Is(err, syscall.EMFILE) || errors.Is(err, zmq4.Errno(syscall.EMFILE)))
}

// TestNoDescriptorsToStart: however few descriptors are left, Start works, or says why not and
// leaves nothing behind. It works as soon as there are enough.
func TestNoDescriptorsToStart(t *testing.T) {
	if !testpeer.Child(t, nil) {
		return
	}
	release := exhaust(t, 0)
	_, err := New(nil, nil) // asks for a socket of the default context
	release()
	if !saysTooManyFiles(err) {
		t.Errorf("New: %v", err)
	}
	a := newAuthenticator(t, Config{})
	testzmq.NewSocket(t, a.Context(), zmq4.PAIR) // libzmq's own threads come with the first socket
	before := testpeer.Descriptors()
	spare := 0
	for ; !a.IsAlive(); spare++ {
		release := exhaust(t, spare)
		err := a.Start()
		release()
		if err != nil && !saysTooManyFiles(err) {
			t.Fatalf("with %d descriptors: %v", spare, err)
		}
		if err != nil {
			testpeer.Eventually(t, "no descriptor is left", func() bool {
				return testpeer.Descriptors() <= before
			})
		}
	}
	if spare < 2 || spare > 10 {
		t.Errorf("it has started with %d descriptors", spare)
	}
	if reply := newZAPClient(t, a.Context()).ask(nullRequest()); reply[2] != "200" {
		t.Errorf("status %s", reply[2])
	}
}

// TestNoDescriptorsToServe: clients that are connected are served as ever. A client that comes then
// waits in the backlog, and is judged when there are descriptors again.
func TestNoDescriptorsToServe(t *testing.T) {
	if !testpeer.Child(t, nil) {
		return
	}
	a := startAuthenticator(t, Config{})
	must.OK(t, a.ConfigurePlain("*", map[string]string{"ann": "secret"}))
	zap := newZAPClient(t, a.Context())
	server := newServer(t, a.Context(), "tcp://127.0.0.1:*", plainServer("d"))
	clients := testzmq.NewContext(t)
	client := func(password string) *zmq4.Socket {
		socket := testzmq.NewSocket(t, clients, zmq4.PUSH)
		must.OK(t, PlainClient(socket, "ann", password))
		// A first connection starts the threads of the context.
		_, err := connectFrom(t, clients, server.endpoint, plainClient("ann", "secret"))
		must.OK(t, err)
		return socket
	}
	good, bad := client("secret"), client("guess")

	release := exhaust(t, 1) // for the client's end of the connection, none for the server's
	must.OK(t, good.Connect(server.endpoint))
	_, err := good.Send("good", 0)
	must.OK(t, err)
	for range 100 {
		if reply := zap.ask(plainRequest("d", "ann", "secret")); reply[2] != "200" {
			t.Fatalf("status %s", reply[2])
		}
		if reply := zap.ask(plainRequest("d", "ann", "guess")); reply[2] != "400" {
			t.Fatalf("status %s", reply[2])
		}
	}
	must.OK(t, bad.Connect(server.endpoint))
	_, err = bad.Send("bad", zmq4.DONTWAIT)
	must.OK(t, err)
	must.OK(t, server.socket.SetRcvtimeo(0))
	if text, err := server.socket.Recv(0); err == nil {
		t.Errorf("received %q without a descriptor for the connection", text)
	}
	denied := a.Stats().Denied
	release()

	if text, metadata := server.receive(t, "User-Id"); text != "good" || metadata["User-Id"] != "ann" {
		t.Errorf("%q from %q", text, metadata["User-Id"])
	}
	testpeer.Eventually(t, "the other client is judged too", func() bool {
		return a.Stats().Denied > denied
	})
	must.OK(t, server.socket.SetRcvtimeo(0))
	if text, err := server.socket.Recv(0); err == nil {
		t.Errorf("received %q", text)
	}
}

// TestNoDescriptorsToConnect: where Connect itself lacks descriptors, it says so at once. Where the
// connection lacks one, Connect waits.
func TestNoDescriptorsToConnect(t *testing.T) {
	if !testpeer.Child(t, nil) {
		return
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") // takes connections without a descriptor
	must.OK(t, err)
	defer listener.Close()
	endpoint := "tcp://" + listener.Addr().String()
	clients := testzmq.NewContext(t)
	socket := testzmq.NewSocket(t, clients, zmq4.PUSH)
	before := testpeer.Descriptors()
	release := exhaust(t, 0)
	err = Connect(t.Context(), socket, endpoint)
	release()
	if !saysTooManyFiles(err) || !strings.Contains(err.Error(), endpoint) {
		t.Error(err)
	}
	testpeer.Eventually(t, "no descriptor is left", func() bool {
		return testpeer.Descriptors() <= before
	})

	a := startAuthenticator(t, Config{})
	server := newServer(t, a.Context(), "tcp://127.0.0.1:*", nullServer("d"))
	release = exhaust(t, 2) // for the two ends of a monitor
	done := make(chan error)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	go func() { done <- Connect(ctx, socket, server.endpoint) }()
	select {
	case err := <-done:
		t.Errorf("without a descriptor for the connection: %v", err)
	case <-time.After(3 * reconnectInterval):
	}
	release()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestNoDescriptorsToProbe: however few are left, Probe returns in time, leaves the process alive
// and leaves nothing behind. It never calls an open server closed.
func TestNoDescriptorsToProbe(t *testing.T) {
	if !testpeer.Child(t, nil) {
		return
	}
	server := newServer(t, testzmq.NewContext(t), "tcp://127.0.0.1:*", nullClient)
	before := testpeer.Descriptors()
	const enough = 200 // with those of the server
	for spare := 0; spare <= enough; spare += 10 {
		release := exhaust(t, spare)
		results, err := Probe(within(t, 300*time.Millisecond), server.endpoint)
		release()
		if err != nil && !strings.HasPrefix(err.Error(), "zmqauth: ") {
			t.Errorf("with %d descriptors: %v", spare, err)
		}
		if spare < 130 && !saysTooManyFiles(err) {
			t.Errorf("with %d descriptors: %v, %v", spare, results, err)
		}
		if err == nil && !results[0].Accepted && !errors.Is(results[0].Err, context.DeadlineExceeded) {
			t.Errorf("with %d descriptors: %v", spare, results)
		}
		if spare == enough && (err != nil || !results[0].Accepted) {
			t.Errorf("with %d descriptors: %v, %v", spare, results, err)
		}
		testpeer.Eventually(t, "no descriptor is left", func() bool {
			return testpeer.Descriptors() <= before
		})
	}
}

// TestNoDescriptorsForFiles: calls that need files return the error and change nothing. A followed
// file keeps its last good content in force, is reported once, and catches up by itself.
func TestNoDescriptorsForFiles(t *testing.T) {
	if !testpeer.Child(t, nil) {
		return
	}
	certificates, have := newCertificateStore(t, "ann.key")
	passwords := newPasswordStore(t, "ann=one\n")
	ann, bob := have["ann.key"], newCertificate(t)
	elsewhere := t.TempDir()
	newKey, newFile := filepath.Join(elsewhere, "bob.key"), filepath.Join(elsewhere, "passwords")
	must.OK(t, bob.SavePublic(newKey))
	must.OK(t, os.WriteFile(newFile, []byte("ann=two\n"), 0o600))

	release := exhaust(t, 0)
	// Neither rename needs a descriptor.
	must.OK(t, os.Rename(newKey, certificates.path("ann.key")))
	must.OK(t, os.Rename(newFile, passwords.path))
	for what, call := range map[string]struct {
		err  error
		file string
	}{
		"ConfigureCurve":     {certificates.a.ConfigureCurve("d", elsewhere), elsewhere},
		"ConfigurePlainFile": {passwords.a.ConfigurePlainFile("d", passwords.path), passwords.path},
		"LoadCertificate": {
			second(LoadCertificate(certificates.path("ann.key"))), certificates.path("ann.key"),
		},
		"LoadCertificates": {second(LoadCertificates(elsewhere)), elsewhere},
		"CreateCertificates": {
			third(CreateCertificates(elsewhere, "eve", nil)), filepath.Join(elsewhere, "eve.key_secret"),
		},
	} {
		var at *FileError
		if !saysTooManyFiles(call.err) || !errors.As(call.err, &at) || at.File != call.file {
			t.Errorf("%s: %v", what, call.err)
		}
	}
	for _, log := range []func() string{certificates.said, passwords.said} {
		testpeer.Eventually(t, "the log says so", func() bool {
			return strings.Contains(log(), "too many open files")
		})
	}
	for range 10 { // meanwhile the followers look at both again
		if !certificates.accepts(ann) || certificates.accepts(bob) || !passwords.accepts("ann", "one") ||
			passwords.accepts("ann", "two") {
			t.Fatal("the last good content is not in force")
		}
		time.Sleep(50 * time.Millisecond)
	}
	release()

	certificates.within("the new key", bob, true)
	certificates.within("the old key", ann, false)
	passwords.within("the new password", "ann", "two", true)
	if passwords.accepts("ann", "one") {
		t.Error("the old password is in force")
	}
	for what, log := range map[string]string{
		"directory": certificates.said(), "password file": passwords.said(),
	} {
		if count := strings.Count(log, "too many open files"); count != 1 {
			t.Errorf("%s: reported %d times:\n%s", what, count, log)
		}
	}
	entries, err := os.ReadDir(elsewhere)
	must.OK(t, err)
	if len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
}

// TestNoDescriptorsForAWatch: however few descriptors are left, a directory is followed, or an
// error says why not. In the end all of it is in force.
func TestNoDescriptorsForAWatch(t *testing.T) {
	if !testpeer.Child(t, nil) {
		return
	}
	s := &certificateStore{t: t, dir: t.TempDir(), log: new(logbuffer.Buffer)}
	s.a = newAuthenticator(t, Config{Logger: s.log.Logger()})
	var have []*Certificate
	for i := range 20 {
		have = append(have, s.write(fmt.Sprintf("%d.key", i)))
	}
	failures := 0
	for err := error(os.ErrInvalid); err != nil; failures++ {
		release := exhaust(t, failures)
		err = s.a.ConfigureCurve("d", s.dir)
		release()
		if err != nil && (!saysTooManyFiles(err) || !strings.Contains(err.Error(), s.dir)) {
			t.Fatalf("with %d descriptors: %v", failures, err)
		}
	}
	if failures < 2 || failures > 10 {
		t.Errorf("it is followed with %d descriptors", failures)
	}
	for _, c := range append(have, s.write("later.key")) {
		s.within("a file that could not be read at first, or came later", c, true)
	}
}

func second[T any](_ T, err error) error        { return err }
func third[T, U any](_ T, _ U, err error) error { return err }
