package endpoint

import (
	"context"
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
	dialer := net.Dialer{Timeout: dialTime}
	conn, err := dialer.DialContext(ctx, TCP, net.JoinHostPort(e.Host, e.Port))
	if err != nil {
		return false, false, err
	}
	defer conn.Close()
	remote, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return false, false, err
	}
	return !remote.Addr().Unmap().Is4(), true, nil
}
