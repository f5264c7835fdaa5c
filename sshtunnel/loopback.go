package sshtunnel

import (
	"errors"
	"net"
)

// loopbackPair returns the two ends of a TCP connection within this process, for systems without
// socketpair(2). It closes the connections of other processes that connect to its port meanwhile.
func loopbackPair() (here, there localEnd, err error) {
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
