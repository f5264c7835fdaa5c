package front

import (
	"errors"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/session"
)

// loop is a goroutine that serves some of the connections. Nothing in it blocks but the wait for
// events. Only its goroutine uses what is not guarded by mu.
type loop struct {
	engine *engine
	epoll  int
	wake   int    // an eventfd
	buffer []byte // for the bytes of whichever connection it serves

	ends      map[int32]*end // by descriptor
	number    int32          // of the last end
	young     map[*conn]struct{}
	unfair    []*conn // that have more to do, but gave way to the others
	doomed    []int   // descriptors of connections that were refused, to be closed soon
	crowd     bool    // clients wait to be accepted
	listening bool
	paused    time.Time // when accepting was given up for want of descriptors; zero: it was not
	swept     time.Time
	over      bool

	mu    sync.Mutex
	tasks []func()
	freed bool
}

const (
	// bufferSize is how much is passed on at a time, where there is much.
	bufferSize = 256 << 10
	// shareSize is how much is passed on at first, and the most that is kept of what an end did not
	// take.
	shareSize = 32 << 10
	// turns is how many times that is done for one direction until others have their turn.
	turns = 4
	// maxEvents is how many events are taken at a time, and maxAccepts how many connections: few, so
	// that a crowd that comes does not hold up those who are in.
	maxEvents  = 256
	maxAccepts = 8
	// maxCloses is how many connections that were refused are closed at a time. To close one takes
	// longer than to accept the next one, who may be good: so they are closed later, but there are
	// never more than maxDoomed of them.
	maxCloses = 2
	maxDoomed = 64
	// sweepInterval is the time between two looks at the deadlines.
	sweepInterval = 100 * time.Millisecond
)

func newLoop(e *engine) (l *loop, err error) {
	l = &loop{engine: e, epoll: -1, wake: -1, buffer: make([]byte, bufferSize),
		ends: make(map[int32]*end), young: make(map[*conn]struct{}), listening: true}
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("epoll_create", err)
	}
	if l.wake, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		l.free()
		return nil, os.NewSyscallError("eventfd", err)
	}
	for fd, events := range map[int]uint32{
		l.wake:       unix.EPOLLIN,
		e.public.fd:  unix.EPOLLIN | unix.EPOLLEXCLUSIVE,
		e.fence.hole: unix.EPOLLIN | unix.EPOLLEXCLUSIVE,
	} {
		event := unix.EpollEvent{Events: events, Fd: int32(fd)}
		if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
			l.free()
			return nil, os.NewSyscallError("epoll_ctl", err)
		}
	}
	return l, nil
}

func (l *loop) free() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.freed = true
	for _, fd := range []int{l.epoll, l.wake} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// do has the loop's goroutine call a function, and waits until it has.
func (l *loop) do(task func()) {
	done := make(chan struct{})
	l.post(func() { defer close(done); task() })
	select {
	case <-done:
	case <-l.engine.ended:
	}
}

