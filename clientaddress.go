package zmqauth

import (
	"errors"
	"fmt"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/relay"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// clientAddressProperty is the property that has the true address of a client behind a front.
const clientAddressProperty = "Client-Address"

// AddressAllowed tells whether the address rules in force let an address pass: the general ones and
// those of the domain. The address is an IP address without a port, or localhost:uid:gid:pid for
// IPC. A client still needs a credential. After Stop and Close no address passes.
func (a *Authenticator) AddressAllowed(domain, address string) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return !a.state.refuses() && a.policy.Load().addresses.Pass([]byte(domain), []byte(address))
}

// Relay is for package front, which accepts the connections of a server socket in its place. It
// guards the socket, unless that is guarded already (see [Authenticator.Guard]). From then on the
// domain refuses whoever comes from an address that fronts dial from, 127.16.0.0 to
// 127.255.255.254, without a front.
func (a *Authenticator) Relay(s *zmq4.Socket) (*relay.Socket, error) {
	if s == nil {
		return nil, errors.New("zmqauth: Relay: the socket is nil")
	}
	known, err := a.guard.find(s)
	if errors.Is(err, errNotGuarded) {
		if err := a.Guard(s, nil); err != nil {
			return nil, err
		}
		known, err = a.guard.find(s)
	}
	if err != nil {
		return nil, fmt.Errorf("zmqauth: Relay: %w", err)
	}
	domain, err := s.GetZapDomain()
	if err != nil {
		return nil, fmt.Errorf("zmqauth: Relay: %w", err)
	}
	a.relay.Open(domain)
	return &relay.Socket{Table: &a.relay, Domain: domain, Done: known.monitor.Done()}, nil
}

// locate puts the true address into the request of a client behind a front. It returns false where
// the connection pretends to be a front's.
func (a *Authenticator) locate(r *zap.Request) bool {
	c, dialled := a.relay.Find(r.Domain, r.Origin())
	if !dialled {
		return true
	}
	if c == nil {
		return false
	}
	r.Dialled, r.Address = r.Origin(), []byte(c.Address)
	return true
}

// tellFront tells the front of the client of the verdict. An acceptance has the true address.
func (a *Authenticator) tellFront(r *zap.Request, v verdict) verdict {
	if r.Dialled == nil {
		return v
	}
	if c, _ := a.relay.Find(r.Domain, r.Dialled); c != nil {
		c.Decided(v.status)
	}
	if v.status == zap.StatusOK {
		// In front of the others: of two properties with one name libzmq takes the first.
		own := zap.AppendProperty(nil, clientAddressProperty, string(r.Address))
		v.metadata = append(own, v.metadata...)
	}
	return v
}
