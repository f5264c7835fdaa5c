package sshtunnel

import (
	"errors"
	"net"
)

// loopbackPair is two ends of a TCP connection within this process, for systems without
// socketpair(2). Other processes can connect to its port while it is made: they are turned away.
func loopbackPair() (here, there near, err error) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	dialled, err := net.DialTCP("tcp4", nil, l.Addr().(*net.TCPAddr))
	if err != nil {
		return nil, nil, err
	}
	for {
		accepted, err := l.AcceptTCP()
		if err != nil {
			return nil, nil, errors.Join(err, dialled.Close())
		}
		if accepted.RemoteAddr().String() == dialled.LocalAddr().String() {
			return dialled, accepted, nil
		}
		_ = accepted.Close()
	}
}