// post has the loop's goroutine call a function soon. It never waits.
func (l *loop) post(task func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.freed {
		return
	}
	l.tasks = append(l.tasks, task)
	if len(l.tasks) == 1 {
		_, _ = unix.Write(l.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
}

func (l *loop) run() {
	events := make([]unix.EpollEvent, maxEvents)
	for !l.over {
		n, err := unix.EpollWait(l.epoll, events, l.timeout())
		if err != nil && !errors.Is(err, unix.EINTR) {
			break // never: the descriptor is a good one
		}
		for i := range max(n, 0) {
			l.handle(&events[i])
		}
		unfair := l.unfair
		l.unfair = nil
		for _, c := range unfair {
			c.advance()
		}
		if l.crowd && l.listening {
			l.accept()
		}
		l.closeDoomed(maxCloses)
		l.sweep(time.Now())
	}
	for _, e := range l.ends {
		e.conn.close()
	}
	l.closeDoomed(len(l.doomed))
}

// timeout is how long to wait for events, in milliseconds; -1: for ever.
func (l *loop) timeout() int {
	switch {
	case len(l.unfair) > 0 || len(l.doomed) > 0:
		return 0
	case len(l.young) > 0 || !l.paused.IsZero():
		return int(sweepInterval / time.Millisecond)
	}
	return -1
}

func (l *loop) handle(event *unix.EpollEvent) {
	switch int(event.Fd) {
	case l.wake:
		l.runTasks()
	case l.engine.fence.hole:
		l.refuseIntruders()
	default:
		if e := l.ends[event.Fd]; e != nil {
			if e.number == event.Pad { // else it is about another connection, which has ended
				e.conn.handle(e, event.Events)
			}
		} else if l.listening && int(event.Fd) == l.engine.public.fd {
			l.crowd = true // they have their turn when those who are in have had theirs
		}
	}
}

func (l *loop) runTasks() {
	_, _ = unix.Read(l.wake, make([]byte, 8))
	l.mu.Lock()
	tasks := l.tasks
	l.tasks = nil
	l.mu.Unlock()
	for _, task := range tasks {
		task()
	}
}

func (l *loop) end() { l.over = true }

// leaveUnserved ends the connections that have not reached the socket, which is closed.
func (l *loop) leaveUnserved() {
	for _, e := range l.ends {
		if e.conn.state < relaying {
			e.conn.abort()
		}
	}
}

// forgetListener must be called before the listener is closed.
func (l *loop) forgetListener() {
	l.listening = false
	l.paused = time.Time{}
	_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, l.engine.public.fd, nil)
}

// accept accepts the clients that wait, a few of them. There will be an event where more do.
func (l *loop) accept() {
	l.crowd = false
	for range maxAccepts {
		fd, name, err := unix.Accept4(l.engine.public.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch {
		case err == nil:
			l.engine.accepted.Add(1)
			l.welcome(fd, name)
		case errors.Is(err, unix.EAGAIN):
			return
		case isShortage(err):
			l.engine.refusals.add(reasonTooFewDescriptors, "")
			l.pause()
			return
		} // else this client has gone, or a signal came
	}
}

// doom has a connection that was refused closed soon, which is a reset: see listener.
func (l *loop) doom(fd int) {
	if session.IsNearLimit(fd) {
		_ = unix.Close(fd)
		return
	}
	l.doomed = append(l.doomed, fd)
}

// closeDoomed closes so many of the connections that were refused, and those beyond maxDoomed.
func (l *loop) closeDoomed(count int) {
	count = min(len(l.doomed), max(count, len(l.doomed)-maxDoomed))
	for _, fd := range l.doomed[:count] {
		_ = unix.Close(fd)
	}
	l.doomed = slices.Delete(l.doomed, 0, count)
}

// isShortage tells whether the system has too little for one more connection. The client still
// waits then, and without a pause the loop would ask for it without end.
func isShortage(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) ||
		errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM)
}

// pause gives up accepting until the next sweep.
func (l *loop) pause() {
	l.paused = time.Now()
	_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, l.engine.public.fd, nil)
}

func (l *loop) resume() {
	l.paused = time.Time{}
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLEXCLUSIVE,
		Fd: int32(l.engine.public.fd)}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, l.engine.public.fd, &event); err != nil {
		l.paused = time.Now()
	}
}

// lookAgain finds the clients that wait, if the event about them went to a loop of another engine,
// which has forgotten the listener before it came to accepting.
func (l *loop) lookAgain() {
	if l.listening && l.paused.IsZero() {
		l.pause()
		l.resume()
	}
}

// refuseIntruders ends the connections of whoever has dialled the private endpoint.
func (l *loop) refuseIntruders() {
	for range maxAccepts {
		fd, name, err := unix.Accept4(l.engine.fence.hole, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		// From the front's own port it is a client's, and libzmq does not listen any more.
		if from, _ := addrPortOf(name); int(from.Port()) != l.engine.fence.from {
			l.engine.refusals.add(ReasonIntruder, from.String())
		}
		reset(fd)
	}
}

// sweep ends the connections that take too long.
func (l *loop) sweep(now time.Time) {
	if now.Sub(l.swept) < sweepInterval {
		return
	}
	l.swept = now
	if !l.paused.IsZero() && now.Sub(l.paused) >= sweepInterval {
		l.resume()
	}
	for c := range l.young {
		c.checkDeadlines(now)
	}
}

// watch adds an end of a connection.
func (l *loop) watch(e *end) error {
	l.number++
	e.number = l.number
	event := unix.EpollEvent{Fd: int32(e.fd), Pad: e.number,
		Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, e.fd, &event); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	l.ends[int32(e.fd)] = e
	return nil
}

// reset ends a connection at once, so that the system keeps nothing of it.
func reset(fd int) {
	_ = setReset(fd, true)
	_ = unix.Close(fd)
}

// setReset says whether to close a connection is to reset it.
func setReset(fd int, on bool) error {
	linger := unix.Linger{}
	if on {
		linger.Onoff = 1
	}
	return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &linger)
}
