//go:build browser

package browser

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/admin"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

var screenshot = flag.String("screenshot", "", "write a picture of the page to this file")

// patience is how long the tests wait for what must appear.
const patience = 60 * time.Second

// markup is what a stranger would like to see run.
const markup = `"><img src=x onerror="alert(1)"><script>alert(2)</script>&lt;`

// site is a guarded server with a status page.
type site struct {
	auth     *zmqauth.Authenticator
	zctx     *zmq4.Context // of the clients
	endpoint string
	url      string
}

// open serves a PLAIN server of a domain, whose users have their first letter as the password.
func open(t *testing.T, domain string, users ...string) *site {
	t.Helper()
	refusals := new(admin.Refusals)
	zctx := testzmq.NewContext(t)
	auth, err := zmqauth.New(zctx, &zmqauth.Config{
		Logger: slog.New(refusals.Handler(slog.DiscardHandler))})
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, auth.Close()) })
	passwords := make(map[string]string)
	for _, name := range users {
		passwords[name] = name[:1]
	}
	file := filepath.Join(t.TempDir(), "passwords")
	must.OK(t, os.WriteFile(file, []byte("ann=a\n"), 0o600))
	must.OK(t, errors.Join(auth.ConfigurePlain(domain, passwords),
		auth.ConfigurePlainFile("jobs", file), auth.Start()))
	server := testzmq.NewSocket(t, zctx, zmq4.ROUTER)
	must.OK(t, errors.Join(zmqauth.PlainServer(server, domain), auth.Guard(server, nil),
		server.Bind("tcp://127.0.0.1:*")))
	s := &site{auth: auth, zctx: testzmq.NewContext(t)}
	s.endpoint, err = server.GetLastEndpoint()
	must.OK(t, err)
	reloads := new(admin.Reloads)
	reloads.Began()
	h, err := admin.ListenHTTP(t.Context(), "127.0.0.1:0", admin.HTTPConfig{Auth: auth,
		Program: admin.Program{Name: "zmqauth proxy", Version: "v1.0.0", Refusals: refusals,
			Reloads: reloads, Frontends: func(zmqauth.Session) []string { return []string{"orders"} }}})
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, h.Close()) })
	s.url = "http://" + h.Addr().String() + "/"
	return s
}

// enter connects a client, and returns what the server says.
func (s *site) enter(t *testing.T, user, password string) (*zmq4.Socket, error) {
	t.Helper()
	client := testzmq.NewSocket(t, s.zctx, zmq4.DEALER)
	must.OK(t, errors.Join(client.SetLinger(0), zmqauth.PlainClient(client, user, password)))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return client, zmqauth.Connect(ctx, client, s.endpoint)
}

// tab is a page in a browser.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu     sync.Mutex
	faults []string // exceptions, violations of the policy, dialogs
}

// browse loads a page.
func browse(t *testing.T, url string, width, height int64) *tab {
	t.Helper()
	testpeer.Program(t, "chromium", "chromium")
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.UserDataDir(t.TempDir()))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits for the browser
		cancel()
	})
	b := &tab{t: t, ctx: ctx}
	must.OK(t, chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			b.fault(fmt.Sprintf("exception: %+v", e.ExceptionDetails.Exception))
		case *log.EventEntryAdded:
			if !strings.Contains(e.Entry.URL, "favicon.ico") {
				b.fault("log: " + e.Entry.Text)
			}
		case *page.EventJavascriptDialogOpening:
			b.fault("dialog: " + e.Message)
		}
	}))
	b.do(chromedp.EmulateViewport(width, height), chromedp.Navigate(url))
	return b
}

func (b *tab) fault(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = append(b.faults, text)
}

// clean wants no exception, no violation and no dialog to have come.
func (b *tab) clean() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, fault := range b.faults {
		b.t.Error(fault)
	}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	must.OK(b.t, chromedp.Do(b.ctx, steps...))
}

// eval evaluates an expression.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	must.OK(b.t, err)
	return value
}

// shows waits until an element has a text.
func (b *tab) shows(id, want string) {
	b.t.Helper()
	testpeer.Eventually(b.t, fmt.Sprintf("%s shows %q", id, want), func() bool {
		return strings.Contains(eval[string](b, textOf(id)), want)
	})
}

