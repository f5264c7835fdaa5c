package links

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	"github.com/zmqauth/zmqauth/stream"
)

// admission is by what rules a tls-serve lets clients in. Clients whose handshake is not over when
// the link is replaced or removed are judged by the rules that the policy has then, too. Without
// that a client could connect, wait for the change, and get in by rules that are gone.
type admission struct {
	authenticator *stream.TLSAuthenticator // nil: nobody is let in
	minTLS        uint16                   // 0: that of the authenticator
	next          atomic.Pointer[admission]
}

var (
	nobody      = &admission{}
	errReplaced = errors.New("the link was changed or removed during the handshake")
)

// replaceBy makes the rules of another link those that clients are judged by. A nil a has no
// clients.
func (a *admission) replaceBy(next *admission) {
	if a != nil && next != nil {
		a.next.CompareAndSwap(nil, next)
	}
}

// judge returns why a client that the authenticator has let in is refused after all. conn is what
// the authenticator has returned.
func (a *admission) judge(conn net.Conn) error {
	last := a
	for next := last.next.Load(); next != nil; next = last.next.Load() {
		last = next
	}
	if last == a {
		return nil
	}
	secured, ok := conn.(*tls.Conn)
	if !ok || last.authenticator == nil || secured.ConnectionState().Version < last.minTLS {
		return errReplaced
	}
	last.authenticator.Revision() // which looks at the files
	if _, err := last.authenticator.Rejudge(secured, nil); err != nil {
		return fmt.Errorf("%w: %w", errReplaced, err)
	}
	return nil
}
