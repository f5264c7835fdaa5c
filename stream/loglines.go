package stream

import (
	"log/slog"
	"sync"
)

// maxLogLines is how many lines of the log may wait for a slow logger.
const maxLogLines = 1024

// logLines writes lines in a goroutine of its own, one after another, so that a slow logger holds
// nothing else up. Lines that have no room are left out and counted. The zero value is ready.
type logLines struct {
	mu      sync.Mutex
	waiting []func()
	lost    int
	busy    bool // the goroutine runs
}

// add writes a line soon. written, if it is not nil, is called when no line waits any more.
func (l *logLines) add(log *slog.Logger, line, written func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) >= maxLogLines {
		l.lost++
		return
	}
	l.waiting = append(l.waiting, line)
	if l.busy {
		return
	}
	l.busy = true
	go func() {
		for line := l.next(log); line != nil; line = l.next(log) {
			line()
		}
		if written != nil {
			written()
		}
	}()
}

// next returns the line to write; nil: there is none, and the goroutine must end.
func (l *logLines) next(log *slog.Logger) (line func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch lost := l.lost; {
	case len(l.waiting) > 0:
		line, l.waiting = l.waiting[0], l.waiting[1:]
	case lost > 0:
		l.lost = 0
		line = func() { log.Warn("stream: the logger is too slow, lines are left out", "lines", lost) }
	default:
		l.waiting, l.busy = nil, false
	}
	return line
}

// isBusy reports whether lines wait or are being written.
func (l *logLines) isBusy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.busy
}

// logSoon writes a line in another goroutine. Shutdown waits for it. The caller does not hold the
// mutex.
func (s *Server) logSoon(line func(log *slog.Logger)) {
	log := s.logger()
	s.lines.add(log, func() { line(log) }, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.checkDrained()
	})
}
