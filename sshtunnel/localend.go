package sshtunnel

import (
	"net"
)

// localEnd is this machine's end of a stream.
type localEnd interface {
	net.Conn
	CloseWrite() error
}

// owner is the user of the local end of a stream.
type owner interface {
	isClosed() bool           // the owner has closed the local end
	expired() <-chan struct{} // closed when the time to deliver data after that is over
	cut(reason error)         // called before the stream ends because the connection is lost
}

// unknownOwner is the owner of a local end that belongs to another program. Nothing is known about
// it.
type unknownOwner struct{}

func (unknownOwner) isClosed() bool           { return false }
func (unknownOwner) expired() <-chan struct{} { return nil }
func (unknownOwner) cut(error)                {}

// reset closes the local end. Over TCP, the peer sees a reset and not an orderly end.
func reset(local localEnd) {
	if tcp, ok := local.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = local.Close()
}
