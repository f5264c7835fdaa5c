package zmqauth_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// TestObserve: decisions count by domain, mechanism and reason; a domain that nobody has configured
// has no name there. What is followed says since when it is in force, and since when it is broken.
func TestObserve(t *testing.T) {
	a, err := zmqauth.New(testzmq.NewContext(t), &zmqauth.Config{
		Logger: slog.New(slog.DiscardHandler)})
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, a.Close()) })
	path := filepath.Join(t.TempDir(), "users")
	must.OK(t, os.WriteFile(path, []byte("ann=a\n"), 0o600))
	must.OK(t, errors.Join(a.ConfigurePlainFile("orders", path), a.DenyDomain("closed", "10.0.0.1")))
	ask := func(domain, address, mechanism string, credentials ...string) {
		request := [][]byte{[]byte("1.0"), []byte("1"), []byte(domain), []byte(address), nil,
			[]byte(mechanism)}
		for _, c := range credentials {
			request = append(request, []byte(c))
		}
		a.HandleZAPMessage(t.Context(), request)
	}
	ask("orders", "10.0.0.1", "PLAIN", "ann", "a")
	ask("orders", "10.0.0.1", "PLAIN", "ann", "b")
	ask("orders", "10.0.0.1", "PLAIN", "eve", "b")
	ask("closed", "10.0.0.1", "NULL")
	ask("stranger", "10.0.0.1", "NULL")
	ask("stranger", "10.0.0.1", "<b>")
	state := a.Observe()
	want := "[{closed NULL 400 address-denied 1} {orders PLAIN 200 accepted 1} " +
		"{orders PLAIN 400 unknown-user 1} {orders PLAIN 400 wrong-password 1} " +
		"{other NULL 200 accepted 1} {other other 400 unknown-mechanism 1}]"
	if got := fmt.Sprint(state.Decisions.Counts()); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if f := state.Followed; len(f) != 1 || f[0].Path != path || f[0].Domain != "orders" ||
		time.Since(f[0].Taken) > time.Hour || !f[0].Since.IsZero() || f[0].Err != nil {
		t.Errorf("%+v", f)
	}
	if len(state.Queues) != 4 || len(state.Sessions) != 0 {
		t.Errorf("%+v", state)
	}
	must.OK(t, os.WriteFile(path, []byte("ann=a\n"), 0o600))
	must.OK(t, os.Chmod(path, 0o666)) // others could have written it
	testpeer.Eventually(t, "the file is broken", func() bool {
		f := a.Observe().Followed[0]
		return !f.Since.IsZero() && f.Err != nil
	})
}
