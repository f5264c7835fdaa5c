package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/pebbe/zmq4"
	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/front"
	"github.com/zmqauth/zmqauth/internal/endpoint"
	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/libzmq"
	"github.com/zmqauth/zmqauth/internal/privatedir"
)

// listener is the endpoint that a frontend binds. Only the goroutine of the frontend uses it while
// the frontend runs.
type listener struct {
	front  *zmq4.Socket
	set    setMonitor   // of front
	events *zmq4.Socket // of that monitor
	bound  string       // the endpoint in libzmq's spelling; "": not bound
	own    string       // the one that libzmq has: another one, where a Front listens

	file *privatedir.Socket // of ipc with a path, else nil

	before *front.Front   // what listens in the socket's place; nil: nothing
	past   []*front.Front // that have listened there, and may have connections yet
	name   string         // of the frontend
	count  *fronts
}

// newListener watches front, which is not bound yet, through set.
func newListener(zctx *zmq4.Context, front *zmq4.Socket, set setMonitor, name string,
	count *fronts) (*listener, error) {
	events, err := monitor(zctx, set, zmq4.EVENT_ACCEPT_FAILED|zmq4.EVENT_CLOSED)
	if err != nil {
		return nil, err
	}
	return &listener{front: front, set: set, events: events, name: name, count: count}, nil
}

// bindTime limits how long it takes to find out whether somebody listens at the path of a Unix
// socket.
const bindTime = 5 * time.Second

// bind binds the frontend's socket, which has its security role already, or has a Front listen in
// its place. A Unix socket is bound only where nothing is, or a socket that nobody listens on any
// more.
func (l *listener) bind(auth *zmqauth.Authenticator, spec frontendSpec, log *slog.Logger) error {
	at, err := endpoint.ParseBind(spec.Bind)
	switch {
	case err != nil:
	case spec.Front != nil:
		err = l.bindFront(auth, at, spec, log)
	case spec.inherited != nil:
		err = l.bindTo(spec.Bind, spec.inherited)
	case at.HasFile():
		err = l.bindFile(at.Path, spec)
	default:
		err = l.front.Bind(spec.Bind)
	}
	if err != nil {
		return err
	}
	if l.own, err = l.front.GetLastEndpoint(); err != nil {
		return err
	}
	l.bound = l.own
	if l.before != nil {
		l.bound = l.before.Endpoint()
	}
	return nil
}

// bindFront has a Front listen in the socket's place.
func (l *listener) bindFront(auth *zmqauth.Authenticator, at endpoint.Endpoint, spec frontendSpec,
	log *slog.Logger) (err error) {
	l.before, err = front.Listen(auth, l.front, spec.Bind, spec.frontConfig(log))
	switch cause := errors.Unwrap(err); {
	case errors.Is(err, unix.EADDRINUSE) && at.HasFile():
		return occupied(at.Path)
	case errors.Is(err, unix.EADDRINUSE):
		return unix.EADDRINUSE
	case cause != nil:
		return cause // without the endpoint, which the caller names
	case err == nil:
		l.count.add(l.name, l.before)
	}
	return err
}

// bindFile listens at a path and has libzmq accept the connections. libzmq itself would remove
// whatever is there.
func (l *listener) bindFile(path string, spec frontendSpec) error {
	ctx, cancel := context.WithTimeout(context.Background(), bindTime)
	defer cancel()
	file, socket, err := privatedir.ListenFile(ctx, path, spec.access)
	if errors.Is(err, unix.EADDRINUSE) {
		return occupied(path)
	}
	if err != nil {
		return files.Bare(err)
	}
	defer file.Close()
	if err := l.bindTo("ipc://"+path, file); err != nil {
		return errors.Join(err, socket.Remove())
	}
	l.file = socket
	return nil
}

// bindTo has libzmq accept the connections of a socket that listens at the endpoint.
func (l *listener) bindTo(endpoint string, file *os.File) error {
	fd, err := privatedir.Duplicate(file)
	if err != nil {
		return err
	}
	if err := libzmq.BindDescriptor(l.front, endpoint, fd); err != nil {
		_ = unix.Close(fd)
		return err
	}
	return nil
}

// occupied says what is in the way at the path of a Unix socket.
func occupied(path string) error {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return unix.EADDRINUSE
	case info.Mode().Type() == os.ModeSocket:
		return errors.New("another program listens there")
	}
	return errors.New("there is a file that is no socket; remove it, or bind another path")
}

// releaseTime limits how long unbind waits. It is far more than libzmq takes to close a listener.
const releaseTime = 5 * time.Second

// unbind frees the endpoint and waits until it is free, which libzmq does in its own time. Without
// that the next socket that binds the endpoint might find it in use. libzmq then cuts each
// connection as soon as it has sent what it holds for it, or after linger.
func (l *listener) unbind(linger time.Duration) error {
	if l.bound == "" {
		return nil
	}
	bound := l.own
	l.bound, l.own = "", ""
	var errs []error
	if l.before != nil {
		errs = append(errs, l.before.StopListening())
		l.past, l.before = append(l.past, l.before), nil
	}
	if l.file != nil {
		// While it still listens: afterwards the file may belong to somebody else.
		errs = append(errs, l.file.Remove())
		l.file = nil
	}
	errs = append(errs, l.front.SetLinger(linger), l.events.SetRcvtimeo(releaseTime))
	err := l.front.Unbind(bound)
	for err == nil {
		var event zmq4.Event
		event, _, _, err = l.events.RecvEvent(0)
		if err == nil && event == zmq4.EVENT_CLOSED {
			return errors.Join(errs...)
		}
	}
	return fmt.Errorf("unbind %s: %w", bound, errors.Join(append(errs, err)...))
}

// finish waits until clients have what libzmq has written for them to the connections of a Front,
// and closes these connections then, or after linger. The socket is closed: libzmq ends its side of
// each when it has written all.
func (l *listener) finish(linger time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), linger)
	defer cancel()
	for _, f := range l.past {
		if f.Shutdown(ctx) != nil {
			_ = f.Close()
		}
		l.count.end(l.name, f)
	}
	l.past = nil
}

// update takes the events that have come. It returns how many connections were not accepted or were
// closed for want of descriptors, and the last reason.
func (l *listener) update() (failed int, reason error) {
	for {
		event, _, value, err := l.events.RecvEvent(zmq4.DONTWAIT)
		switch {
		case err != nil:
			return failed, reason // there are no more
		case event == zmq4.EVENT_ACCEPT_FAILED:
			failed, reason = failed+1, unix.Errno(value)
		}
	}
}
