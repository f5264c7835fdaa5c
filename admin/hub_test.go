package admin

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// stream reads the events of a page.
func (s *served) stream(t *testing.T) (next func() (name string, data []byte), end func()) {
	t.Helper()
	answer, err := s.client.Get(s.base + "/events")
	must.OK(t, err)
	lines := bufio.NewReader(answer.Body)
	return func() (string, []byte) {
		first, err := lines.ReadString('\n')
		must.OK(t, err)
		second, err := lines.ReadBytes('\n')
		must.OK(t, err)
		_, err = lines.ReadString('\n')
		must.OK(t, err)
		name, ok := strings.CutPrefix(strings.TrimSpace(first), "event: ")
		data, also := bytes.CutPrefix(second, []byte("data: "))
		if !ok || !also {
			t.Fatalf("%q %q", first, second)
		}
		return name, data
	}, func() { must.OK(t, answer.Body.Close()) }
}

// TestEvents: decisions and refusals show up by themselves, in one line of JSON whatever clients
// send.
func TestEvents(t *testing.T) {
	refusals := new(Refusals)
	auth := newAuth(t, slog.New(refusals.Handler(slog.DiscardHandler)))
	s := serveHTTP(t, "127.0.0.1:0", HTTPConfig{Auth: auth,
		Program: Program{Name: "test", Refusals: refusals, Pending: func() []Pending {
			return make([]Pending, 3*maxListed)
		}}})
	next, end := s.stream(t)
	defer end()
	seen := make(map[string]bool)
	for len(seen) < 5 { // pending, status, history, sessions and refusals
		name, _ := next()
		seen[name] = true
	}
	if all, err := json.Marshal(refusals.Recent()); err != nil || string(all) != "[]" {
		t.Errorf("%s, %v", all, err)
	}
	const hostile = "<img src=x onerror=alert(1)>\n\ndata: \u2028\xff"
	must.OK(t, auth.ConfigurePlain("orders", map[string]string{"ann": "a", hostile: "b"}))
	ask(t, auth, "orders", "10.0.0.1", "ann", "a")
	for range 3 {
		ask(t, auth, "orders", "10.0.0.1", hostile, "x")
	}
	ask(t, auth, hostile, "10.0.0.1", "ann", "a")
	var status Status
	var refused []Refusal
	for len(status.Decisions) < 3 || len(refused) < 2 || refused[1].Count < 3 {
		switch name, data := next(); name {
		case "status":
			must.OK(t, json.Unmarshal(data, &status))
		case "refusals":
			must.OK(t, json.Unmarshal(data, &refused))
		}
	}
	want := []Decisions{{"orders", "PLAIN", 200, zmqauth.ReasonAccepted, 1},
		{"orders", "PLAIN", 400, zmqauth.ReasonWrongPassword, 3},
		{"other", "PLAIN", 400, zmqauth.ReasonNotConfigured, 1}}
	for i, d := range status.Decisions {
		if d != want[i] {
			t.Errorf("%+v, want %+v", d, want[i])
		}
	}
	if r := refused[1]; r.Reason != zmqauth.ReasonWrongPassword || r.Address != "10.0.0.1" ||
		!strings.HasPrefix(r.About, "user <img") || r.Status != 400 {
		t.Errorf("%+v", r)
	}
}

