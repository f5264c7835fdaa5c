package zaptest_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
	"github.com/zmqauth/zmqauth/zaptest"
)

// TestRequirements checks that names are well-formed and unique, and that every check names the
// source of its requirement.
func TestRequirements(t *testing.T) {
	source := regexp.MustCompile(`^RFC 27, (Architecture|Message Format|Socket Types|` +
		`Proxy Handlers|The (NULL|PLAIN|CURVE) Mechanism)$`)
	form := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	seen := make(map[string]bool)
	for _, r := range zaptest.Requirements() {
		if !form.MatchString(r.Name) || seen[r.Name] {
			t.Errorf("the name %q", r.Name)
		}
		seen[r.Name] = true
		if r.Section != zaptest.Beyond && !source.MatchString(r.Section) {
			t.Errorf("%s: section %q", r.Name, r.Section)
		}
		if !strings.HasSuffix(r.Text, ".") || strings.Contains(r.Text, "|") {
			t.Errorf("%s: %q is no sentence for a table", r.Name, r.Text)
		}
	}
}

// TestNobodyThere makes sure that without a handler every check that applies fails soon and with
// ErrNoAnswer.
func TestNobodyThere(t *testing.T) {
	testpeer.NothingLeft(t)
	start := time.Now()
	results := zaptest.Check(testzmq.NewContext(t), zaptest.Handler{Timeout: 50 * time.Millisecond})
	for _, r := range results {
		if !errors.Is(r.Err, zaptest.ErrNoAnswer) && !errors.Is(r.Err, zaptest.ErrNotApplicable) {
			t.Errorf("%v", r)
		}
	}
	if len(results) != len(zaptest.Requirements()) {
		t.Errorf("%d results", len(results))
	}
	if elapsed := time.Since(start); elapsed > 10*time.Second {
		t.Errorf("it took %v to find nobody", elapsed)
	}
}

// TestAfterTheContext makes sure that no check passes in a terminated context.
func TestAfterTheContext(t *testing.T) {
	ctx := testzmq.NewContext(t)
	must.OK(t, ctx.Term())
	for _, r := range zaptest.Check(ctx, zaptest.Handler{}) {
		if r.Passed() {
			t.Errorf("%v", r)
		}
	}
}

// TestContradictions makes sure that invalid fields of a Handler are errors of every check.
func TestContradictions(t *testing.T) {
	for name, h := range map[string]zaptest.Handler{
		"Timeout":          {Timeout: -1},
		"Key":              {Key: []byte("short")},
		"EveryKey":         {EveryKey: true},
		"User":             {User: "ann"},
		"Password":         {Password: "secret"},
		"Metadata":         {Metadata: map[string]string{"Role": "operator"}},
		"Domain":           {Domain: strings.Repeat("d", 256)},
		"Principal":        {Principal: "ann\x00"},
		"RefusedPrincipal": {RefusedPrincipal: "ännchen"},
		"Address":          {Address: "everywhere"},
		"RefusedAddress":   {RefusedAddress: "10.0.0.0/8"},
	} {
		for _, r := range zaptest.Check(testzmq.NewContext(t), h) {
			if !r.Failed() {
				t.Fatalf("%s: %v", name, r)
			}
			text := r.Err.Error()
			if !strings.HasPrefix(text, "zaptest: Handler.") || !strings.Contains(text, name) {
				t.Fatalf("%s: %v", name, r)
			}
		}
	}
}

// TestNoSecretInErrors makes sure that the errors of checks do not contain credentials.
func TestNoSecretInErrors(t *testing.T) {
	ctx := testzmq.NewContext(t)
	h := testHandler()
	startModel(t, ctx, h, misjudge(func(_ *model, _ query, yes bool) bool { return !yes }))
	failed := 0
	for _, r := range zaptest.Check(ctx, h) {
		text := r.String()
		if strings.Contains(text, h.Password) || strings.Contains(text, string(h.Key)) {
			t.Errorf("%s", text)
		}
		if r.Failed() {
			failed++
		}
	}
	if failed < 10 {
		t.Errorf("only %d checks failed", failed)
	}
}

