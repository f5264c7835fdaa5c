package stream

import (
	"io"
	"net"
	"time"
)

// lingerTime is how long a refused client has to close the connection itself.
const lingerTime = 500 * time.Millisecond

// lingeringClose lets a refused client read the reason. If a connection is closed while bytes from
// the client are unread, TCP discards data on the way to the client, such as a TLS alert. So the
// connection is closed for writing, and read until the client closes it or lingerTime is over.
func lingeringClose(conn, raw net.Conn) {
	closer, ok := raw.(interface{ CloseWrite() error })
	if !ok {
		return
	}
	if raw.SetDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	if wrapper, ok := conn.(interface{ CloseWrite() error }); ok && conn != raw {
		_ = wrapper.CloseWrite()
	}
	if closer.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, raw)
	}
}
