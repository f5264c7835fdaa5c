package admin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// patience is how long the tests wait for what must come.
const patience = 30 * time.Second

// controlled is a guarded PLAIN server with a control socket.
type controlled struct {
	auth     *zmqauth.Authenticator
	feed     Feed
	server   *zmq4.Socket
	endpoint string
	path     string
	control  *Control
}

func newControlled(t *testing.T, cfg Config) *controlled {
	t.Helper()
	c := &controlled{path: filepath.Join(t.TempDir(), "control.sock")}
	zctx := testzmq.NewContext(t)
	var err error
	c.auth, err = zmqauth.New(zctx, &zmqauth.Config{OnSession: c.feed.OnSession})
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, c.auth.Close()) })
	users := map[string]string{"ann": "a", "bob": "b"}
	must.OK(t, errors.Join(c.auth.Start(), c.auth.ConfigurePlain("d", users)))
	c.server = testzmq.NewSocket(t, zctx, zmq4.ROUTER)
	must.OK(t, errors.Join(zmqauth.PlainServer(c.server, "d"), c.auth.Guard(c.server, nil),
		c.server.Bind("tcp://127.0.0.1:*")))
	c.endpoint, err = c.server.GetLastEndpoint()
	must.OK(t, err)
	cfg.Auth, cfg.Feed = c.auth, &c.feed
	c.control, err = Listen(t.Context(), c.path, cfg)
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, c.control.Close()) })
	return c
}

// enter connects a client that is let in.
func (c *controlled) enter(t *testing.T, zctx *zmq4.Context, user string) *zmq4.Socket {
	t.Helper()
	s, err := zctx.NewSocket(zmq4.DEALER)
	must.OK(t, err)
	must.OK(t, errors.Join(s.SetLinger(0), zmqauth.PlainClient(s, user, user[:1]),
		zmqauth.Connect(t.Context(), s, c.endpoint)))
	return s
}

// sessions lists sessions through the socket.
func (c *controlled) sessions(t *testing.T, s Selector) (all []Session) {
	t.Helper()
	must.OK(t, NewClient(c.path).Sessions(t.Context(), s, func(session Session) error {
		all = append(all, session)
		return nil
	}))
	return all
}

// await lists sessions until there are so many.
func (c *controlled) await(t *testing.T, s Selector, count int) (all []Session) {
	t.Helper()
	testpeer.Eventually(t, fmt.Sprintf("there are %d sessions", count), func() bool {
		all = c.sessions(t, s)
		return len(all) == count
	})
	return all
}

// TestControl: sessions are listed and chosen, watched, and ended.
func TestControl(t *testing.T) {
	c := newControlled(t, Config{Frontends: func(s zmqauth.Session) []string {
		return []string{"of-" + s.Domain}
	}})
	events := make(chan Event, 100)
	ctx, cancel := context.WithCancel(t.Context())
	watched := make(chan error)
	go func() {
		watched <- NewClient(c.path).Watch(ctx, Selector{User: "bob"}, func(e Event) error {
			events <- e
			return nil
		})
	}()
	expectEvent(t, events, EventWatching, 0)

	zctx := testzmq.NewContext(t)
	ann, bob := c.enter(t, zctx, "ann"), c.enter(t, zctx, "bob")
	all := c.await(t, Selector{}, 2)
	expectEvent(t, events, EventOpen, all[1].ID)
	first := all[0]
	if first.User != "ann" || first.Domain != "d" || first.Mechanism != "PLAIN" || !first.Exact ||
		first.Address != "127.0.0.1" || first.Port == 0 || first.Key != "" ||
		strings.Join(first.Frontends, ",") != "of-d" || time.Since(first.Since) > patience {
		t.Errorf("%+v", first)
	}
	for selector, want := range map[Selector]int{
		{User: "ann"}: 1, {User: "eve"}: 0, {Address: "127.0.0.0/8"}: 2, {Address: "ipc"}: 0,
		{Address: "127.0.0.2"}: 0, {ID: first.ID}: 1, {ID: first.ID, User: "bob"}: 0,
		{Domain: "d"}: 2, {Domain: "e"}: 0, {Frontend: "of-d"}: 2, {Frontend: "d"}: 0,
		{Key: zmqauth.PublicKey{1}}: 0,
	} {
		if got := c.sessions(t, selector); len(got) != want {
			t.Errorf("%v: %+v", selector, got)
		}
	}

	if _, err := NewClient(c.path).Kick(t.Context(), Selector{}); err == nil {
		t.Error("the empty selector ends sessions")
	}
	must.OK(t, ann.Close())
	c.await(t, Selector{}, 1)
	count, err := NewClient(c.path).Kick(t.Context(), Selector{User: "bob"})
	if count != 1 || err != nil {
		t.Errorf("%d, %v", count, err)
	}
	expectEvent(t, events, EventClose, all[1].ID)
	again := c.await(t, Selector{User: "bob"}, 1)[0] // libzmq connects again
	if again.ID <= all[1].ID {
		t.Errorf("after %d comes %d", all[1].ID, again.ID)
	}
	expectEvent(t, events, EventOpen, again.ID)
	if count, err = NewClient(c.path).KickAll(t.Context()); count != 1 || err != nil {
		t.Errorf("%d, %v", count, err)
	}
	expectEvent(t, events, EventClose, again.ID)
	must.OK(t, bob.Close())
	cancel()
	if err := <-watched; !errors.Is(err, context.Canceled) {
		t.Errorf("the watch ends with %v", err)
	}
}