func textOf(id string) string { return fmt.Sprintf("document.getElementById(%q).textContent", id) }

// TestLive: what happens shows without anybody's doing.
func TestLive(t *testing.T) {
	s := open(t, "orders", "ann", "bob")
	b := browse(t, s.url, 1100, 900)
	b.shows("state", "ready")
	b.shows("session-count", "Nobody is connected")
	if _, err := s.enter(t, "bob", "wrong"); err == nil {
		t.Fatal("bob is let in")
	}
	b.shows("refusals", "wrong-password (400)")
	b.shows("refusals", "user bob")
	b.shows("refusals", "--verify") // what to do
	ann, err := s.enter(t, "ann", "a")
	must.OK(t, err)
	b.shows("session-count", "1 session")
	b.shows("sessions", "ann")
	b.shows("decisions", "accepted")
	b.shows("minutes", "wrong-password")
	if n := eval[int](b, `document.querySelectorAll("#chart rect").length`); n == 0 {
		t.Error("the chart is empty")
	}
	b.shows("followed", "password file")
	must.OK(t, ann.Close())
	b.shows("session-count", "Nobody is connected")
	must.OK(t, s.auth.Stop())
	b.shows("state", "not ready")
	b.clean()
}

// TestMarkup: names, domains and addresses of strangers stay text.
func TestMarkup(t *testing.T) {
	domain, user := "d"+markup, "u"+markup
	s := open(t, domain, user, "ann")
	b := browse(t, s.url, 1100, 900)
	b.shows("state", "ready")
	_, err := s.enter(t, user, "u")
	must.OK(t, err)
	if _, err := s.enter(t, user, "wrong"); err == nil {
		t.Fatal("it is let in")
	}
	for _, address := range []string{markup, "10.0.0.1" + markup} {
		frames := [][]byte{[]byte("1.0"), []byte("1"), []byte(domain), []byte(address), nil,
			[]byte("PLAIN"), []byte(user), []byte(markup)}
		s.auth.HandleZAPMessage(t.Context(), frames)
		frames[5] = []byte(markup)
		s.auth.HandleZAPMessage(t.Context(), frames)
	}
	b.shows("sessions", user)
	b.shows("sessions", domain)
	b.shows("refusals", "user "+user)
	b.shows("refusals", "10.0.0.1"+markup)
	b.shows("refusals", domain+" "+markup) // the mechanism
	b.shows("decisions", domain)
	if n := eval[int](b, `document.querySelectorAll("img, iframe, script:not([src])").length`); n > 0 {
		t.Errorf("%d elements are of strangers", n)
	}
	b.clean()
	// What the page's own policy forbids is forbidden indeed.
	if eval[bool](b, `(() => {
			try { document.body.innerHTML = "<p>x"; return true } catch { return false }
		})()`) {
		t.Error("markup can be put into the page")
	}
}

// TestNarrow: at 360 pixels nothing is cut off, and nothing scrolls sideways.
func TestNarrow(t *testing.T) {
	long := "u" + strings.Repeat("long", 50)
	s := open(t, "orders", long)
	_, err := s.enter(t, long, "u")
	must.OK(t, err)
	if _, err := s.enter(t, long, "x"); err == nil {
		t.Fatal("it is let in")
	}
	b := browse(t, s.url, 360, 740)
	b.shows("sessions", long)
	b.shows("refusals", long)
	if w := eval[int](b, "document.documentElement.scrollWidth"); w > 360 {
		t.Errorf("the page is %d pixels wide", w)
	}
	wide := eval[string](b, `[...document.querySelectorAll("main td, main th, h1, h2, button, input")]
		.filter((e) => e.checkVisibility() && e.getBoundingClientRect().width > 0 &&
			!e.closest("thead") && e.getBoundingClientRect().right > 361)
		.map((e) => e.outerHTML.slice(0, 80)).join()`)
	if wide != "" {
		t.Errorf("beyond the edge: %s", wide)
	}
	b.clean()
}

