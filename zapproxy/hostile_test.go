package zapproxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzap"
	"github.com/zmqauth/zmqauth/internal/testzmq"
	"github.com/zmqauth/zmqauth/internal/zmtp"
	"github.com/zmqauth/zmqauth/zapproxy"
)

// raw is what both ends of a raw link have.
func raw(kind string, curve *zmtp.Curve) zmtp.Config {
	return zmtp.Config{SocketType: kind, Peers: []string{"ROUTER", "DEALER"}, Curve: curve,
		MaxFrames: 100, MaxMessage: 1 << 20, MaxUnsent: 64 << 20, HandshakeTime: long}
}

// fakeService accepts the next relay at an endpoint.
func fakeService(t *testing.T, l net.Listener) *zmtp.Conn {
	t.Helper()
	nc, err := l.Accept()
	must.OK(t, err)
	c, err := zmtp.Server(nc, raw("ROUTER", nil))
	must.OK(t, err)
	t.Cleanup(c.Close)
	return c
}

func listen(t *testing.T, at string) net.Listener {
	t.Helper()
	l, err := net.Listen("unix", strings.TrimPrefix(at, "ipc://"))
	must.OK(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// rawRelay connects to a service as a relay does.
func rawRelay(t *testing.T, at string) *zmtp.Conn {
	t.Helper()
	nc, err := net.Dial("unix", strings.TrimPrefix(at, "ipc://"))
	must.OK(t, err)
	c, err := zmtp.Client(nc, raw("DEALER", nil))
	must.OK(t, err)
	t.Cleanup(c.Close)
	return c
}

// asker asks a context's ZAP handler, as libzmq does.
type asker struct{ *zmq4.Socket }

func newAsker(t testing.TB, zctx *zmq4.Context) asker {
	t.Helper()
	s := testzmq.NewSocket(t, zctx, zmq4.DEALER)
	must.OK(t, errors.Join(s.SetRcvtimeo(long), s.SetSndhwm(0), s.SetRcvhwm(0),
		s.Connect("inproc://zeromq.zap.01")))
	return asker{s}
}

func (a asker) ask(t testing.TB, request [][]byte) {
	t.Helper()
	_, err := a.SendMessage("", request)
	must.OK(t, err)
}

// status is that of the next reply.
func (a asker) status(t testing.TB) string {
	t.Helper()
	reply, err := a.RecvMessage(0)
	must.OK(t, err)
	return reply[3]
}

var accepted = testzap.Frames("1.0", "1", "200", "OK", "mallory", "")

// TestAnswers: an answer counts for the question that it is for, while that is open, and once.
func TestAnswers(t *testing.T) {
	at := newEndpoint(t)
	l := listen(t, at)
	zctx, link := relay(t, new(zapproxy.Dialer), at)
	service := fakeService(t, l)
	awaitConnected(t, link)
	a := newAsker(t, zctx)
	ask := func() (envelope [][]byte) {
		t.Helper()
		a.ask(t, testzap.Request("orders", "127.0.0.1", "NULL"))
		frames, err := service.Receive(nil)
		must.OK(t, err)
		return frames[:3]
	}
	first := ask()
	var bad [][][]byte
	for _, envelope := range [][][]byte{
		testzap.Frames(""), testzap.Frames("x", ""), testzap.Frames(strings.Repeat("0", 16), "x", ""),
		{first[0], {}}, {first[0][:15], first[1], {}}, {first[0], first[1], []byte("x"), {}},
	} {
		bad = append(bad, append(envelope, accepted...))
	}
	for _, body := range [][][]byte{
		nil, testzap.Frames("1.0"), accepted[:5], append(accepted[:6:6], nil),
		testzap.Frames("1.1", "1", "200", "OK", "", ""), testzap.Frames("1.0", "2", "200", "OK", "", ""),
		testzap.Frames("1.0", "1", "2000", "OK", "", ""), testzap.Frames("1.0", "1", "", "", "", ""),
	} {
		bad = append(bad, append(first[:3:3], body...))
	}
	bad = append(bad, testzap.Frames("1.0", "1", "200"))
	for _, message := range bad {
		must.OK(t, service.Send(message))
	}
	testpeer.Eventually(t, "all are dropped", func() bool {
		return link.Stats().Dropped == uint64(len(bad))
	})
	must.OK(t, service.Send(first, testzap.Frames("1.0", "1", "400", "no", "mallory", "x")))
	if status := a.status(t); status != "400" {
		t.Error(status)
	}
	// What was answered, or is too late, is not answered again.
	must.OK(t, service.Send(first, accepted))
	second := ask()
	if status := a.status(t); status != "300" { // for want of a sign of life
		t.Error(status)
	}
	must.OK(t, service.Send(second, accepted))
	testpeer.Eventually(t, "it is dropped", func() bool {
		return link.Stats().Dropped == uint64(len(bad)+2)
	})
	awaitConnected(t, link)
	// Nor by another connection.
	third := ask()
	service.Close()
	if status := a.status(t); status != "300" {
		t.Error(status)
	}
	service = fakeService(t, l)
	awaitConnected(t, link)
	fourth := ask()
	must.OK(t, service.Send(third, accepted))
	must.OK(t, service.Send(fourth, testzap.Frames("1.0", "1", "500", "", "", "")))
	if status := a.status(t); status != "500" {
		t.Error(status)
	}
	if stats := link.Stats(); stats.Dropped != uint64(len(bad)+3) || stats.Pending != 0 {
		t.Errorf("%+v", stats)
	}
}

// TestBusyService: a service that gives signs of life may take its time.
func TestBusyService(t *testing.T) {
	release := make(chan struct{})
	auth := handler(t)
	at := serve(t, &zapproxy.Server{Handler: zapproxy.HandlerFunc(
		func(ctx context.Context, request [][]byte) [][]byte {
			<-release
			return auth.HandleZAPMessage(ctx, request)
		})})
	zctx, link := relay(t, new(zapproxy.Dialer), at)
	awaitConnected(t, link)
	a := newAsker(t, zctx)
	a.ask(t, testzap.Request("orders", "127.0.0.1", "NULL"))
	time.Sleep(2 * short) // there is nothing to see
	close(release)
	if status := a.status(t); status != "200" || link.Stats().Away != 0 {
		t.Error(status, link.Stats())
	}
}

// TestFlood: a program with too many questions waits for its own, and nobody else does. Each gets
// one answer.
func TestFlood(t *testing.T) {
	const flood = 6000
	certificate, calm := fixedCertificate(30), fixedCertificate(31)
	release := make(chan struct{})
	var open, most atomic.Int64
	server := &zapproxy.Server{Certificate: certificate, Handler: zapproxy.HandlerFunc(
		func(ctx context.Context, request [][]byte) [][]byte {
			if string(request[2]) == "wild" {
				most.Store(max(most.Load(), open.Add(1)))
				<-release
			}
			return testzap.Frames("1.0", string(request[1]), "200", "OK", "", "")
		})}
	must.OK(t, server.SetRules(zapproxy.Rules{Programs: []zapproxy.Program{
		{Name: "calm", Keys: []zmqauth.PublicKey{calm.Public}, Domains: []string{"calm"}},
		{Name: "wild", Users: []int{os.Getuid()}, Domains: []string{"*"}},
	}}))
	flooder := rawRelay(t, serve(t, server))
	for i := range flood {
		must.OK(t, flooder.Send(testzap.Frames(fmt.Sprint(i), ""),
			testzap.Request("wild", "127.0.0.1", "NULL")))
	}
	at := serveAt(t, server, "tcp://127.0.0.1:*")
	status := func() string {
		frames, err := flooder.Receive(nil)
		must.OK(t, err)
		return string(frames[4])
	}
	seen := map[string]int{}
	for range flood - 4096 {
		seen[status()]++
	}
	if len(seen) != 1 || seen["300"] != flood-4096 {
		t.Errorf("while the handler is busy: %v", seen)
	}
	zctx, link := relay(t, &zapproxy.Dialer{Server: certificate.Public, Certificate: calm}, at)
	awaitConnected(t, link)
	a := newAsker(t, zctx)
	a.ask(t, testzap.Request("calm", "127.0.0.1", "NULL"))
	if status := a.status(t); status != "200" {
		t.Errorf("somebody else: %s", status)
	}
	close(release)
	for range 4096 {
		seen[status()]++
	}
	if seen["200"] != 4096 || most.Load() > 4096 {
		t.Errorf("%v, at once %d", seen, most.Load())
	}
}

// TestInFlight: thousands of questions are open at once, of one relay; each gets its own answer.
func TestInFlight(t *testing.T) {
	const most = 4096
	release := make(chan struct{})
	var open sync.WaitGroup
	open.Add(most)
	at := serve(t, &zapproxy.Server{Handler: zapproxy.HandlerFunc(
		func(ctx context.Context, request [][]byte) [][]byte {
			open.Done()
			<-release
			return testzap.Frames("1.0", string(request[1]), "200", "OK", string(request[1]), "")
		})})
	c := rawRelay(t, at)
	for i := range most {
		id := fmt.Sprint(i)
		must.OK(t, c.Send(testzap.Frames(id, ""),
			testzap.Frames("1.0", id, "orders", "127.0.0.1", "", "NULL")))
	}
	open.Wait()
	close(release)
	seen := make(map[string]bool)
	for range most {
		frames, err := c.Receive(nil)
		must.OK(t, err)
		id := string(frames[0])
		if len(frames) != 8 || string(frames[3]) != id || string(frames[6]) != id {
			t.Fatalf("%q", frames)
		}
		seen[id] = true
	}
	if len(seen) != most {
		t.Errorf("%d questions have answers", len(seen))
	}
}

// TestManyQuestions: a relay has thousands of questions open. One too many is refused at once, and
// those that are open get their answers.
func TestManyQuestions(t *testing.T) {
	const most = 4096
	at := newEndpoint(t)
	l := listen(t, at)
	zctx, link := relay(t, new(zapproxy.Dialer), at)
	service := fakeService(t, l)
	awaitConnected(t, link)
	a := newAsker(t, zctx)
	for i := range most {
		must.OK(t, service.Ping()) // a sign of life
		a.ask(t, testzap.Frames("1.0", fmt.Sprint(i), "orders", "127.0.0.1", "", "NULL"))
	}
	var questions [][][]byte
	for range most {
		must.OK(t, service.Ping())
		frames, err := service.Receive(nil)
		must.OK(t, err)
		questions = append(questions, frames)
	}
	a.ask(t, testzap.Request("orders", "127.0.0.1", "NULL"))
	if status := a.status(t); status != "300" {
		t.Errorf("one too many: %s", status)
	}
	for _, q := range questions {
		id := string(q[4])
		must.OK(t, service.Send(q[:3], testzap.Frames("1.0", id, "200", "OK", id, "")))
	}
	seen := make(map[string]bool)
	for range most {
		reply, err := a.RecvMessage(0)
		must.OK(t, err)
		if reply[3] != "200" || reply[2] != reply[5] {
			t.Fatalf("%q", reply)
		}
		seen[reply[2]] = true
	}
	if len(seen) != most {
		t.Errorf("%d questions have answers", len(seen))
	}
}

// TestPrograms: a program gets answers about its own domains; a change of the rules holds at once.
func TestPrograms(t *testing.T) {
	var log logbuffer.Buffer
	server := &zapproxy.Server{Logger: log.Logger(), Handler: zapproxy.HandlerFunc(
		func(ctx context.Context, request [][]byte) [][]byte {
			p, ok := zapproxy.PeerFrom(ctx)
			if !ok || p.UID != os.Getuid() || p.PID != os.Getpid() || p.Program == "" {
				t.Errorf("asked by %+v", p)
			}
			return testzap.Frames("1.0", string(request[1]), "200", "OK", p.Program, "")
		})}
	mine := zapproxy.Program{Name: "mine", Users: []int{os.Getuid()},
		Domains: []string{"orders", "billing"}}
	must.OK(t, server.SetRules(zapproxy.Rules{Programs: []zapproxy.Program{
		{Name: "other", Users: []int{4711}, Domains: []string{"*"}}, mine}}))
	zctx, link := relay(t, new(zapproxy.Dialer), serve(t, server))
	awaitConnected(t, link)
	a := newAsker(t, zctx)
	check := func(want map[string]string) {
		t.Helper()
		for domain, status := range want {
			a.ask(t, testzap.Request(domain, "127.0.0.1", "PLAIN", "ann", "secret word"))
			if got := a.status(t); got != status {
				t.Errorf("%q: %s, want %s", domain, got, status)
			}
		}
	}
	check(map[string]string{"orders": "200", "billing": "200", "admin": "400", "": "400",
		"orders ": "400", "*": "400"})
	text := log.String()
	if !strings.Contains(text, "not given") || !strings.Contains(text, "peer.program=mine") ||
		strings.Contains(text, "secret word") {
		t.Error(text)
	}
	mine.Domains = []string{"*"}
	must.OK(t, server.SetRules(zapproxy.Rules{Programs: []zapproxy.Program{mine}}))
	check(map[string]string{"orders": "200", "admin": "200", "": "200"})
	must.OK(t, server.SetRules(zapproxy.Rules{Programs: []zapproxy.Program{}}))
	testpeer.Eventually(t, "the relay is cut off", func() bool { return !link.Stats().Connected })
	check(map[string]string{"orders": "300"})
	bad := zapproxy.Rules{Programs: []zapproxy.Program{{Keys: make([]zmqauth.PublicKey, 1)}}}
	long := zapproxy.Rules{Grace: map[string]time.Duration{"*": 2 * zapproxy.MaxGrace}}
	if server.SetRules(bad) == nil || server.SetRules(long) == nil {
		t.Error("an empty key, or a grace without end, is a rule")
	}
}

// TestHandlerFails: what a handler does wrong is the status 500, and ends nothing.
func TestHandlerFails(t *testing.T) {
	replies := map[string]func(request [][]byte) [][]byte{
		"panic":  func([][]byte) [][]byte { panic("on purpose") },
		"nil":    func([][]byte) [][]byte { return nil },
		"short":  func(r [][]byte) [][]byte { return testzap.Frames("1.0", string(r[1]), "200") },
		"status": func(r [][]byte) [][]byte { return testzap.Frames("1.0", "1", "201", "", "", "") },
		"id":     func(r [][]byte) [][]byte { return testzap.Frames("1.0", "7", "200", "", "", "") },
	}
	at := serve(t, &zapproxy.Server{Handler: zapproxy.HandlerFunc(
		func(_ context.Context, request [][]byte) [][]byte {
			return replies[string(request[2])](request)
		})})
	zctx, link := relay(t, new(zapproxy.Dialer), at)
	awaitConnected(t, link)
	a := newAsker(t, zctx)
	for name := range replies {
		a.ask(t, testzap.Request(name, "127.0.0.1", "NULL"))
		if status := a.status(t); status != "500" {
			t.Errorf("%s: %s", name, status)
		}
	}
	a.ask(t, testzap.Request("nil", "localhost:0:0:1", "GSSAPI", "ann@EXAMPLE.ORG"))
	if status := a.status(t); status != "999" {
		t.Errorf("GSSAPI: %s", status)
	}
}

// TestBadRelays: who sends what is no request is cut off, and others are served.
func TestBadRelays(t *testing.T) {
	at := serve(t, &zapproxy.Server{Handler: handler(t)})
	for name, message := range map[string][][]byte{
		"no delimiter": testzap.Frames("1.0", "1", "d", "127.0.0.1", "x", "NULL"),
		"nothing":      testzap.Frames("id", ""),
		"too short":    testzap.Frames("id", "", "1.0"),
		"frames":       testzap.Frames(strings.Split("id,"+strings.Repeat(",x", 50), ",")...),
		"bytes":        {[]byte("id"), nil, make([]byte, 1<<17)},
	} {
		c := rawRelay(t, at)
		must.OK(t, c.Send(message))
		if frames, err := c.Receive(nil); err == nil {
			t.Errorf("%s: %q", name, frames)
		}
	}
	c := rawRelay(t, at)
	for _, envelope := range [][][]byte{
		testzap.Frames(""), testzap.Frames("a", ""), testzap.Frames("a", "b", "c", "d", ""),
	} { // of a REQ, a ROUTER, and several
		must.OK(t, c.Send(envelope, testzap.Request("d", "127.0.0.1", "NULL")))
		frames, err := c.Receive(nil)
		must.OK(t, err)
		if len(frames) != len(envelope)+6 || string(frames[len(envelope)+2]) != "200" {
			t.Errorf("%q", frames)
		}
	}
}

// nobody is another user, without any rights.
const nobody = 65534

// asNobody is a program of Python that another user runs.
func asNobody(t *testing.T, program string, args ...string) (output string, err error) {
	t.Helper()
	testpeer.NeedRoot(t)
	c := command("/usr/bin/python3", append([]string{"-c", program}, args...)...)
	c.Dir = "/"
	c.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	out, err := c.CombinedOutput()
	return string(out), err
}

const dialProgram = `
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
s.connect(sys.argv[1])
try:
    print("answer", len(s.recv(64)))
except ConnectionResetError:
    print("answer 0")
`

// TestOtherUsers: another user gets no further than the directory; and where that is open by
// mistake, no further than the connection.
func TestOtherUsers(t *testing.T) {
	var log logbuffer.Buffer
	server := &zapproxy.Server{Handler: handler(t), Logger: log.Logger()}
	at := serve(t, server)
	path := strings.TrimPrefix(at, "ipc://")
	if out, err := asNobody(t, dialProgram, path); err == nil || !strings.Contains(out, "Permission") {
		t.Errorf("%v\n%s", err, out)
	}
	must.OK(t, errors.Join(os.Chmod(filepath.Dir(path), 0o711), os.Chmod(path, 0o666)))
	if out, err := asNobody(t, dialProgram, path); err != nil || out != "answer 0\n" {
		t.Errorf("%v\n%s", err, out)
	}
	if text := log.String(); !strings.Contains(text, "peer.uid=65534") {
		t.Error(text)
	}
	// One who is named is served.
	must.OK(t, server.SetRules(zapproxy.Rules{Programs: []zapproxy.Program{{Name: "nobody",
		Users: []int{nobody}, Domains: []string{"*"}}}}))
	if out, err := asNobody(t, dialProgram, path); err != nil || out != "answer 64\n" {
		t.Errorf("%v\n%s", err, out)
	}
	// And one whose group is.
	group := nobody
	at = serve(t, &zapproxy.Server{Handler: handler(t), Group: &group})
	path = strings.TrimPrefix(at, "ipc://")
	if out, err := asNobody(t, dialProgram, path); err == nil { // the directory is the test's own
		t.Errorf("%s", out)
	}
}

// TestDirectory: the directory is made for the group, and one that everybody can enter is refused.
func TestDirectory(t *testing.T) {
	base := filepath.Dir(strings.TrimPrefix(newEndpoint(t), "ipc://"))
	group := os.Getgid()
	made := filepath.Join(base, "made")
	for range 2 {
		l, err := (&zapproxy.Server{Handler: handler(t), Group: &group}).Listen(t.Context(),
			"ipc://"+made+"/zap.sock")
		must.OK(t, err)
		for path, mode := range map[string]os.FileMode{made: 0o710, made + "/zap.sock": 0o660} {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
				t.Errorf("%s: %v, %v", path, info, err)
			}
		}
		must.OK(t, l.Close())
	}
	server := &zapproxy.Server{Handler: handler(t)}
	must.OK(t, os.Chmod(made, 0o711))
	for at, want := range map[string]string{
		"ipc://" + made + "/zap.sock":      "chmod o-rwx " + made,
		"ipc://" + base + "/no/where/sock": "is not there: make it",
		"ipc://@name":                      "neither",
		"tcp://127.0.0.1:*":                "certificate",
		"inproc://x":                       "",
	} {
		if _, err := server.Listen(t.Context(), at); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", at, err)
		}
	}
	at := serve(t, server)
	if _, err := server.Listen(t.Context(), at); err == nil {
		t.Error("two at one path")
	}
	if _, err := new(zapproxy.Server).Listen(t.Context(), at); err == nil {
		t.Error("without a handler")
	}
}