func expectEvent(t *testing.T, events <-chan Event, kind string, id uint64) {
	t.Helper()
	select {
	case e := <-events:
		if e.Event != kind || id != 0 && (e.Session == nil || e.Session.ID != id) {
			t.Errorf("%+v (%+v), want %s %d", e, e.Session, kind, id)
		}
	case <-time.After(patience):
		t.Fatalf("no event %s", kind)
	}
}

// answer sends raw bytes to the socket and returns the answer.
func (c *controlled) answer(t *testing.T, request string) (status int, body string) {
	t.Helper()
	conn, err := net.Dial("unix", c.path)
	must.OK(t, err)
	defer conn.Close()
	must.OK(t, conn.SetDeadline(time.Now().Add(patience)))
	_, _ = io.WriteString(conn, request) // the answer may come before the end
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must.OK(t, err)
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text)
}

// TestBadRequests: each gets an error in JSON, and ends nothing.
func TestBadRequests(t *testing.T) {
	c := newControlled(t, Config{})
	zctx := testzmq.NewContext(t)
	ann := c.enter(t, zctx, "ann")
	defer ann.Close()
	before := c.await(t, Selector{}, 1)
	post := func(body string) string {
		return fmt.Sprintf("POST /v1/kick HTTP/1.1\r\nHost: c\r\nContent-Length: %d\r\n\r\n%s",
			len(body), body)
	}
	const rest = " HTTP/1.1\r\nHost: c\r\n\r\n"
	for request, want := range map[string]int{
		"GET /" + rest:                                 http.StatusNotFound,
		"GET /v1/sessions/" + rest:                     http.StatusNotFound,
		"GET /v1/../v1/kick" + rest:                    http.StatusNotFound,
		"GET /v1/kick" + rest:                          http.StatusMethodNotAllowed,
		"POST /v1/sessions" + rest:                     http.StatusMethodNotAllowed,
		"POST /v1/kick" + rest:                         http.StatusBadRequest,
		"GET /v1/sessions?user=" + rest:                http.StatusBadRequest,
		"GET /v1/sessions?nonsense=1" + rest:           http.StatusBadRequest,
		"GET /v1/sessions/watch?id=x" + rest:           http.StatusBadRequest,
		"POST /v1/kick?all=true" + rest:                http.StatusBadRequest,
		post("{}"):                                     http.StatusBadRequest,
		post(`{"user": ""}`):                           http.StatusBadRequest,
		post(`{"all": true, "id": 1}`):                 http.StatusBadRequest,
		post("\xff\xfe{\"all\": true}"):                http.StatusBadRequest,
		post(strings.Repeat(" ", maxBody+1)):           http.StatusRequestEntityTooLarge,
		post(`{"user":"` + strings.Repeat("a", 1<<20)): http.StatusRequestEntityTooLarge,
	} {
		status, body := c.answer(t, request)
		if status != want || !strings.HasPrefix(body, `{"error":"`) {
			t.Errorf("%.60q: %d %.200s", request, status, body)
		}
	}
	huge := "GET /v1/sessions HTTP/1.1\r\nHost: c\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n"
	if status, _ := c.answer(t, huge); status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a large header: %d", status)
	}
	if after := c.sessions(t, Selector{}); len(after) != 1 || after[0].ID != before[0].ID {
		t.Errorf("%+v became %+v", before, after)
	}
}

