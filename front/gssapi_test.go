//go:build linux

package front

import (
	"fmt"
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testrealm"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// TestGSSAPI: in a real realm each session of a front is exact, though all clients have one
// address. A principal that is taken out is thrown out, and a session is ended alone.
func TestGSSAPI(t *testing.T) {
	testrealm.Run(t, func(*testrealm.Realm) {
		s := newServer(t, zmq4.PULL, "GSSAPI", "tcp://127.0.0.1:*",
			&Config{Limits: &zmqauth.Limits{Deadline: patience, MaxConns: 10}})
		principals := map[string]string{testrealm.Ann: testrealm.AnnFull,
			testrealm.Bob: testrealm.BobFull, "": testrealm.CarolFull}
		for _, full := range principals {
			must.OK(t, s.creds.SetPrincipal(full, zmqauth.Entry{}))
		}
		zctx := testzmq.NewContext(t)
		known := make(map[string]zmqauth.Session)
		for own, full := range principals {
			c := testzmq.NewSocket(t, zctx, zmq4.PUSH)
			must.OK(t, zmqauth.GSSAPIClient(c, own, testrealm.Service))
			must.OK(t, zmqauth.Connect(t.Context(), c, s.front.Endpoint()))
			_, err := c.Send(full, 0)
			must.OK(t, err)
			text, properties, err := s.socket.RecvWithMetadata(0, "User-Id", "Client-Address",
				"Session-Id")
			must.OK(t, err)
			all := s.sessions(t, len(known)+1)
			last := all[len(all)-1]
			if text != full || properties["User-Id"] != full ||
				properties["Client-Address"] != "127.0.0.1" ||
				properties["Session-Id"] != fmt.Sprint(last.ID) {
				t.Errorf("%q with %v", text, properties)
			}
			if !last.Exact || last.UserID != full || last.Mechanism != "GSSAPI" ||
				last.Client.Addr().String() != "127.0.0.1" {
				t.Errorf("%+v", last)
			}
			known[full] = last
		}
		s.creds.DeletePrincipal(testrealm.BobFull)
		s.alive(t, known, testrealm.AnnFull, testrealm.CarolFull)
		carol := known[testrealm.CarolFull].ID
		if n := s.a.Disconnect(func(s zmqauth.Session) bool { return s.ID == carol }); n != 1 {
			t.Errorf("%d sessions were ended", n)
		}
		s.alive(t, known, testrealm.AnnFull)
		testpeer.Eventually(t, "carol comes back, and bob does not", func() bool {
			all := s.a.Sessions()
			return len(all) == 2 && all[0].UserID == testrealm.AnnFull &&
				all[1].UserID == testrealm.CarolFull
		})
	})
}

// alive waits until of these sessions those of some users alone are left.
func (s *server) alive(t *testing.T, known map[string]zmqauth.Session, users ...string) {
	t.Helper()
	testpeer.Eventually(t, fmt.Sprint("the sessions of ", users, " alone are left"), func() bool {
		left := 0
		for _, session := range known {
			if s.a.Alive(session.ID) {
				left++
			}
		}
		for _, user := range users {
			if !s.a.Alive(known[user].ID) {
				t.Fatalf("the session of %s has ended", user)
			}
		}
		return left == len(users)
	})
}