const listenProgram = `
import os, socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o777)
s.listen()
s.settimeout(20)
c, _ = s.accept()
print("got", len(c.recv(64)))
`

// TestFalseService: a process of another user that listens at the path is asked nothing.
func TestFalseService(t *testing.T) {
	at := newEndpoint(t)
	path := strings.TrimPrefix(at, "ipc://")
	must.OK(t, os.Chmod(filepath.Dir(path), 0o777|os.ModeSticky))
	var log logbuffer.Buffer
	zctx, link := relay(t, &zapproxy.Dialer{Logger: log.Logger()}, at)
	if out, err := asNobody(t, listenProgram, path); err != nil || out != "got 0\n" {
		t.Errorf("%v\n%s", err, out)
	}
	testpeer.Eventually(t, "the log says so", func() bool {
		return strings.Contains(log.String(), "user 65534 listens")
	})
	refused(t, servers(t, zctx, "orders"))
	if stats := link.Stats(); stats.Asked != 0 || stats.Connected {
		t.Errorf("%+v", stats)
	}
}

// TestKeys: without the right keys there is no link over TCP.
func TestKeys(t *testing.T) {
	certificate, known := fixedCertificate(30), fixedCertificate(31)
	var log logbuffer.Buffer
	server := &zapproxy.Server{Handler: handler(t), Certificate: certificate, Logger: log.Logger()}
	at := serveAt(t, server, "tcp://127.0.0.1:*")
	dial := func(public zmqauth.PublicKey, secret zmqauth.SecretKey, service zmqauth.PublicKey) error {
		nc, err := net.Dial("tcp", strings.TrimPrefix(at, "tcp://"))
		must.OK(t, err)
		c, err := zmtp.Client(nc, raw("DEALER", &zmtp.Curve{Public: public, Secret: secret,
			Server: service}))
		if err == nil {
			c.Close()
		}
		return err
	}
	if dial(known.Public, *known.Secret, certificate.Public) == nil {
		t.Error("let in without any rules")
	}
	must.OK(t, server.SetRules(zapproxy.Rules{Programs: []zapproxy.Program{{Name: "orders",
		Users: []int{os.Getuid(), -1}, Keys: []zmqauth.PublicKey{known.Public}}}}))
	must.OK(t, dial(known.Public, *known.Secret, certificate.Public))
	other := fixedCertificate(32)
	for name, err := range map[string]error{
		"an unknown key":            dial(other.Public, *other.Secret, certificate.Public),
		"a key that is not its own": dial(known.Public, *other.Secret, certificate.Public),
		"another service's key":     dial(known.Public, *known.Secret, other.Public),
	} {
		if err == nil {
			t.Errorf("%s: let in", name)
		}
	}
	if text := log.String(); !strings.Contains(text, "peer.key="+known.Public.String()) {
		t.Error(text)
	}
	for _, d := range []*zapproxy.Dialer{{}, {Server: certificate.Public}, {Certificate: known}} {
		if _, err := d.Relay(testzmq.NewContext(t), at); err == nil {
			t.Errorf("%+v: a relay without keys", d)
		}
	}
}