// TestSlowWatcher: a watcher who reads late is told how many events it has missed, and one who
// reads nothing is cut off. Neither holds up the Authenticator.
func TestSlowWatcher(t *testing.T) {
	t.Run("late", func(t *testing.T) {
		c := newControlled(t, Config{})
		conn, lines := c.watchRaw(t)
		defer conn.Close()
		const many = 100_000 // far more than the kernel and the queue hold
		for id := range uint64(many) {
			c.feed.OnSession(zmqauth.Session{ID: id + 1, Domain: "d"}, true)
		}
		var told, lost uint64
		for told+lost < many {
			line, err := lines.ReadString('\n')
			must.OK(t, err)
			var n uint64
			if _, err := fmt.Sscanf(line, `{"event":"lost","count":%d}`, &n); err == nil {
				lost += n
			} else if strings.HasPrefix(line, `{"event":"open","session":{"id":`) {
				told++
			}
		}
		if lost == 0 || told < maxEvents || told+lost != many {
			t.Errorf("%d events were told and %d were lost", told, lost)
		}
	})
	t.Run("never", func(t *testing.T) {
		c := newControlled(t, Config{patience: 50 * time.Millisecond})
		conn, _ := c.watchRaw(t)
		defer conn.Close()
		testpeer.Eventually(t, "the watcher is cut off", func() bool {
			for range maxEvents {
				c.feed.OnSession(zmqauth.Session{ID: 1, Domain: "d"}, true)
			}
			c.feed.mu.Lock()
			defer c.feed.mu.Unlock()
			return len(c.feed.watchers) == 0
		})
	})
}

// watchRaw begins a watch, whose lines it returns.
func (c *controlled) watchRaw(t *testing.T) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("unix", c.path)
	must.OK(t, err)
	must.OK(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(conn, "GET /v1/sessions/watch HTTP/1.1\r\nHost: c\r\n\r\n")
	must.OK(t, err)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must.OK(t, err)
	lines := bufio.NewReader(answer.Body)
	if line, err := lines.ReadString('\n'); line != `{"event":"watching"}`+"\n" {
		t.Fatalf("%q, %v", line, err)
	}
	return conn, lines
}

// TestManyWatchers: there is a limit, and who leaves makes room.
func TestManyWatchers(t *testing.T) {
	c := newControlled(t, Config{})
	var last net.Conn
	for range maxWatchers {
		conn, _ := c.watchRaw(t)
		defer conn.Close()
		last = conn
	}
	const request = "GET /v1/sessions/watch HTTP/1.1\r\nHost: c\r\n\r\n"
	if status, body := c.answer(t, request); status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", status, body)
	}
	must.OK(t, last.Close())
	testpeer.Eventually(t, "there is room", func() bool {
		c.feed.mu.Lock()
		defer c.feed.mu.Unlock()
		return len(c.feed.watchers) < maxWatchers
	})
	conn, _ := c.watchRaw(t)
	must.OK(t, conn.Close())
}

// TestManyClients: connections beyond the limit are closed at once, and there is room again after
// the others have gone.
func TestManyClients(t *testing.T) {
	c := newControlled(t, Config{})
	var held []net.Conn
	for range maxClients {
		conn, err := net.Dial("unix", c.path)
		must.OK(t, err)
		held = append(held, conn)
	}
	more, err := net.Dial("unix", c.path)
	must.OK(t, err)
	must.OK(t, more.SetDeadline(time.Now().Add(patience)))
	if _, err := more.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("one too many: %v", err)
	}
	must.OK(t, more.Close())
	for _, conn := range held {
		must.OK(t, conn.Close())
	}
	testpeer.Eventually(t, "there is room", func() bool {
		return NewClient(c.path).Sessions(t.Context(), Selector{},
			func(Session) error { return nil }) == nil
	})
}

// TestWhoMayUseIt: users other than root and the owner are refused although the mode of the file
// lets them in, unless the group is theirs.
func TestWhoMayUseIt(t *testing.T) {
	testpeer.NeedRoot(t)
	curl := testpeer.Program(t, "curl", "curl")
	const nobody, special, other = 65534, 4242, 4243
	group := special
	for name, test := range map[string]struct {
		group *int
		as    syscall.Credential
		want  string
	}{
		"root":                  {nil, syscall.Credential{}, "200"},
		"nobody":                {nil, syscall.Credential{Uid: nobody, Gid: nobody}, "403"},
		"root's group":          {nil, syscall.Credential{Uid: nobody, Gid: 0}, "403"},
		"nobody with a group":   {&group, syscall.Credential{Uid: nobody, Gid: other}, "403"},
		"of the group":          {&group, syscall.Credential{Uid: nobody, Gid: special}, "200"},
		"of the group and more": {&group, among(nobody, 200, special), "200"},
		"of many others":        {&group, among(nobody, 200, other), "403"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newControlled(t, Config{Group: test.group})
			c.openToAll(t)
			cmd := exec.Command(curl, "--silent", "--output", "/dev/null", "--max-time", "30",
				"--write-out", "%{http_code}", "--unix-socket", c.path, "http://c/v1/sessions")
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &test.as}
			cmd.Dir = "/"
			if out, err := cmd.CombinedOutput(); err != nil || string(out) != test.want {
				t.Errorf("%s, %v; want %s", out, err, test.want)
			}
		})
	}
}

// among is a user in many groups, of which one is of interest.
func among(uid uint32, many int, one uint32) syscall.Credential {
	c := syscall.Credential{Uid: uid, Gid: uid}
	for i := range many {
		c.Groups = append(c.Groups, uint32(10_000+i))
	}
	c.Groups = append(c.Groups, one)
	return c
}

