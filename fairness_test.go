package zmqauth

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestFlooderDelaysItself: one address sends wrong passwords, 400 at a time. A first-time user from
// elsewhere waits for one hash or two, and not for all of those.
func TestFlooderDelaysItself(t *testing.T) {
	a := newAuthenticator(t, Config{})
	must.OK(t, a.ConfigurePlain("d", map[string]string{"ann": cheapBcrypt(t, "$2y$", "secret")}))
	stop := make(chan bool)
	var flood sync.WaitGroup
	for n := range 400 {
		flood.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				request := zapRequest("d", "198.51.100.7", "PLAIN", "ann", fmt.Sprint("guess", n))
				a.HandleZAPMessage(context.Background(), request)
			}
		})
	}
	testpeer.Eventually(t, "the flood is waiting", func() bool { return a.hashes.Pending() > 300 })
	before := a.Stats().Denied
	status, _ := ask(t, a, zapRequest("d", "192.0.2.1", "PLAIN", "ann", "secret"))
	judged := a.Stats().Denied - before
	close(stop)
	flood.Wait()
	if status != "200" {
		t.Errorf("status %s", status)
	}
	if judged > 100 { // all of the flood would be 400
		t.Errorf("%d wrong passwords were judged before the right one", judged)
	}
}

// TestCurveUserIDHasItsOwnPlaces: a callback that strangers keep busy delays no key's owner.
func TestCurveUserIDHasItsOwnPlaces(t *testing.T) {
	free := make(chan bool)
	a := newAuthenticator(t, Config{
		MaxConcurrent: 1, MaxPending: 1,
		CurveUserID: func(PublicKey) string { return "ann" },
	})
	key := newCertificate(t).Public
	must.OK(t, a.ConfigureCurveKeys("d", key))
	must.OK(t, a.ConfigurePlainCallback("d",
		func(context.Context, string, string, string) (*Identity, error) {
			<-free
			return nil, ErrDenied
		}))
	var strangers sync.WaitGroup
	for range 2 {
		strangers.Go(func() {
			a.HandleZAPMessage(context.Background(), plainRequest("d", "eve", "x"))
		})
	}
	testpeer.Eventually(t, "the callbacks are busy", func() bool { return a.callbacks.Pending() == 2 })
	if got := acceptedAs(t, a, curveRequest("d", key)); got != "ann" {
		t.Errorf("accepted as %q", got)
	}
	close(free)
	strangers.Wait()
}

// TestCurveUserIDOfNobody: a name that is empty is none, and the default holds.
func TestCurveUserIDOfNobody(t *testing.T) {
	a := newAuthenticator(t, Config{CurveUserID: func(PublicKey) string { return "" }})
	key := newCertificate(t).Public
	must.OK(t, a.ConfigureCurveKeys("d", key))
	if got := acceptedAs(t, a, curveRequest("d", key)); got != key.String() {
		t.Errorf("accepted as %q", got)
	}
}