// TestKeyboard: all that can be done is done without a mouse.
func TestKeyboard(t *testing.T) {
	s := open(t, "orders", "ann", "bob")
	for _, user := range []string{"ann", "bob"} {
		_, err := s.enter(t, user, user[:1])
		must.OK(t, err)
	}
	b := browse(t, s.url, 1100, 900)
	b.shows("session-count", "2 sessions, 2 shown")
	focus := `(document.activeElement.id || document.activeElement.className ||
		document.activeElement.tagName)`
	reach := func(id string) {
		t.Helper()
		for range 30 {
			b.do(chromedp.KeyEvent(kb.Tab))
			if eval[string](b, focus) == id {
				outline := eval[string](b, "getComputedStyle(document.activeElement).outlineStyle")
				if outline == "none" {
					t.Errorf("%s does not show that it has the focus", id)
				}
				return
			}
		}
		t.Fatalf("the Tab key does not reach %s", id)
	}
	reach("skip")
	b.do(chromedp.KeyEvent(kb.Enter))
	if at := eval[string](b, focus); at != "main" {
		t.Errorf("the link to the content leads to %s", at)
	}
	reach("filter")
	b.do(chromedp.KeyEvent("ANN"))
	b.shows("session-count", "2 sessions, 1 shown")
	if text := eval[string](b, textOf("sessions")); strings.Contains(text, "bob") {
		t.Error(text)
	}
	reach("pause")
	b.do(chromedp.KeyEvent(" "))
	b.shows("state", "paused")
	if eval[string](b, `document.getElementById("pause").getAttribute("aria-pressed")`) != "true" {
		t.Error("the button does not say that it is pressed")
	}
	b.do(chromedp.KeyEvent(kb.Enter))
	b.shows("state", "ready")
	b.clean()
}

// TestAway: the page says when the server is away.
func TestAway(t *testing.T) {
	s := open(t, "orders", "ann")
	h, err := admin.ListenHTTP(t.Context(), "127.0.0.1:0", admin.HTTPConfig{Auth: s.auth})
	must.OK(t, err)
	b := browse(t, "http://"+h.Addr().String()+"/", 1100, 900)
	b.shows("state", "ready")
	if eval[bool](b, `document.getElementById("pending-section").checkVisibility()`) {
		t.Error("keys that wait are shown where there are none")
	}
	must.OK(t, h.Close())
	b.shows("state", "no connection")
}

// TestNoAccess: a page that may see nothing says so, and does not say that there is nothing.
func TestNoAccess(t *testing.T) {
	s := open(t, "orders", "ann")
	target, err := url.Parse(s.url)
	must.OK(t, err)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	closed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/events" {
			http.Error(w, "not for you", http.StatusForbidden)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(closed.Close)
	b := browse(t, closed.URL, 1100, 900)
	b.shows("state", "No access: not for you")
	for _, id := range []string{"no-refusals", "no-followed", "pending-section"} {
		if eval[bool](b, fmt.Sprintf("document.getElementById(%q).checkVisibility()", id)) {
			t.Errorf("it shows %q", eval[string](b, textOf(id)))
		}
	}
	b = browse(t, s.url, 1100, 900)
	b.shows("state", "ready")
	if !eval[bool](b, `document.getElementById("no-refusals").checkVisibility()`) {
		t.Error("it does not say that nobody was refused")
	}
}

// TestScreenshot makes the picture of the guide, which stays small.
func TestScreenshot(t *testing.T) {
	s := open(t, "orders", "ann", "bob", "carol")
	b := browse(t, s.url, 1000, 1000)
	for _, user := range []string{"ann", "bob", "carol"} {
		_, err := s.enter(t, user, user[:1])
		must.OK(t, err)
	}
	for i := range 12 {
		_, _ = s.enter(t, []string{"bob", "carol", "mallory"}[i%3], "guess")
	}
	b.shows("session-count", "3 sessions")
	b.shows("minutes", "wrong-password")
	picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	must.OK(t, err)
	if len(picture) < 10_000 || len(picture) > 150_000 {
		t.Errorf("the picture has %d bytes", len(picture))
	}
	if *screenshot != "" {
		must.OK(t, os.WriteFile(*screenshot, picture, 0o644))
	}
	b.clean()
}
