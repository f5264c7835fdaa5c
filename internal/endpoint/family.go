package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// dialTime is how long one address family has to answer, where a name has both.
const dialTime = time.Second

// Family tells which kind of addresses a socket has to use to reach e: libzmq looks up addresses of
// one kind, IPv6 where its option ZMQ_IPV6 is set. For a literal address, and for IPC, that is
// known at once. A name that has addresses of one kind wants that. Where it has both, Family tries
// which of them somebody listens at. known is false where nobody does, or where the name cannot be
// looked up: err says why.
func (e Endpoint) Family(ctx context.Context) (ipv6, known bool, err error) {
	if e.Transport != TCP || e.isLiteral() {
		return e.IsIPv6(), true, nil
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", e.Host)
	if err != nil {
		return false, false, err
	}
	has4, has6 := false, false
	for _, addr := range addrs {
		has4 = has4 || addr.Unmap().Is4()
		has6 = has6 || !addr.Unmap().Is4()
	}
	if has4 != has6 {
		return has6, true, nil
	}
	remote, err := e.dial(ctx)
	return remote.Is6(), err == nil, err
}

// dial is the host's address at which somebody listens, with IPv4 unmapped.
func (e Endpoint) dial(ctx context.Context) (netip.Addr, error) {
	dialer := net.Dialer{Timeout: dialTime}
	conn, err := dialer.DialContext(ctx, TCP, net.JoinHostPort(e.Host, e.Port))
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	remote, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	return remote.Addr().Unmap(), err
}

// resolvePause is the time between two tries of Resolve.
const resolvePause = 100 * time.Millisecond

// Resolve is the endpoint with the address at which somebody listens in place of the host's name,
// so that libzmq has nothing to look up, which nobody could interrupt. It waits until somebody
// listens. The error is that there is no such name, or ctx's with why nobody does.
func (e Endpoint) Resolve(ctx context.Context) (string, error) {
	if e.Transport != TCP || e.isLiteral() {
		return e.String(), nil
	}
	for {
		addr, err := e.dial(ctx)
		if err == nil {
			return TCP + "://" + net.JoinHostPort(addr.String(), e.Port), nil
		}
		if fault, ok := errors.AsType[*net.DNSError](err); ok && fault.IsNotFound {
			return "", err
		}
		select {
		case <-time.After(resolvePause):
		case <-ctx.Done():
			return "", fmt.Errorf("%w; nobody has accepted a connection there (%v)", ctx.Err(), err)
		}
	}
}

// String is the endpoint as libzmq takes it.
func (e Endpoint) String() string {
	if e.Transport == IPC {
		return IPC + "://" + e.Path
	}
	return TCP + "://" + net.JoinHostPort(e.Host, e.Port)
}