// TestSilentStrangers: who connects over TCP and makes no handshake keeps no relay from its link.
func TestSilentStrangers(t *testing.T) {
	certificate, known := fixedCertificate(30), fixedCertificate(31)
	server := &zapproxy.Server{Handler: handler(t), Certificate: certificate}
	must.OK(t, server.SetRules(zapproxy.Rules{Programs: []zapproxy.Program{{Name: "orders",
		Keys: []zmqauth.PublicKey{known.Public}, Domains: []string{zmqauth.AnyDomain}}}}))
	at := serveAt(t, server, "tcp://127.0.0.1:*")
	address := strings.TrimPrefix(at, "tcp://")
	own := raw("DEALER", &zmtp.Curve{Public: known.Public, Secret: *known.Secret,
		Server: certificate.Public})
	early, err := net.Dial("tcp", address) // its handshake begins first, and goes on
	must.OK(t, err)
	const many = 300 // more than handshakes may go on
	silent := make([]net.Conn, many)
	for i := range silent {
		silent[i], err = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).Dial("tcp",
			address)
		must.OK(t, err)
		defer silent[i].Close()
	}
	for range 5 {
		nc, err := net.Dial("tcp", address)
		must.OK(t, err)
		c, err := zmtp.Client(nc, own)
		if err != nil {
			t.Fatalf("a relay has no link: %v", err)
		}
		c.Close()
	}
	c, err := zmtp.Client(early, own)
	if err != nil {
		t.Fatalf("a handshake from an address with few has given way: %v", err)
	}
	c.Close()
}

