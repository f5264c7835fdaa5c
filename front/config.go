package front

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/session"
)

// DefaultGreetingTimeout is the GreetingTimeout of a Config whose field is 0.
const DefaultGreetingTimeout = 10 * time.Second

// Config says how a Front treats strangers. The zero value is good for use: no limits, no PROXY
// protocol.
type Config struct {
	// Limits hold when a connection is accepted, before libzmq knows of it. nil: none.
	Limits *zmqauth.Limits

	// ProxyProtocol are the networks of the balancers. A connection from there must begin with a
	// header of the PROXY protocol, version 1 or 2, within GreetingTimeout. The address in it counts
	// as the client's, everywhere. Without an address (LOCAL, UNKNOWN) it is the balancer's own. The
	// header is not read from anybody else.
	ProxyProtocol []netip.Prefix

	// GreetingTimeout is the time until a client has sent the first 10 bytes of its greeting (RFC 37),
	// with a header before. libzmq is reached after that. 0: DefaultGreetingTimeout.
	GreetingTimeout time.Duration

	// Mode is that of an ipc endpoint's file, whatever the umask; 0: 0600. Group is the id of the
	// file's group; nil: as the system chooses.
	Mode  fs.FileMode
	Group *int

	// Listener is a socket that listens at the endpoint already, such as one that systemd passes. The
	// Front takes a duplicate, and leaves the file of an ipc endpoint alone: Mode and Group mean
	// nothing then. nil: the Front makes one.
	Listener *os.File

	// Replace is a Front with the same endpoint that this one takes the place of. No client is lost
	// that waits to be accepted. The other one accepts nobody any more, and keeps the connections
	// that it has: end it by Shutdown or Close. Mode and Group stay as they are.
	Replace *Front

	// Logger gets refusals (Warn), the first of a kind at once, then sums. nil: slog.Default().
	Logger *slog.Logger
}

func (c *Config) check() error {
	if c.GreetingTimeout < 0 {
		return fmt.Errorf("GreetingTimeout %v is negative", c.GreetingTimeout)
	}
	for _, p := range c.ProxyProtocol {
		if !p.IsValid() {
			return errors.New("a network of ProxyProtocol is not valid")
		}
		if p.Addr().Is4In6() {
			return fmt.Errorf("write %v in ProxyProtocol as an IPv4 network", p)
		}
	}
	if c.Limits != nil {
		return (*session.Limits)(c.Limits).Check()
	}
	return nil
}

// settings are what Reconfigure changes, besides the limits.
type settings struct {
	balancers []netip.Prefix
	greeting  time.Duration // never 0
}

func (c *Config) settings() *settings {
	s := &settings{balancers: slices.Clone(c.ProxyProtocol), greeting: c.GreetingTimeout}
	if s.greeting == 0 {
		s.greeting = DefaultGreetingTimeout
	}
	return s
}

// isBalancer tells whether an address is one of a balancer.
func (s *settings) isBalancer(addr netip.Addr) bool {
	for _, p := range s.balancers {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// The reasons for which a Front refuses a connection, in its log and in Stats.Reasons. Those of
// limits are the guard's.
const (
	ReasonAddressDenied = zmqauth.ReasonAddressDenied
	ReasonNoHeader      = "no-proxy-header"   // of a balancer
	ReasonNotZMTP       = "not-zmtp"          // no greeting of ZMTP 2 or later
	ReasonNoGreeting    = "greeting-deadline" // or header
	ReasonUnreachable   = "socket-unreachable"
	ReasonIntruder      = "intruder" // somebody else dialled the socket's private endpoint
)

// Stats are counters since Listen.
type Stats struct {
	Open     uint64            // connections that are open now
	Accepted uint64            // connections, with those refused
	Relayed  uint64            // connections for which the socket was dialled
	Refused  uint64            // connections
	Reasons  map[string]uint64 // of those
	Dropped  uint64            // packets that begin a connection, about: by the kernel, in floods
	Received uint64            // bytes from clients to the socket
	Sent     uint64            // bytes from the socket to clients
}
