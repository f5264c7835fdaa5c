package links

import (
	"crypto/tls"
	"net"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
)

// TestAdmissionOfSuccessor: clients that have connected to a tls-serve before it is changed or
// removed, and do the handshake afterwards, get in only if the successor lets them in, too.
func TestAdmissionOfSuccessor(t *testing.T) {
	anybody, ca := []string{"allow-any = yes"}, []string{"ca = ca.crt"}
	for name, test := range map[string]struct {
		before, after []string // nil: the link is removed
		isAnn         bool     // else a client without a certificate
		in            bool
	}{
		"a CA from now on":        {anybody, ca, false, false},
		"the same and a limit":    {ca, []string{"ca = ca.crt", "max-conns = 7"}, true, true},
		"others alone":            {ca, []string{"ca = ca.crt", "allow = CN=bob"}, true, false},
		"ann alone":               {ca, []string{"ca = ca.crt", "allow = CN=ann"}, true, true},
		"a newer version of TLS":  {anybody, []string{"allow-any = yes", "min-tls = 1.3"}, false, false},
		"everybody, with a limit": {anybody, []string{"allow-any = yes", "max-conns = 7"}, false, true},
		"a link that is removed":  {anybody, nil, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, time.Minute)
			at := freePort(t)
			w.update(w.serve("a", at, test.before...))
			early, err := net.Dial("tcp", at)
			must.OK(t, err)
			defer early.Close()
			w.accepted(at)
			if test.after == nil {
				w.update("")
			} else {
				w.update(w.serve("a", at, test.after...))
			}
			config := &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}
			if test.isAnn {
				pair, err := tls.LoadX509KeyPair(w.ann.CertFile, w.ann.KeyFile)
				must.OK(t, err)
				config.Certificates = []tls.Certificate{pair}
			}
			conn := tls.Client(early, config)
			err = conn.Handshake()
			if err == nil {
				err = says(conn, "hello")
			}
			if (err == nil) != test.in {
				t.Errorf("the client: %v, want it in: %v", err, test.in)
			}
			if !test.in {
				w.logs("level=INFO", MessageRefused, "changed or removed")
			}
		})
	}
}

// accepted waits until the link at an address has accepted the connections of before: it accepts
// them in their order.
func (w *world) accepted(at string) {
	w.t.Helper()
	before := w.count("level=DEBUG", "a client is not let in")
	conn, err := net.Dial("tcp", at)
	must.OK(w.t, err)
	must.OK(w.t, conn.Close())
	for w.count("level=DEBUG", "a client is not let in") == before {
		time.Sleep(time.Millisecond)
	}
}