// TestManyStrangers: those who may not use the socket take no room from those who may.
func TestManyStrangers(t *testing.T) {
	testpeer.NeedRoot(t)
	python := testpeer.Program(t, "python3", "/usr/bin/python3", "python3")
	const script = `
import select, socket, sys
path, many, room = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
held = []
for _ in range(many):
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    held.append(s)
while len(held) > room:
    closed = select.select(held, [], [], 30)[0]
    if not closed:
        sys.exit(f"{len(held)} connections are held")
    for s in closed:
        s.recv(1)
        held.remove(s)
print("enough", flush=True)
sys.stdin.read()
`
	c := newControlled(t, Config{})
	c.openToAll(t)
	cmd := exec.Command(python, "-c", script, c.path, fmt.Sprint(2*maxClients),
		fmt.Sprint(maxStrangers))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	cmd.Dir, cmd.Stderr = "/", os.Stderr
	stdin, err := cmd.StdinPipe()
	must.OK(t, err)
	stdout, err := cmd.StdoutPipe()
	must.OK(t, err)
	must.OK(t, cmd.Start())
	if said, err := bufio.NewReader(stdout).ReadString('\n'); said != "enough\n" || err != nil {
		t.Errorf("the strangers say %q, %v", said, err)
	}
	c.sessions(t, Selector{})
	must.OK(t, errors.Join(stdin.Close(), cmd.Wait()))
}

// openToAll lets the modes of the socket and of its directory keep nobody out.
func (c *controlled) openToAll(t *testing.T) {
	t.Helper()
	dir := filepath.Dir(c.path)
	must.OK(t, errors.Join(os.Chmod(c.path, 0o666), os.Chmod(dir, 0o755),
		os.Chmod(filepath.Dir(dir), 0o755)))
}

// TestSocketFile: a socket that nobody serves any more is replaced, and nothing else. Close removes
// the file.
func TestSocketFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "c")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	must.OK(t, err)
	stale.SetUnlinkOnClose(false)
	cfg := Config{Auth: new(zmqauth.Authenticator), Feed: new(Feed)}
	if _, err := Listen(t.Context(), path, cfg); err == nil ||
		!strings.Contains(err.Error(), "another program listens there") {
		t.Errorf("a socket that somebody serves: %v", err)
	}
	must.OK(t, stale.Close())
	c, err := Listen(t.Context(), path, cfg)
	must.OK(t, err)
	if info, err := os.Lstat(path); err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if second, err := Listen(t.Context(), path, cfg); err == nil {
		must.OK(t, second.Close())
		t.Error("two serve one socket")
	}
	must.OK(t, errors.Join(c.Close(), c.Close()))
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
	must.OK(t, os.WriteFile(path, []byte("x"), 0o600))
	if _, err := Listen(t.Context(), path, cfg); err == nil ||
		!strings.Contains(err.Error(), "a file is there that is no socket") {
		t.Errorf("a file in the way: %v", err)
	}
	open := filepath.Join(dir, "open")
	must.OK(t, os.Mkdir(open, 0o777))
	must.OK(t, os.Chmod(open, 0o777))
	if _, err := Listen(t.Context(), filepath.Join(open, "c"), cfg); err == nil {
		t.Error("others could replace the socket")
	}
	gid := os.Getegid()
	cfg.Group = &gid
	must.OK(t, os.Remove(path))
	c, err = Listen(t.Context(), path, cfg)
	must.OK(t, err)
	if info, err := os.Lstat(path); err != nil || info.Mode() != fs.ModeSocket|0o660 {
		t.Errorf("%v, %v", info, err)
	}
	must.OK(t, c.Close())
}

// TestCloseEndsWatches: nobody holds up the end.
func TestCloseEndsWatches(t *testing.T) {
	c := newControlled(t, Config{})
	conn, lines := c.watchRaw(t)
	defer conn.Close()
	watch := make(chan error, 1)
	began := make(chan struct{})
	go func() {
		watch <- NewClient(c.path).Watch(t.Context(), Selector{}, func(Event) error {
			close(began) // at EventWatching, the only one
			return nil
		})
	}()
	select {
	case <-began:
	case err := <-watch:
		t.Fatal(err)
	}
	must.OK(t, c.control.Close())
	if rest, err := io.ReadAll(lines); err == nil {
		t.Errorf("a watch that was cut off looks whole: %q", rest)
	}
	if err := <-watch; err == nil || !strings.Contains(err.Error(), "its program has ended") {
		t.Errorf("%v", err)
	}
	err := NewClient(c.path).Sessions(t.Context(), Selector{}, func(Session) error { return nil })
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "nobody serves it") {
		t.Errorf("%v", err)
	}
}