// TestManyReaders: there are so many pages at the same time, and who leaves makes room.
func TestManyReaders(t *testing.T) {
	s := serveHTTP(t, "127.0.0.1:0", HTTPConfig{})
	var ends []func()
	for range maxReaders {
		next, end := s.stream(t)
		next()
		ends = append(ends, end)
	}
	if answer, text := s.do(t, http.MethodGet, "/events"); answer.StatusCode != 503 ||
		!strings.Contains(text, "too many") {
		t.Errorf("%s: %s", answer.Status, text)
	}
	s.expect(t, "page", map[string]int{"/": 200, "/metrics": 200})
	for _, end := range ends {
		end()
	}
	testpeer.Eventually(t, "there is room", func() bool {
		answer, err := s.client.Get(s.base + "/events")
		must.OK(t, err)
		defer answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
}

// TestSlowReader: a reader that takes nothing is cut off, and costs no memory meanwhile: nothing is
// queued for it.
func TestSlowReader(t *testing.T) {
	auth := newAuth(t, nil)
	s := serveHTTP(t, "127.0.0.1:0", HTTPConfig{Auth: auth, patience: 50 * time.Millisecond})
	conn, err := net.Dial("tcp", s.Addr().String())
	must.OK(t, err)
	defer conn.Close()
	must.OK(t, conn.(*net.TCPConn).SetReadBuffer(1))
	_, err = io.WriteString(conn, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
	must.OK(t, err)
	testpeer.Eventually(t, "it reads", s.hub.hasReaders)
	big := strings.Repeat("x", 1<<20)
	for i := 0; s.hub.hasReaders(); i++ {
		s.hub.set("status", big+strings.Repeat("y", i%7))
		time.Sleep(time.Millisecond)
		if i > 30_000 {
			t.Fatal("a reader that takes nothing stays")
		}
	}
}

// TestReaderGetsLatest: a reader that was slow gets the latest events, not each one.
func TestReaderGetsLatest(t *testing.T) {
	s := serveHTTP(t, "127.0.0.1:0", HTTPConfig{})
	r, err := s.hub.join()
	must.OK(t, err)
	defer s.hub.leave(r)
	for i := range 1000 {
		s.hub.set("refusals", i)
	}
	text, ok := r.next(t.Context())
	if !ok || strings.Count(string(text), "event: refusals") != 1 ||
		!strings.Contains(string(text), "data: 999\n") {
		t.Errorf("%q, %v", text, ok)
	}
}

// TestHistory: steps hold what was counted in them, and their number is bounded.
func TestHistory(t *testing.T) {
	auth := newAuth(t, nil)
	var h history
	now := time.Now()
	h.step(auth, now)
	for i := range 2 * maxSteps {
		if i == 2*maxSteps-1 {
			ask(t, auth, "orders", "10.0.0.1", "eve", "x")
			ask(t, auth, "orders", "10.0.0.1", "ann", "a")
		}
		now = now.Add(stepTime)
		h.step(auth, now)
	}
	last := h.steps[len(h.steps)-1]
	if len(h.steps) != maxSteps || last.Seconds != 5 || len(last.Counts) != 2 ||
		last.Counts[zmqauth.ReasonUnknownUser] != 1 || len(h.steps[0].Counts) != 0 {
		t.Errorf("%d, %+v", len(h.steps), last)
	}
}

// TestPageIsStrict: the page has no inline script or style, nothing of other hosts, and puts
// nothing into the document but text. It knows what to do about each reason.
func TestPageIsStrict(t *testing.T) {
	read := func(name string) string {
		text, err := pageFiles.ReadFile("page/" + name)
		must.OK(t, err)
		return string(text)
	}
	html, script, style := read("index.html"), read("page.js"), read("page.css")
	for _, bad := range []string{`style=`, `onclick`, `onload`, `<style`, `javascript:`, `//`} {
		if strings.Contains(strings.ReplaceAll(html, "<!doctype", ""), bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	if n := strings.Count(html, "<script"); n != 1 ||
		!strings.Contains(html, `<script src="page.js"`) {
		t.Errorf("%d scripts", n)
	}
	for _, bad := range []string{"innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(",
		"Function(", "setTimeout(\"", ".href", ".src", "POST", "import "} {
		if strings.Contains(script, bad) {
			t.Errorf("the script has %s", bad)
		}
	}
	if strings.Contains(style, "url(") || strings.Contains(style, "@import") {
		t.Error("the style loads something")
	}
	source, err := os.ReadFile("../decision.go")
	must.OK(t, err)
	reasons := regexp.MustCompile(`(?m)^\tReason\w+ += "([a-z-]+)"`).FindAllStringSubmatch(
		string(source), -1)
	if len(reasons) < 20 {
		t.Fatalf("%d reasons are found", len(reasons))
	}
	for _, reason := range reasons {
		if reason[1] != zmqauth.ReasonAccepted && !strings.Contains(script, `"`+reason[1]+`": "`) {
			t.Errorf("the page does not know what to do about %s", reason[1])
		}
	}
}

// TestRefusals: like ones are counted, the latest are kept, and long texts end.
func TestRefusals(t *testing.T) {
	var r Refusals
	log := slog.New(r.Handler(slog.NewTextHandler(io.Discard,
		&slog.HandlerOptions{Level: slog.LevelError})))
	say := func(address, user string) {
		log.Info("zmqauth: refused", "reason", "unknown-user", "status", 400, "domain", "d",
			"address", address, "mechanism", "PLAIN", "duration", time.Second, "user", user)
	}
	for range 5 {
		say("10.0.0.1", "eve")
	}
	say("10.0.0.2", strings.Repeat("é", 1<<16))
	log.Debug("zmqauth: accepted", "reason", "accepted", "status", 200, "domain", "d",
		"address", "a", "mechanism", "PLAIN")
	log.Error("something else", "error", errors.New("e"))
	all := r.Recent()
	if len(all) != 2 || all[1].Count != 5 || all[1].About != "user eve" || len(all[0].About) > 300 {
		t.Fatalf("%+v", all)
	}
	for i := range 10 * maxRefusals {
		say("10.0.0.3", strings.Repeat("x", i))
	}
	if all = r.Recent(); len(all) > maxRefusals {
		t.Errorf("%d", len(all))
	}
}
