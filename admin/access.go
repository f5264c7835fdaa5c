package admin

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/zmqauth/zmqauth/internal/admission"
)

// sight is what a client may see.
type sight int

const (
	seesHealth  sight = iota // whether the program serves
	seesNumbers              // the same, metrics, and the page without its content
	seesAll
)

// reason is an error that everybody may see: it has no words of a client or a file.
type reason string

func (r reason) Error() string { return string(r) }

const errNotServing = reason("the authenticator does not serve")

var errRebinding = errors.New("the Host of the request is no name of this host's loopback " +
	"address: use localhost or the address itself")

// tcpListener accepts connections, and bounds their number. On a loopback address it asks the
// kernel whose they are.
type tcpListener struct {
	*net.TCPListener
	loopback bool
	owner    int           // a user
	own      chan struct{} // a token for each connection of root and the owner

	mu     sync.Mutex
	others map[admission.Client]int // how many connections each of the others has
	count  int                      // how many they have together
}

func newTCPListener(l *net.TCPListener, loopback bool) *tcpListener {
	return &tcpListener{TCPListener: l, loopback: loopback, owner: os.Geteuid(),
		own: make(chan struct{}, maxConnections), others: make(map[admission.Client]int)}
}

// Accept returns the next connection for which there is room. Those without are closed.
func (l *tcpListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.AcceptTCP()
		if err != nil {
			return nil, err
		}
		if c := l.admit(conn); c != nil {
			return c, nil
		}
		_ = conn.Close()
	}
}

// admit finds out whose a connection is. It returns nil where there is no room for it.
func (l *tcpListener) admit(conn *net.TCPConn) *client {
	remote := addressOfConn(conn.RemoteAddr())
	who := remote.Addr().String()
	if l.loopback {
		uid, known := ownerOf(addressOfConn(conn.LocalAddr()), remote)
		if known && (uid == 0 || uid == l.owner) {
			select {
			case l.own <- struct{}{}:
				return &client{Conn: conn, trusted: true, release: sync.OnceFunc(func() { <-l.own })}
			default:
				return nil
			}
		}
		if !known {
			uid = -1
		}
		who = "localhost:" + strconv.Itoa(uid) // as ZAP has it for IPC
	}
	other := admission.ClientOf(who)
	if !l.enter(other) {
		return nil
	}
	return &client{Conn: conn, release: sync.OnceFunc(func() { l.leave(other) })}
}

// enter counts a connection of one who is neither root nor the owner. It returns false where that
// one, or all of them, have too many.
func (l *tcpListener) enter(other admission.Client) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count >= maxConnections || l.others[other] >= maxOfOne {
		return false
	}
	l.count++
	l.others[other]++
	return true
}

func (l *tcpListener) leave(other admission.Client) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count--
	if l.others[other]--; l.others[other] == 0 {
		delete(l.others, other)
	}
}

func addressOfConn(a net.Addr) netip.AddrPort {
	at := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
}

// sightOf tells what the client of a request may see.
func (h *HTTP) sightOf(r *http.Request) (sight, error) {
	who := clientOf(r.Context())
	switch h.kind {
	case atSocket:
		if who == nil || !who.trusted {
			return seesHealth, errNotYours
		}
		return seesAll, nil
	case atLoopback:
		if !isLoopbackName(r.Host) { // a name that a stranger's page has bound to this address
			return seesHealth, errRebinding
		}
		if who != nil && who.trusted || h.hasToken(r) {
			return seesAll, nil
		}
		return seesNumbers, nil
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 || h.hasToken(r) {
		return seesAll, nil
	}
	return seesHealth, nil
}

var errNotYours = errors.New("this socket is for root, for the user who runs the program, and " +
	"for the group that was given to it")

// hasToken tells whether a request has the token, as a bearer's or as a password.
func (h *HTTP) hasToken(r *http.Request) bool {
	if _, password, ok := r.BasicAuth(); ok {
		return h.secrets.isToken(password)
	}
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return ok && strings.EqualFold(scheme, "Bearer") && h.secrets.isToken(strings.TrimSpace(token))
}

// isLoopbackName tells whether the Host of a request can only mean a loopback address.
func isLoopbackName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}

// clientBelow finds the client of a connection, also below TLS.
func clientBelow(conn net.Conn) (*client, bool) {
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	c, ok := conn.(*client)
	return c, ok
}