// TestDeafRelays: who takes nothing keeps nobody.
func TestDeafRelays(t *testing.T) {
	at := serve(t, &zapproxy.Server{Handler: handler(t), Logger: slog.New(slog.DiscardHandler)})
	deaf := rawRelay(t, at) // its answers are never read
	for range 25_000 {
		err := deaf.Send(testzap.Frames(strings.Repeat("x", 200), ""),
			testzap.Request("d", "127.0.0.1", "NULL"))
		if err != nil {
			break
		}
	}
	zctx, link := relay(t, new(zapproxy.Dialer), at)
	awaitConnected(t, link)
	a := newAsker(t, zctx)
	a.ask(t, testzap.Request("d", "127.0.0.1", "NULL"))
	if status := a.status(t); status != "200" && status != "300" { // the deaf one is the same user
		t.Error(status)
	}
}

// TestStrangers: who makes no handshake is cut off.
func TestStrangers(t *testing.T) {
	t.Parallel()
	at := serve(t, &zapproxy.Server{Handler: handler(t)})
	silent, err := net.Dial("unix", strings.TrimPrefix(at, "ipc://"))
	must.OK(t, err)
	defer silent.Close()
	must.OK(t, silent.SetReadDeadline(time.Now().Add(long)))
	if _, err := io.Copy(io.Discard, silent); err != nil { // the handshake's time ends it
		t.Error(err)
	}
}
