package links

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestUpdate: a link that stays keeps its connections. One that changes gives its port to its
// successor, which holds no client up, and its connections may go on for a while.
func TestUpdate(t *testing.T) {
	w := newWorld(t, time.Minute)
	steady, changing := freePort(t), freePort(t)
	w.update(w.serve("steady", steady) + w.serve("changing", changing))
	kept, err := w.dial(steady, w.ann)
	must.OK(t, err)
	must.OK(t, says(kept, "hello"))
	old, err := w.dial(changing, w.ann)
	must.OK(t, err)
	must.OK(t, says(old, "hello"))

	// Connections come all the time while the link is replaced again and again.
	ended, failed := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(failed)
		for {
			select {
			case <-ended:
				return
			default:
			}
			if err := w.talks(changing); err != nil {
				failed <- err
				return
			}
		}
	}()
	for range 10 {
		w.update(w.serve("steady", steady) +
			w.serve("changing", changing, "ca = ca.crt", "max-conns = 50"))
		w.update("# another line\n" + w.serve("changing", changing) + w.serve("steady", steady))
	}
	close(ended)
	if err := <-failed; err != nil {
		t.Errorf("a client of the port that is handed over: %v", err)
	}
	must.OK(t, says(kept, "still here"))
	must.OK(t, says(old, "still here, too"))
	if n := w.count(MessageListening, "tls-serve=steady"); n != 1 {
		t.Errorf("the link that stays has begun %d times", n)
	}

	w.update(w.serve("steady", steady)) // the other goes
	if _, err := net.Dial("tcp", changing); err == nil {
		t.Error("the port of the link that went is open")
	}
	must.OK(t, says(old, "still here"))
	must.OK(t, old.Close())
	w.logs(MessageEnded, "tls-serve=changing")
	must.OK(t, says(kept, "still here"))
	must.OK(t, kept.Close())
}

// TestUpdateChangesHands: ports and sockets go from one link to another, in both directions at
// once.
func TestUpdateChangesHands(t *testing.T) {
	w := newWorld(t, 0)
	a, b := freePort(t), freePort(t)
	connect := func(name, at, to string, more ...string) string {
		return "tls-connect = " + name + "\n    listen = " + at + "\n    connect = " + to +
			"\n    ca = ca.crt\n    cert = ann.crt\n    key = ann.key\n" + strings.Join(more, "\n")
	}
	path := filepath.Join(w.dir, "c.sock")
	w.update(w.serve("one", a) + w.serve("two", b) + connect("c", path, a))
	for range 3 {
		w.update(w.serve("one", b) + w.serve("two", a) + connect("d", path, b))
		must.OK(t, w.talks(a))
		must.OK(t, w.talks(b))
		w.update(w.serve("one", a) + w.serve("two", b) + connect("c", path, a, "    max-conns = 9\n"))
		conn, err := net.Dial("unix", path)
		must.OK(t, err)
		must.OK(t, says(conn, "hello"))
		must.OK(t, conn.Close())
	}
	info, err := os.Lstat(path)
	must.OK(t, err)
	if info.Mode().Perm() != ownerOnly {
		t.Errorf("the socket's mode: %v", info.Mode())
	}
	w.update(w.serve("one", a) + connect("c", path, a, "    mode = 0660\n"))
	if info, err = os.Lstat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket's mode: %v, %v", info.Mode(), err)
	}
	w.update(w.serve("all", "*"+a[strings.LastIndex(a, ":"):])) // which conflicts with that of one
	must.OK(t, w.talks(a))
	if _, err := os.Lstat(path); err == nil {
		t.Error("the socket of a link that went is left")
	}
}

// TestUpdateFails: a link that cannot start leaves its predecessor as it was, and the others.
func TestUpdateFails(t *testing.T) {
	w := newWorld(t, 0)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must.OK(t, err)
	defer taken.Close()
	at, other := freePort(t), freePort(t)
	w.update(w.serve("a", at))
	err = w.set.Update(context.Background(),
		w.specs(w.serve("a", taken.Addr().String())+w.serve("b", other)))
	want := filepath.Join(w.dir, "policy.zpl") + ":1: tls-serve \"a\": " + taken.Addr().String()
	if err == nil || !strings.HasPrefix(err.Error(), want) || !isInUse(err) {
		t.Errorf("%v, want %s", err, want)
	}
	must.OK(t, w.talks(at))
	must.OK(t, w.talks(other))

	// The predecessor of one that fails goes, where another link has got its port.
	err = w.set.Update(context.Background(),
		w.specs(w.serve("a", taken.Addr().String())+w.serve("c", at, "allow-any = yes")))
	if !isInUse(err) {
		t.Error(err)
	}
	conn, err := w.dial(at, w.ann)
	must.OK(t, err)
	must.OK(t, says(conn, "hello"))
	if len(conn.ConnectionState().PeerCertificates) == 0 {
		t.Error("no certificate")
	}
	if n := len(w.set.running); n != 1 {
		t.Errorf("%d links run", n)
	}
}

