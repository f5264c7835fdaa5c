package links

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/zmqauth/zmqauth/stream"
)

// link is a link that runs, or is about to. The goroutine of the Set uses it.
type link struct {
	spec     Spec
	log      *slog.Logger
	services []*service
	session  *session // of a tunnel; nil: there is none
	done     chan struct{}
	// admission is that of a tls-serve; nil: everybody who can connect is let in.
	admission *admission
}

// service is a server at one port of a link.
type service struct {
	spec   portSpec
	server *stream.Server
	to     string // where connections are carried, for the log
	port   *port  // nil: it does not listen
	served sync.WaitGroup
}

// run serves at the ports, and calls failed if one of them ends by itself.
func (l *link) run(failed func(error)) {
	for _, s := range l.services {
		l.runService(s, failed)
	}
	if l.session != nil {
		l.session.run()
	}
}

func (l *link) runService(s *service, failed func(error)) {
	p, spec := s.port, l.spec // which another policy may change
	l.log.Info(MessageListening, "listen", p.Addr().String(), "connect", s.to,
		"max-conns", s.server.MaxConns)
	s.served.Go(func() {
		err := s.server.Serve(p)
		if !errors.Is(err, stream.ErrServerClosed) && !p.isClosed() {
			failed(spec.locate(err))
		}
	})
}

// closePorts makes the link stop accepting. The connections stay.
func (l *link) closePorts() {
	for _, s := range l.services {
		if s.port != nil {
			_ = s.port.Close()
			s.port = nil
		}
	}
}

// discard undoes the preparation of a link that does not run.
func (l *link) discard() {
	l.closePorts()
	if l.session != nil {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // nothing is waited for
		l.session.end(ctx)
	}
}

// end stops accepting at once. It gives the connections the time linger to end by themselves, and
// then cuts them. It does not wait for that: l.done is closed then.
func (l *link) end(linger time.Duration) {
	l.closePorts()
	ctx, cancel := context.WithTimeout(context.Background(), linger)
	go func() {
		defer close(l.done)
		defer cancel()
		var work sync.WaitGroup
		var mu sync.Mutex
		cut := 0
		for _, s := range l.services {
			work.Go(func() {
				n := s.end(ctx)
				mu.Lock()
				defer mu.Unlock()
				cut += n
			})
		}
		work.Wait()
		if l.session != nil {
			l.session.end(ctx)
		}
		l.log.Info(MessageEnded, "cut", cut)
	}()
}

// settleInterval is how often end looks whether the last handshake is over.
const settleInterval = 5 * time.Millisecond

// end lets the connections end until ctx does, and returns how many were cut off then. Clients that
// have been accepted are still let in, if the link's admission allows it.
func (s *service) end(ctx context.Context) (cut int) {
	s.served.Wait()
	for s.server.Handshakes() > 0 && ctx.Err() == nil {
		select {
		case <-time.After(settleInterval):
		case <-ctx.Done():
		}
	}
	if s.server.Shutdown(ctx) == nil {
		return 0
	}
	cut = s.server.Disconnect(func(stream.Session) bool { return true }) // as no orderly end
	_ = s.server.Close()
	_ = s.server.Shutdown(context.Background())
	return cut
}

// isDone tells whether the link has ended.
func (l *link) isDone() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// listenError says which port of a link cannot be listened at.
func (l *link) listenError(s *service, err error) error {
	return l.spec.locate(fmt.Errorf("%s: %w", s.spec.at, err))
}
