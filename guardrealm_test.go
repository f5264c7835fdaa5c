package zmqauth

import (
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testrealm"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// TestGuardRealm: in a real realm the sessions of a guarded socket end with their principals. Those
// from one address are a group, which ends together; who is still wanted comes back.
func TestGuardRealm(t *testing.T) {
	testrealm.Run(t, func(*testrealm.Realm) {
		a := startAuthenticator(t, Config{})
		var creds Credentials
		must.OK(t, a.ConfigureCredentials("d", &creds))
		server := newServer(t, a.Context(), "tcp://127.0.0.1:*", func(s *zmq4.Socket) error {
			must.OK(t, GSSAPIServer(s, "d", ""))
			return a.Guard(s, nil)
		})
		for _, full := range []string{testrealm.AnnFull, testrealm.BobFull, testrealm.CarolFull} {
			must.OK(t, creds.SetPrincipal(full, Entry{}))
		}
		zctx := testzmq.NewContext(t)
		enter := func(from, principal, full string) (id uint64) {
			before := len(a.Sessions())
			s := testzmq.NewSocket(t, zctx, zmq4.PUSH)
			must.OK(t, GSSAPIClient(s, principal, testrealm.Service))
			must.OK(t, Connect(t.Context(), s, "tcp://"+from+":0;"+server.endpoint[len("tcp://"):]))
			testpeer.Eventually(t, "there is a session", func() bool {
				return len(a.Sessions()) == before+1
			})
			all := a.Sessions()
			last := all[before]
			if last.UserID != full || last.Exact || last.Client.Addr().String() != from {
				t.Errorf("%+v", last)
			}
			return last.ID
		}
		ann := enter("127.0.0.5", testrealm.Ann, testrealm.AnnFull)
		bob := enter("127.0.0.5", testrealm.Bob, testrealm.BobFull)
		carol := enter("127.0.0.6", "", testrealm.CarolFull)
		creds.DeletePrincipal(testrealm.BobFull)
		testpeer.Eventually(t, "bob and his group are out", func() bool {
			return !a.Alive(bob) && !a.Alive(ann)
		})
		testpeer.Eventually(t, "ann is back", func() bool {
			all := a.Sessions()
			return len(all) == 2 && all[0].ID == carol && all[1].UserID == testrealm.AnnFull
		})
	})
}