// TestUpdateReopens: a link that had to make room for another that fails then listens again.
func TestUpdateReopens(t *testing.T) {
	w := newWorld(t, 0)
	at := freePort(t)
	w.update(w.serve("a", at))
	port := at[strings.LastIndex(at, ":"):]
	taken, err := net.Listen("tcp", "127.0.0.2"+port) // so that * cannot listen either
	must.OK(t, err)
	defer taken.Close()
	err = w.set.Update(context.Background(), w.specs(w.serve("a", "*"+port)))
	if !isInUse(err) {
		t.Error(err)
	}
	must.OK(t, w.talks(at))
}

// TestStopDrains: at the end open connections may go on for the time that is given to them. Those
// that are left are cut, and not ended in order.
func TestStopDrains(t *testing.T) {
	w := newWorld(t, 30*time.Second)
	at := freePort(t)
	w.update(w.serve("a", at))
	conn, err := w.dial(at, w.ann)
	must.OK(t, err)
	must.OK(t, says(conn, "hello"))
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		w.set.Stop()
	}()
	testpeer.Eventually(t, "the port is closed", func() bool {
		probe, err := net.Dial("tcp", at)
		if err == nil {
			_ = probe.Close()
		}
		return err != nil
	})
	must.OK(t, says(conn, "still here"))
	select {
	case <-stopped:
		t.Error("a connection is open")
	default:
	}
	must.OK(t, conn.Close())
	<-stopped
	w.logs(MessageEnded, "cut=0")

	cutting := newWorld(t, 0)
	cutting.update(cutting.serve("a", at))
	conn, err = cutting.dial(at, cutting.ann)
	must.OK(t, err)
	must.OK(t, says(conn, "hello"))
	cutting.set.Stop()
	if _, err := conn.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("a connection that is cut ends with %v", err)
	}
	cutting.logs(MessageEnded, "cut=1")
}

// TestCheck: what is wrong with the files is found without starting, with the section's line.
func TestCheck(t *testing.T) {
	w := newWorld(t, 0)
	must.OK(t, os.WriteFile(filepath.Join(w.dir, "file"), nil, 0o600))
	must.OK(t, os.WriteFile(filepath.Join(w.dir, "open"), nil, 0o604))
	must.OK(t, os.WriteFile(filepath.Join(w.dir, "writable"), nil, 0o600))
	must.OK(t, os.Chmod(filepath.Join(w.dir, "writable"), 0o606))
	must.OK(t, os.WriteFile(filepath.Join(w.dir, "agents.pub"), nil, 0o644))
	tunnel := "tunnel = t\n    host = h\n    forward = 1:a:2\n    "
	good := w.serve("a", "./a.sock") + tunnel + "identity = agents\n"
	must.OK(t, Check(w.specs(good)))
	for _, test := range [][2]string{
		{w.serve("a", "./file"), `:1: tls-serve "a": WORK/file: there is a file`},
		{w.serve("a", "./a", "ca = no"), `:1: tls-serve "a": WORK/no: no such file`},
		{w.serve("a", "./a", "ca = ca.crt", "group = no-x"), `:1: tls-serve "a": group: `},
		{w.serve("a", "./a", "ca = ca.crt", "crl = server.crt"),
			`:1: tls-serve "a": WORK/server.crt: `},
		{w.serve("a", "./a", "ca = ca.crt", "allow = CN=**"),
			`:1: tls-serve "a": allow: "CN=**"`},
		{w.serve("a", "./a", "ca = server.key"), `:1: tls-serve "a": WORK/server.key: `},
		{"tls-connect = c\n    listen = 127.0.0.1:1\n    connect = a:1\n    ca = file\n",
			`:1: tls-connect "c": WORK/file: `},
		{tunnel + "identity = no\n", `:1: tunnel "t": WORK/no: no such file`},
		{tunnel + "identity = open\n", `:1: tunnel "t": WORK/open: a secret that others can reach`},
		{tunnel + "known-hosts = writable\n", `:1: tunnel "t": WORK/writable: others can write it`},
		{tunnel + "ssh-config = no\n", `:1: tunnel "t": WORK/no: no such file`},
	} {
		text, want := test[0], strings.ReplaceAll(test[1], "WORK", w.dir)
		err := Check(w.specs(text))
		if err == nil || !strings.Contains(err.Error(), "policy.zpl"+want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
