package sshtunnel

import (
	"io"
)

// pipe copies bytes in both directions until both have ended, and then closes both ends. When one
// direction ends, the end is passed on, and the other direction continues.
func (s *stream) pipe(local localEnd, by owner) {
	up, down := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(up)
		s.carryUp(local, by)
	}()
	go func() {
		defer close(down)
		s.carryDown(local, by)
	}()
	select {
	case <-down:
		select {
		case <-up:
		case <-s.gone: // further local data cannot be delivered
			_ = local.Close()
			<-up
		case <-by.expired():
		}
	case <-by.expired():
		// Both goroutines wait until the far end takes the data that was sent before, or the
		// connection ends. Nobody else needs to wait for them.
	}
	_ = s.Close()
	_ = local.Close()
}

// carryUp copies from the local end to the remote.
func (s *stream) carryUp(local localEnd, by owner) {
	source := &reader{Reader: local}
	_, err := io.Copy(s.Channel, source)
	switch {
	case source.err != nil || err == nil && by.isClosed():
		_ = s.Close()
	case err == nil:
		_ = s.CloseWrite()
	} // otherwise the channel is closed, and the other direction ends by itself
}

// carryBuffer is how many bytes are carried down at once.
const carryBuffer = 64 << 10

// carryDown copies from the remote to the local end.
func (s *stream) carryDown(local localEnd, by owner) {
	// Neither end copies by itself: that would be in pieces of 32 KiB.
	_, err := io.CopyBuffer(struct{ io.Writer }{local}, struct{ io.Reader }{s.Channel},
		make([]byte, carryBuffer))
	if err != nil { // the local end does not read any more
		_ = s.Close()
	} else if err := s.conn.cutOff(); err != nil {
		by.cut(err)
		reset(local)
	} else {
		_ = local.CloseWrite()
	}
}

// reader records an error other than io.EOF.
type reader struct {
	io.Reader
	err error
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}