// TestRestart makes sure that a handler that is restarted fails only the checks that ended it.
func TestRestart(t *testing.T) {
	ctx := testzmq.NewContext(t)
	h := testHandler()
	h.Timeout = time.Second
	ends := dies(func(q query) bool { return q.version == "QUIT" || q.id == "0001" })
	startModel(t, ctx, h, ends)
	restarts := 0
	h.Restart = func() error {
		restarts++
		startModel(t, ctx, h, ends)
		return nil
	}
	var failed []string
	for _, r := range zaptest.Check(ctx, h) {
		if r.Failed() {
			failed = append(failed, r.Name)
			if !errors.Is(r.Err, zaptest.ErrNoAnswer) {
				t.Errorf("%v", r)
			}
		}
	}
	want := []string{"reply-id", "malformed-command"}
	if !slices.Equal(failed, want) || restarts != len(want) {
		t.Errorf("%d restarts, failed: %q, should be %q", restarts, failed, want)
	}
}

// TestRestartFails makes sure that there is one attempt to restart, and that the remaining checks
// have its error.
func TestRestartFails(t *testing.T) {
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		restart func() error
		want    error
	}{
		"with an error":      {func() error { return broken }, broken},
		"without an outcome": {func() error { return nil }, zaptest.ErrNoAnswer},
	} {
		restarts := 0
		h := zaptest.Handler{
			Timeout: 50 * time.Millisecond,
			Restart: func() error { restarts++; return test.restart() },
		}
		results := zaptest.Check(testzmq.NewContext(t), h)
		last := results[len(results)-1]
		if restarts != 1 || !errors.Is(last.Err, test.want) ||
			!errors.Is(last.Err, zaptest.ErrNoAnswer) {
			t.Errorf("%s: %d restarts, %v", name, restarts, last)
		}
	}
}

// TestFlood makes sure that a check ends even if the handler sends endless replies to one request.
func TestFlood(t *testing.T) {
	ctx := testzmq.NewContext(t)
	startModel(t, ctx, zaptest.Handler{}, fault{send: func(m *model, out outgoing) error {
		flood := out.frames[1] == "zaptest 0"
		if flood {
			out.frames[1] = "another"
		}
		err := m.sendNow(out)
		for flood && err == nil {
			err = m.sendNow(out)
		}
		return err
	}})
	flooded := false
	for _, r := range zaptest.Check(ctx, zaptest.Handler{Timeout: 300 * time.Millisecond}) {
		flooded = flooded || r.Name == "malformed-version"
		if flooded && r.Passed() {
			t.Errorf("%v", r)
		}
	}
}

const runFaulty = "ZAPTEST_RUN_FAULTY"

// TestRunOfFaulty fails. TestRun runs it in a process of its own and looks at its output.
func TestRunOfFaulty(t *testing.T) {
	if os.Getenv(runFaulty) == "" {
		t.Skip("TestRun runs it")
	}
	ctx := testzmq.NewContext(t)
	startModel(t, ctx, zaptest.Handler{Null: true}, edit(func(o *outgoing) { o.frames[0] = "1.1" }))
	zaptest.Run(t, ctx, zaptest.Handler{Null: true})
}

// TestRun makes sure that each check is a subtest that passes, fails with its requirement, or is
// skipped with the reason.
func TestRun(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	must.OK(t, err)
	command := exec.Command(self, "-test.run=^TestRunOfFaulty$", "-test.v")
	command.Env = append(os.Environ(), runFaulty+"=1")
	out, err := command.Output()
	if exit := (&exec.ExitError{}); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"--- PASS: TestRunOfFaulty/answers ",
		"--- FAIL: TestRunOfFaulty/reply-version ",
		`version "1.1"`,
		"The version frame of a reply is the three octets 1.0. (RFC 27, Message Format)",
		"--- SKIP: TestRunOfFaulty/plain-accept ",
		"no User is known",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// TestRunOfZmqauth shows how programs test their own handlers.
func TestRunOfZmqauth(t *testing.T) {
	a := startZmqauth(t, func(a *zmqauth.Authenticator) error {
		return errors.Join(
			a.ConfigurePlain("global", map[string]string{"ann": "secret"}),
			a.Deny("192.0.2.66"),
		)
	})
	zaptest.Run(t, a.Context(), zaptest.Handler{
		Null:           true,
		User:           "ann",
		Password:       "secret",
		RefusedAddress: "192.0.2.66",
	})
}

func ExampleCheck() {
	// Any handler in zmq4's default context will do.
	a, err := zmqauth.New(nil, &zmqauth.Config{Logger: slog.New(slog.DiscardHandler)})
	check(err)
	check(a.Start())
	defer func() { check(a.Close()) }()

	passed, failed := 0, 0
	for _, r := range zaptest.Check(nil, zaptest.Handler{Null: true}) {
		switch {
		case r.Passed():
			passed++
		case r.Failed():
			failed++
			fmt.Println(r.Name, r.Section, r.Err)
		}
	}
	fmt.Println(passed > 30, failed)
	// Output: true 0
}
